"""The text of a PDF, page by page. Runs in the child process alone: pypdf may take long over a hostile file."""

from __future__ import annotations

import io
import logging
from typing import TYPE_CHECKING

from rag.extract.limits import MAX_CHARS, MAX_PAGES, Unreadable

if TYPE_CHECKING:
    from pypdf import PdfReader


def read(data: bytes) -> tuple[str, str]:
    """(text, title). Raises Unreadable with the reason, to stand after the file's name."""
    import pypdf
    from pypdf.errors import PyPdfError

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    try:
        reader = pypdf.PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not _opens(reader):
            raise Unreadable("is encrypted: save a copy without a password and add that")
        n_pages = len(reader.pages)
        if n_pages > MAX_PAGES:
            raise Unreadable(f"has {n_pages:,} pages, and {MAX_PAGES:,} are the most: split it")
        return _text(reader, n_pages), _title(reader)
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, IndexError) as why:
        # pypdf meets broken objects as whatever Python makes of them
        raise Unreadable("is a damaged PDF: open it in a viewer, print it into a new file and add that") from why


def _text(reader: PdfReader, n_pages: int) -> str:
    parts, n_chars, n_empty = [], 0, 0
    for number, page in enumerate(reader.pages, 1):
        text = page.extract_text().strip()
        n_empty += not text
        n_chars += len(text)
        if n_chars > MAX_CHARS:
            raise Unreadable(f"holds more than {MAX_CHARS:,} characters up to page {number:,} of {n_pages:,}: split it")
        parts.append(f"[page {number}]\n{text}" if text else f"[page {number}: no text, perhaps a picture]")
    if n_empty == n_pages:
        raise Unreadable("has no text, its pages are pictures: run a text recognition (OCR) over it and add the result")
    return "\n\n".join(parts)


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
        return " ".join(str(reader.metadata.get("/Title") or "").split())[:200] if reader.metadata else ""
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError):
        return ""
