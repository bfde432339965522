"""What waited when the chat server was stopped is answered where it stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from chatbot.core.events import Delta, Done, Grounds, Notice, Status, Timings
from chatbot.errors import NotContinuable
from tests.chat.rooms import Room, Scripted
from tests.fakes import Gate

WHOLE = Done(Status.DONE, "stop")


def stopped(path: Path) -> tuple[str, list[str]]:
    """A chat whose first answer was cut off while two more messages waited: its id and those of the answers."""
    hold = Gate()
    r = Room(path, Scripted(Delta("hello"), hold, WHOLE))
    chat, first = r.send("one")
    hold.wait_until_reached()
    answers = [first, *(r.send(text, chat)[1] for text in ("two", "three"))]
    r.close()
    return chat, answers


def test_what_was_cut_off_goes_on_and_what_waited_begins_in_the_same_messages(tmp_path: Path) -> None:
    chat, answers = stopped(tmp_path / "x.db")
    script = Scripted(Delta(" and more"), WHOLE)
    r = Room(tmp_path / "x.db", script)
    for answer in answers:
        assert r.store.message(answer).status is Status.INTERRUPTED
        r.jobs.resume(answer)
        assert r.watcher.end_of(answer).status is Status.DONE
        r.saved(answer, Status.DONE)
    assert [m.content for m in r.store.tree(chat)] == [
        "one",
        "hello and more",
        "two",
        " and more",
        "three",
        " and more",
    ]
    assert [turn.continues for turn in script.turns] == ["hello", "", ""]
    r.close()


def test_what_waited_begins_behind_others_but_what_was_cut_off_does_not_go_on_before_them(tmp_path: Path) -> None:
    _, (first, second, third) = stopped(tmp_path / "x.db")
    hold = Gate()
    r = Room(tmp_path / "x.db", Scripted(Delta("yes"), hold, WHOLE))
    r.jobs.resume(third)
    hold.wait_until_reached()
    with pytest.raises(NotContinuable, match="last answer"):
        r.jobs.resume(first)
    hold.open()
    assert r.watcher.end_of(third).status is Status.DONE
    with pytest.raises(NotContinuable, match="last answer"):
        r.jobs.resume(first)
    r.jobs.resume(second)
    assert r.watcher.end_of(second).status is Status.DONE
    assert r.saved(second, Status.DONE) == "yes"
    r.close()


def test_answering_again_what_has_no_word_is_answering_it_where_it_stands(tmp_path: Path) -> None:
    chat, answers = stopped(tmp_path / "x.db")
    failed = Done(Status.ERROR, error={"message": "x", "type": "y", "code": "z"})
    script = Scripted(Notice("cut to fit"), Grounds({"shelves": ["a"]}), failed)
    r = Room(tmp_path / "x.db", script)
    for end in (Status.ERROR, Status.DONE):
        assert r.jobs.retry(answers[1]).id == answers[1]
        r.saved(answers[1], end)
        meta = r.store.message(answers[1]).meta
        assert meta["notices"] == ["cut to fit"], "told once"
        assert ("library" in meta) == (end is Status.ERROR), "what it rests on is looked for anew"
        script.steps = [Notice("cut to fit"), Delta("yes"), WHOLE]
    assert r.jobs.retry(answers[1]).id != answers[1], "it has words now"
    assert [m.content for m in r.store.messages(chat)][:3] == ["one", "hello", "two"]
    r.close()


def test_the_numbers_of_an_answer_that_goes_on_are_those_of_all_its_parts(tmp_path: Path) -> None:
    parts = [
        (Done(Status.STOPPED, timings=Timings(0.5, 2.5, 5)), None, (0.5, 2.5, 5)),
        (
            Done(
                Status.DONE, "length", usage={"prompt_tokens": 20, "completion_tokens": 3}, timings=Timings(1.0, 2.0, 2)
            ),
            {"prompt_tokens": 15, "completion_tokens": 8},
            (0.5, 3.5, 7),
        ),
        (
            Done(
                Status.DONE, "stop", usage={"prompt_tokens": 23, "completion_tokens": 4}, timings=Timings(0.2, 0.7, 4)
            ),
            {"prompt_tokens": 15, "completion_tokens": 12},
            (0.5, 4.0, 11),
        ),
    ]
    script = Scripted()
    r = Room(tmp_path / "x.db", script)
    answer = ""
    for done, usage, (first_s, total_s, n_pieces) in parts:
        script.steps = [Delta("some words "), done]
        if answer:
            r.jobs.resume(answer)
        else:
            _, answer = r.send("count")
        r.saved(answer, done.status)
        meta = r.store.message(answer).meta
        assert meta.get("usage") == usage
        assert meta["timings"] == {"first_s": first_s, "total_s": total_s, "n_pieces": n_pieces}
        told = r.watcher.heard[answer][-1].event
        assert isinstance(told, Done) and (told.usage, told.timings) == (usage, Timings(first_s, total_s, n_pieces))
    r.close()
