"""Ask a child process to read a file, and wait for what it says, for a limited time.

Why a process: pypdf and html.parser are Python, which cannot be interrupted from outside and holds the interpreter's
lock while every stream of the server waits; memory can be limited only for a process. A child reads many files, one
after the other, and ends when nobody asks for a while, after many files, when it has grown, or with its parent.
"""

from __future__ import annotations

import atexit
import errno
import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from rag.extract.limits import Bounds, Unreadable
from rag.sources import Readable

_ROOT = str(Path(__file__).resolve().parents[2])
_CODE = "import sys; sys.path.insert(0, sys.argv[1]); from rag.extract.child import main; main()"
_START_S = 60.0
_END_S = 5.0
_SLOW = "takes longer to read than {} s: split it, or add it as plain text"
_GREEDY = "cannot be read: it needs more memory or time than a file may take"
_DAMAGED = "is damaged or built in a way that cannot be read: add it as plain text"


class _Gone(Exception):
    """The child ended before it answered. is_late: because its time was over."""

    def __init__(self, is_late: bool, code: int) -> None:
        super().__init__()
        self.is_late, self.code = is_late or code == -signal.SIGXCPU, code


class Child:
    """One child process, and what it was asked."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and code, no shell
            [sys.executable, "-I", "-c", _CODE, _ROOT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            # not ours: it may hold the key of the model server
            env={"PATH": os.defpath, "LC_ALL": "C.UTF-8", "MALLOC_ARENA_MAX": "1"},
        )
        self.pid = self._process.pid
        self._parent = os.getpid()
        self.n_files = 0
        self.resting: threading.Timer | None = None

    def is_usable(self) -> bool:
        """Whether it lives, and is ours: not of the process that this one was forked from."""
        return self._parent == os.getpid() and self._process.poll() is None

    def ask(self, request: dict[str, Any], data: bytes, time_s: float) -> dict[str, Any]:
        """What it says of a file. Raises _Gone, and OSError when it does not even begin."""
        if not self.n_files:
            try:
                self._timed(_START_S, lambda: None)  # its imports are not the file's time
            except _Gone as why:
                raise OSError(errno.ECHILD, "it ended before it had begun") from why
        self.n_files += 1
        head = json.dumps(request | {"n_bytes": len(data)}).encode("ascii") + b"\n"
        line = self._timed(time_s, lambda: self._send(head, data))
        return dict(json.loads(line))

    def end(self) -> None:
        """End it, whatever it does, and wait until it is gone."""
        if self._parent != os.getpid():
            return
        if self.resting is not None:
            self.resting.cancel()
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_S)

    def _send(self, head: bytes, data: bytes) -> None:
        if self._process.stdin is None:
            raise AssertionError("it was started with a pipe")
        self._process.stdin.write(head)
        self._process.stdin.write(data)
        self._process.stdin.flush()

    def _timed(self, time_s: float, send: Any) -> bytes:
        """The line that it answers; at the end of its time it is killed, which ends the waiting."""
        is_late = threading.Event()

        def stop() -> None:
            is_late.set()
            self._process.kill()

        timer = threading.Timer(time_s, stop)
        timer.daemon = True
        timer.start()
        try:
            if self._process.stdout is None:
                raise AssertionError("it was started with a pipe")
            with suppress(OSError, ValueError):  # it has ended: that it says nothing tells so
                send()
            line = self._process.stdout.readline()
        finally:
            timer.cancel()
        if not line.endswith(b"\n"):
            self._process.kill()
            raise _Gone(is_late.is_set(), self._process.wait())
        return line


class Readers:
    """The children that read, so many at once at most, however many ask."""

    def __init__(self, n_most: int = 2, most_files: int = 300, idle_s: float = 30.0) -> None:
        self._free = threading.BoundedSemaphore(n_most)
        self._most_files, self._idle_s = most_files, idle_s
        self._lock = threading.Lock()
        self._idle: list[Child] = []

    def read(
        self, kind: str, data: bytes, charset: str, url: str, bounds: Bounds, *, is_whole: bool = False
    ) -> Readable:
        """A file as text. Raises Unreadable with the reason, to stand after the file's name."""
        if not self._free.acquire(timeout=2 * bounds.wait_s):
            raise Unreadable("has to wait, since other files are being read: try again in a minute")
        try:
            request = {"kind": kind, "charset": charset, "url": url, "is_whole": is_whole}
            limits = {"time_s": bounds.time_s, "memory_bytes": bounds.memory_bytes}
            said = self._asked(request | limits, data, bounds)
        except OSError as why:
            raise Unreadable(f"cannot be read now, since no process can be started: {why.strerror}") from why
        finally:
            self._free.release()
        if "refused" in said:
            raise Unreadable(str(said["refused"]), tuple(said.get("links", ())))
        told = str(said["text"]), str(said["kind"]), str(said["title"])
        return Readable(*told, tuple(said["pages"]), tuple(said.get("links", ())))

    def pids(self) -> list[int]:
        """Of the children that wait for a file."""
        with self._lock:
            return [child.pid for child in self._idle]

    def close(self) -> None:
        """End the children that wait."""
        with self._lock:
            idle, self._idle = self._idle, []
        for child in idle:
            child.end()

    def _asked(self, request: dict[str, Any], data: bytes, bounds: Bounds) -> dict[str, Any]:
        """What a child says; one that has read other files before is not trusted to have died of this one."""
        while True:
            child = self._claim()
            is_fresh = not child.n_files
            try:
                said = child.ask(request, data, bounds.wait_s)
            except _Gone as gone:
                child.end()
                if gone.is_late:
                    raise Unreadable(_SLOW.format(bounds.time_s)) from None
                if is_fresh:
                    raise Unreadable(_DAMAGED if gone.code > 0 else _GREEDY) from None
                continue
            except BaseException:
                child.end()
                raise
            self._give_back(child, is_last=bool(said.get("is_last")))
            return said

    def _claim(self) -> Child:
        """A child that waits, else a new one."""
        while True:
            with self._lock:
                child = self._idle.pop() if self._idle else None
            if child is None:
                return Child()
            if child.resting is not None:
                child.resting.cancel()
            if child.is_usable():
                return child
            child.end()

    def _give_back(self, child: Child, *, is_last: bool) -> None:
        if is_last or child.n_files >= self._most_files:
            child.end()
            return
        child.resting = threading.Timer(self._idle_s, self._retire, (child,))
        child.resting.daemon = True
        with self._lock:
            self._idle.append(child)
            child.resting.start()

    def _retire(self, child: Child) -> None:
        """End a child that nobody has asked for a while."""
        with self._lock:
            if child not in self._idle:
                return
            self._idle.remove(child)
        child.end()


READERS = Readers()
atexit.register(READERS.close)
