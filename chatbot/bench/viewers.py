"""Those who look: pages as socket clients, and a reader of the model server's own stream. They note each delay."""

from __future__ import annotations

import contextlib
import http.client
import json
import queue
import re
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import websocket

_WAIT_S = 120.0
_PACKET = re.compile(r"(4\d|\d)(\d*)(.*)", re.DOTALL)


@dataclass
class Heard:
    """The numbers of the pieces in the order of their coming, and how long each was on its way.

    n_early of the first ones were told when the page asked for what it lacked, as pages do that come late.
    """

    n_early: int = 0
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
        first = self.numbers[0] if self.numbers else n_pieces
        end = first + len(self.numbers)
        return first <= self.n_early and self.numbers == list(range(first, end)) and max(end, self.n_early) == n_pieces


class Viewer:
    """One open page. It speaks Socket.IO itself: the client library starts a thread for each message that comes."""

    def __init__(self, url: str) -> None:
        self._heard: dict[str, Heard] = {}
        self._ended: dict[str, threading.Event] = {}
        self._answers: dict[int, queue.Queue[dict[str, Any]]] = {}
        self._lock = threading.Lock()
        address = f"ws{url.removeprefix('http')}/socket.io/?EIO=4&transport=websocket"
        # Checking UTF-8 in Python would cost more than the list of 1,000 chats itself.
        self._socket = websocket.create_connection(address, timeout=_WAIT_S, skip_utf8_validation=True)
        self._socket.send("40")
        while not self._packet().startswith("40"):
            continue
        threading.Thread(target=self._read, daemon=True).start()

    def _of(self, answer_id: str) -> tuple[Heard, threading.Event]:
        with self._lock:
            return self._heard.setdefault(answer_id, Heard()), self._ended.setdefault(answer_id, threading.Event())

    def _packet(self) -> str:
        came = self._socket.recv()
        return came if isinstance(came, str) else came.decode()

    def _read(self) -> None:
        """Take what comes until the connection ends: 2 is a ping, 42 an event, 43 the answer to one."""
        with contextlib.suppress(websocket.WebSocketException, OSError):
            while found := _PACKET.fullmatch(self._packet()):
                kind, number, text = found.groups()
                if kind == "2":
                    self._socket.send("3")
                elif kind == "43":
                    self._answers[int(number)].put(json.loads(text)[0])
                elif kind == "42":
                    name, *bodies = json.loads(text)
                    if name == "event":
                        for body in bodies:
                            self._hear(body)

    def _hear(self, body: dict[str, Any]) -> None:
        heard, ended = self._of(body["answer_id"])
        if body["type"] == "delta":
            heard.take(body["text"])
        elif body["type"] == "done":
            ended.set()

    def call(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        """Send an event and wait for its answer. Raises RuntimeError for a refusal."""
        with self._lock:
            number = len(self._answers)
            box = self._answers[number] = queue.Queue()
        self._socket.send(f"42{number}{json.dumps([name, body])}")
        answer = box.get(timeout=_WAIT_S)
        if not answer["ok"]:
            raise RuntimeError(answer["error"]["message"])
        return answer

    def ask(self, chat_id: str | None, n_pieces: int, per_s: float) -> tuple[str, str]:
        """Ask for so many pieces at a pace; (chat, answer)."""
        text = json.dumps({"n": n_pieces, "per_s": per_s})
        made = self.call("send", {"chat_id": chat_id, "text": text})
        chat_id, answer_id = str(made["chat"]["id"]), str(made["answer"]["id"])
        self._catch_up(chat_id, answer_id)
        return chat_id, answer_id

    def _catch_up(self, chat_id: str, answer_id: str) -> None:
        """Ask for what was said before this page was in the chat's room."""
        lacking = self.call("open", {"chat_id": chat_id, "after": {answer_id: 0}})["messages"][-1]["missed"]
        heard, ended = self._of(answer_id)
        heard.n_early = sum(each["text"].count(";") for each in lacking if each["type"] == "delta")
        if any(each["type"] == "done" for each in lacking):
            ended.set()

    def until_end(self, answer_id: str) -> Heard:
        """What was heard of an answer, when it has ended."""
        heard, ended = self._of(answer_id)
        if not ended.wait(_WAIT_S):
            raise RuntimeError(f"an answer did not end within {_WAIT_S:.0f} s")
        return heard

    def close(self) -> None:
        """Leave."""
        self._socket.close()


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
