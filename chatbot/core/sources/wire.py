"""A connection with one deadline for all that happens on it: looking the name up, connecting, sending, each read."""

from __future__ import annotations

import io
import queue
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any


class Deadline:
    """A moment that does not move, however many small steps are made before it."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds until then. Raises TimeoutError when there are none."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


class TimedSocket:
    """What http.client needs of a socket. Whoever connected it closes it."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._sock, self._deadline = sock, deadline

    def sendall(self, piece: bytes) -> None:
        """Send all of it, in time."""
        self._sock.settimeout(self._deadline.left())
        self._sock.sendall(piece)

    def makefile(self, *_: Any, **__: Any) -> io.BufferedReader:
        """A reader whose every wait ends at the deadline."""
        return io.BufferedReader(_Reader(self._sock, self._deadline))

    def close(self) -> None:
        """Nothing: the response is still to be read."""


class _Reader(io.RawIOBase):
    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._sock, self._deadline = sock, deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._sock.settimeout(self._deadline.left())
        return self._sock.recv_into(buffer)


def look_up(name: str, port: int, timeout_s: float) -> Sequence[str]:
    """The IP addresses of a name, none when there is no such name. Raises TimeoutError.

    In a thread of its own, since the system's resolver cannot be told how long it may take.
    """
    answers: queue.Queue[list[str]] = queue.Queue()

    def ask() -> None:
        found: list[str] = []
        with suppress(OSError, UnicodeError):
            found = [str(each[4][0]) for each in socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)]
        answers.put(list(dict.fromkeys(found)))

    threading.Thread(target=ask, name="look-up", daemon=True).start()
    try:
        return answers.get(timeout=timeout_s)
    except queue.Empty as why:
        raise TimeoutError from why


def connect(address: str, port: int, timeout_s: float) -> socket.socket:
    """A connection to an IP address; nothing is looked up here. Raises OSError."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout_s)
        sock.connect((address, port))
    except BaseException:
        sock.close()
        raise
    return sock
