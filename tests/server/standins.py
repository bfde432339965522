"""Stand-ins at the model server's seams: an engine without a model, and systemd's end of sd_notify."""

from __future__ import annotations

import select
import shutil
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel

from llmserver.errors import LlmServerError

INSIDE = "/home/someone/private/model.gguf"


class Sum(BaseModel):
    """The body of the one route that takes one."""

    a: int
    b: int = 0


class FakeEngine:
    """Engine without llama: a route that adds, and one for each way that a route can fail."""

    def __init__(self, load: Callable[[], None] = lambda: None) -> None:
        self._load = load
        self.on_crash: Callable[[], None] = lambda: None
        self.to_raise: Exception = LlmServerError("unset")
        self.router = APIRouter()
        self.router.add_api_route("/v1/sum", self._sum, methods=["POST"])
        self.router.add_api_route("/raise", self._raise)
        self.router.add_api_route("/explode", self._explode)
        self.router.add_api_route("/refuse/{status}", self._refuse)

    def load(self) -> None:
        self._load()

    def drain(self, timeout_s: float) -> None:
        pass

    def n_ctx(self) -> int:
        return 2048

    async def _sum(self, body: Sum) -> dict[str, int]:
        return {"sum": body.a + body.b}

    async def _raise(self) -> None:
        raise self.to_raise

    async def _explode(self) -> None:
        raise KeyError(INSIDE)

    async def _refuse(self, status: int) -> None:
        raise HTTPException(status, "the library's own words")


class NotifySocket:
    """The datagram socket that systemd listens on; address goes into $NOTIFY_SOCKET."""

    def __init__(self, *, abstract: bool = False) -> None:
        self._folder = tempfile.mkdtemp(prefix="sd", dir="/tmp")  # short: an AF_UNIX path holds about 100 bytes
        path = str(Path(self._folder) / "n")
        self.address = f"@{path}" if abstract else path
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.bind(f"\0{path}" if abstract else path)
        self.heard: list[str] = []

    def listen(self, timeout_s: float = 0.0) -> str | None:
        """The next datagram, or None when none comes in time."""
        ready, _, _ = select.select([self._sock], [], [], timeout_s)
        if not ready:
            return None
        self.heard.append(self._sock.recv(4096).decode())
        return self.heard[-1]

    def until(self, line: str, timeout_s: float = 30.0) -> None:
        """Wait for a datagram that holds the line."""
        end = time.monotonic() + timeout_s
        while line not in (self.listen(max(0.0, end - time.monotonic())) or "").split("\n"):
            assert time.monotonic() < end, f"never heard {line}, but {self.heard}"

    def catch_up(self) -> list[str]:
        """Every line heard so far."""
        while self.listen() is not None:
            pass
        return "\n".join(self.heard).split("\n")

    def __enter__(self) -> NotifySocket:
        return self

    def __exit__(self, *_: object) -> None:
        self._sock.close()
        shutil.rmtree(self._folder)
