"""The text of a PDF, page by page, without what most pages repeat. Runs in the child process alone.

pypdf may take long over a hostile file.
"""

from __future__ import annotations

import io
import logging
import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rag.extract.decode import clean
from rag.extract.limits import MAX_CHARS, MAX_PAGES, Unreadable
from rag.extract.marked import unheaded
from rag.extract.outline import headings, with_headings
from rag.extract.spaces import mend
from rag.sources import Readable

if TYPE_CHECKING:
    from pypdf import PdfReader

_EDGE = 3  # lines at the top and at the bottom that may be repeated
_LEAST_PAGES = 3
_LEAST_SHARE = 0.4  # left and right pages often have lines of their own
_LIGATURES = str.maketrans({"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "\xad": ""})
_HYPHEN = re.compile(r"(?<=[a-zà-öø-ÿ])-\n(?=[a-zà-öø-ÿ])")
_AT_START, _AT_END = re.compile(r"\D{0,9}(\d{1,4})(?!\d)"), re.compile(r"(?<!\d)(\d{1,4})\D{0,3}$")
_MOST_FURNITURE = 120
_NUMBER = re.compile(r"\d+|\b[ivxlc]+\b", re.IGNORECASE)


def read(data: bytes, *, is_whole: bool = False) -> Readable:
    """Its pages. is_whole: each with its number before it. Raises Unreadable with the reason, to stand after a name."""
    import pypdf
    from pypdf.errors import PyPdfError

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    mend()
    try:
        reader = pypdf.PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not _opens(reader):
            raise Unreadable("is encrypted: save a copy without a password and add that")
        n_pages = len(reader.pages)
        if n_pages > MAX_PAGES:
            raise Unreadable(f"has {n_pages:,} pages, and {MAX_PAGES:,} are the most: split it")
        pages, title, marks = _pages(reader, n_pages), _title(reader), headings(reader)
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, IndexError) as why:
        # pypdf meets broken objects as whatever Python makes of them
        raise Unreadable("is a damaged PDF: open it in a viewer, print it into a new file and add that") from why
    if not any(pages):
        raise Unreadable("has no text, its pages are pictures: run a text recognition (OCR) over it and add the result")
    kept = [_HYPHEN.sub("", page) for page in without_repeats(pages)]
    kept = kept if is_whole else [unheaded(page) for page in kept]
    return _joined([with_headings(page, marks.get(at, ())) for at, page in enumerate(kept)], title, is_whole=is_whole)


def without_repeats(pages: Sequence[str]) -> list[str]:
    """The pages without the lines at their edges that most of them have: titles, footers, numbers of pages."""
    split = [page.splitlines() for page in pages]
    least = max(_LEAST_PAGES, round(sum(1 for lines in split if lines) * _LEAST_SHARE))
    shapes: Counter[str] = Counter()
    offsets: Counter[int] = Counter()
    for number, lines in enumerate(split):
        shapes.update({_shape(lines[at]) for at in _edges(lines)})
        offsets.update({said - number for at in _outer(lines) for said in _numbers(lines[at])})
    common = {shape for shape, n in shapes.items() if n >= least}
    offset, n_numbered = offsets.most_common(1)[0] if offsets else (0, 0)
    kept = []
    for number, lines in enumerate(split):
        own = number + offset if n_numbered >= least else None
        kept.append("\n".join(_inner(lines, common, own)).strip())
    return kept if any(kept) else list(pages)  # pages that are all alike


def _inner(lines: list[str], common: set[str], number: int | None) -> list[str]:
    """The lines between the first and the last that are not repeated. number: of the page, as it is printed."""
    outer = _outer(lines) if number is not None else set()

    def is_repeated(at: int) -> bool:
        line = lines[at]
        return not line.strip() or _shape(line) in common or (at in outer and number in _numbers(line))

    start, end = 0, len(lines)
    while start < min(_EDGE, end) and is_repeated(start):
        start += 1
    while end > max(start, len(lines) - _EDGE) and is_repeated(end - 1):
        end -= 1
    return lines[start:end]


def _outer(lines: list[str]) -> set[int]:
    return {0, len(lines) - 1} if lines else set()


def _numbers(line: str) -> set[int]:
    """The number that a short line begins or ends with, as one does that counts the pages."""
    if len(line) > _MOST_FURNITURE:
        return set()
    return {int(found[1]) for found in (_AT_START.match(line), _AT_END.search(line)) if found}


def _edges(lines: list[str]) -> set[int]:
    n_lines = len(lines)
    return {*range(min(_EDGE, n_lines)), *range(max(0, n_lines - _EDGE), n_lines)}


def _shape(line: str) -> str:
    """A line without its numbers, which count the pages."""
    return _NUMBER.sub("0", " ".join(line.split()))


def _joined(pages: Sequence[str], title: str, *, is_whole: bool) -> Readable:
    """One text, and where in it each page begins."""
    parts: list[str] = []
    starts: list[int] = []
    at = 0
    for number, page in enumerate(pages, 1):
        text = page
        if is_whole:
            text = f"[page {number}]\n{page}" if page else f"[page {number}: no text, perhaps a picture]"
        starts.append(at)
        if text:
            parts.append(text)
            at += len(text) + 2
    text = "\n\n".join(parts)
    return Readable(text, "pdf", title, tuple(min(start, max(0, len(text) - 1)) for start in starts))


def _pages(reader: PdfReader, n_pages: int) -> list[str]:
    pages: list[str] = []
    n_chars = 0
    for number, page in enumerate(reader.pages, 1):
        text = clean(page.extract_text()).translate(_LIGATURES).strip()
        n_chars += len(text)
        if n_chars > MAX_CHARS:
            raise Unreadable(f"holds more than {MAX_CHARS:,} characters up to page {number:,} of {n_pages:,}: split it")
        pages.append("\n".join(line.rstrip() for line in text.splitlines()))
    return pages


def _opens(reader: PdfReader) -> bool:
    """Whether the empty password opens it, as with files that only forbid printing."""
    from pypdf.errors import DependencyError

    try:
        return bool(reader.decrypt(""))
    except DependencyError:  # AES needs a package that is not worth its size here
        return False


def _title(reader: PdfReader) -> str:
    from pypdf.errors import PyPdfError

    try:
        title = str(reader.metadata.get("/Title") or "") if reader.metadata else ""
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError):
        return ""
    return clean(" ".join(title.split()))[:200]
