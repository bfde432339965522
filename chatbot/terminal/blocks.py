"""Cut a growing Markdown text into blocks that will never change again and a tail that may. Pure: draws nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

_FENCE = re.compile(r"( {0,3})(`{3,}|~{3,})[ \t]*([^`\s]*)[^`\n]*\n")
_CLOSING = re.compile(r" {0,3}(`{3,}|~{3,})[ \t]*")
_MARKS = re.compile(r"`{1,3}|(`{3,}|~{3,})[^\n]*")  # a fence whose line is not complete
_LINES = re.compile(r"[^\n]*\n|[^\n]+")
_SURE_CHARS = 4


@dataclass(frozen=True)
class Block:
    """A piece of the answer. is_spaced: an empty line comes before it. starts: the first lines of a code block."""

    kind: Literal["prose", "code"]
    text: str
    is_spaced: bool = False
    language: str = ""
    starts: bool = False


@dataclass(frozen=True)
class _Fence:
    """How a block of code began."""

    indent: int
    marks: str
    language: str

    def closes(self, line: str) -> bool:
        """Whether this line ends the code; one that stands further in is a part of it."""
        found = _CLOSING.fullmatch(line)
        return found is not None and found[1].startswith(self.marks)

    def may_close(self, line: str) -> bool:
        """Whether this line, not complete yet, may end the code, or has nothing to show."""
        return set(line.strip()) <= {self.marks[0]}

    def dedent(self, line: str) -> str:
        """A line of code without the fence's own indentation."""
        return line[min(self.indent, len(line) - len(line.lstrip(" "))) :]


class Blocks:
    """Takes text as it comes; gives each block once, as soon as nothing that follows can change it.

    Prose is cut at its top-level blocks and at the items of a list, code by lines: so the tail stays short.
    """

    def __init__(self) -> None:
        self._rest = ""
        self._fence: _Fence | None = None
        self._is_code_begun = False
        self._is_first = True
        self._is_item = self._item_before = False
        self._blank_before = False

    def feed(self, text: str) -> list[Block]:
        """Take more text; the blocks that are complete now."""
        self._rest += text
        out: list[Block] = []
        while self._code(self._fence, out) if self._fence else self._prose(out):
            pass
        return out

    def end(self) -> list[Block]:
        """The answer is over: everything that is left."""
        out = self.feed("" if self._rest.endswith("\n") or not self._rest else "\n")
        tail = self.tail()
        self._rest = ""
        return [*out, tail] if tail else out

    def tail(self) -> Block | None:
        """What may still change, as it would look if it ended here."""
        if self._fence:
            if self._fence.may_close(self._rest):
                return None
            return self._code_block(self._fence, [self._fence.dedent(self._rest)])
        if not self._rest.strip() or _MARKS.fullmatch(self._rest.strip()):
            return None
        return Block("prose", self._rest, self._needs_space(is_item=self._is_item))

    def _prose(self, out: list[Block]) -> bool:
        """Cut finished blocks off the beginning; whether a fence was entered, so that code follows."""
        tokens = self._parser.parse(self._rest)
        starts = _starts(tokens)
        if not starts:
            return False
        lines = _LINES.findall(self._rest)
        begun = lines[starts[-1][0]]
        if len(starts) > 1 and len(begun) < _SURE_CHARS and not begun.endswith("\n"):
            starts.pop()  # two or three characters may yet turn out to go on with the line before
        last_line, self._is_item, last = starts[-1]
        for (line, is_item, token), (end, _, _) in pairwise(starts):
            if token.type == "fence":
                self._put_fence(out, token)
            else:
                self._put_prose(out, "".join(lines[line:end]), is_item=is_item)
        self._rest = "".join(lines[last_line:])
        opening = _FENCE.match(self._rest) if last.type == "fence" else None
        if opening is None:
            return False
        self._fence = _Fence(len(opening[1]), opening[2], opening[3])
        self._is_code_begun = False
        self._rest = self._rest[opening.end() :]
        return True

    def _code(self, fence: _Fence, out: list[Block]) -> bool:
        """Cut complete lines of code off the beginning; whether the fence was left, so that prose follows."""
        *complete, self._rest = self._rest.split("\n")
        code: list[str] = []
        for number, line in enumerate(complete):
            if fence.closes(line):
                self._put_code(fence, out, code)
                self._rest = "\n".join([*complete[number + 1 :], self._rest])
                self._fence, self._item_before, self._blank_before = None, False, False
                return True
            code.append(fence.dedent(line))
        self._put_code(fence, out, code)
        return False

    def _put_fence(self, out: list[Block], token: Token) -> None:
        """A whole block of code, as the text had it all at once."""
        language = next(iter(token.info.split()), "")
        if token.content:
            out.append(Block("code", token.content.removesuffix("\n"), not self._is_first, language, starts=True))
            self._is_first = False
        self._item_before = self._blank_before = False

    def _put_code(self, fence: _Fence, out: list[Block], lines: list[str]) -> None:
        if lines:
            out.append(self._code_block(fence, lines))
            self._is_code_begun, self._is_first = True, False

    def _code_block(self, fence: _Fence, lines: list[str]) -> Block:
        starts = not self._is_code_begun
        return Block("code", "\n".join(lines), starts and not self._is_first, fence.language, starts)

    def _put_prose(self, out: list[Block], text: str, *, is_item: bool) -> None:
        out.append(Block("prose", text, self._needs_space(is_item=is_item)))
        self._is_first, self._item_before = False, is_item
        self._blank_before = text.endswith("\n\n")

    def _needs_space(self, *, is_item: bool) -> bool:
        """Blocks stand apart; the items of a list only where the model left a line between them."""
        return not self._is_first and not (is_item and self._item_before and not self._blank_before)

    @cached_property
    def _parser(self) -> MarkdownIt:
        from markdown_it import MarkdownIt

        parser = MarkdownIt().enable("table")
        parser.disable("inline")  # only where blocks begin is asked here
        return parser


def _starts(tokens: list[Token]) -> list[tuple[int, bool, Token]]:
    """(line, whether it is an item of a list, its token) of each top-level block, a list counted by its items."""
    found = []
    for token in tokens:
        if token.map and token.level == 1 and token.type == "list_item_open":
            found.append((token.map[0], True, token))
        elif token.map and token.level == 0 and not token.type.endswith(("list_open", "_close")):
            found.append((token.map[0], False, token))
    return found
