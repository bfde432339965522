"""Pieces of an answer that come quicker than a page draws are sent together: all of them, once, in their order."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from chatbot.core.events import Changed, Delta, Done, Event, Numbered, Status
from chatbot.web import pace
from chatbot.web.pace import Pace
from tests.fakes import WAIT_S


class Room:
    """What was sent, message by message."""

    def __init__(self) -> None:
        self.messages: list[list[dict[str, Any]]] = []
        self.changed = threading.Condition()

    def send(self, _: str, events: tuple[dict[str, Any], ...]) -> None:
        with self.changed:
            self.messages.append(list(events))
            self.changed.notify_all()

    def texts(self) -> list[str]:
        return ["".join(event.get("text", "|") for event in message) for message in self.messages]

    def until(self, n_events: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: sum(map(len, self.messages)) >= n_events, WAIT_S), self.messages


@pytest.fixture
def room() -> Room:
    return Room()


@pytest.fixture
def slow(room: Room, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pace]:
    """One whose gap never ends by itself while a test looks."""
    monkeypatch.setattr(pace, "GAP_S", 3_600.0)
    monkeypatch.setattr(pace, "QUICK_GAP_S", 3_600.0)
    made = Pace(room.send)
    yield made
    made.close()


def tell(made: Pace, *events: Event, chat: str = "c") -> None:
    for seq, event in enumerate(events, 1):
        made.tell(chat, "a", Numbered(seq, event))


def test_pieces_right_behind_each_other_wait_for_what_must_not(slow: Pace, room: Room) -> None:
    tell(slow, Changed(Status.STREAMING), Delta("a"), Delta("b"), Delta("c"), Done(Status.DONE))
    assert room.texts() == ["|", "a", "bc|"]  # the first text does not wait either
    assert [event["seq"] for message in room.messages for event in message] == [1, 2, 3, 4, 5]


def test_first_piece_is_sent_at_once_in_each_chat(slow: Pace, room: Room) -> None:
    tell(slow, Delta("a"), Delta("held"), chat="one")
    tell(slow, Delta("b"), chat="two")
    assert room.texts() == ["a", "b"]


def test_what_is_held_is_sent_when_the_gap_is_over_and_at_the_end(room: Room) -> None:
    made = Pace(room.send)
    tell(made, *(Delta(f"{n} ") for n in range(100)))
    room.until(100)
    assert "".join(room.texts()) == "".join(f"{n} " for n in range(100))
    made.close()


def test_what_comes_quicker_than_anybody_reads_is_held_longer(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "QUICK_GAP_S", 3_600.0)
    made = Pace(room.send)
    tell(made, *(Delta(f"{n} ") for n in range(100)))
    room.until(100)  # as many as that in one gap
    tell(made, Delta("held"))
    for n in range(10):
        tell(made, Delta(f"{n}"), chat="calm")
        room.until(100 + n + 1)  # all but the first by the loop, which passes the held one by each time
    assert "held" not in room.texts()
    tell(made, Done(Status.DONE))
    assert room.texts()[-1] == "held|"
    made.close()


def test_what_is_held_is_sent_at_the_end(slow: Pace, room: Room) -> None:
    tell(slow, Delta("first"), Delta("held"))
    slow.close()
    room.until(2)
    assert room.texts() == ["first", "held"]


def test_a_message_that_cannot_be_sent_keeps_no_later_one(room: Room) -> None:
    lost = threading.Event()

    def send(chat: str, events: tuple[dict[str, Any], ...]) -> None:
        if "lost" in str(events) and not lost.is_set():
            lost.set()
            raise OSError("gone")
        room.send(chat, events)

    made = Pace(send)
    tell(made, Delta("first"), Delta("lost"))
    assert lost.wait(WAIT_S)
    tell(made, Delta("x"), Delta("y"), chat="other")
    room.until(3)
    assert room.texts()[0] == "first"
    assert "".join(room.texts()[1:]) == "xy"
    made.close()
