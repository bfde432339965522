"""The text of a PDF, page by page, without what most pages repeat. Runs in the child process alone.

pypdf may take long over a hostile file.
"""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Sequence, Set
from typing import TYPE_CHECKING

from rag.extract.decode import clean
from rag.extract.hyphens import without_cuts
from rag.extract.limits import MAX_CHARS, MAX_PAGES, Unreadable
from rag.extract.marked import unheaded
from rag.extract.outline import headings, with_headings
from rag.extract.repeats import without_repeats
from rag.extract.spaces import mend
from rag.sources import Readable

if TYPE_CHECKING:
    from pypdf import PageObject, PdfReader

_LIGATURES = str.maketrans({"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "\xad": ""})
_DRAWN = re.compile(rb"(?:^|\s)(?:Do|EI|sh|[fFsSbB]\*?)(?=\s|$)")  # what paints a picture or a shape


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
        pictures = {at for at, page in enumerate(pages) if not page and (is_whole or _is_drawn(reader.pages[at]))}
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, IndexError) as why:
        # pypdf meets broken objects as whatever Python makes of them
        raise Unreadable("is a damaged PDF: open it in a viewer, print it into a new file and add that") from why
    if not any(pages):
        raise Unreadable("has no text, its pages are pictures: run a text recognition (OCR) over it and add the result")
    kept = without_cuts(without_repeats(pages))
    kept = kept if is_whole else [unheaded(page) for page in kept]
    kept = [with_headings(page, marks.get(at, ())) for at, page in enumerate(kept)]
    if is_whole:
        kept = [page if at in pictures else f"[page {at + 1}]\n{page}" for at, page in enumerate(kept)]
    return _joined(_with_pictures(kept, pictures), title)


def _with_pictures(pages: list[str], pictures: Set[int]) -> list[str]:
    """The pages, and on the first of those in a row that have no text what may be there."""
    made = list(pages)
    for at in sorted(pictures):
        if at - 1 not in pictures:
            last = next(each for each in range(at, len(pages) + 1) if each + 1 not in pictures)
            named = f"page {at + 1}" if last == at else f"pages {at + 1:,} to {last + 1:,}"
            made[at] = f"[{named}: no text, perhaps {'a picture' if last == at else 'pictures'}]"
    return made


def _joined(pages: Sequence[str], title: str) -> Readable:
    """One text, and where in it each page begins."""
    parts: list[str] = []
    starts: list[int] = []
    at = 0
    for page in pages:
        starts.append(at)
        if page:
            parts.append(page)
            at += len(page) + 2
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


def _is_drawn(page: PageObject) -> bool:
    """Whether something is painted on a page without text: a scan, or letters as shapes."""
    content = page.get_contents()
    return content is not None and _DRAWN.search(content.get_data()) is not None


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
