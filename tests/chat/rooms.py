"""Jobs over a real store, with a turn that plays a script and a watcher that hears what a page would."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from chatbot.core.cancel import Cancel
from chatbot.core.events import ChatRequest, Delta, Done, Event, Message, Numbered, Status
from chatbot.core.jobs import Jobs
from chatbot.core.store import Store
from chatbot.core.turn import Turn
from tests.fakes import WAIT_S, Gate
from tests.processes import until

Script = Callable[[Turn, Cancel], Iterator[Event]]


class Scripted:
    """A turn.run that plays a list: events, gates to wait at, exceptions to raise."""

    def __init__(self, *steps: Event | Gate | Exception) -> None:
        self.steps: list[Event | Gate | Exception] = list(steps) or [Delta("answer"), Done(Status.DONE)]
        self.asked: list[list[Message]] = []
        self.turns: list[Turn] = []

    def __call__(self, turn: Turn, cancel: Cancel) -> Iterator[Event]:
        self.asked.append(list(turn.messages))
        self.turns.append(turn)
        for step in list(self.steps):
            if isinstance(step, Gate):
                while not step.pass_through(0.01):
                    if cancel.is_set:
                        yield Done(Status.STOPPED)
                        return
            elif isinstance(step, Exception):
                raise step
            else:
                yield step


class Watcher:
    """What a page would see."""

    def __init__(self) -> None:
        self.heard: dict[str, list[Numbered]] = {}
        self._changed = threading.Condition()

    def __call__(self, chat_id: str, answer_id: str, event: Numbered) -> None:
        with self._changed:
            self.heard.setdefault(answer_id, []).append(event)
            self._changed.notify_all()

    def end_of(self, answer_id: str) -> Done:
        def ended() -> Done | None:
            events = [n.event for n in self.heard.get(answer_id, [])]
            return next((e for e in events if isinstance(e, Done)), None)

        with self._changed:
            assert self._changed.wait_for(lambda: ended() is not None, WAIT_S), "the answer never ended"
        found = ended()
        assert found
        return found


class Room:
    """A store, jobs over a script, and a watcher."""

    def __init__(self, path: Path, script: Script) -> None:
        self.store, self.watcher = Store(path), Watcher()
        self.retold: list[dict[str, Any]] = []  # what is beside an answer's text, each time that no event tells it
        self.jobs = Jobs(self.store, script, self.watcher, changed=self._retell)

    def send(self, text: str, chat_id: str | None = None, key: str = "", **more: Any) -> tuple[str, str]:
        user, answer = self.jobs.start(ChatRequest(chat_id, text, key, **more))
        return user.chat_id, answer.id

    def _retell(self, answer_id: str) -> None:
        self.retold.append(self.jobs.snapshot(self.store.message(answer_id)).message.meta)

    def close(self) -> None:
        self.jobs.close()
        self.store.close()

    def saved(self, answer_id: str, status: Status) -> str:
        until(lambda: self.store.message(answer_id).status is status, f"{status} in the store", WAIT_S)
        return self.store.message(answer_id).content
