"""Decide who reads a file: plain text is decoded here, all that needs a parser goes to the child process."""

from __future__ import annotations

import re

from rag.extract.bounded import READERS
from rag.extract.decode import NotText, decode
from rag.extract.kinds import kind_of, picture, refusal
from rag.extract.limits import DOCUMENT, MAX_BYTES, MAX_CHARS, PAGE, Unreadable
from rag.extract.marked import marked
from rag.sources import Readable

_KNOWN = "PDF, DOCX, web pages, tables as CSV, JSON and files of text can be read"
_BYTES_A_CHAR = 4  # at most, in all encodings that are known here


def read_as(name: str, data: bytes, *, content_type: str = "", url: str = "", is_whole: bool = False) -> Readable:
    """A file as text. Raises Unreadable with the reason, to stand after the file's name.

    is_whole: for a model that gets all of it: tables and JSON as they are, links with their addresses, pages marked.
    Else it is for a search, where each part has to speak for itself.
    """
    if len(data) > MAX_BYTES:
        raise Unreadable(f"has {len(data) / 1e6:,.1f} MB, and {MAX_BYTES / 1e6:,.0f} MB are the most: split it")
    if reason := picture(data) or refusal(data):
        raise Unreadable(reason)
    media_type, charset = media(content_type)
    kind = kind_of(name, data, media_type)
    if kind in {"pdf", "zip", "page", "notebook"} or (kind in {"table", "json"} and not is_whole):
        bounds = PAGE if kind == "page" else DOCUMENT
        return READERS.read(kind, data, charset, url, bounds, is_whole=is_whole)
    if len(data) > _BYTES_A_CHAR * MAX_CHARS:
        raise Unreadable(f"holds more than {MAX_CHARS:,} characters, the most: split it")
    try:
        text = decode(data, charset)
    except NotText as why:
        raise Unreadable(f"is no text: {_KNOWN}") from why
    if len(text) > MAX_CHARS:
        raise Unreadable(f"holds {len(text):,} characters, and {MAX_CHARS:,} are the most: split it")
    if not text.strip():
        raise Unreadable("is empty")
    return Readable(text.strip("\n"), kind) if is_whole else marked(name, text.rstrip(), kind)


def media(content_type: str) -> tuple[str, str]:
    """(type, charset) of a Content-Type header, in small letters, each empty when it is not there."""
    kind, _, rest = content_type.partition(";")
    charset = re.search(r"charset\s*=\s*[\"']?([A-Za-z0-9_-]{1,20})", rest)
    return kind.strip().lower(), charset[1].lower() if charset else ""
