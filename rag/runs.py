"""Cut Markdown, line by line, into what is read as one: a run of text, or lines of code. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rag.inline import Scan, Scanner

_CODE_INDENT = 4
_MOST_LEAD = 400  # characters of white space and of marks of quotes and lists that are read of a line
_SPACE = re.compile(rf"[ \t]{{0,{_MOST_LEAD}}}")
_QUOTE = re.compile(r" {0,3}(?:> ?){1,100}")
_ITEM = re.compile(r"[ \t]*(?:[-*+]|\d{1,9}[.)])(?:([ \t]+)|$)")
_HEAD = re.compile(r" {0,3}#{1,6}(?:[ \t]|$)")
_FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})")


@dataclass(frozen=True)
class Run:
    """Lines that are read together, with their line ends. is_code: nothing in them is a mark."""

    text: str
    is_code: bool = False


class Runs:
    """Takes a text by its lines. pending: the text of the run that the next line may go on with."""

    def __init__(self) -> None:
        self.pending = ""
        self._scanner = Scanner()
        self._fence = ""
        self._items: list[int] = []  # where the text of the list items begins that hold the line
        self._is_after_text = False  # so that an indented line goes on with a paragraph

    def take(self, line: str) -> list[Run]:
        """The runs that end with this line."""
        if self.is_code(line):
            self._fence, self._is_after_text = self._fence_after(line), False
            return [*self.end(), Run(line, is_code=True)]
        text = line[_unquoted(line) :].rstrip("\n")
        is_block = not text.strip() or bool(_ITEM.match(text) or _HEAD.match(text))
        done = self.end() if is_block else []
        self._place(text)
        self.pending += line
        return [*done, *([] if text.strip() and self.scan().is_left_open else self.end())]

    def scan(self, line: str = "") -> Scan:
        """The marks of what is pending, with what has come of a line that goes on with it."""
        return self._scanner.scan(self.pending + line)

    def end(self) -> list[Run]:
        """What is pending, when nothing goes on with it."""
        text, self.pending, self._scanner = self.pending, "", Scanner()
        return [Run(text)] if text else []

    def is_code(self, line: str) -> bool:
        """Whether a line, or what has come of it, is part of a block of code."""
        return bool(self._fence or self._fence_after(line)) or self._is_indented(line)

    def may_be_fence(self, line: str) -> bool:
        """Whether the rest of a line may make it the beginning of a block of code, or take that from it."""
        return _FENCE.match(_inside(line)) is not None

    def _is_indented(self, line: str) -> bool:
        if self._is_after_text:
            return False
        begin = _unquoted(line)
        if not line[begin:].strip():
            return False
        indent = _indent(line, begin)
        return indent - max((at for at in self._items if at <= indent), default=0) >= _CODE_INDENT

    def _place(self, text: str) -> None:
        """Remember which list items hold what follows."""
        self._is_after_text = bool(text.strip())
        if not self._is_after_text:
            return
        indent, item = _indent(text), _ITEM.match(text)
        self._items = [at for at in self._items if at <= indent]
        if item:
            gap = item[1] or " "
            width = len(text[: item.end()].expandtabs(4))
            self._items.append(width if len(gap) <= _CODE_INDENT else width - len(gap) + 1)

    def _fence_after(self, line: str) -> str:
        """The fence that holds behind a line."""
        inside = _inside(line)
        found = _FENCE.match(inside)
        rest = inside[found.end() :] if found else ""
        if self._fence:
            is_end = found is not None and found[1].startswith(self._fence) and not rest.strip()
            return "" if is_end else self._fence
        return "" if found is None or (found[1][0] == "`" and "`" in rest) else found[1]


def _inside(line: str) -> str:
    """A line without the marks of the quotes and list items that hold it."""
    at = 0
    while at < _MOST_LEAD and (found := _QUOTE.match(line, at) or _ITEM.match(line, at)):
        at = found.end()
    return line[at:]


def _unquoted(line: str) -> int:
    """Where a line begins behind the marks of its quotes."""
    found = _QUOTE.match(line)
    return found.end() if found else 0


def _indent(text: str, begin: int = 0) -> int:
    found = _SPACE.match(text, begin)
    return len(found[0].expandtabs(4)) if found else 0
