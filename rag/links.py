"""Where a document can be opened outside: the address of a page, or a file of a repository at its commit and line."""

from __future__ import annotations

from rag.documents import Document


def link_of(document: Document, start: int | None = None) -> str:
    """The address, at a character of the text; empty for what lies on one machine alone."""
    link = document.meta.get("link", "")
    if not link.startswith(("https://", "http://")):
        return ""
    if start is not None and (first := document.meta.get("first_line")):
        return f"{link}#L{int(first) + document.text.count(chr(10), 0, start)}"
    return link
