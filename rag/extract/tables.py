"""Tables, JSON and notebooks as lines that speak for themselves: each value stands behind its name. Pure.

A search finds a row by what is in it, and a model that sees it alone knows what each value means.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any

from rag.extract.limits import MAX_CHARS, Unreadable
from rag.extract.marked import unheaded
from rag.sources import Readable

_PART = 50  # rows under a heading
_SAMPLE_ROWS = 30
_SAMPLE_CHARS = 100_000
_MOST_NAMES = 60
_LINE = 1_200  # characters that a nested value may have to stand in one line
_SHORT = 300
_HEADING = 100
_OUTPUT = 2_000
_DATA = re.compile(
    r"[-+]?[\d.,\s%€$£]*\d[\d.,\s%€$£]*|\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}.*|true|false|null|na|n/a", re.IGNORECASE
)


def table(text: str) -> Readable:
    """CSV, or what is separated by semicolons, tabs or bars. Raises Unreadable."""
    csv.field_size_limit(MAX_CHARS)
    try:
        rows = list(_rows(text, _delimiter(text[:_SAMPLE_CHARS])))
    except csv.Error as why:
        raise Unreadable(f"is a damaged table: {why}. Save it again as CSV") from why
    if not rows:
        raise Unreadable("is empty")
    width = Counter(map(len, rows[:_SAMPLE_ROWS])).most_common(1)[0][0]
    before: list[str] = []
    while len(rows) > 1 and width > 1 and rows[0][0] and not any(rows[0][1:]):  # a title over the table
        before.append(unheaded(rows.pop(0)[0]))
    names = _names(rows)
    if names:
        rows = rows[1:]
    else:
        names = [f"column {number}" for number in range(1, width + 1)]
    names += [f"column {number}" for number in range(len(names) + 1, max(map(len, rows), default=0) + 1)]
    lines = (_row(names, row) for row in rows)
    return Readable(_text([*before, _overview(len(rows), names)], _parts(lines, len(rows), "Rows")), "table")


def json_text(text: str, kind: str, *, is_whole: bool = False) -> Readable:
    """JSON, JSON Lines, or a notebook; what is none of them stays as it is. is_whole: so does JSON."""
    try:
        value = _parsed(text)
        if kind == "notebook" and isinstance(value, dict) and isinstance(value.get("cells"), list):
            return _notebook(value)
        return Readable(text if is_whole else _text(_blocks(value, 1)).strip() or text, "json")
    except (ValueError, RecursionError):
        return Readable(text.strip("\n"), "json")


def _delimiter(text: str) -> str:
    """The sign that cuts the first rows into the same number of cells."""
    best, most = ",", (0.0, 0)
    for mark in ",;\t|":
        try:
            widths = [len(row) for row in islice(_rows(text, mark), _SAMPLE_ROWS)]
        except csv.Error:
            continue
        if not widths:
            continue
        width, n_same = Counter(widths).most_common(1)[0]
        rank = (round(n_same / len(widths), 1), width)
        if width > 1 and rank > most:
            best, most = mark, rank
    return best


def _rows(text: str, mark: str) -> Iterator[list[str]]:
    for row in csv.reader(io.StringIO(text, newline=""), delimiter=mark):
        cells = [_flat(cell) for cell in row]
        if any(cells):
            yield cells


def _names(rows: Sequence[Sequence[str]]) -> list[str]:
    """The names of the columns, if the first row holds names: no numbers, no gaps, none twice."""
    first = [name.lstrip("#").strip() for name in rows[0]]
    filled = [name for name in first if name]
    is_head = len(rows) > 1 and len(filled) >= max(1, len(first) - 1) and len({*filled}) == len(filled)
    if not is_head or any(_DATA.fullmatch(name) or len(name) > _SHORT for name in filled):
        return []
    return [name or f"column {number}" for number, name in enumerate(first, 1)]


def _overview(n_rows: int, names: Sequence[str]) -> str:
    rest = len(names) - _MOST_NAMES
    more = f" and {rest:,} more" if rest > 0 else ""
    return f"{n_rows:,} row{'s' * (n_rows != 1)}. Columns: {', '.join(names[:_MOST_NAMES])}{more}."


def _row(names: Sequence[str], row: Sequence[str]) -> str:
    return "; ".join(f"{name}: {cell}" for name, cell in zip(names, row, strict=False) if cell)


def _parts(lines: Iterable[str], n_lines: int, what: str, level: int = 2) -> Iterator[str]:
    """Many lines under a heading each part."""
    for at, line in enumerate(lines):
        if n_lines > _PART and at % _PART == 0:
            yield f"{'#' * min(level, 6)} {what} {at + 1:,} to {min(n_lines, at + _PART):,}"
        yield line


def _parsed(text: str) -> Any:
    """The value; of JSON Lines a list. Numbers stay as they are written. Raises ValueError."""
    try:
        return json.loads(text, parse_int=str, parse_float=str)
    except ValueError:
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) < 2:
            raise
        return [json.loads(line, parse_int=str, parse_float=str) for line in lines]


def _blocks(value: Any, level: int) -> Iterator[str]:
    """A value as paragraphs: what is short in lines, what is long below a heading with its name."""
    if isinstance(value, dict):
        yield from _object(value, level)
    elif isinstance(value, list):
        lines = [_line(each) for each in value]
        if all(not isinstance(each, dict | list) for each in value):
            yield "\n".join(f"- {line}" for line in lines if line)
        elif max(map(len, lines), default=0) <= _LINE:
            lines = list(filter(None, lines))
            yield from _parts(lines, len(lines), "Items", level)
        else:
            for number, each in enumerate(value, 1):
                yield f"{'#' * min(level, 6)} Item {number:,}"
                yield from _blocks(each, level + 1)
    else:
        yield unheaded(_scalar(value))


def _object(value: dict[str, Any], level: int) -> Iterator[str]:
    short: list[str] = []
    long: list[tuple[str, Any]] = []
    for name, each in value.items():
        line = _line(each)
        is_long = len(line) > _SHORT or (isinstance(each, str) and "\n" in each.strip())
        if is_long:
            long.append((name, each))
        elif line:
            short.append(f"{_name(name)}: {line}")
    if short:
        yield "\n".join(short)
    for name, each in long:
        yield f"{'#' * min(level, 6)} {_name(name)[:_HEADING]}"
        yield from _blocks(each, level + 1)


def _line(value: Any, path: str = "") -> str:
    """A value in one line, the names of what is in it joined by points."""
    if isinstance(value, dict):
        parts = []
        for name, each in value.items():
            inner = f"{path}.{_name(name)}" if path else _name(name)
            said = _line(each, inner)
            if said:
                parts.append(said if isinstance(each, dict) and each else f"{inner}: {said}")
        return "; ".join(parts)
    if isinstance(value, list):
        return ", ".join(filter(None, (f"({_line(e)})" if isinstance(e, dict) else _line(e) for e in value)))
    return _flat(_scalar(value))


def _scalar(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _name(name: str) -> str:
    return _flat(name).lstrip("#").strip() or "value"


def _notebook(value: dict[str, Any]) -> Readable:
    """The cells of a notebook in their order, with what they printed."""
    about = value.get("metadata") if isinstance(value.get("metadata"), dict) else {}
    language = str(((about or {}).get("language_info") or {}).get("name") or "python")
    blocks: list[str] = []
    for cell in value["cells"]:
        if not isinstance(cell, dict):
            continue
        source = _joined(cell.get("source")).strip("\n")
        if cell.get("cell_type") == "code":
            blocks += [_fenced(source, language), *(_fenced(each, "") for each in _outputs(cell))]
        else:
            blocks.append(source)
    text = _text(filter(None, blocks))
    if not text:
        raise Unreadable("is a notebook without text")
    found = re.search(r"^#[ \t]+(.+)$", text, re.MULTILINE) if text.startswith("#") else None
    return Readable(text, "markdown", found[1].strip()[:200] if found else "")


def _outputs(cell: dict[str, Any]) -> Iterator[str]:
    for each in cell.get("outputs") or []:
        if isinstance(each, dict):
            data = each.get("data") if isinstance(each.get("data"), dict) else {}
            yield _joined(each.get("text") or (data or {}).get("text/plain"))[:_OUTPUT].strip("\n")


def _joined(source: Any) -> str:
    return "".join(map(str, source)) if isinstance(source, list) else str(source or "")


def _fenced(code: str, language: str) -> str:
    longest = max(map(len, re.findall(r"`{3,}", code)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{code}\n{fence}" if code.strip() else ""


def _text(*blocks: Iterable[str]) -> str:
    """The blocks as one text. Raises Unreadable when that is too long."""
    parts: list[str] = []
    n_chars = 0
    for block in chain(*blocks):
        n_chars += len(block) + 2
        if n_chars > MAX_CHARS:
            raise Unreadable(f"holds more than {MAX_CHARS:,} characters with its names: split it")
        parts.append(block)
    return "\n\n".join(filter(None, parts))


def _flat(text: str) -> str:
    return " ".join(text.split())
