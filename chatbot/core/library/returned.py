"""Sources of chats that come from a file: the same passage here, where this library has it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from chatbot.core.transfer.values import ImportedChat, Skipped
from chatbot.errors import LibraryFailed
from rag.again import found_again
from rag.errors import RagError

if TYPE_CHECKING:
    from chatbot.core.library import Door


def relinked(found: Iterable[ImportedChat | Skipped], door: Door, owner_id: str) -> Iterator[ImportedChat | Skipped]:
    """The chats of a file. Each source whose document this user may read here, with the same passage, leads to it."""
    for each in found:
        if isinstance(each, ImportedChat) and any(_sources(message.meta) for message in each.messages):
            messages = (replace(message, meta=_meta(message.meta, door, owner_id)) for message in each.messages)
            yield replace(each, messages=tuple(messages))
        else:
            yield each


def _sources(meta: Mapping[str, Any]) -> list[dict[str, Any]]:
    return list(meta.get("library", {}).get("sources", []))


def _meta(meta: Mapping[str, Any], door: Door, owner_id: str) -> dict[str, Any]:
    sources = _sources(meta)
    if not sources or not door.is_there():
        return dict(meta)
    try:
        linked = [{**each, "document_id": _document(each, door, owner_id)} for each in sources]
    except (LibraryFailed, RagError):  # the chats come in without
        return dict(meta)
    return {**meta, "library": {**meta["library"], "sources": linked}}


def _document(source: Mapping[str, Any], door: Door, owner_id: str) -> int:
    """The document that has the same place and the same passage, by its digest; 0 where there is none."""
    library = door.open()
    for shelf in library.index.shelves(owner_id) if source["uri"] and source["digest"] else ():
        for kept in library.documents(shelf.id, text=source["uri"]):
            text = library.document(owner_id, kept.id)[1].text if kept.uri == source["uri"] else ""
            if text and found_again(text, source["start"], source["end"], source["text"], source["digest"]):
                return kept.id
    return 0
