"""What a person types while an answer runs: a draft below it, and messages that wait. Draws nothing itself.

The keys are prompt_toolkit's, whose editor never runs here: it would draw the screen, and the answer does that.
"""

from __future__ import annotations

import codecs
import os
from dataclasses import dataclass

from prompt_toolkit.application import Application
from prompt_toolkit.application.current import set_app
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.filters import Condition
from prompt_toolkit.input import DummyInput
from prompt_toolkit.input.vt100_parser import Vt100Parser
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys
from prompt_toolkit.layout import BufferControl, Layout, Window
from prompt_toolkit.output import DummyOutput

from chatbot.terminal.input import is_open, joined
from chatbot.terminal.look import prompt_mark
from chatbot.terminal.paint import clean, n_cells
from chatbot.terminal.prompt import Pastes

_MOST_ROWS = 5
_MOST_WAITING = 3


@dataclass(frozen=True)
class Below:
    """The lines under an answer, and where the cursor stands in them: rows from the last one up, and its column."""

    lines: tuple[str, ...] = ()
    rows_up: int = 0
    column: int = 0


class Ahead:
    """Takes keys as they come; gives the messages that were sent and the draft that was not."""

    def __init__(self, pastes: Pastes) -> None:
        self._pastes = pastes
        self._waiting: list[str] = []
        self.leaves = False
        self._buffer = Buffer(multiline=True)
        self._app: Application[None] = Application(
            layout=Layout(Window(BufferControl(self._buffer))),
            key_bindings=self._keys(),
            input=DummyInput(),
            output=DummyOutput(),
        )
        self._app.timeoutlen = None  # type: ignore[assignment] # waiting for a timeout would need a loop that runs
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._parser = Vt100Parser(self._app.key_processor.feed)

    def feed(self, content: bytes) -> None:
        """Take what the terminal sent."""
        with set_app(self._app):
            self._parser.feed(self._decoder.decode(content))
            self._app.key_processor.process_keys()

    def next(self) -> str:
        """The message that waits longest, empty when none does. Raises EOFError where the person wants to leave."""
        if self._waiting:
            return self._waiting.pop(0)
        if self.leaves and not self._buffer.text:
            self.leaves = False
            raise EOFError
        return ""

    def take_draft(self) -> str:
        """What was typed and not sent; it is the prompt's from now on."""
        text = self._buffer.text
        self._buffer.reset()
        return text

    def hold(self) -> None:
        """The answer was stopped or failed: what waits is not sent, but stands in the draft."""
        text = "\n".join(filter(None, [*map(self._pastes.short, self._waiting), self._buffer.text]))
        self._waiting.clear()
        self._buffer.text = text
        self._buffer.cursor_position = len(text)

    def below(self, columns: int) -> Below:
        """What is seen of it."""
        room = max(4, columns - 3)
        first = self._waiting[:_MOST_WAITING]
        told = [f"queued: {' '.join(clean(text).split())}" for text in first]
        if len(self._waiting) > len(first):
            told.append(f"and {len(self._waiting) - len(first)} more")
        lines = [_dim(_rows(line, room)[0]) for line in told]
        if not self._buffer.text:
            return Below(tuple(lines), 0, n_cells(lines[-1])) if lines else Below()
        before = _rows(clean(self._buffer.document.text_before_cursor), room)
        rows = _rows(clean(self._buffer.text), room)
        row, column = len(before) - 1, n_cells(before[-1])
        start = max(0, min(row - _MOST_ROWS + 1, len(rows) - _MOST_ROWS))
        shown = rows[start : start + _MOST_ROWS]
        lines += [f"{prompt_mark() if start + number == 0 else '  '}{text}" for number, text in enumerate(shown)]
        return Below(tuple(lines), len(shown) - 1 - (row - start), column + 2)

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()

        @keys.add("enter")
        def _send(event: KeyPressEvent) -> None:
            buffer = event.current_buffer
            if is_open(buffer.text) and buffer.document.is_cursor_at_the_end:
                buffer.insert_text("\n")
                return
            text = joined(self._pastes.whole(buffer.text)).strip()
            buffer.reset()
            if text:
                self._waiting.append(text)

        @keys.add("escape", "enter")
        def _new_line(event: KeyPressEvent) -> None:
            event.current_buffer.insert_text("\n")

        @keys.add(Keys.BracketedPaste)
        def _paste(event: KeyPressEvent) -> None:
            event.current_buffer.insert_text(self._pastes.short(event.data.replace("\r\n", "\n").replace("\r", "\n")))

        @keys.add("c-d", filter=Condition(lambda: not self._buffer.text))
        def _leave(_: KeyPressEvent) -> None:
            self.leaves = True

        @keys.add("tab")
        @keys.add("c-z")
        @keys.add("c-l")
        def _nothing(_: KeyPressEvent) -> None:
            """Completion, and what would draw, is the prompt's."""

        return keys


def _rows(text: str, room: int) -> list[str]:
    """A text as lines that are no wider than there is room."""
    out, width = [""], 0
    for character in text:
        shown = "    " if character == "\t" else character
        n_more = n_cells(shown)
        if character == "\n" or width + n_more > room:
            out.append("")
            width = 0
        if character != "\n":
            out[-1] += shown
            width += n_more
    return out


def _dim(text: str) -> str:
    return text if os.environ.get("NO_COLOR") else f"\x1b[2m{text}\x1b[0m"
