"""What the tests of the real process share: how to ask it, with the openai SDK and without, and how to end it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.processes import MODEL, REPO, Process, free_port, until

NAME = "SmolLM2-135M-Instruct.Q4_1"
N_VOCAB = 49152
MESSAGES: list[Any] = [
    {"role": "system", "content": "You are a helpful assistant."},
    {"role": "user", "content": "Tell me a story about the sea."},
]
FIXED: dict[str, Any] = {"model": NAME, "temperature": 0, "seed": 7}
CHAT: dict[str, Any] = FIXED | {"messages": MESSAGES}
# More tokens than a test waits for: who still gets an answer soon after has not waited for these.
ENDLESS: dict[str, Any] = CHAT | {"max_tokens": 3500, "extra_body": {"min_tokens": 3500}, "stream": True}


def client_of(process: Process, key: str = "none", timeout_s: float = 60) -> openai.OpenAI:
    """The SDK in front of a process; nothing is tried twice."""
    return openai.OpenAI(base_url=f"{process.url}/v1", api_key=key, max_retries=0, timeout=timeout_s)


def post(process: Process, path: str, body: object) -> tuple[int, Any]:
    """Status and body of a request outside the SDK; bytes are sent as they are."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return _ask(urllib.request.Request(f"{process.url}{path}", content, {"Content-Type": "application/json"}), 60)


def get(process: Process, path: str) -> tuple[int, Any]:
    """Status and body, also of a 503."""
    return _ask(urllib.request.Request(f"{process.url}{path}"), 10)


def _ask(request: urllib.request.Request, timeout_s: float) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as refused:
        return refused.code, json.loads(refused.read())


def n_tokens(process: Process, text: str) -> int:
    """How many tokens a text has."""
    return int(post(process, "/extras/tokenize/count", {"input": text})[1]["count"])


def is_listening(port: int) -> bool:
    """Whether somebody takes connections there."""
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def text_of(chunks: list[Any]) -> str:
    """The text of a streamed chat."""
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def refused(ask: Callable[[], object]) -> openai.APIStatusError:
    """The error that a request ends with."""
    with pytest.raises(openai.APIStatusError) as caught:
        ask()
    return caught.value


def stops_within(process: Process, limit_s: float) -> int:
    """The exit status; fails the test when it comes later."""
    began = time.monotonic()
    status = process.wait(limit_s + 30)
    assert time.monotonic() - began < limit_s, process.output
    return status


@contextlib.contextmanager
def gated(folder: Path, **env: str) -> Iterator[tuple[Process, Path]]:
    """A server that loads once somebody writes into the FIFO."""
    gate, port = folder / "gate", free_port()
    os.mkfifo(gate)
    flags = ("--model", str(MODEL), "--n_ctx", "512", "--port", str(port))
    process = Process(str(REPO / "tests" / "server" / "gated.py"), *flags, port=port, GATE=str(gate), **env)
    try:
        until(lambda: "loading" in process.output or process.process.poll() is not None, "the load")
        until(lambda: is_listening(port), "the port")
        yield process, gate
    finally:
        process.kill()


def gauge(process: Process, name: str) -> float:
    """A value of /metrics, summed over the models."""
    with urllib.request.urlopen(f"{process.url}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if re.match(rf"llmserver_{name}[{{ ]", line))


def until_gauge(process: Process, name: str, value: float, timeout_s: float = 30) -> None:
    """Wait until a value of /metrics is this one."""
    until(lambda: gauge(process, name) == value, f"{name} {value}", timeout_s)


class Raw:
    """A request on a connection of its own, as bytes: sent in parts, read late or never, dropped at will."""

    def __init__(self, process: Process, body: dict[str, Any], *, n_held_back: int = 0, n_buffer: int = 0) -> None:
        self._sock = socket.socket()
        if n_buffer:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, n_buffer)
        self._sock.settimeout(120)
        self._sock.connect(("127.0.0.1", process.port))
        content = json.dumps(body).encode()
        head = "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        sent = len(content) - n_held_back
        self._sock.sendall(head.encode() + content[:sent])
        self._rest = content[sent:]
        self._got = b""

    def send_rest(self) -> None:
        """What was held back of the body."""
        self._sock.sendall(self._rest)

    def read_until(self, mark: bytes) -> None:
        """Wait for bytes of the answer."""
        while mark not in self._got:
            more = self._sock.recv(65536)
            assert more, self._got
            self._got += more

    def read(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers in lower case and body of the whole answer, its chunks joined."""
        while more := self._sock.recv(65536):
            self._got += more
        head, _, body = self._got.partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        if headers.get("transfer-encoding") == "chunked":
            body = _unchunked(body)
        return int(status.split()[1]), headers, body

    def close(self) -> None:
        """Go away."""
        self._sock.close()


def _unchunked(body: bytes) -> bytes:
    out = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        n = int(size, 16)
        if n == 0:
            return out
        assert len(body) >= n + 2, "the answer was cut"
        out, body = out + body[:n], body[n + 2 :]
    raise AssertionError("the answer has no end")


def events_of(body: bytes) -> list[Any]:
    """The events of a stream as JSON, without the [DONE] and comments."""
    lines = [line[6:] for line in body.decode().split("\n\n") if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]
