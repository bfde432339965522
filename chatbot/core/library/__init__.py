"""The library of documents for both chats: opened when somebody asks it, so that a chat without one pays nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from chatbot.errors import LibraryFailed
from chatbot.settings import ChatSettings

if TYPE_CHECKING:
    from rag.embed import HttpEmbedder
    from rag.library import Library
    from rag.shelves import Shelf

People = Callable[[], Mapping[str, str]]


class Door:
    """The way to one library file, which is opened at the first open(). Safe to use from several threads."""

    def __init__(self, settings: ChatSettings, path: Path, *, people: People = dict, is_kept: bool = True) -> None:
        """people: names of users by their ids; is_kept: False where nothing of a conversation shall be written to the
        file."""
        self._settings, self.path, self.people, self.is_kept = settings, path, people, is_kept
        self._lock = threading.Lock()
        self._library: Library | None = None

    @property
    def is_open(self) -> bool:
        """Whether somebody has asked the library."""
        return self._library is not None

    def is_there(self) -> bool:
        """Whether there is a library: nobody has made one, nothing has to be opened."""
        return self._library is not None or self.path.exists()

    def open(self) -> Library:
        """The library, made where there is none. Raises LibraryFailed."""
        with self._lock:
            if self._library is None:
                self._library = self._opened()
            return self._library

    def shelves(self, owner_id: str) -> list[Shelf]:
        """The shelves that a user may read, each with the name that means it alone. Raises LibraryFailed."""
        from chatbot.core.library.names import called

        return called(self.open().index.shelves(owner_id), self.people())

    def close(self) -> None:
        """Close it if it is open."""
        with self._lock:
            library, self._library = self._library, None
        if library is not None:
            library.close()

    def _opened(self) -> Library:
        from chatbot.core.sources import for_library
        from rag.database import MEMORY
        from rag.errors import RagError
        from rag.extract import read
        from rag.library import Library

        path = self.path if self.is_kept or self.path.exists() else MEMORY
        try:
            return Library(path, embedder_of(self._settings), read=read, fetch=for_library(self._settings))
        except RagError as why:
            raise LibraryFailed(why.message, why.code) from why


def embedder_of(settings: ChatSettings) -> HttpEmbedder:
    """Who makes the library's embeddings."""
    from rag.embed import HttpEmbedder

    url = settings.embedding_url or settings.url
    key = settings.api_key if url == settings.url else ""  # the model server's key is for that server alone
    return HttpEmbedder(url, key, settings.embedding_model)


def open_library(settings: ChatSettings, database: Path, *, people: People = dict, is_kept: bool = True) -> Door:
    """The library beside a chat database; nothing is opened yet."""
    return Door(settings, database.with_name("library.db"), people=people, is_kept=is_kept)
