"""How things look on a terminal: Markdown, code and asides become lines with colours. Needs rich; writes nothing."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.markdown import CodeBlock, Heading, HorizontalRule, Markdown, MarkdownElement
from rich.padding import Padding
from rich.rule import Rule
from rich.syntax import Syntax
from rich.text import Text
from rich.theme import Theme

from chatbot.terminal.blocks import Block
from chatbot.terminal.footnotes import notes
from chatbot.terminal.paint import WIDEST_TEXT, fit, without_style

# Colours are the terminal's own sixteen, so that they suit a dark and a light one.
_THEME = Theme(
    {
        "markdown.code": "cyan",
        "markdown.code_block": "none",
        "markdown.h1": "bold underline",
        "markdown.h2": "bold",
        "markdown.h3": "bold italic",
        "markdown.h4": "italic",
        "markdown.h5": "italic",
        "markdown.h6": "italic",
        "markdown.block_quote": "italic",
        "markdown.hr": "dim",
        "markdown.item.bullet": "dim",
        "markdown.item.number": "dim",
        "markdown.link": "underline",
        "markdown.link_url": "dim underline",
        "markdown.table.border": "dim",
        "markdown.table.header": "bold",
    }
)
_CODE_THEME = "ansi_dark"
_INDENT = 2
# A line of code is coloured with this many before it: enough for nearly every string and comment over several lines.
_LINES_OF_CONTEXT = 30
_TRAILING = re.compile(r" +((?:\x1b\[[0-9;]*m)*)$")


class _LeftHeading(Heading):
    LEVEL_ALIGN: ClassVar = dict.fromkeys(Heading.LEVEL_ALIGN, "left")


class _PlainCode(CodeBlock):
    """Code without a box, indented a little: in a list, say. What is wider than there is room goes on below."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        code = Syntax("", self.lexer_name, theme=_CODE_THEME, background_color="default")
        text = code.highlight(str(self.text).rstrip())
        text.no_wrap, text.overflow = False, "fold"
        yield Padding(text, (0, 0, 0, _INDENT))


class _ThinRule(HorizontalRule):
    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Rule(style="markdown.hr")


class _Markdown(Markdown):
    elements: ClassVar[dict[str, type[MarkdownElement]]] = {
        **Markdown.elements,
        "heading_open": _LeftHeading,
        "fence": _PlainCode,
        "code_block": _PlainCode,
        "hr": _ThinRule,
    }


class Stylist:
    """Makes lines of what is to be shown, as wide as the terminal is at that moment."""

    def __init__(self, columns: Callable[[], int]) -> None:
        self._columns = columns
        self._console = Console(
            file=io.StringIO(),
            force_terminal=True,
            color_system="standard",
            no_color=bool(os.environ.get("NO_COLOR")),
            theme=_THEME,
            highlight=False,
            emoji=False,
            markup=False,
            legacy_windows=False,
        )
        self._code: list[str] = []

    def block(self, block: Block) -> list[str]:
        """The lines of a finished block, with the empty line before it; of code the lines as they are, however long."""
        gap = [""] if block.is_spaced else []
        if block.kind == "prose":
            return gap + self._prose(block.text)
        if block.starts:
            self._code = []
        lines = block.text.expandtabs(4).split("\n")
        coloured = self._coloured(self._code, lines, block.language)
        self._code = [*self._code, *lines][-_LINES_OF_CONTEXT:]
        return gap + coloured

    def tail(self, block: Block) -> list[str]:
        """The lines of a block that is not finished; none is wider than the terminal."""
        gap = [""] if block.is_spaced else []
        if block.kind == "prose":
            return gap + self._prose(block.text)
        line = block.text.expandtabs(4)[: self._columns() - _INDENT - 1]
        return gap + [fit(each, self._columns()) for each in self._coloured([], [line], block.language)]

    def aside(self, text: str, style: str = "dim") -> list[str]:
        """Something that is not the answer, wrapped to the terminal."""
        return self._lines(Text(text, style=style))

    def notes(self, library: Mapping[str, Any]) -> list[str]:
        """What stands under an answer from the library, with the empty line before it; what is doubted is seen."""
        found = notes(library, self._width())
        lines = [out for note in found for out in self.aside(note.text, "yellow" if note.is_doubted else "dim")]
        return ["", *lines] if lines else []

    def wrapped(self, text: str, style: str) -> list[str]:
        """The pieces of plain text that a line holds each, without a style: what is wrapped is not always final."""
        return [line.plain for line in Text(text).wrap(self._console, self._width())] or [""]

    def _prose(self, text: str) -> list[str]:
        lines = self._lines(_Markdown(text, code_theme=_CODE_THEME, hyperlinks=False))
        while lines and not without_style(lines[0]).strip():
            lines.pop(0)
        while lines and not without_style(lines[-1]).strip():
            lines.pop()
        return lines

    def _coloured(self, before: Sequence[str], lines: Sequence[str], language: str) -> list[str]:
        """Lines of code with colours; each is left as long as it is, so that it can be copied."""
        syntax = Syntax("", language or "text", theme=_CODE_THEME, background_color="default")
        n_before = len(before)
        text = syntax.highlight("\n".join([*before, *lines])).split("\n", allow_blank=True)
        return [self._code_line(line) for line in list(text)[n_before : n_before + len(lines)]]

    def _code_line(self, line: Text) -> str:
        if not line.plain.strip():
            return ""
        with self._console.capture() as got:
            self._console.print(line, end="", soft_wrap=True)
        return f"{' ' * _INDENT}{got.get()}"

    def _lines(self, what: RenderableType) -> list[str]:
        self._console.width = self._width()
        with self._console.capture() as got:
            self._console.print(what)
        return [_TRAILING.sub(r"\1", line) for line in got.get().removesuffix("\n").split("\n")]

    def _width(self) -> int:
        """The last column is left to the cursor."""
        return max(8, min(self._columns() - 1, WIDEST_TEXT))
