"""Follow an answer as it is written and put its citation marks right: those of no passage go, several numbers in one
mark become one mark each. Pure; a text gives the same in one piece and in any pieces.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

# Where brackets are no citations: code in a line, links. Blocks of code are told apart by whole lines.
_APART = re.compile(r"`[^`\n]+`|\[[^\]\n]*\]\([^)\s]*\)")
_MARK = re.compile(r"[ \t]*\[(\d{1,4}(?:[ \t]*[,;][ \t]*\d{1,4})*)\](?!\()")
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_OPEN_LINK = re.compile(r"\[[^\]\n]*\]\([^)\s]*\Z")
_OPEN_MARK = re.compile(r"\[[\d,; \t]*\Z")
# What may become a mark, with the white space before it, at the end of what has come so far.
_BEGUN = re.compile(r"[ \t]*(?:\[[\d,; \t]*\]?)?\Z")
_JOINS = " \t\n[({]"  # behind these a mark needs no space


@dataclass(frozen=True)
class Mark:
    """A mark in a text: text[start:end] with the white space before it, and the numbers in it, each once."""

    start: int
    end: int
    numbers: tuple[int, ...]


def marks(text: str) -> Iterator[Mark]:
    """The marks of a whole text in their order."""
    fence = ""
    for line in _LINE.finditer(text):
        fence, is_code = _fence_after(fence, line[0])
        if not is_code:
            for found in _marks_of(line[0]):
                yield Mark(line.start() + found.start(), line.start() + found.end(), _numbers(found[1]))


class Marks:
    """The marks of one answer on its way. numbers: of the passages there are."""

    def __init__(self, numbers: Collection[int], before: str = "") -> None:
        """before: the text that the answer goes on from; it stays as it is."""
        self._known = frozenset(numbers)
        self._fence = ""
        self._line = ""  # what came of the line that is being written
        self._n_done = 0  # so many characters of it are given out or dropped
        self._last = before[-1:]
        self.n_dropped = 0
        *lines, self._line = before.split("\n")
        for line in lines:
            self._fence, _ = _fence_after(self._fence, line)
        self._n_done = len(self._line)

    def feed(self, text: str) -> str:
        """What is certain with this piece."""
        self._line += text
        out: list[str] = []
        while (end := self._line.find("\n") + 1) > 0:
            rest, self._line = self._line[end:], self._line[:end]
            out.append(self._written(end))
            self._fence, _ = _fence_after(self._fence, self._line)
            self._line, self._n_done = rest, 0
        out.append(self._written(self._n_certain()))
        return "".join(out)

    def end(self) -> str:
        """What was held back, when nothing follows."""
        return self._written(len(self._line))

    def _n_certain(self) -> int:
        """How much of the line is as it will be, whatever follows."""
        if self._fence:
            return len(self._line)
        begun = _BEGUN.search(self._line, self._n_done)
        end = begun.start() if begun else len(self._line)
        found = _MARK.finditer(self._line, self._n_done)
        return min(end, next((mark.start() for mark in found if self._is_open(mark)), end))

    def _is_open(self, mark: re.Match[str]) -> bool:
        """Whether what follows may still make code, or a link, of the place where a mark stands."""
        at = mark.start(1) - 1
        if mark.end() == len(self._line) or _FENCE.match(self._line):
            return True
        if any(found.start() <= at < found.end() for found in _APART.finditer(self._line)):
            return False
        before = self._line[:at]
        return "`" in _APART.sub("", before) or _OPEN_LINK.search(before) is not None

    def _written(self, end: int) -> str:
        """The line from what was given out up to end, with its marks put right."""
        out: list[str] = []
        if not _fence_after(self._fence, self._line)[1]:
            for mark in _marks_of(self._line):
                if self._n_done <= mark.start() and mark.end() <= end:
                    self._give(out, self._line[self._n_done : mark.start()])
                    self._put(out, _numbers(mark[1]))
                    self._n_done = mark.end()
        self._give(out, self._line[self._n_done : end])
        self._n_done = max(end, self._n_done)
        return "".join(out)

    def _put(self, out: list[str], numbers: tuple[int, ...]) -> None:
        for number in numbers:
            if number not in self._known:
                self.n_dropped += 1
                continue
            lead = "" if not self._last or self._last in _JOINS else " "
            self._give(out, f"{lead}[{number}]")

    def _give(self, out: list[str], text: str) -> None:
        if text:
            out.append(text)
            self._last = text[-1]


def _marks_of(line: str) -> Iterator[re.Match[str]]:
    """The marks of a line that is no part of a block of code."""
    apart = [found.span() for found in _APART.finditer(line)]
    for mark in _MARK.finditer(line):
        before = line[: mark.start(1) - 1]
        is_definition = not before.strip(" ") and line[mark.end() : mark.end() + 1] == ":"
        is_nested = _OPEN_MARK.search(before) is not None
        if not (is_definition or is_nested or any(start <= len(before) < end for start, end in apart)):
            yield mark


def _numbers(told: str) -> tuple[int, ...]:
    return tuple(dict.fromkeys(int(digits) for digits in re.findall(r"\d+", told)))


def _fence_after(fence: str, line: str) -> tuple[str, bool]:
    """The fence that holds behind a line, and whether the line is part of a block of code."""
    found = _FENCE.match(line)
    if fence:
        is_end = found is not None and found[1].startswith(fence) and not line[found.end() :].strip()
        return ("" if is_end else fence), True
    if found is None or (found[1][0] == "`" and "`" in line[found.end() :]):
        return "", False
    return found[1], True
