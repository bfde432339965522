"""What reaches a program on a terminal while an answer runs: Ctrl-C, Ctrl-Z and fg, a new size, a closed window."""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from types import FrameType

STOPPED_BY_HANGUP = 129


class Heard(Enum):
    """A signal, as it is put among the events of an answer."""

    STOP = "stop"
    RESIZED = "resized"
    RESUMED = "resumed"


Tell = Callable[[Heard], None]


@contextmanager
def heard(tell: Tell) -> Iterator[None]:
    """Within the block signals are told, in place of what they do. tell runs in a handler: it may only put and return.

    The terminal echoes nothing meanwhile, so that keys do not end up in the answer; the next prompt reads them.
    """
    quiet = _Echo()
    before = {
        number: signal.signal(number, handler)
        for number, handler in {
            signal.SIGINT: lambda *_: tell(Heard.STOP),
            signal.SIGWINCH: lambda *_: tell(Heard.RESIZED),
            signal.SIGTSTP: lambda *_: _suspend(quiet, tell),
            signal.SIGHUP: _leave,
            signal.SIGTERM: _leave,
        }.items()
    }
    quiet.off()
    try:
        yield
    finally:
        quiet.on()
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave(number: int, _: FrameType | None) -> None:
    """The window was closed, or the program is told to end: leave in order, with the answer kept."""
    raise SystemExit(128 + number)


def _suspend(quiet: _Echo, tell: Tell) -> None:
    """Stop as any program does, with the terminal as the shell wants it; go on here when it is continued."""
    quiet.on()
    ours = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTSTP)
    signal.signal(signal.SIGTSTP, ours)
    quiet.off()
    tell(Heard.RESUMED)


class _Echo:
    """Whether keys appear on the terminal; does nothing where input is no terminal."""

    def __init__(self) -> None:
        self._is_terminal = sys.stdin is not None and sys.stdin.isatty()

    def off(self) -> None:
        """Keys do not appear."""
        self._set(shown=False)

    def on(self) -> None:
        """Keys appear again."""
        self._set(shown=True)

    def _set(self, *, shown: bool) -> None:
        if not self._is_terminal:
            return
        import termios

        with suppress(termios.error, OSError, ValueError):
            number = sys.stdin.fileno()
            mode = termios.tcgetattr(number)
            mode[3] = mode[3] | termios.ECHO if shown else mode[3] & ~termios.ECHO
            # A process in the background would be stopped for this; it changes the terminal when it is back.
            if os.tcgetpgrp(number) == os.getpgrp():
                termios.tcsetattr(number, termios.TCSANOW, mode)


def reader_left() -> bool:
    """Whether stdout is a pipe that nobody reads any more: known without writing to it."""
    with suppress(OSError, ValueError):
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        return any(state & (select.POLLERR | select.POLLHUP) for _, state in poll.poll(0))
    return False
