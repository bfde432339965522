"""Jobs: every answer ends once, nothing is lost, nobody waits for another chat."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chatbot.core.cancel import Cancel
from chatbot.core.events import (
    Changed,
    ChatRequest,
    Delta,
    Done,
    Event,
    Notice,
    Numbered,
    Queued,
    Reading,
    Status,
)
from chatbot.core.jobs import Jobs
from chatbot.core.store import Store
from chatbot.core.turn import Turn
from chatbot.errors import ChatError, NotRetryable, StorageError, UnknownChat
from tests.chat.rooms import Room, Script, Scripted
from tests.fakes import WAIT_S, Gate
from tests.processes import until


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Callable[..., Room]]:
    made: list[Room] = []

    def make(*steps: Event | Gate | Exception, script: Script | None = None) -> Room:
        made.append(Room(tmp_path / f"{len(made)}.db", script or Scripted(*steps)))
        return made[-1]

    yield make
    for each in made:
        each.jobs.close()
        each.store.close()


def test_an_answer_is_heard_in_order_and_saved_whole(room: Callable[..., Room]) -> None:
    r = room(Changed(Status.STREAMING), Delta("a"), Delta("b"), Delta("c"), Done(Status.DONE, "stop"))
    _, answer = r.send("hello")
    assert r.watcher.end_of(answer).status is Status.DONE
    assert [n.seq for n in r.watcher.heard[answer]] == [1, 2, 3, 4, 5]
    assert r.saved(answer, Status.DONE) == "abc"
    assert r.store.message(answer).meta == {"finish_reason": "stop"}


def test_who_was_away_gets_exactly_what_was_missed(room: Callable[..., Room]) -> None:
    gate = Gate()
    r = room(Delta("a"), Delta("b"), gate, Delta("c"), Done(Status.DONE))
    _, answer = r.send("hello")
    gate.wait_until_reached()
    assert [n.event for n in r.jobs.missed(answer, 1) or []] == [Delta("b")]
    assert r.jobs.missed(answer, 2) == []
    snapshot = r.jobs.snapshot(r.store.message(answer))
    assert (snapshot.message.content, snapshot.seq) == ("ab", 2)
    gate.open()
    r.watcher.end_of(answer)
    assert [n.event for n in r.jobs.missed(answer, snapshot.seq) or []] == [Delta("c"), Done(Status.DONE)]


def test_progress_is_heard_as_it_comes_and_leaves_no_trace_in_the_log(room: Callable[..., Room]) -> None:
    progress = [Queued(2), Queued(1), *[Reading(n) for n in range(101)]]
    told = [Changed(Status.READING), *progress, Changed(Status.STREAMING), Delta("a"), Done(Status.DONE)]
    r = room(*told)
    _, answer = r.send("hello")
    r.watcher.end_of(answer)
    heard = r.watcher.heard[answer]
    assert [n.event for n in heard] == told
    assert [n.seq for n in heard] == [1, *[1] * len(progress), 2, 3, 4]
    assert [n.event for n in r.jobs.missed(answer, 0) or []] == [e for e in told if e not in progress]


def test_who_comes_back_while_the_model_reads_gets_the_newest_progress_alone(room: Callable[..., Room]) -> None:
    gates = [Gate(), Gate(), Gate()]
    steps = [Changed(Status.READING), Queued(1), Reading(10), gates[0], Notice("full"), Reading(20), gates[1]]
    r = room(*steps, Changed(Status.STREAMING), Delta("a"), gates[2], Done(Status.DONE))
    _, answer = r.send("hello")
    gates[0].wait_until_reached()
    assert r.jobs.missed(answer, 0) == [Numbered(1, Changed(Status.READING)), Numbered(1, Reading(10))]
    assert r.jobs.missed(answer, 1) == [Numbered(1, Reading(10))]
    gates[0].open()
    gates[1].wait_until_reached()
    assert r.jobs.missed(answer, 1) == [Numbered(2, Notice("full")), Numbered(2, Reading(20))]
    snapshot = r.jobs.snapshot(r.store.message(answer))
    assert (snapshot.seq, snapshot.progress) == (2, Numbered(2, Reading(20)))
    assert snapshot.wire()["progress"] == {"seq": 2, "type": "reading", "percent": 20}
    gates[1].open()
    gates[2].wait_until_reached()
    assert r.jobs.missed(answer, 2) == [Numbered(3, Changed(Status.STREAMING)), Numbered(4, Delta("a"))]
    assert r.jobs.snapshot(r.store.message(answer)).wire()["progress"] is None
    gates[2].open()


def test_a_notice_from_beside_the_turn_does_not_end_the_progress(room: Callable[..., Room]) -> None:
    gate = Gate()
    r = room(Changed(Status.READING), Reading(40), Notice("not saved yet"), gate, Done(Status.DONE))
    _, answer = r.send("hello")
    gate.wait_until_reached()
    assert r.jobs.snapshot(r.store.message(answer)).progress == Numbered(2, Reading(40))
    gate.open()


def test_progress_is_never_stored_and_causes_no_write(
    room: Callable[..., Room], monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, after = Gate(), Gate()
    r = room(Changed(Status.READING), reading, *[Reading(n) for n in range(50)], after, Done(Status.DONE))
    _, answer = r.send("hello")
    reading.wait_until_reached()
    r.saved(answer, Status.READING)
    version = r.store.message(answer).version
    reading.open()
    after.wait_until_reached()
    r.jobs._save_all()
    assert r.store.message(answer).version == version
    after.open()
    r.saved(answer, Status.DONE)
    assert r.store.message(answer).meta == {}


def test_text_is_on_disk_while_the_answer_still_runs(room: Callable[..., Room]) -> None:
    gate = Gate()
    r = room(Changed(Status.STREAMING), Delta("half"), gate, Delta(" done"), Done(Status.DONE))
    _, answer = r.send("hello")
    gate.wait_until_reached()
    assert r.saved(answer, Status.STREAMING) == "half"
    gate.open()
    assert r.saved(answer, Status.DONE) == "half done"


def test_the_same_key_twice_makes_one_turn(room: Callable[..., Room]) -> None:
    r = room()
    first = r.send("hello", key="k1")
    assert r.send("hello", key="k1") == first
    assert len(r.store.messages(first[0])) == 2


def test_a_message_during_an_answer_waits_and_sees_the_whole_conversation(room: Callable[..., Room]) -> None:
    gate = Gate()
    script = Scripted(gate, Delta("yes"), Done(Status.DONE))
    r = room(script=script)
    chat, first = r.send("one")
    gate.wait_until_reached()
    _, second = r.send("two", chat)
    assert r.jobs.snapshot(r.store.message(second)).message.status is Status.QUEUED
    assert len(script.asked) == 1
    gate.open()
    r.watcher.end_of(second)
    r.watcher.end_of(first)
    assert [m.content for m in script.asked[1]] == ["one", "yes", "two"]


def test_chats_do_not_wait_for_each_other(room: Callable[..., Room]) -> None:
    gate = Gate()

    def script(turn: Turn, cancel: Cancel) -> Iterator[Event]:
        is_slow = turn.messages[-1].content == "slow"
        return Scripted(*([gate] if is_slow else []), Delta("x"), Done(Status.DONE))(turn, cancel)

    r = room(script=script)
    _, slow = r.send("slow")
    gate.wait_until_reached()
    for n in range(5):
        _, quick = r.send(f"quick {n}")
        assert r.watcher.end_of(quick).status is Status.DONE
    gate.open()
    assert r.watcher.end_of(slow).status is Status.DONE


def test_stop_ends_a_running_answer_and_one_that_waits_in_line(room: Callable[..., Room]) -> None:
    gate = Gate()
    r = room(Delta("some"), gate, Done(Status.DONE))
    chat, running = r.send("one")
    gate.wait_until_reached()
    _, waiting = r.send("two", chat)
    assert r.jobs.stop(waiting)
    assert r.jobs.stop(running)
    assert r.watcher.end_of(running).status is Status.STOPPED
    assert r.watcher.end_of(waiting).status is Status.STOPPED
    assert r.saved(running, Status.STOPPED) == "some"
    assert not r.jobs.stop(running)
    assert not r.jobs.stop("unknown")


def test_a_bug_in_one_turn_ends_that_answer_and_the_next_one_works(room: Callable[..., Room]) -> None:
    script = Scripted(Delta("half"), ZeroDivisionError("secret detail"))
    r = room(script=script)
    chat, broken = r.send("one")
    end = r.watcher.end_of(broken)
    assert end.status is Status.ERROR
    assert end.error and "secret" not in end.error["message"]
    assert r.saved(broken, Status.ERROR) == "half"
    script.steps = [Delta("fine"), Done(Status.DONE)]
    _, after = r.send("two", chat)
    assert r.watcher.end_of(after).status is Status.DONE


def test_a_turn_that_ends_without_a_word_still_ends(room: Callable[..., Room]) -> None:
    r = room(Delta("half"))
    _, answer = r.send("one")
    assert r.watcher.end_of(answer).status is Status.ERROR


def test_a_watcher_that_fails_does_not_end_the_answer(tmp_path: Path) -> None:
    def fails(*_: object) -> None:
        raise OSError("no socket")

    store = Store(tmp_path / "x.db")
    jobs = Jobs(store, Scripted(), fails)
    _, answer = jobs.start(ChatRequest(None, "hello"))
    until(lambda: store.message(answer.id).status is Status.DONE, "done in the store", WAIT_S)
    assert store.message(answer.id).content == "answer"
    jobs.close()
    store.close()


def test_who_sends_hears_of_the_chat_before_its_answer_can_begin(room: Callable[..., Room]) -> None:
    r = room(Delta("hello"), Done(Status.DONE))
    told: list[tuple[str, bool]] = []

    def hear(chat_id: str) -> None:
        told.append((chat_id, bool(r.jobs._jobs)))

    user, answer = r.jobs.start(ChatRequest(None, "hi"), hear)
    assert told == [(user.chat_id, False)]
    r.watcher.end_of(answer.id)


def test_retry_answers_again_and_keeps_the_first_text(room: Callable[..., Room]) -> None:
    script = Scripted(Delta("bad"), Done(Status.ERROR, error={"message": "x", "type": "y", "code": "z"}))
    r = room(script=script)
    chat, first = r.send("one")
    r.watcher.end_of(first)
    until(lambda: not r.jobs._lines, "the line is empty", WAIT_S)
    script.steps = [Delta("good"), Done(Status.DONE)]
    second = r.jobs.retry(first)
    assert r.watcher.end_of(second.id).status is Status.DONE
    assert [m.content for m in script.asked[1]] == ["one"]
    assert r.saved(second.id, Status.DONE) == "good"
    assert [m.content for m in r.store.messages(chat)] == ["one", "good"]
    assert r.store.message(first).content == "bad"


def test_an_answer_that_still_runs_cannot_be_tried_again(room: Callable[..., Room]) -> None:
    gate = Gate()
    r = room(gate, Done(Status.DONE))
    _, answer = r.send("one")
    gate.wait_until_reached()
    with pytest.raises(NotRetryable):
        r.jobs.retry(answer)
    gate.open()


def test_an_unknown_chat_starts_nothing(room: Callable[..., Room]) -> None:
    r = room()
    with pytest.raises(UnknownChat):
        r.send("hello", "nope")
    assert r.store.chats() == []


def test_a_full_disk_is_told_and_the_text_saved_once_there_is_room(
    room: Callable[..., Room], monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    r = room(Delta("precious"), gate, Delta(" words"), Done(Status.DONE))
    real = r.store.save
    full = threading.Event()
    full.set()

    def save(*args: object, **more: object) -> int:
        if full.is_set():
            raise StorageError("the chat could not be saved: disk is full; 0 MB are free")
        return real(*args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(r.store, "save", save)
    _, answer = r.send("hello")
    gate.wait_until_reached()
    until(lambda: r.jobs.snapshot(r.store.message(answer)).message.meta.get("notices"), "a notice", WAIT_S)
    notices = r.jobs.snapshot(r.store.message(answer)).message.meta["notices"]
    assert len(notices) == 1 and "not saved yet" in notices[0] and "0 MB are free" in notices[0]
    gate.open()
    assert r.watcher.end_of(answer).status is Status.DONE
    full.clear()
    assert r.saved(answer, Status.DONE) == "precious words"
    assert "notices" not in r.store.message(answer).meta


def test_an_answer_whose_last_save_alone_fails_says_so_until_it_is_saved(
    room: Callable[..., Room], monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    r = room(Changed(Status.STREAMING), Delta("start"), gate, Delta(" and the rest"), Done(Status.DONE))
    real, full = r.store.save, threading.Event()

    def save(*args: object, **more: object) -> int:
        if full.is_set():
            raise StorageError("the chat could not be saved: disk is full")
        return real(*args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(r.store, "save", save)
    _, answer = r.send("hello")
    gate.wait_until_reached()
    assert r.saved(answer, Status.STREAMING) == "start"
    with r.jobs._saving:  # no tick comes between the text and its end
        full.set()
        gate.open()
        assert r.watcher.end_of(answer).status is Status.DONE
    told = (
        "This answer is not saved yet: the chat could not be saved: disk is full. Make room on that disk, or see what "
        "else is wrong with it: saving is tried again by itself for as long as this program runs."
    )
    until(lambda: r.retold == [{"notices": [told]}], "a notice", WAIT_S)
    assert r.jobs.unsaved(answer) == told
    assert r.store.message(answer).content == "start"
    full.clear()
    assert r.saved(answer, Status.DONE) == "start and the rest"
    until(lambda: r.retold == [{"notices": [told]}, {}], "no more notice", WAIT_S)
    assert r.jobs.unsaved(answer) == ""


def test_a_disk_that_is_full_twice_in_one_answer_is_told_twice_and_taken_back_at_its_end(
    room: Callable[..., Room], monkeypatch: pytest.MonkeyPatch
) -> None:
    gates = [Gate(), Gate(), Gate()]
    r = room(Delta("a"), gates[0], Delta("b"), gates[1], Delta("c"), gates[2], Done(Status.DONE))
    real, full = r.store.save, threading.Event()

    def save(*args: object, **more: object) -> int:
        if full.is_set():
            raise StorageError("full")
        return real(*args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(r.store, "save", save)
    full.set()
    _, answer = r.send("hello")
    for n, gate in enumerate(gates[:2], 1):
        gate.wait_until_reached()
        until(lambda n=n: len([e for e in r.watcher.heard[answer] if isinstance(e.event, Notice)]) == n, "told", WAIT_S)
        full.clear()
        until(lambda n=n: r.retold == [{}] * n, "taken back", WAIT_S)
        full.set()
        gate.open()
    full.clear()
    gates[2].open()
    assert r.saved(answer, Status.DONE) == "abc"
    until(lambda: r.retold[-1:] == [{}] and len(r.retold) >= 3, "taken back at the end", WAIT_S)


def test_a_disk_that_is_full_before_the_message_refuses_it_whole(
    room: Callable[..., Room], monkeypatch: pytest.MonkeyPatch
) -> None:
    r = room()

    def add_turn(*_: object, **__: object) -> None:
        raise StorageError("the chat could not be saved")

    monkeypatch.setattr(r.store, "add_turn", add_turn)
    with pytest.raises(StorageError):
        r.send("hello")
    monkeypatch.undo()
    _, answer = r.send("hello")
    assert r.watcher.end_of(answer).status is Status.DONE


def test_closing_saves_running_answers_as_interrupted_and_starts_no_more(tmp_path: Path) -> None:
    gate = Gate()
    r = Room(tmp_path / "x.db", Scripted(Delta("half"), gate, Delta("never"), Done(Status.DONE)))
    chat, answer = r.send("hello")
    gate.wait_until_reached()
    r.jobs.close()
    assert r.store.message(answer).status is Status.INTERRUPTED
    assert r.store.message(answer).content == "half"
    with pytest.raises(ChatError):
        r.send("more", chat)
    with pytest.raises(ChatError):
        r.jobs.retry(answer)
    assert [m.content for m in r.store.messages(chat)] == ["hello", "half"]
    r.store.close()
