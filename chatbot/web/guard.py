"""Nobody reaches what is another's: ids in what a page sends are looked at before anything is done with them.

An id that is not the user's own is replaced by one that nothing has. What follows is then the same, whether somebody
else has such a thing or nobody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chatbot.core.accounts import User
from chatbot.core.store import Store
from chatbot.web.parse import ID_CHARS
from rag.errors import UnknownShelf

if TYPE_CHECKING:
    from chatbot.web.library_room import LibraryRoom
    from rag.documents import Document
    from rag.library import Library, Source
    from rag.shelves import Shelf

# No id that the store makes: these are hexadecimal.
NOTHING = "-"
NO_SHELF = "this shelf is no longer in the library, or is not yours"
NO_SOURCE = "this source is no longer in the library, or is not yours"
NO_DOCUMENT = "this document is no longer in the library, or is not yours"
# What the ids in a body's fields are of.
FIELDS = {
    "chat_id": "chats",
    "chat_ids": "chats",
    "answer_id": "messages",
    "message_id": "messages",
    "parent": "messages",
    "files": "files",
    "file_id": "files",
}


def own_only(store: Store, user: User, body: dict[str, Any]) -> dict[str, Any]:
    """The body with nobody else's ids in it. What is no id is left for the handler to refuse."""
    found = dict(body)
    for field, kind in FIELDS.items():
        value = body.get(field)
        if isinstance(value, str):
            found[field] = _own(store, user, kind, [value])[0]
        elif isinstance(value, list) and all(isinstance(each, str) for each in value):
            found[field] = _own(store, user, kind, value)
    return found


def own(store: Store, user: User, kind: str, wanted: str) -> str:
    """An id of a route, or one that nothing has."""
    return _own(store, user, kind, [wanted])[0]


def _own(store: Store, user: User, kind: str, ids: list[str]) -> list[str]:
    """The ids; one that is none by its length is left as it is, for the handler to refuse."""
    theirs = store.owned(user.id, kind, ids)
    return [each if each in theirs or not 0 < len(each) <= ID_CHARS else NOTHING for each in ids]


def readable_shelf(room: LibraryRoom, user: User, shelf_id: int) -> tuple[Library, Shelf]:
    """A shelf that this user may read. Raises UnknownShelf."""
    library = _library(room, NO_SHELF)
    return library, library.index.readable(user.id, shelf_id)


def own_shelf(room: LibraryRoom, user: User, shelf_id: int) -> tuple[Library, Shelf]:
    """A shelf that this user may change. Raises UnknownShelf."""
    library = _library(room, NO_SHELF)
    return library, library.index.own(user.id, shelf_id)


def readable_source(room: LibraryRoom, user: User, source_id: int) -> tuple[Library, Source]:
    """A source of a shelf that this user may read. Raises UnknownShelf."""
    library = _library(room, NO_SOURCE)
    try:
        source = library.source(source_id)
        library.index.readable(user.id, source.shelf_id)
    except UnknownShelf:
        raise UnknownShelf(NO_SOURCE) from None
    return library, source


def own_source(room: LibraryRoom, user: User, source_id: int) -> Source:
    """A source of a shelf that this user may change. Raises UnknownShelf."""
    library, source = readable_source(room, user, source_id)
    try:
        library.index.own(user.id, source.shelf_id)
    except UnknownShelf:
        raise UnknownShelf(NO_SOURCE) from None
    return source


def readable_document(room: LibraryRoom, user: User, document_id: int) -> tuple[Library, Shelf, Document]:
    """A document on a shelf that this user may read. Raises UnknownShelf."""
    library = _library(room, NO_DOCUMENT)
    try:
        shelf_id, document = library.document(user.id, document_id)
        return library, library.index.readable(user.id, shelf_id), document
    except UnknownShelf:
        raise UnknownShelf(NO_DOCUMENT) from None


def _library(room: LibraryRoom, problem: str) -> Library:
    library = room.if_there()
    if library is None:
        raise UnknownShelf(problem)
    return library
