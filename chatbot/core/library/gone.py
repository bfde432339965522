"""Take away what the library keeps of files whose chats are gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatbot.errors import LibraryFailed
from rag.errors import RagError

if TYPE_CHECKING:
    from chatbot.core.library import Door
    from chatbot.core.store import Store

_FILE = "chat:"


def sweep(store: Store, door: Door) -> int:
    """Forget the texts of files that no chat has any more; how many. Where there is no library it opens nothing.

    Raises LibraryFailed, StorageError.
    """
    if not door.is_there():
        return 0
    library = door.open()
    try:
        kept = {uri.removeprefix(_FILE): each for each, uri in library.hidden_documents() if uri.startswith(_FILE)}
        there = store.files_there(list(kept))
        gone = [document_id for file_id, document_id in kept.items() if file_id not in there]
        if gone:
            library.forget(gone)
    except RagError as why:
        raise LibraryFailed(why.message, why.code) from why
    return len(gone)
