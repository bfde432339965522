"""Write the events of a turn as plain text: the answer to stdout as it comes, everything else to stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any, TextIO

from chatbot.core.events import (
    Changed,
    Delta,
    Done,
    Event,
    Given,
    Grounds,
    Looked,
    Notice,
    Progress,
    Queued,
    Status,
    Thought,
)

_COLUMNS = 80
_IDLE_S = 0.5
_NO_ESCAPES = {0x1B: None, 0x9B: None}


class Printer:
    """Prints one answer and remembers it. No escape sequences: what is printed may be a file or a pipe.

    is_streamed: as it comes, else all at the end. is_quiet: only errors are told. has_numbers: what it took, too.
    """

    def __init__(
        self,
        out: TextIO | None = None,
        err: TextIO | None = None,
        *,
        is_streamed: bool = True,
        is_quiet: bool = False,
        has_numbers: bool = False,
    ) -> None:
        self._out, self._err = out or sys.stdout, err or sys.stderr
        self._is_streamed, self._is_quiet, self._has_numbers = is_streamed, is_quiet, has_numbers
        self._pieces: list[str] = []
        self._told_waiting = False
        self.library: Mapping[str, Any] = {}
        self._line = StatusLine(self._err, is_shown=self._out.isatty() and self._err.isatty() and not is_quiet)
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
        if isinstance(event, Thought):
            self._line.show("thinking")
            return
        if isinstance(event, Grounds):
            self.library = event.library
            return
        self.wipe()
        if isinstance(event, Delta):
            self._pieces.append(event.text)
            if self._is_streamed:
                self._write(event.text)
        elif isinstance(event, Notice):
            self.say(event.text)
        elif isinstance(event, Looked | Given):
            self._tell_step(event)
        elif isinstance(event, Changed):
            if event.status is Status.WAITING and not self._told_waiting:
                self._told_waiting = True
                self.say("waiting for the model to be ready")
        else:
            self._end(event)

    def tick(self) -> float:
        """Nothing is drawn later; the seconds until the pipe should be looked at again."""
        return _IDLE_S

    def wipe(self) -> None:
        """Take the progress away, so that what follows begins on an empty line."""
        self._line.wipe()

    def redraw(self) -> None:
        """Nothing to do: what was printed stays."""

    def resume(self) -> None:
        """Nothing to do: what was printed stays."""

    def say(self, text: str, *, is_error: bool = False) -> None:
        """A line for the person."""
        if is_error or not self._is_quiet:
            self._err.write(f"[{text.translate(_NO_ESCAPES)}]\n")
            self._err.flush()

    def _end(self, done: Done) -> None:
        self.done = done
        if not self._is_streamed:
            self._write(self.text)
        self._finish_line()
        if self.library and not done.error:
            self._write("".join(f"{line}\n" for line in noted(self.library, self._out)))
        if (why := ending(done)) is not None:
            self.say(why, is_error=bool(done.error))
        if self._has_numbers and (line := numbers(done, None)):
            self.say(line)

    def _tell_step(self, step: Looked | Given) -> None:
        """What was looked for, or sent whole: for a person who waits, or one who asked for numbers."""
        if self._has_numbers or self._err.isatty():
            from chatbot.terminal.footnotes import given_text, step_text

            if text := given_text(step) if isinstance(step, Given) else step_text(step, self.library):
                self.say(text)

    def _write(self, text: str) -> None:
        self._out.write(text.translate(_NO_ESCAPES))
        self._out.flush()

    def _finish_line(self) -> None:
        """End a line that the model left open, so that the shell's prompt starts at the left."""
        if self._pieces and not self.text.endswith("\n"):
            self._write("\n")


def noted(library: Mapping[str, Any], out: TextIO) -> list[str]:
    """The notes under an answer from the library, behind an empty line, as long as they are."""
    from chatbot.terminal.footnotes import notes

    lines = [note.text for note in notes(library, is_unicode="utf" in (out.encoding or "").lower())]
    return ["", *lines] if lines else []


def ending(done: Done) -> str | None:
    """Why an answer ended, where a person should know."""
    if done.status is Status.STOPPED:
        return "stopped; what was written is kept"
    if done.error:
        return str(done.error["message"])
    if done.finish_reason == "length":
        return "the answer reached its length limit: --max_tokens raises it, /continue in a conversation goes on"
    return None


def numbers(done: Done, n_ctx: int | None) -> str:
    """What an answer took, in one line; empty where nothing is known."""
    usage, timings = done.usage or {}, done.timings
    n_written, n_read = usage.get("completion_tokens"), usage.get("prompt_tokens")
    parts = []
    if timings and timings.first_s is not None:
        seconds = timings.total_s - timings.first_s
        n_pieces = n_written or timings.n_pieces
        if n_pieces > 1 and seconds > 0:
            rate = (n_pieces - 1) / seconds
            parts.append(f"{rate:,.{0 if rate >= 100 else 1}f} tokens/s")
        parts.append(f"first word after {timings.first_s:.2f} s")
    if n_written:
        parts.append(f"{n_written:,} tokens")
    if n_written and n_read:
        used = f"{_short(n_read + n_written)} of {_short(n_ctx)}" if n_ctx else f"{n_read:,} read"
        parts.append(f"{used} context" if n_ctx else used)
    return " · ".join(parts)


def _short(n_tokens: int) -> str:
    return f"{n_tokens:,}" if n_tokens < 1000 else f"{n_tokens / 1000:.1f}k"


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
