"""The bookmarks of a PDF as headings in its text, where a line of the page says the same words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pypdf import PdfReader

_MOST = 5_000
_MOST_DEPTH = 6
_MOST_TITLE = 150
_NUMBERING = re.compile(r"(?:chapter|appendix|part|section|kapitel)?[0-9ivxlc]{0,8}[a-z]?[0-9]{0,4}")

Headings = dict[int, list[tuple[int, str]]]


def headings(reader: PdfReader) -> Headings:
    """By page, from 0: (level, title) of each bookmark, in their order. Those of a damaged outline are none."""
    from pypdf.errors import PyPdfError

    found: Headings = {}
    try:
        waiting: list[tuple[int, Any]] = [(1, each) for each in reversed(reader.outline)]
        n_seen = 0
        while waiting and n_seen < _MOST:
            level, each = waiting.pop()
            n_seen += 1
            if isinstance(each, list):
                waiting += [(min(level + 1, _MOST_DEPTH), inner) for inner in reversed(each)]
                continue
            page = reader.get_destination_page_number(each)
            title = " ".join(str(each.title or "").split())
            if page is not None and page >= 0 and 0 < len(title) <= _MOST_TITLE:
                found.setdefault(page, []).append((level, title))
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        return {}
    return found


def with_headings(page: str, marks: Sequence[tuple[int, str]]) -> str:
    """The page with a heading in place of each line, or two, that a bookmark names."""
    lines = page.splitlines()
    at = 0
    for level, title in marks:
        wanted = _squeezed(title)
        for start in range(at, len(lines)):
            n_lines = next((n for n in (1, 2) if _is(lines[start : start + n], wanted)), 0)
            if n_lines:
                said = " ".join(line.strip() for line in lines[start : start + n_lines]).lstrip("\\# ")
                lines[start : start + n_lines] = ["", f"{'#' * level} {said}", ""]
                at = start + 3
                break
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")


def _is(lines: Sequence[str], wanted: str) -> bool:
    """Whether these lines are the title, perhaps behind the number of the section."""
    said = _squeezed(" ".join(lines))
    return bool(wanted) and said.endswith(wanted) and _NUMBERING.fullmatch(said.removesuffix(wanted)) is not None


def _squeezed(text: str) -> str:
    """Letters and digits alone: a PDF's text has other spaces and signs than its outline."""
    return "".join(filter(str.isalnum, text.casefold()))
