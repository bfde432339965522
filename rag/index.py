"""Keep documents, chunks, words and vectors in one file; each document comes, changes and goes in one transaction.

Knows neither where documents come from nor who makes vectors.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag.database import Connection
from rag.documents import Chunk, Document, Passage, page_of
from rag.errors import UnknownShelf
from rag.listing import Listing, index_words, unindex

Vector = NDArray[np.float32]


@dataclass(frozen=True)
class Told:
    """A chunk without a vector of some model, and what is to be embedded of it."""

    chunk_id: int
    text: str


class Index(Listing):
    """The documents of all shelves. must_fill: whether a model was found to make other vectors than it did, so that all
    are to be made anew."""

    must_fill = False

    def put(
        self,
        shelf_id: int,
        document: Document,
        chunks: Sequence[Chunk],
        vectors: Mapping[str, Sequence[Vector | None]] | None = None,
        source_id: int | None = None,
    ) -> int:
        """Keep a document, in place of the one that the shelf has under the same uri; its id.

        vectors: by the model's name, one of length one for each chunk. A chunk without one is found by its words until
        set_vectors brings it. Raises UnknownShelf.
        """
        with self.writing() as db:
            _need_shelf(db, shelf_id)
            document_id = _write_document(db, shelf_id, document, source_id)
            rows = [
                (document_id, place, c.start, c.end, c.lead, json.dumps(c.headings), c.n_tokens)
                for place, c in enumerate(chunks)
            ]
            db.executemany(
                "INSERT INTO chunks (document_id, place, start, stop, lead, headings, n_tokens)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
            index_words(db, document_id)
            chunk_ids = _chunk_ids(db, document_id)
            for model, given in (vectors or {}).items():
                self._write_vectors(db, model, chunk_ids, given)
            return document_id

    def chunks(self, document_id: int) -> list[Chunk]:
        """The chunks of a document in their order."""
        query = "SELECT start, stop, lead, headings, n_tokens FROM chunks WHERE document_id = ? ORDER BY place"
        with self.reading() as db:
            return [_chunk(row) for row in db.execute(query, (document_id,))]

    def chunk_ids(self, document_id: int) -> list[int]:
        """The ids of a document's chunks in their order."""
        with self.reading() as db:
            return _chunk_ids(db, document_id)

    def vectors_by_text(self, shelf_id: int, uri: str, model: str) -> dict[str, Vector]:
        """The vectors that a document's chunks have, by what was embedded: what did not change keeps its vector."""
        query = """SELECT c.start, c.stop, c.lead, c.headings, c.n_tokens, v.vector, d.title,
                CASE WHEN c.place = 0 THEN d.text END  -- once: it may be very long
            FROM documents d JOIN chunks c ON c.document_id = d.id
            LEFT JOIN vectors v ON v.chunk_id = c.id AND v.model_id = (SELECT id FROM models WHERE name = ?)
            WHERE d.shelf_id = ? AND d.uri = ? AND d.deleted_at IS NULL ORDER BY c.place"""
        with self.reading() as db:
            rows = db.execute(query, (model, shelf_id, uri)).fetchall()
        title, text = rows[0][6:] if rows else ("", "")
        return {_chunk(row[:5]).told(text, title): np.frombuffer(row[5], "<f4") for row in rows if row[5]}

    def without_vectors(self, model: str, limit: int, after: int = 0) -> list[Told]:
        """Chunks that have no vector of this model yet, in the order in which they came, after one of them."""
        query = """SELECT c.document_id, c.id, c.start, c.stop, c.lead, c.headings, c.n_tokens FROM chunks c
            WHERE c.id > ? AND NOT EXISTS (
                SELECT 1 FROM vectors v JOIN models m ON m.id = v.model_id WHERE v.chunk_id = c.id AND m.name = ?
            ) ORDER BY c.id LIMIT ?"""
        told: list[Told] = []
        with self.reading() as db:
            rows = db.execute(query, (after, model, limit)).fetchall()
            for document_id, chunks in groupby(rows, itemgetter(0)):  # one text at a time: some are very long
                found = db.execute("SELECT text, title FROM documents WHERE id = ?", (document_id,)).fetchone()
                told += [Told(each[1], _chunk(each[2:]).told(*found)) for each in chunks if found]
        return told

    def lacks_vectors(self, model: str, shelf_id: int) -> bool:
        """Whether a chunk of this shelf has no vector of this model."""
        query = """SELECT EXISTS (SELECT 1 FROM documents d JOIN chunks c ON c.document_id = d.id
            WHERE d.shelf_id = ? AND d.deleted_at IS NULL AND NOT EXISTS (
                SELECT 1 FROM vectors v JOIN models m ON m.id = v.model_id WHERE v.chunk_id = c.id AND m.name = ?
            ))"""
        with self.reading() as db:
            return bool(db.execute(query, (shelf_id, model)).fetchone()[0])

    def set_vectors(self, model: str, chunk_ids: Sequence[int], vectors: Sequence[Vector]) -> None:
        """Keep vectors of a model. Those of chunks that are gone meanwhile are left out."""
        with self.writing() as db:
            rows = db.execute("SELECT id FROM chunks WHERE id IN (SELECT value FROM json_each(?))", (_ids(chunk_ids),))
            there = {row[0] for row in rows}
            kept = [(i, v) for i, v in zip(chunk_ids, vectors, strict=True) if i in there]
            self._write_vectors(db, model, [i for i, _ in kept], [v for _, v in kept])

    def parts(self, chunk_ids: Sequence[int]) -> list[Passage | None]:
        """The chunks of these ids as passages without a score, None for one that is gone."""
        query = """SELECT c.id, d.id, s.name, d.uri, d.title, c.headings, substr(d.text, c.start + 1, c.stop - c.start),
            c.start, c.stop, d.pages FROM chunks c JOIN documents d ON d.id = c.document_id
            JOIN shelves s ON s.id = d.shelf_id WHERE c.id IN (SELECT value FROM json_each(?))"""
        with self.reading() as db:
            found = {row[0]: _passage(row[1:]) for row in db.execute(query, (_ids(chunk_ids),))}
        return [found.get(chunk_id) for chunk_id in chunk_ids]

    def n_vectors(self, model: str) -> tuple[int, int]:
        """(chunks that have a vector of this model, all chunks)."""
        # By the index that has no vectors in it: 60 times as quick.
        query = """SELECT (SELECT count(*) FROM vectors INDEXED BY vectors_of_chunk
            WHERE model_id = (SELECT id FROM models WHERE name = ?)), (SELECT count(*) FROM chunks)"""
        with self.reading() as db:
            n_done, n_all = db.execute(query, (model,)).fetchone()
        return n_done, n_all

    def n_vectors_on(self, model: str, shelf_ids: Collection[int]) -> tuple[int, int]:
        """The same for the documents of these shelves alone."""
        query = """SELECT coalesce(sum(EXISTS (SELECT 1 FROM vectors INDEXED BY vectors_of_chunk
                WHERE chunk_id = c.id AND model_id = (SELECT id FROM models WHERE name = ?))), 0), count(*)
            FROM documents d JOIN chunks c ON c.document_id = d.id
            WHERE d.shelf_id IN (SELECT value FROM json_each(?)) AND d.deleted_at IS NULL"""
        with self.reading() as db:
            n_done, n_all = db.execute(query, (model, _ids(shelf_ids))).fetchone()
        return n_done, n_all

    def n_dims(self, model: str) -> int | None:
        """How long the vectors of this model are; None while there are none."""
        with self.reading() as db:
            row = db.execute("SELECT n_dims FROM models WHERE name = ?", (model,)).fetchone()
        return row[0] if row else None

    def forget_vectors(self, model: str) -> None:
        """Forget the vectors of this model, and what was measured of it."""
        with self.writing() as db:
            _forget_vectors(db, model)

    def models(self) -> list[str]:
        """The models of which there are vectors, the one that searches first, and whether it was chosen."""
        with self.reading() as db:
            chosen = db.execute("SELECT value FROM state WHERE name = 'model'").fetchone()
            names = [row[0] for row in db.execute("SELECT name FROM models ORDER BY id")]
        return sorted(names, key=lambda name: not (chosen and name == chosen[0]))

    def choose_model(self, model: str) -> None:
        """Search with the vectors of this model, and forget those of all others."""
        with self.writing() as db:
            db.execute("INSERT OR REPLACE INTO state (name, value) VALUES ('model', ?)", (model,))
            db.execute("DELETE FROM models WHERE name <> ?", (model,))

    def _write_vectors(
        self, db: Connection, model: str, chunk_ids: Sequence[int], given: Sequence[Vector | None]
    ) -> None:
        """Vectors of chunks, None for one that waits for its own. Of another length they are another model's under the
        same name: nobody can ask the old ones any more, and they go. Where some are as long as the old ones, as those
        that a document kept, the others are left out."""
        if len(chunk_ids) != len(given):
            raise ValueError(f"{len(given)} vectors for {len(chunk_ids)} chunks")
        rows = [(chunk_id, vector) for chunk_id, vector in zip(chunk_ids, given, strict=True) if vector is not None]
        if not rows:
            return
        lengths = {len(vector) for _, vector in rows}
        row = db.execute("SELECT n_dims FROM models WHERE name = ?", (model,)).fetchone()
        n_dims = row[0] if row and row[0] in lengths else len(rows[-1][1])
        if row and row[0] != n_dims:
            _forget_vectors(db, model)
            self.must_fill = True
        db.execute("INSERT OR IGNORE INTO models (name, n_dims) VALUES (?, ?)", (model, n_dims))
        (model_id,) = db.execute("SELECT id FROM models WHERE name = ?", (model,)).fetchone()
        db.executemany(
            "INSERT OR REPLACE INTO vectors (model_id, chunk_id, vector) VALUES (?, ?, ?)",
            [(model_id, i, np.asarray(vector, "<f4").tobytes()) for i, vector in rows if len(vector) == n_dims],
        )


def _need_shelf(db: Connection, shelf_id: int) -> None:
    if db.execute("SELECT 1 FROM shelves WHERE id = ? AND deleted_at IS NULL", (shelf_id,)).fetchone() is None:
        raise UnknownShelf("this shelf is no longer in the library")


def _write_document(db: Connection, shelf_id: int, new: Document, source_id: int | None) -> int:
    """Insert or replace; what a replaced one had of chunks, words and vectors goes."""
    query = "SELECT id FROM documents WHERE shelf_id = ? AND uri = ? AND deleted_at IS NULL"
    row = db.execute(query, (shelf_id, new.uri)).fetchone()
    text = _storable(new.text)
    values = (
        *(source_id, _storable(new.title), new.kind, new.sha256, len(text), len(text.encode()), time.time()),
        *(json.dumps(dict(new.meta)), json.dumps(new.pages), text),
    )
    if row is None:
        made = db.execute(
            "INSERT INTO documents (source_id, title, kind, sha256, n_chars, n_bytes, added_at, meta, pages, text,"
            " shelf_id, uri) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*values, shelf_id, new.uri),
        )
        return int(made.lastrowid or 0)
    document_id = int(row[0])
    unindex(db, document_id)
    db.execute("DELETE FROM chunks WHERE document_id = ?", (document_id,))
    db.execute(
        "UPDATE documents SET source_id = ?, title = ?, kind = ?, sha256 = ?, n_chars = ?, n_bytes = ?, added_at = ?,"
        " meta = ?, pages = ?, text = ? WHERE id = ?",
        (*values, document_id),
    )
    return document_id


def _storable(text: str) -> str:
    """The text, as long as it was, without what SQLite cannot keep or would end it at."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def _forget_vectors(db: Connection, model: str) -> None:
    db.execute("DELETE FROM models WHERE name = ?", (model,))
    db.execute("DELETE FROM state WHERE name IN (?, ?)", (f"scale of {model}", f"probe of {model}"))


def _chunk_ids(db: Connection, document_id: int) -> list[int]:
    query = "SELECT id FROM chunks WHERE document_id = ? ORDER BY place"
    return [row[0] for row in db.execute(query, (document_id,))]


def _chunk(row: Sequence[Any]) -> Chunk:
    start, stop, lead, headings, n_tokens = row
    return Chunk(start, stop, lead, tuple(json.loads(headings)), n_tokens)


def _passage(row: Sequence[Any]) -> Passage:
    document_id, shelf, uri, title, headings, text, start, stop, pages = row
    page = page_of(tuple(json.loads(pages)), start)
    return Passage(document_id, shelf, uri, title, tuple(json.loads(headings)), text, start, stop, 0.0, page)


def _ids(numbers: Iterable[int]) -> str:
    return json.dumps(list(numbers))
