"""Write the events of a turn: the answer to stdout as it comes, everything else to stderr."""

from __future__ import annotations

import sys
from typing import TextIO

from chatbot.core.events import Changed, Delta, Done, Event, Notice, Status


class Printer:
    """Prints one answer and remembers it. No escape sequences: what is printed may be a file or a pipe."""

    def __init__(self, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self._out, self._err = out or sys.stdout, err or sys.stderr
        self._pieces: list[str] = []
        self._told_waiting = False
        self.done: Done | None = None

    @property
    def text(self) -> str:
        """The answer so far."""
        return "".join(self._pieces)

    def show(self, event: Event) -> None:
        """Write one event. Raises BrokenPipeError when nobody reads stdout any more."""
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
