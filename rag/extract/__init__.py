"""From a file's bytes to its text. The child process reads what is more than plain text; nothing here fetches."""

from __future__ import annotations

from rag.errors import DocumentEmpty, DocumentRefused
from rag.extract.limits import PAGE, Unreadable
from rag.extract.sitemap import PageList, parsed
from rag.sources import Readable


def read(name: str, data: bytes, *, content_type: str = "", url: str = "") -> Readable:
    """A file as a search finds it: tables and JSON as lines with their names, links without their addresses.

    name, content_type: how it is read; the bytes count more. Raises DocumentRefused, its reason without the name.
    """
    from rag.extract.reading import read_as

    if not data or data.isspace():
        raise DocumentEmpty("is empty")
    try:
        return read_as(name, data, content_type=content_type, url=url)
    except Unreadable as why:
        raise DocumentRefused(why.reason, why.links) from why


def listed(data: bytes) -> PageList:
    """What a sitemap names, packed or not; of a damaged one what can be read, which says so. Raises DocumentRefused."""
    from rag.extract.bounded import READERS

    try:
        found = READERS.read("sitemap", data, "", "", PAGE)
    except Unreadable as why:
        raise DocumentRefused(why.reason) from why
    return parsed(found.text)


def searchable(text: str, kind: str) -> str:
    """A text that was kept as it is, as read gives it: a table or JSON with its names, all else unchanged."""
    names = {"table": "a.csv", "json": "a.json"}
    return read(names[kind], text.encode("utf-8", "replace")).text if kind in names else text
