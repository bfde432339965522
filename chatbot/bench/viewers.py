"""Those who look: pages as socket clients, and a reader of the model server's own stream. They note each delay."""

from __future__ import annotations

import http.client
import json
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import socketio

_WAIT_S = 120.0


@dataclass
class Heard:
    """The numbers of the pieces in the order of their coming, and how long each was on its way."""

    numbers: list[int] = field(default_factory=list)
    delays_ms: list[float] = field(default_factory=list)

    def take(self, text: str) -> None:
        """Note the pieces in a text."""
        now = time.monotonic_ns()
        for piece in filter(None, text.split(";")):
            number, left_at = piece.split(":")
            self.numbers.append(int(number))
            self.delays_ms.append((now - int(left_at)) / 1e6)

    def is_whole(self, n_pieces: int) -> bool:
        """Whether every piece came once and in order."""
        return self.numbers == list(range(n_pieces))


class Viewer:
    """One open page."""

    def __init__(self, url: str) -> None:
        self.heard: dict[str, Heard] = {}
        self._ended: dict[str, threading.Event] = {}
        self._lock = threading.Lock()
        self.client = socketio.Client(reconnection=False)
        self.client.on("event", self._hear)
        self.client.connect(url, transports=["websocket"])

    def _of(self, answer_id: str) -> tuple[Heard, threading.Event]:
        with self._lock:
            return self.heard.setdefault(answer_id, Heard()), self._ended.setdefault(answer_id, threading.Event())

    def _hear(self, body: dict[str, Any]) -> None:
        heard, ended = self._of(body["answer_id"])
        if body["type"] == "delta":
            heard.take(body["text"])
        elif body["type"] == "done":
            ended.set()

    def call(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        """Send an event and wait for its answer. Raises RuntimeError for a refusal."""
        answer: dict[str, Any] = self.client.call(name, body, timeout=_WAIT_S)
        if not answer["ok"]:
            raise RuntimeError(answer["error"]["message"])
        return answer

    def ask(self, chat_id: str | None, n_pieces: int, per_s: float) -> tuple[str, str]:
        """Ask for so many pieces at a pace; (chat, answer)."""
        text = json.dumps({"n": n_pieces, "per_s": per_s})
        made = self.call("send", {"chat_id": chat_id, "text": text})
        return made["chat"]["id"], made["answer"]["id"]

    def until_end(self, answer_id: str) -> Heard:
        """What was heard of an answer, when it has ended."""
        heard, ended = self._of(answer_id)
        if not ended.wait(_WAIT_S):
            raise RuntimeError(f"an answer did not end within {_WAIT_S:.0f} s")
        return heard

    def close(self) -> None:
        """Leave."""
        self.client.disconnect()


def read_directly(port: int, n_pieces: int, per_s: float) -> Heard:
    """The same stream without a chat server in between."""
    heard = Heard()
    asked = {"messages": [{"role": "user", "content": json.dumps({"n": n_pieces, "per_s": per_s})}], "stream": True}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_WAIT_S)
    connection.request("POST", "/v1/chat/completions", json.dumps(asked), {"Content-Type": "application/json"})
    for line in connection.getresponse():
        if line.startswith(b"data: {"):
            delta = json.loads(line[6:])["choices"][0]["delta"]
            heard.take(delta.get("content", ""))
    connection.close()
    return heard
