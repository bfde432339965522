"""Read the rows of a table: what each says of its thing, column by column. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from rag.said import Said, Word, said, together

_COLUMN = re.compile(r"\s*([^:;|]{1,60}):\s+(\S.*)?", re.DOTALL)
_LINE = re.compile(r"\s*\|[\s:|-]*-[\s:|-]*$")
_CELL = re.compile(r"(?<!\\)\|")
_MOST_CHARS = 1_000
_LEAST_FIELDS = 2


@dataclass(frozen=True)
class Field:
    """What stands in one column of a row."""

    column: Said
    value: Said
    whole: Said

    def is_named_by(self, claim: Said) -> bool:
        """Whether a claim has all words of the column's name."""
        named = self.column
        return not named.is_empty and all(map(claim.has, named.words)) and named.musts <= claim.musts

    def is_touched_by(self, claim: Said) -> bool:
        """Whether a claim has any word of the column's name."""
        return any(map(claim.has, self.column.words)) or bool(self.column.musts & claim.musts)

    def is_said_by(self, claim: Said) -> bool:
        """Whether a claim has something of the value, or there is nothing to have."""
        value = self.value
        has_number = any(each.is_in(value.numbers) for each in claim.numbers)
        return value.is_empty or has_number or bool(value.musts & claim.musts) or any(map(claim.has, value.words))


def is_row(text: str) -> bool:
    """Whether a line is a row, as "name: Anna; phone: 111"."""
    return text.lstrip().startswith("|") or len(_named(text[:_MOST_CHARS])) >= _LEAST_FIELDS


def with_columns(lines: Sequence[str]) -> Iterator[tuple[str, Sequence[tuple[str, str]]]]:
    """Each line with its columns and their values; none for a line that is no row."""
    header: Sequence[str] = ()
    for n, line in enumerate(lines):
        if not line.lstrip().startswith("|"):
            header = ()
            yield line, _named(line[:_MOST_CHARS]) if is_row(line) else ()
            continue
        if n + 1 < len(lines) and _LINE.match(lines[n + 1][:_MOST_CHARS]):
            header = _cells(line)
        cells = _cells(line)
        yield line, [(header[at] if at < len(header) else "", cell) for at, cell in enumerate(cells)]


def fields(columns: Sequence[tuple[str, str]], *, is_german: bool) -> list[Field]:
    """What a row says."""
    made: list[Field] = []
    for name, text in columns:
        value = said(text, is_in_german=is_german)
        value.words = [replace(word, is_thing=True) for word in value.words]
        whole = said(f"{name} {text}", is_in_german=is_german)
        value.numbers = whole.numbers  # "Year 2020" is a year
        value.bare, value.doers = [], []
        made.append(Field(said(name, is_in_german=is_german), value, whole))
    return made


def whole(row: Sequence[Field]) -> Said:
    """All that a row says."""
    return together([part for each in row for part in (each.column, each.value)])


def agrees(claim: Said, row: Sequence[Field], absent: Sequence[Word]) -> list[Said] | None:
    """What of a row says a claim, column by column; None where another column or another thing is meant. absent: the
    words of the claim that the row has not."""
    used = [each for each in row if each.is_named_by(claim) or (not each.value.is_empty and each.is_said_by(claim))]
    said_of = [each for each in used if each.is_said_by(claim)]
    if not said_of or any(each not in said_of for each in used if each is not row[0] or each.value.numbers):
        return None  # the value of a column that it names is another; of the first it may be left out
    for number in claim.numbers:
        having = [each for each in said_of if number.is_in(each.value.numbers)]
        is_time = any(other.is_year and number.is_said_by(other) for each in having for other in each.value.numbers)
        is_named = is_time or any(each.is_touched_by(claim) for each in having)
        if not is_named and _is_one_of_several(row, having, claim):
            return None
    left = [word for each in row for word in each.value.words if not claim.has(word)]
    if left and any(word.is_thing for word in absent):
        return None
    return [each.whole for each in said_of]


def _is_one_of_several(row: Sequence[Field], having: Sequence[Field], claim: Said) -> bool:
    """Whether another column has a number too that the one might be mistaken for."""
    units = {number.unit for each in having for number in each.value.numbers}
    return any(
        number.unit in units | {""} and not number.is_year and not number.is_in(claim.numbers)
        for each in row
        if each not in having
        for number in each.value.numbers
    )


def _named(text: str) -> list[tuple[str, str]]:
    """The columns of a row as a table of values is written: each with its name and a colon."""
    made: list[tuple[str, str]] = []
    for piece in text.split("; "):
        found = _COLUMN.match(piece)
        if found:
            made.append((found[1].strip(), found[2] or ""))
        elif made:
            made[-1] = (made[-1][0], f"{made[-1][1]}; {piece}")
        else:
            return []
    return made


def _cells(line: str) -> list[str]:
    return [each.strip() for each in _CELL.split(line[:_MOST_CHARS].strip().strip("|"))]
