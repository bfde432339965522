"""How the library is told to a page: shelves, sources, documents, passages, and its errors. Decides nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from chatbot.errors import LibraryFailed
from rag.again import digest_of
from rag.errors import DocumentRefused, EmbedderAway, LibraryBroken, RagError, SourceFailed, UnknownShelf

if TYPE_CHECKING:
    from rag.documents import Document, Passage
    from rag.library import Kept, Progress, Source
    from rag.shelves import Shelf

Body = dict[str, Any]

WINDOW_CHARS = 60_000  # of a document, that a page gets at once
_LINE_CHARS = 1_000  # so far is looked for the beginning of a line
_STATUS: tuple[tuple[type[RagError], int], ...] = (
    (UnknownShelf, 404),
    (DocumentRefused, 415),
    (SourceFailed, 502),
    (EmbedderAway, 503),
    (LibraryBroken, 507),
    (RagError, 400),
)


def as_chat_error(why: RagError) -> LibraryFailed:
    """An error of the library, as clients get it: its own message and code, and a status."""
    made = LibraryFailed(why.message, why.code)
    made.status = next(status for kind, status in _STATUS if isinstance(why, kind))
    return made


def source_wire(source: Source, progress: Progress | None, *, is_running: bool) -> Body:
    """A source, and how far its run is. One that waits for its turn is told as running."""
    return {
        "id": source.id,
        "kind": source.kind,
        "address": source.address,
        "options": dict(source.options),
        "state": "running" if is_running else source.state,
        "refreshed_at": source.refreshed_at,
        "n_documents": source.n_documents,
        "n_failures": source.n_failures,
        "problem": "" if is_running else source.problem,
        "progress": asdict(progress) if progress else None,
    }


def shelf_wire(shelf: Shelf, names: Mapping[str, str], sources: Sequence[Body] = (), called: str = "") -> Body:
    """A shelf with its sources. names: of users, by their ids; called: the name that means it alone, if not its own."""
    return {
        "id": shelf.id,
        "name": shelf.name,
        "called": called or shelf.name,
        "earlier": list(shelf.earlier),
        "is_shared": shelf.is_shared,
        "is_own": shelf.is_own,
        "owner": names.get(shelf.owner_id, ""),
        "n_documents": shelf.n_documents,
        "n_chunks": shelf.n_chunks,
        "sources": list(sources),
    }


def kept_wire(kept: Kept, link: str) -> Body:
    """A document in the list of its shelf."""
    return {
        "id": kept.id,
        "title": kept.title,
        "uri": kept.uri,
        "kind": kept.kind,
        "n_chars": kept.n_chars,
        "n_chunks": kept.n_chunks,
        "added_at": kept.added_at,
        "link": link,
    }


def passage_wire(n: int, passage: Passage, link: str, *, is_enough: bool) -> Body:
    """What a search found. is_enough: an answer would be tried with it."""
    return {
        "n": n,
        "document_id": passage.document_id,
        "shelf": passage.shelf,
        "title": passage.title,
        "uri": passage.uri,
        "link": link,
        "headings": list(passage.headings),
        "page": passage.page,
        "start": passage.start,
        "end": passage.end,
        "text": passage.text,
        "digest": digest_of(passage.text),
        "score": round(passage.score, 4),
        "cosine": None if passage.cosine is None else round(passage.cosine, 4),
        "words": round(passage.words, 4),
        "is_enough": is_enough,
    }


def document_wire(
    document_id: int,
    document: Document,
    shelf: Shelf,
    link: str,
    wanted: tuple[int | None, int | None],
    passage: tuple[int, int] | None,
) -> Body:
    """A document with as much of its text as a page gets at once, around what is wanted of it.

    passage: where that stands now, None where it is no longer there.
    """
    begin = _begin(document.text, wanted)
    text = document.text[begin : begin + WINDOW_CHARS]
    pages = [[at, n] for n, at in enumerate(document.pages, 1) if begin <= at < begin + len(text)]
    page = max((n for n, at in enumerate(document.pages, 1) if at <= begin), default=None)
    about = {
        "id": document_id,
        "title": document.title,
        "uri": document.uri,
        "link": link,
        "kind": document.kind,
        "shelf": shelf.name,
        "shelf_id": shelf.id,
        "is_own": shelf.is_own,
        "n_chars": len(document.text),
        "page": page,
    }
    return {"document": about, "from": begin, "text": text, "pages": pages, "passage": passage}


def _begin(text: str, wanted: tuple[int | None, int | None]) -> int:
    """Where the part begins: at start, or, where an end is given too, so that both stand in its middle and it begins
    at the beginning of a line, where one is near."""
    start, end = wanted
    if start is None or (end is not None and len(text) <= WINDOW_CHARS):
        return 0
    start = min(start, len(text))
    if end is None:
        return start
    end = min(max(start, end), start + WINDOW_CHARS // 2)
    begin = max(0, min((start + end - WINDOW_CHARS) // 2, len(text) - WINDOW_CHARS))
    line = text.find("\n", begin - 1, begin + _LINE_CHARS) if begin else -1
    return begin if line < 0 else line + 1
