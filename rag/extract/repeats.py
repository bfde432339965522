"""What most pages of a PDF repeat at their edges: titles, footers, numbers of pages. Pure.

A row of a table may differ from page to page in its numbers alone, too. A line is therefore repeated only if its
numbers are the same, or count the pages.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_EDGE = 3  # lines at the top and at the bottom that may be repeated
_LEAST_PAGES = 3
_LEAST_SHARE = 0.4  # left and right pages often have lines of their own
_NEAR = (-2, -1, 1, 2)  # pages away: left and right ones take turns
_AT_START, _AT_END = re.compile(r"\D{0,9}(\d{1,4})(?!\d)"), re.compile(r"(?<!\d)(\d{1,4})\D{0,3}$")
_MOST_FURNITURE = 120
_LONGEST = 400  # a longer line is repeated only as it is
_PAGE = re.compile(r"\b(?:page|seite|p[aá]gina|p|s)\b", re.IGNORECASE)
_NUMBER = re.compile(r"\d{1,9}|\b[ivxlcIVXLC]{1,9}\b")  # to ignore case would take in the dotless i
_TITLE = re.compile(r"[^\W\d_]{2,} 0[.:]?")  # the shape of Chapter 3, Day 3: its page may well be the third
_ROMAN = {"i": 1, "v": 5, "x": 10, "l": 50, "c": 100}


@dataclass(frozen=True)
class _Repeat:
    """How a line is repeated: as it is, or with a number that is the page's place and so much; that is its offset."""

    offset: int | None = None


_SAME = _Repeat()


def without_repeats(pages: Sequence[str]) -> list[str]:
    """The pages without the lines at their edges that most of them have."""
    split = [page.splitlines() for page in pages]
    book = _Book([[line for line in lines if line.strip()] for lines in split])
    kept = [_inner(lines, *book.n_repeated(number)) for number, lines in enumerate(split)]
    return kept if any(kept) else list(pages)  # pages that are all alike


def _inner(lines: list[str], n_above: int, n_below: int) -> str:
    """The lines without so many of those that are not empty at the top, and at the bottom."""
    filled = [at for at, line in enumerate(lines) if line.strip()]
    inner = filled[n_above : len(filled) - n_below]
    return "\n".join(lines[inner[0] : inner[-1] + 1]).strip() if inner else ""


class _Book:
    """All pages, each as its lines that are not empty."""

    def __init__(self, pages: Sequence[list[str]]) -> None:
        self._pages = pages
        self._least = max(_LEAST_PAGES, round(sum(1 for lines in pages if lines) * _LEAST_SHARE))
        edges = [[lines[at] for at in _edges(len(lines))] for lines in pages]
        self._lines = Counter(line for each in edges for line in {_spaced(line) for line in each})
        self._numbers = [_by_shape(each) for each in edges]
        self._like_near: Counter[tuple[str, bool]] = Counter()
        for number, each in enumerate(edges):
            found = {(_shape(line), self._near(number, line)) for line in each}
            self._like_near.update({(shape, near == _SAME) for shape, near in found if near})
        self._offsets = {at: offset for at in (0, -1) if (offset := self._offset(at)) is not None}

    def n_repeated(self, number: int) -> tuple[int, int]:
        """How many lines of a page are repeated ones, at the top and at the bottom."""
        n_lines = len(self._pages[number])
        n_above = self._n_at(number, range(min(_EDGE, n_lines)))
        return n_above, self._n_at(number, range(n_lines - 1, max(n_above, n_lines - _EDGE) - 1, -1))

    def _n_at(self, number: int, edge: Sequence[int]) -> int:
        """How many of these lines, from the outermost inwards. At most one of them has the number of the page.

        Where several count alike they are rows of a table, which has one page an hour or a day.
        """
        offsets: list[int | None] = []
        for at in edge:
            repeat = self._repeat(number, at)
            if repeat is None or self._is_row(number, at) or (repeat != _SAME and self._is_title(number, at)):
                break
            offsets.append(repeat.offset)
        counting = [at for at, offset in enumerate(offsets) if offset is not None]
        if len(counting) < 2:
            return len(offsets)
        first, second = counting[:2]
        is_page = offsets[first] != offsets[second] or _PAGE.search(self._pages[number][edge[first]])
        return second if is_page else first

    def _repeat(self, number: int, at: int) -> _Repeat | None:
        """How a line is repeated; None for one that is not."""
        lines = self._pages[number]
        line = lines[at]
        if self._lines[_spaced(line)] >= self._least:
            return _SAME
        near = self._near(number, line)
        if near and self._like_near[_shape(line), near == _SAME] >= self._least:
            return near
        outer = (self._offsets.get(edge) for edge in (0, -1) if at == edge % len(lines))
        own = [offset for offset in outer if offset is not None and number + offset in _outer_numbers(line)]
        return _Repeat(own[0]) if own else None

    def _near(self, number: int, line: str) -> _Repeat | None:
        """How the line is that of a near page: the same, or with a number that differs by how far away that is."""
        shape, own = _shape(line), _values(line)
        found: _Repeat | None = None
        for away in _NEAR:
            there = number + away
            for values in self._numbers[there].get(shape, ()) if 0 <= there < len(self._pages) else ():
                if values == own:
                    return _SAME
                steps = [other - one for one, other in zip(own, values, strict=True)]
                if set(steps) <= {0, away}:
                    found = _Repeat(own[steps.index(away)] - number)
        return found

    def _is_row(self, number: int, at: int) -> bool:
        """Whether the line beside differs in numbers alone. A number that stands alone is no row."""
        lines, shape = self._pages[number], _shape(self._pages[number][at])
        beside = [lines[each] for each in (at - 1, at + 1) if 0 <= each < len(lines)]
        return "0" in shape and any(map(str.isalnum, shape.replace("0", "", 1))) and shape in map(_shape, beside)

    def _is_title(self, number: int, at: int) -> bool:
        """Whether the line at the top is one word with a number, and that word none for a page."""
        line = self._pages[number][at]
        return at < _EDGE and _TITLE.fullmatch(_shape(line)) is not None and not _PAGE.search(line)

    def _offset(self, edge: int) -> int | None:
        """What to add to a page's place for the number that most have in their first (0) or last (-1) line."""
        outer = [(number, lines[edge]) for number, lines in enumerate(self._pages) if lines]
        offsets = Counter(said - number for number, line in outer for said in _outer_numbers(line))
        offset, n_pages = offsets.most_common(1)[0] if offsets else (0, 0)
        return offset if n_pages >= self._least else None


def _edges(n_lines: int) -> set[int]:
    return {*range(min(_EDGE, n_lines)), *range(max(0, n_lines - _EDGE), n_lines)}


def _by_shape(lines: Iterable[str]) -> dict[str, set[tuple[int, ...]]]:
    """The numbers of these lines, by what is between them."""
    found: dict[str, set[tuple[int, ...]]] = {}
    for line in lines:
        found.setdefault(_shape(line), set()).add(_values(line))
    return found


def _spaced(line: str) -> str:
    return " ".join(line.split())


def _shape(line: str) -> str:
    """A line without its numbers."""
    if len(line) > _LONGEST:
        return line
    return _NUMBER.sub("0", _spaced(line))


def _values(line: str) -> tuple[int, ...]:
    """The numbers of a line, Roman ones too."""
    if len(line) > _LONGEST:
        return ()
    return tuple(_value(found[0].lower()) for found in _NUMBER.finditer(_spaced(line)))


def _value(number: str) -> int:
    if number.isdecimal():
        return int(number)
    letters = [_ROMAN[letter] for letter in number]
    return sum(-one if one < after else one for one, after in zip(letters, [*letters[1:], 0], strict=True))


def _outer_numbers(line: str) -> set[int]:
    """The number that a short line begins or ends with, as one does that counts the pages."""
    if len(line) > _MOST_FURNITURE:
        return set()
    return {int(found[1]) for found in (_AT_START.match(line), _AT_END.search(line)) if found}
