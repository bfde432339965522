"""Jobs on a tree: answers that go on, are tried again anywhere, corrected, taken back; thoughts beside the text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chatbot.core.events import Changed, Delta, Done, Event, Notice, Numbered, Status, Thought
from chatbot.core.store import Notes
from chatbot.errors import BadRequest, NotContinuable, StorageError
from tests.chat.rooms import Room, Scripted
from tests.fakes import WAIT_S, Gate
from tests.processes import until

CUT = Done(Status.DONE, "length")
WHOLE = Done(Status.DONE, "stop")


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Callable[..., Room]]:
    made: list[Room] = []

    def make(*steps: Event | Gate | Exception, script: Scripted | None = None) -> Room:
        made.append(Room(tmp_path / f"{len(made)}.db", script or Scripted(*steps)))
        return made[-1]

    yield make
    for each in made:
        each.close()


def ends(r: Room, answer: str, n: int = 1) -> None:
    """Wait until an answer has ended so many times and its chat is free."""

    def count() -> int:
        return sum(isinstance(heard.event, Done) for heard in r.watcher.heard.get(answer, []))

    until(lambda: count() == n and not r.jobs._lines, f"{n} ends", WAIT_S)


def test_thoughts_are_numbered_replayed_and_stored_beside_the_text(room: Callable[..., Room]) -> None:
    gate = Gate()
    r = room(Changed(Status.STREAMING), Thought("hm, "), Thought("yes"), gate, Delta("Yes."), WHOLE)
    _, answer = r.send("well?")
    gate.wait_until_reached()
    assert r.jobs.missed(answer, 1) == [Numbered(2, Thought("hm, ")), Numbered(3, Thought("yes"))]
    assert Numbered(2, Thought("hm, ")).wire() == {"seq": 2, "type": "thought", "text": "hm, "}
    now = r.jobs.snapshot(r.store.message(answer)).wire()
    assert (now["reasoning"], now["content"], now["seq"]) == ("hm, yes", "", 3)
    assert now["meta"]["thought_s"] >= 0
    until(lambda: r.store.message(answer).reasoning == "hm, yes", "thoughts on the disk", WAIT_S)
    gate.open()
    ends(r, answer)
    kept = r.store.message(answer)
    assert (kept.content, kept.reasoning, kept.seq, set(kept.meta)) == (
        "Yes.",
        "hm, yes",
        5,
        {"finish_reason", "thought_s"},
    )


def test_an_answer_without_thoughts_tells_of_no_time(room: Callable[..., Room]) -> None:
    r = room(Delta("Yes."), WHOLE)
    _, answer = r.send("well?")
    ends(r, answer)
    assert r.store.message(answer).meta == {"finish_reason": "stop"}


def test_an_answer_that_was_cut_off_goes_on_in_the_same_message_with_the_next_numbers(
    room: Callable[..., Room],
) -> None:
    script = Scripted(Changed(Status.STREAMING), Thought("plan"), Notice("full"), Delta("one "), CUT)
    r = room(script=script)
    chat, answer = r.send("count")
    ends(r, answer)
    heard = r.store.message(answer).seq
    gate = Gate()
    script.steps = [Changed(Status.STREAMING), Delta("two"), gate, Delta(" three"), WHOLE]
    r.jobs.resume(answer)
    gate.wait_until_reached()
    assert script.turns[1].continues == "one "
    assert script.asked[1] == script.asked[0]
    missed = r.jobs.missed(answer, heard)
    assert missed == [
        Numbered(heard + 1, Changed(Status.QUEUED)),
        Numbered(heard + 2, Changed(Status.STREAMING)),
        Numbered(heard + 3, Delta("two")),
    ]
    assert r.jobs.missed(answer, heard - 1) is None, "the log cannot tell what came before it"
    assert r.jobs.missed(answer, heard + 4) is None, "nor what it has not heard"
    now = r.jobs.snapshot(r.store.message(answer))
    assert (now.message.content, now.message.reasoning, now.seq) == ("one two", "plan", heard + 3)
    gate.open()
    ends(r, answer, 2)
    assert [n.seq for n in r.watcher.heard[answer]] == list(range(1, heard + 6))
    kept = r.store.messages(chat)[-1]
    assert (kept.content, kept.status, kept.meta["notices"]) == ("one two three", Status.DONE, ["full"])
    assert [m.content for m in r.store.tree(chat)] == ["count", "one two three"]


def test_who_opens_a_finished_answer_from_the_store_gets_only_the_rest_when_it_goes_on(
    room: Callable[..., Room],
) -> None:
    script = Scripted(Delta("one "), CUT)
    r = room(script=script)
    _, answer = r.send("count")
    ends(r, answer)
    r.jobs.forget(answer)
    opened = r.jobs.snapshot(r.store.message(answer))
    assert (opened.message.content, opened.seq) == ("one ", 2)
    script.steps = [Delta("two"), WHOLE]
    r.jobs.resume(answer)
    ends(r, answer, 2)
    rest = [n.event for n in r.jobs.missed(answer, opened.seq) or []]
    assert rest == [Changed(Status.QUEUED), Delta("two"), WHOLE]


@pytest.mark.parametrize("end", [Done(Status.STOPPED), Done(Status.ERROR, error={"code": "x"}), CUT])
def test_what_ended_too_early_may_go_on(room: Callable[..., Room], end: Done) -> None:
    script = Scripted(Delta("a"), end)
    r = room(script=script)
    _, answer = r.send("count")
    ends(r, answer)
    script.steps = [Delta("b"), WHOLE]
    r.jobs.resume(answer)
    ends(r, answer, 2)
    assert r.store.message(answer).content == "ab"
    assert "error" not in r.store.message(answer).meta


def test_a_complete_a_running_and_an_earlier_answer_do_not_go_on(room: Callable[..., Room]) -> None:
    gate = Gate()
    script = Scripted(Delta("all"), WHOLE)
    r = room(script=script)
    chat, first = r.send("one")
    ends(r, first)
    with pytest.raises(NotContinuable, match="complete"):
        r.jobs.resume(first)
    script.steps = [Delta("x"), gate, CUT]
    _, second = r.send("two", chat)
    gate.wait_until_reached()
    with pytest.raises(NotContinuable, match="on its way"):
        r.jobs.resume(second)
    with pytest.raises(NotContinuable, match="last answer"):
        r.jobs.resume(first)
    gate.open()
    ends(r, second)
    assert r.store.message(first).content == "all"


def test_an_answer_that_goes_on_can_be_stopped_and_go_on_once_more(room: Callable[..., Room]) -> None:
    gate = Gate()
    script = Scripted(Delta("a"), CUT)
    r = room(script=script)
    _, answer = r.send("count")
    ends(r, answer)
    script.steps = [Delta("b"), gate]
    r.jobs.resume(answer)
    gate.wait_until_reached()
    assert r.jobs.stop(answer)
    ends(r, answer, 2)
    assert (r.store.message(answer).content, r.store.message(answer).status) == ("ab", Status.STOPPED)
    script.steps = [Delta("c"), WHOLE]
    r.jobs.resume(answer)
    ends(r, answer, 3)
    assert r.store.message(answer).content == "abc"


def test_an_earlier_answer_is_tried_again_as_a_branch_with_what_was_before_it(room: Callable[..., Room]) -> None:
    script = Scripted(Delta("first"), WHOLE)
    r = room(script=script)
    chat, first = r.send("one")
    ends(r, first)
    _, second = r.send("two", chat)
    ends(r, second)
    script.steps = [Delta("other"), WHOLE]
    again = r.jobs.retry(first)
    ends(r, again.id)
    assert [m.content for m in script.asked[2]] == ["one"]
    assert [m.content for m in r.store.messages(chat)] == ["one", "other"]
    assert [m.content for m in r.store.tree(chat)] == ["one", "first", "two", "first", "other"]


def test_an_edited_message_is_answered_from_where_it_stands(room: Callable[..., Room]) -> None:
    script = Scripted(Delta("yes"), WHOLE)
    r = room(script=script)
    chat, first = r.send("one")
    ends(r, first)
    _, second = r.send("two", chat)
    ends(r, second)
    _, third = r.send("two, better", chat, parent=first)
    ends(r, third)
    assert [m.content for m in script.asked[2]] == ["one", "yes", "two, better"]


def test_a_corrected_answer_is_what_everybody_sees_and_what_the_model_gets(room: Callable[..., Room]) -> None:
    script = Scripted(Delta("frist"), WHOLE)
    r = room(script=script)
    chat, answer = r.send("one")
    ends(r, answer)
    before = r.store.message(answer).seq
    r.jobs.edit(answer, "first")
    assert r.jobs.snapshot(r.store.message(answer)).message.content == "first"
    assert r.jobs.missed(answer, before) is None
    _, after = r.send("two", chat)
    ends(r, after)
    assert [m.content for m in script.asked[1]] == ["one", "first", "two"]
    script.steps = [Delta(" and more"), WHOLE]
    with pytest.raises(NotContinuable, match="last"):
        r.jobs.resume(answer)


def test_a_running_answer_cannot_be_corrected(room: Callable[..., Room]) -> None:
    gate = Gate()
    r = room(Delta("some"), gate, WHOLE)
    _, answer = r.send("one")
    gate.wait_until_reached()
    with pytest.raises(BadRequest, match="stop it first"):
        r.jobs.edit(answer, "mine")
    gate.open()
    ends(r, answer)
    assert r.store.message(answer).content == "some"


def test_an_answer_that_no_disk_holds_is_neither_corrected_nor_continued(
    room: Callable[..., Room], monkeypatch: pytest.MonkeyPatch
) -> None:
    r = room(Delta("precious"), CUT)

    def full(*_: object, **__: object) -> int:
        raise StorageError("full")

    monkeypatch.setattr(r.store, "save", full)
    _, answer = r.send("one")
    ends(r, answer)
    with pytest.raises(StorageError, match="make room"):
        r.jobs.edit(answer, "mine")
    with pytest.raises(StorageError, match="make room"):
        r.jobs.resume(answer)
    monkeypatch.undo()
    r.saved(answer, Status.DONE)
    r.jobs.edit(answer, "mine")
    assert r.store.message(answer).content == "mine"


def test_taking_the_last_turn_back_ends_its_answer(room: Callable[..., Room]) -> None:
    gate = Gate()
    r = room(Delta("some"), gate, WHOLE)
    chat, answer = r.send("one")
    gate.wait_until_reached()
    assert [m.id for m in r.jobs.undo(chat)][1:] == [answer]
    assert r.watcher.end_of(answer).status is Status.STOPPED
    assert r.store.messages(chat) == []
    assert r.saved(answer, Status.STOPPED) == "some"


def test_deleting_chats_ends_their_answers_and_no_others(room: Callable[..., Room]) -> None:
    gate = Gate()
    r = room(gate, WHOLE)
    chat, answer = r.send("one")
    _, other = r.send("two")
    r.jobs.stop_chats([chat])
    assert r.watcher.end_of(answer).status is Status.STOPPED
    gate.open()
    assert r.watcher.end_of(other).status is Status.DONE


def test_the_model_gets_options_notes_and_files_of_the_chat(room: Callable[..., Room]) -> None:
    script = Scripted(Delta("yes"), WHOLE)
    r = room(script=script)
    file = r.store.add_file(None, "list.txt", "text", "apples")
    chat, first = r.send("read", files=(file.id,), options={"temperature": 0.1})
    ends(r, first)
    assert "apples" in script.asked[0][0].content and script.asked[0][0].content.endswith("read")
    assert script.turns[0].options.temperature == 0.1
    r.store.set_notes(chat, [Notes("there were apples", first, 2)], was=())
    _, second = r.send("and now?", chat)
    ends(r, second)
    assert (script.turns[1].notes, script.turns[1].n_folded) == ("there were apples", 2)


def test_an_edit_marks_notes_that_are_made_in_the_same_moment(
    room: Callable[..., Room], monkeypatch: pytest.MonkeyPatch
) -> None:
    r = room(Delta("four apples"), WHOLE)
    chat, answer = r.send("how many?")
    ends(r, answer)
    save = r.store.save

    def noted(*args: object, **more: object) -> object:
        r.store.set_notes(chat, [Notes("4", answer, 2)], was=())
        return save(*args, **more)

    with monkeypatch.context() as late:
        late.setattr(r.store, "save", noted)
        r.store.edit_answer(answer, "five apples")
    assert r.store.notes(chat) == (Notes("4", answer, 2, (answer,)),)


def test_what_another_process_changed_is_told_by_the_store(room: Callable[..., Room]) -> None:
    r = room(Delta("mine"), WHOLE)
    _, answer = r.send("one")
    ends(r, answer)
    r.store.edit_answer(answer, "changed elsewhere")
    assert r.jobs.snapshot(r.store.message(answer)).message.content == "changed elsewhere"
    r.jobs.forget(answer)
    assert r.jobs.missed(answer, 0) is None


def test_an_answer_whose_chat_another_process_deleted_ends_with_a_plain_error(room: Callable[..., Room]) -> None:
    gate = Gate()
    r = room(gate, WHOLE)
    chat, first = r.send("one")
    gate.wait_until_reached()
    _, second = r.send("two", chat)
    r.store.delete([chat])
    gate.open()
    error = r.watcher.end_of(second).error
    assert error and (error["code"], error["message"]) == ("unknown_chat", "this chat does not exist any more")
    assert r.watcher.end_of(first).status is Status.DONE


def test_what_waits_in_line_is_stopped_at_once_and_never_asked(room: Callable[..., Room]) -> None:
    gate = Gate()
    script = Scripted(Delta("some"), gate, WHOLE)
    r = room(script=script)
    chat, running = r.send("one")
    gate.wait_until_reached()
    _, waiting = r.send("two", chat)
    assert r.jobs.stop(waiting)
    assert r.store.message(waiting).status is Status.STOPPED
    assert r.jobs.unfinished() == [running]
    gate.open()
    ends(r, running)
    assert r.store.message(running).content == "some"
    assert len(script.asked) == 1


@pytest.mark.parametrize("way", ["edit", "retry"])
def test_a_new_version_stops_what_is_on_its_way_on_the_branch_that_is_left(room: Callable[..., Room], way: str) -> None:
    gate = Gate()
    script = Scripted(Delta("first"), WHOLE)
    r = room(script=script)
    chat, first = r.send("one")
    ends(r, first)
    script.steps = [Delta("half"), gate, WHOLE]
    _, running = r.send("two", chat)
    _, waiting = r.send("three", chat)
    gate.wait_until_reached()
    script.steps = [Delta("other"), WHOLE]
    new = r.send("two, better", chat, parent=first)[1] if way == "edit" else r.jobs.retry(first).id
    assert r.watcher.end_of(new).status is Status.DONE
    assert (r.saved(running, Status.STOPPED), r.saved(waiting, Status.STOPPED)) == ("half", "")
    assert [asked[-1].content for asked in script.asked] == ["one", "two", "two, better" if way == "edit" else "one"]


def test_a_message_that_was_stored_is_answered_though_the_disk_cannot_be_read_behind_it(
    room: Callable[..., Room], monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    script = Scripted(Delta("first"), WHOLE)
    r = room(script=script)
    chat, first = r.send("one")
    ends(r, first)
    script.steps = [Delta("half"), gate, WHOLE]
    r.send("two", chat)
    gate.wait_until_reached()
    branch = r.store.branch

    def reads(message_id: str) -> object:
        if r.store.message(message_id).parent_id not in before:
            raise StorageError("the disk cannot be read")
        return branch(message_id)

    before = {message.id for message in r.store.tree(chat)}
    with monkeypatch.context() as broken:
        broken.setattr(r.store, "branch", reads)
        with pytest.raises(StorageError):
            r.send("two, better", chat, parent=first)
    gate.open()
    question, answer = r.store.messages(chat)[-2:]
    assert question.content == "two, better"
    assert r.watcher.end_of(answer.id).status is Status.DONE


def test_a_message_behind_the_last_one_stops_nothing(room: Callable[..., Room]) -> None:
    gate = Gate()
    r = room(Delta("some"), gate, WHOLE)
    chat, running = r.send("one")
    gate.wait_until_reached()
    r.send("two", chat, parent=running)
    assert len(r.jobs.unfinished()) == 2
    gate.open()
    assert r.watcher.end_of(running).status is Status.DONE


def test_stop_ends_what_an_answer_waits_for_on_another_branch_but_nothing_before_it_on_its_own(
    room: Callable[..., Room],
) -> None:
    gate = Gate()
    script = Scripted(Delta("first"), WHOLE)
    r = room(script=script)
    chat, first = r.send("one")
    ends(r, first)
    script.steps = [Delta("half"), gate, WHOLE]
    hidden = r.jobs.retry(first).id
    gate.wait_until_reached()
    r.store.show_branch(chat, first)
    _, waiting = r.send("two", chat)
    _, last = r.send("three", chat)
    assert r.jobs.stop_chat(last)
    assert r.watcher.end_of(hidden).status is Status.STOPPED
    assert r.watcher.end_of(last).status is Status.STOPPED
    assert waiting in r.jobs.unfinished()
    gate.open()
    assert r.watcher.end_of(waiting).status is Status.DONE
    assert not r.jobs.stop_chat(last)
    assert not r.jobs.stop_chat("unknown")
