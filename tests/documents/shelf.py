"""What the library's tests share: an embedder of words, documents, a shelf of them."""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from rag import probe
from rag.chunk import chunk
from rag.documents import Document
from rag.errors import EmbedderAway, TextTooLong
from rag.shelves import Shelves
from rag.tokens import estimate

N_DIMS = 64


class WordEmbedder:
    """Texts with the same words are near each other. Keeps what it was asked, and how often to show who it is."""

    def __init__(self, model: str = "words", max_tokens: int = 10_000, n_dims: int = N_DIMS) -> None:
        self.model, self.max_tokens, self.n_dims = model, max_tokens, n_dims
        self.weights = model  # another model may come under the same name
        self.asked: list[str] = []
        self.n_probes = 0
        self.is_away = False

    def embed(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        if self.is_away:
            raise EmbedderAway("nobody answers")
        if any(estimate(text) > self.max_tokens for text in texts):
            raise TextTooLong("too long")
        self.asked += [text for text in texts if text != probe.TEXT]
        self.n_probes += probe.TEXT in texts
        return [self.vector(text) for text in texts]

    def vector(self, text: str) -> NDArray[np.float32]:
        made = np.full(self.n_dims, 1e-3, np.float32)
        for word in re.findall(r"\w+", text.lower()):
            made[int(hashlib.sha256(f"{self.weights} {word}".encode()).hexdigest(), 16) % self.n_dims] += 1
        return made / np.float32(np.linalg.norm(made))


def document(uri: str, text: str, title: str = "", pages: tuple[int, ...] = ()) -> Document:
    return Document(uri, title or uri, text, "markdown", hashlib.sha256(text.encode()).hexdigest(), pages)


def library(folder: Path) -> Shelves:
    return Shelves(folder / "library.db")


def put(index: Shelves, shelf_id: int, new: Document, embedder: WordEmbedder | None = None) -> int:
    """Add a document with its vectors, as ingest does."""
    chunks = chunk(new.text, new.title)
    made = {embedder.model: [embedder.vector(each.told(new.text, new.title)) for each in chunks]} if embedder else None
    return index.put(shelf_id, new, chunks, made)


def is_sound(index: Shelves) -> bool:
    """Whether the file and its index of words are whole."""
    with index.reading() as db:
        db.execute("INSERT INTO chunk_index (chunk_index, rank) VALUES ('integrity-check', 1)")
        return bool(db.execute("PRAGMA integrity_check").fetchone()[0] == "ok")


class _Full:
    """A connection whose changes no disk takes."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def execute(self, query: str, *values: Any) -> sqlite3.Cursor:
        if query == "COMMIT":
            raise sqlite3.OperationalError("database or disk is full")
        return self._db.execute(query, *values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)


@contextmanager
def full_disk(index: Shelves) -> Iterator[None]:
    """Meanwhile nothing can be written."""
    plain = index._db
    index._db = cast(sqlite3.Connection, _Full(plain))
    try:
        yield
    finally:
        index._db = plain
