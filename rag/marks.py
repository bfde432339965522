"""Follow an answer as it is written and put its citation marks right: those of no passage go, several numbers in one
mark become one mark each, and none is a link. Pure; a text gives the same in one piece and in any pieces.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from rag.inline import Found, scan
from rag.runs import Run, Runs

_LINE = re.compile(r"[^\n]*\n|[^\n]+")
# What may become a mark at the end of what has come so far; longer ones are none.
_BEGUN = re.compile(r"(?:\[?\[[\^\d,;\u2013 \t-]{0,1000}\]?|[\u3010\uff3b][^\u3011\uff3d\n]{0,1000})\Z")
_MAY_CITE = re.compile(r"\[?[\[\u3010\uff3b]\^?\d")
_JOINS = " \t\n[({]"  # behind these a mark needs no space


@dataclass(frozen=True)
class Mark:
    """A mark in a text: text[start:end] with the white space before it, and the numbers in it, each once."""

    start: int
    end: int
    numbers: tuple[int, ...]


def marks(text: str, known: Collection[int] | None = None) -> Iterator[Mark]:
    """The marks of a whole text in their order; with known only those whose every number is known."""
    runs, at = Runs(), 0
    for run in [each for line in _LINE.findall(text) for each in runs.take(line)] + runs.end():
        for found in () if run.is_code else scan(run.text).found:
            if found.numbers and (known is None or set(found.numbers) <= set(known)):
                yield Mark(at + found.start, at + found.end, found.numbers)
        at += len(run.text)


def place_of(text: str, mark: Mark) -> tuple[int, int]:
    """Where the mark itself stands, without the white space before it."""
    return mark.end - len(text[mark.start : mark.end].lstrip()), mark.end


class Marks:
    """The marks of one answer on its way. numbers: of the passages there are."""

    def __init__(self, numbers: Collection[int], before: str = "") -> None:
        """before: the text that the answer goes on from; it stays as it is."""
        self._known = frozenset(numbers)
        self._runs = Runs()
        self._line = ""  # what came of the line that is being written
        self._n_done = 0  # so many characters of the run and the line are given out or dropped
        self._last = before[-1:]
        self.n_dropped = 0
        for line in _LINE.findall(before):
            if line.endswith("\n"):
                self._runs.take(line)
            else:
                self._line = line
        self._n_done = len(self._runs.pending) + len(self._line)

    def feed(self, text: str) -> str:
        """What is certain with this piece."""
        out: list[str] = []
        for piece in _LINE.findall(text):
            self._line += piece
            if piece.endswith("\n"):
                out.append(self._line_ended())
        run = self._runs.pending + self._line
        if self._runs.is_code(self._line) and not self._runs.may_be_fence(self._line):
            out.append(self._settled(self._runs.end()))
            run = self._line
            out.append(self._written(run, (), len(run)))
        else:
            out.append(self._written(run, *self._certain(run)))
        return "".join(out)

    def end(self) -> str:
        """What was held back, when nothing follows."""
        last = self._line_ended() if self._line else ""
        return last + self._settled(self._runs.end())

    def _line_ended(self) -> str:
        line, self._line = self._line, ""
        return self._settled(self._runs.take(line))

    def _settled(self, runs: list[Run]) -> str:
        """Runs as they are in the end."""
        out: list[str] = []
        for run in runs:
            found = () if run.is_code else scan(run.text).found
            out.append(self._written(run.text, found, len(run.text)))
            self._n_done -= len(run.text)
        return "".join(out)

    def _certain(self, run: str) -> tuple[tuple[Found, ...], int]:
        """The marks of what has come, and how much of it is as it will be, whatever follows."""
        begun = _BEGUN.search(run, self._n_done)
        end = self._unspaced(run, begun.start() if begun else len(run))
        if not _MAY_CITE.search(run, self._n_done):
            return (), end
        told = self._runs.scan(self._line)
        sure = 0 if self._runs.may_be_fence(self._line) else told.n_sure
        if sure < len(run) and (bracket := _MAY_CITE.search(run, max(self._n_done, sure))):
            end = min(end, self._unspaced(run, bracket.start()))
        new = told.found[bisect_left(told.found, self._n_done, key=lambda found: found.start) :]
        return new, min([end, *(found.start for found in new if found.end > end)])

    def _unspaced(self, run: str, at: int) -> int:
        """Where the white space before a place begins, as far as it is not given out."""
        return self._n_done + len(run[self._n_done : at].rstrip(" \t"))

    def _written(self, run: str, marks_found: tuple[Found, ...], end: int) -> str:
        """The run from what was given out up to end, with its marks put right."""
        out: list[str] = []
        for found in marks_found:
            is_index = found.is_glued and not set(found.numbers) <= self._known
            if self._n_done <= found.start and found.end <= end and not is_index:
                self._give(out, run[self._n_done : found.start])
                self._put(out, found)
                self._n_done = found.end
        self._give(out, run[self._n_done : end])
        self._n_done = max(end, self._n_done)
        return "".join(out)

    def _put(self, out: list[str], found: Found) -> None:
        for number in found.numbers:
            if number not in self._known:
                self.n_dropped += 1
                continue
            lead = "" if found.is_glued or not self._last or self._last in _JOINS else " "
            self._give(out, f"{lead}[{number}]")

    def _give(self, out: list[str], text: str) -> None:
        if text:
            out.append(text)
            self._last = text[-1]
