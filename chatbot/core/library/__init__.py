"""The library of documents for both chats: opened when somebody asks it, so that a chat without one pays nothing."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from chatbot.errors import LibraryFailed
from chatbot.settings import ChatSettings

if TYPE_CHECKING:
    from rag.embed import HttpEmbedder
    from rag.library import Library


class Door:
    """The way to one library file, which is opened at the first open(). Safe to use from several threads."""

    def __init__(self, settings: ChatSettings, path: Path, *, is_kept: bool = True) -> None:
        """is_kept: False where nothing of a conversation shall be written to the file."""
        self._settings, self.path, self.is_kept = settings, path, is_kept
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


def open_library(settings: ChatSettings, database: Path, *, is_kept: bool = True) -> Door:
    """The library beside a chat database; nothing is opened yet."""
    return Door(settings, database.with_name("library.db"), is_kept=is_kept)
