"""What reaches a program on a terminal while an answer runs: Ctrl-C, Ctrl-Z and fg, a new size, a closed window."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from types import FrameType
from typing import Any


class Heard(Enum):
    """A signal, as it is put among the events of an answer."""

    STOP = "stop"
    RESIZED = "resized"
    RESUMED = "resumed"


Tell = Callable[[Heard], None]
Typed = Callable[[bytes], None]


@contextmanager
def heard(tell: Tell, typed: Typed | None = None) -> Iterator[None]:
    """Within the block signals are told, in place of what they do. tell runs in a handler: it may only put and return.

    The terminal echoes nothing meanwhile, so that keys do not end up in the answer. Each is given to typed, from a
    thread of its own; without it the next prompt reads them.
    """
    keys = _Keys(typed)
    before = {
        number: signal.signal(number, handler)
        for number, handler in {
            signal.SIGINT: lambda *_: tell(Heard.STOP),
            signal.SIGWINCH: lambda *_: tell(Heard.RESIZED),
            signal.SIGTSTP: lambda *_: _suspend(keys, tell),
            signal.SIGHUP: _leave,
            signal.SIGTERM: _leave,
        }.items()
    }
    keys.take()
    try:
        with keys.read():
            yield
    finally:
        keys.give_back()
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave(number: int, _: FrameType | None) -> None:
    """The window was closed, or the program is told to end: leave in order, with the answer kept."""
    raise SystemExit(128 + number)


def _suspend(keys: _Keys, tell: Tell) -> None:
    """Stop as any program does, with the terminal as the shell wants it; go on here when it is continued."""
    keys.give_back()
    ours = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTSTP)
    signal.signal(signal.SIGTSTP, ours)
    keys.take()
    tell(Heard.RESUMED)


class _Keys:
    """The terminal's keys while an answer runs; does nothing where input is no terminal."""

    def __init__(self, typed: Typed | None) -> None:
        self._is_terminal = sys.stdin is not None and sys.stdin.isatty()
        self._typed = typed if self._is_terminal else None
        self._before: list[Any] | None = None

    def take(self) -> None:
        """Keys do not appear; those that are read come one by one, and a paste with its marks."""
        if not self._is_terminal:
            return
        import termios

        with suppress(termios.error, OSError, ValueError):
            mode = termios.tcgetattr(sys.stdin.fileno())
            self._before = [*mode[:6], list(mode[6])]
            mode[3] &= ~termios.ECHO
            if self._typed:
                mode[0] &= ~termios.ICRNL
                mode[3] = mode[3] & ~(termios.ICANON | termios.IEXTEN) | termios.NOFLSH
                mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
            self._set(mode, b"\x1b[?2004h")

    def give_back(self) -> None:
        """The terminal as it was."""
        if self._before is not None:
            import termios

            with suppress(termios.error, OSError, ValueError):
                self._set(self._before, b"\x1b[?2004l")
            self._before = None

    @contextmanager
    def read(self) -> Iterator[None]:
        """Within the block a thread gives on what is typed."""
        if self._typed is None:
            yield
            return
        wake, waker = os.pipe()
        reader = threading.Thread(target=_read, args=(sys.stdin.fileno(), wake, self._typed), daemon=True)
        reader.start()
        try:
            yield
        finally:
            os.close(waker)
            reader.join()
            os.close(wake)

    def _set(self, mode: list[Any], pastes: bytes) -> None:
        import termios

        number = sys.stdin.fileno()
        # A process in the background would be stopped for this; it changes the terminal when it is back.
        if os.tcgetpgrp(number) == os.getpgrp():
            termios.tcsetattr(number, termios.TCSANOW, mode)
            if self._typed:
                os.write(sys.stdout.fileno(), pastes)


def _read(number: int, wake: int, typed: Typed) -> None:
    """Give on what is typed until the other end of wake is closed, or the terminal is."""
    with suppress(OSError):
        while True:
            ready, _, _ = select.select([number, wake], [], [])
            content = b"" if wake in ready else os.read(number, 65_536)
            if not content:
                return
            typed(content)


def reader_left() -> bool:
    """Whether stdout is a pipe that nobody reads any more: known without writing to it."""
    with suppress(OSError, ValueError):
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        return any(state & (select.POLLERR | select.POLLHUP) for _, state in poll.poll(0))
    return False
