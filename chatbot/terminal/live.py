"""Show a turn on a terminal: finished blocks once, the rest of the answer and the progress in the tail below them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

from chatbot.core.events import Changed, Delta, Done, Event, Given, Grounds, Looked, Notice, Progress, Status, Thought
from chatbot.terminal.blocks import Blocks
from chatbot.terminal.footnotes import given_text, looking_text, step_text
from chatbot.terminal.paint import Painter, clean, size
from chatbot.terminal.render import ending, numbers, words
from chatbot.terminal.style import Stylist

if TYPE_CHECKING:
    from chatbot.terminal.ahead import Below

_FRAME_S = 1 / 15
_SHARE_OF_A_CORE = 0.06
_SLOWEST_FRAME_S = 0.5
_QUIET_S = 0.4
_SECOND = 1.0


@dataclass(frozen=True)
class Look:
    """What a person wants to see besides the answer. n_ctx: what the model holds, None when it does not say."""

    thoughts: bool = True
    numbers: bool = True
    n_ctx: int | None = None


class LiveView:
    """One answer on the terminal. Each event is taken at once and drawn with the next frame.

    before: what was shown of an answer that goes on. Its last block, which may grow, is shown again.
    below: what stands under the answer while it runs.
    """

    def __init__(
        self,
        look: Look,
        out: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
        *,
        before: str = "",
        below: Callable[[int], Below] | None = None,
    ) -> None:
        self._look, self._clock = look, clock
        self._painter = Painter(out or sys.stdout)
        self._stylist = Stylist(lambda: size()[0])
        self._blocks = Blocks()
        self._blocks.feed(clean(before))
        self._below = below
        self._shown_tail: list[str] = []
        self._text: list[str] = []
        self._thought = ""
        self._ready: list[str] = []
        self._doing = ""
        self._began = clock()
        self._thinking_since: float | None = None
        self._next_frame = 0.0
        self._is_dirty = False
        self._has_text = self._has_steps = False
        self.library: Mapping[str, Any] = {}
        self.done: Done | None = None

    def show(self, event: Event) -> None:
        """Take one event."""
        self._is_dirty = True
        if isinstance(event, Delta):
            self._end_thought()
            self._end_steps()
            self._text.append(clean(event.text))
        elif isinstance(event, Thought):
            self._think(clean(event.text))
        elif isinstance(event, Progress):
            self._doing = words(event)
        elif isinstance(event, Notice):
            self._say(event.text)
        elif isinstance(event, Grounds):
            self.library = event.library
        elif isinstance(event, Looked):
            self._ready += self._stylist.aside(clean(step_text(event, self.library)))
            self._has_steps = True
        elif isinstance(event, Given):
            if text := given_text(event):
                self._say(text)
        elif isinstance(event, Changed):
            waits = event.status is Status.WAITING
            self._doing = "waiting for the model to be ready" if waits else self._doing if self._has_begun() else ""
        else:
            self._finish(event)

    def tick(self) -> float:
        """Draw if a frame is due; the seconds until the next one may be."""
        now = self._clock()
        if self.done:
            return _SECOND
        if now >= self._next_frame and (self._is_dirty or not self._has_begun() or self._thinking_since):
            self._draw()
            took = self._clock() - now
            self._next_frame = now + min(max(_FRAME_S, took / _SHARE_OF_A_CORE), _SLOWEST_FRAME_S)
        if self._is_dirty:
            return max(0.001, self._next_frame - self._clock())
        return _SECOND if self._has_begun() and not self._thinking_since else _QUIET_S

    def wipe(self) -> None:
        """Leave the terminal as it would be without anything unfinished on it."""
        if self.done is None:
            self._finish_text()
            self._painter.put(self._take_ready())

    def redraw(self) -> None:
        """Draw the tail again: the program was suspended, or the terminal changed its size."""
        self._is_dirty, self._next_frame = True, 0.0

    def echo(self) -> None:
        """What stands below has changed: show it at once, with the tail as it was drawn last."""
        if self.done is None:
            self._put([])

    def resume(self) -> None:
        """After a suspension: the shell has written below the tail."""
        self._painter.forget()
        self.redraw()

    def _has_begun(self) -> bool:
        return self._has_text or bool(self._text)

    def _looks(self) -> bool:
        """Whether passages are still looked for."""
        return bool(self.library) and not self.library.get("sources")

    def _think(self, text: str) -> None:
        if self._thinking_since is None:
            self._thinking_since = self._clock()
        if self._look.thoughts:
            self._thought += text

    def _end_thought(self) -> None:
        if self._thinking_since is None:
            return
        seconds = self._clock() - self._thinking_since
        self._thinking_since = None
        if self._thought.strip():
            self._ready += self._dim_lines(self._thought, is_final=True)
        self._thought = ""
        self._ready += self._stylist.aside(f"thought for {seconds:.0f} s") if seconds >= 1 else []
        self._ready += [""] if self._look.thoughts or seconds >= 1 else []

    def _end_steps(self) -> None:
        """The answer begins below an empty line."""
        self._ready += [""] if self._has_steps else []
        self._has_steps = False

    def _dim_lines(self, text: str, *, is_final: bool) -> list[str]:
        """Lines of thought in dim; unless it is the end, the last one is kept back, since it may yet grow."""
        *lines, last = [line for part in text.split("\n") for line in self._stylist.wrapped(part, "")]
        if not is_final:
            self._thought = last
        return [out for line in [*lines, *([last] if is_final and last else [])] for out in self._dim(line)]

    def _dim(self, line: str) -> list[str]:
        return self._stylist.aside(line, "dim italic") if line else [""]

    def _say(self, text: str) -> None:
        self._ready += self._stylist.aside(f"[{clean(text)}]")

    def _draw(self) -> None:
        self._is_dirty = False
        if self._thinking_since is not None and self._thought:
            self._ready += self._dim_lines(self._thought, is_final=False)
        for block in self._blocks.feed(self._take_text()):
            self._ready += self._stylist.block(block)
        self._shown_tail = self._tail()
        self._put(self._take_ready())

    def _put(self, lines: list[str]) -> None:
        """Draw finished lines, the tail, and what stands below it."""
        below = self._below(size()[0]) if self._below else None
        if below is None or not below.lines:
            self._painter.put(lines, self._shown_tail)
        else:
            self._painter.put(lines, [*self._shown_tail, *below.lines], (below.rows_up, below.column))

    def _tail(self) -> list[str]:
        if self._has_text:
            block = self._blocks.tail()
            return self._stylist.tail(block) if block else []
        if self._thinking_since is not None:
            seconds = int(self._clock() - self._thinking_since)
            return self._dim(self._thought) if self._look.thoughts else self._one_line(f"thinking {seconds} s")
        waited = self._clock() - self._began
        if waited < _QUIET_S:
            return []
        doing = self._doing or (looking_text(self.library) if self._looks() else "waiting for the first word")
        return self._one_line(f"{doing} · {int(waited)} s" if waited >= _SECOND else doing)

    def _one_line(self, text: str) -> list[str]:
        return self._stylist.aside(text[: max(1, size()[0] - 2)])

    def _take_text(self) -> str:
        text = "".join(self._text)
        self._text.clear()
        self._has_text = self._has_text or bool(text)
        return text

    def _take_ready(self) -> list[str]:
        lines, self._ready = self._ready, []
        return lines

    def _finish_text(self) -> None:
        self._end_thought()
        for block in [*self._blocks.feed(self._take_text()), *self._blocks.end()]:
            self._ready += self._stylist.block(block)

    def _finish(self, done: Done) -> None:
        """Everything that is left, why it ended, and the numbers."""
        self._finish_text()
        if self.library and not done.error:
            self._ready += self._stylist.notes(self.library)
        if (why := ending(done)) is not None:
            self._ready += [*([""] if self._has_text else []), *self._stylist.aside(f"[{clean(why)}]", _mood(done))]
        if self._look.numbers and not done.error and (line := numbers(done, self._look.n_ctx)):
            self._ready += ["", *self._stylist.aside(line)]
        self._painter.put(self._take_ready())
        self.done = done


def _mood(done: Done) -> str:
    return "red" if done.error else "yellow"
