"""Write the events of a turn: the answer to stdout as it comes, everything else to stderr."""

from __future__ import annotations

import os
import sys
from typing import TextIO

from chatbot.core.events import Changed, Delta, Done, Event, Notice, Progress, Queued, Status

_COLUMNS = 80


class Printer:
    """Prints one answer and remembers it. No escape sequences: what is printed may be a file or a pipe."""

    def __init__(self, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self._out, self._err = out or sys.stdout, err or sys.stderr
        self._pieces: list[str] = []
        self._told_waiting = False
        self._line = StatusLine(self._err, is_shown=self._out.isatty() and self._err.isatty())
        self.done: Done | None = None

    @property
    def text(self) -> str:
        """The answer so far."""
        return "".join(self._pieces)

    def show(self, event: Event) -> None:
        """Write one event. Raises BrokenPipeError when nobody reads stdout any more."""
        if isinstance(event, Progress):
            self._line.show(words(event))
            return
        self.wipe()
        if isinstance(event, Delta):
            self._pieces.append(event.text)
            self._out.write(event.text)
            self._out.flush()
        elif isinstance(event, Notice):
            self.say(event.text)
        elif isinstance(event, Changed):
            if event.status is Status.WAITING and not self._told_waiting:
                self._told_waiting = True
                self.say("waiting for the model to load")
        else:
            self._end(event)

    def wipe(self) -> None:
        """Take the progress away, so that what follows begins on an empty line."""
        self._line.wipe()

    def say(self, text: str) -> None:
        """A line for the person."""
        self._err.write(f"[{text}]\n")
        self._err.flush()

    def _end(self, done: Done) -> None:
        self.done = done
        self._finish_line()
        if done.status is Status.STOPPED:
            self.say("stopped; what was written is kept")
        elif done.error:
            self.say(done.error["message"])
        elif done.finish_reason == "length":
            self.say("the answer reached its length limit: raise it with --max_tokens")

    def _finish_line(self) -> None:
        """End a line that the model left open, so that the shell's prompt starts at the left."""
        if self._pieces and not self.text.endswith("\n"):
            self._out.write("\n")
            self._out.flush()


def words(progress: Progress) -> str:
    """What a person reads while the answer has not begun."""
    if isinstance(progress, Queued):
        return f"waiting, {progress.n_before:,} before you"
    return f"reading your message {progress.percent} %"


class StatusLine:
    """One line that is written over itself and leaves nothing behind; is_shown only where a person looks at it.

    A carriage return and blanks do it, so the line stays shorter than the terminal is wide: a wrapped one would stay.
    """

    def __init__(self, err: TextIO, *, is_shown: bool) -> None:
        self._err, self._is_shown = err, is_shown
        self._is_there = False

    def show(self, text: str) -> None:
        """Put this in place of what the line said before."""
        if self._is_shown:
            self._fill(f"[{text}]")
            self._is_there = True

    def wipe(self) -> None:
        """Leave an empty line with the cursor at its beginning; also without the ^C that a terminal writes into it."""
        if self._is_there:
            self._fill("")
            self._is_there = False

    def _fill(self, text: str) -> None:
        room = self._columns() - 1
        self._err.write(f"\r{' ' * room}\r{text[:room]}")
        self._err.flush()

    def _columns(self) -> int:
        try:
            return os.get_terminal_size(self._err.fileno()).columns or _COLUMNS
        except (OSError, ValueError):
            return _COLUMNS
