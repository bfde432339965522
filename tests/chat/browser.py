"""A page without a page: a socket client that asks and hears as the browser does."""

from __future__ import annotations

import threading
from typing import Any

import engineio
import socketio

from tests.fakes import WAIT_S


class _InOrder(engineio.Client):  # type: ignore[misc]
    """Hears one thing after the other, as a browser does; the stock client starts a thread for each."""

    def _trigger_event(self, event: str, *args: Any, **how: Any) -> Any:
        return super()._trigger_event(event, *args, **{**how, "run_async": False})


class InOrder(socketio.Client):  # type: ignore[misc]
    """A socket client whose handlers are called in the order in which the events came."""

    def _engineio_client_class(self) -> type[engineio.Client]:
        return _InOrder


class Browser:
    """A socket client that keeps what it hears."""

    def __init__(self, url: str, **headers: str) -> None:
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self._changed = threading.Condition()
        self.client = InOrder(reconnection=False)
        self.client.on("*", self._hear)
        self.client.connect(url, transports=["websocket"], headers=headers)

    def _hear(self, name: str, *bodies: dict[str, Any]) -> None:
        with self._changed:
            self.heard += [(name, body) for body in bodies]
            self._changed.notify_all()

    def call(self, name: str, body: Any = None) -> dict[str, Any]:
        return dict(self.client.call(name, {} if body is None else body, timeout=WAIT_S))

    def events_of(self, answer_id: str) -> list[dict[str, Any]]:
        return [b for n, b in self.heard if n == "event" and b["answer_id"] == answer_id]

    def text_of(self, answer_id: str) -> str:
        return "".join(
            b["text"] for n, b in self.heard if n == "event" and b["type"] == "delta" and b["answer_id"] == answer_id
        )

    def until(self, condition: Any) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, WAIT_S), self.heard

    def end_of(self, answer_id: str) -> dict[str, Any]:
        def found() -> list[dict[str, Any]]:
            return [b for n, b in self.heard if n == "event" and b["type"] == "done" and b["answer_id"] == answer_id]

        self.until(found)
        return found()[0]
