"""One model's vectors in memory, brought up to date from the index: which chunks are nearest to a question, exactly."""

from __future__ import annotations

import threading
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rag.database import Database

Vector = NDArray[np.float32]

_AT_ONCE = 2_000  # vectors read under one lock


@dataclass(frozen=True)
class Rows:
    """All vectors of a model, one a row, with the chunk and the shelf of each; chunk_ids ascend."""

    chunk_ids: NDArray[np.int64]
    shelf_ids: NDArray[np.int64]
    matrix: NDArray[np.float32]

    def scores(self, query: Vector, shelf_ids: Collection[int]) -> NDArray[np.float32]:
        """The cosine of each row with a query of length one; -1 for rows of other shelves."""
        if not len(self.chunk_ids):
            return np.zeros(0, np.float32)
        found = self.matrix @ query
        wanted = np.isin(self.shelf_ids, list(shelf_ids))
        return np.where(wanted, found, np.float32(-1))

    def rows_of(self, chunk_ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """The row of each chunk, -1 for one without a vector."""
        if not len(self.chunk_ids):
            return np.full(len(chunk_ids), -1, np.int64)
        at = np.minimum(np.searchsorted(self.chunk_ids, chunk_ids), len(self.chunk_ids) - 1)
        return np.where(self.chunk_ids[at] == chunk_ids, at, -1).astype(np.int64)


def best(scores: NDArray[np.float32], n_most: int) -> NDArray[np.int64]:
    """The rows with the highest scores, best first, without those of other shelves."""
    n_kept = min(n_most, len(scores))
    if not n_kept:
        return np.zeros(0, np.int64)
    found = np.argpartition(-scores, n_kept - 1)[:n_kept]
    ordered = found[np.argsort(-scores[found], kind="stable")]
    return ordered[scores[ordered] > -1].astype(np.int64)


class VectorStore:
    """The vectors of one model. Safe to use from several threads; a search sees all that was committed before it."""

    def __init__(self, database: Database, model: str) -> None:
        self._database, self._model = database, model
        self._lock = threading.Lock()
        self._rows: Rows | None = None
        self._seen: tuple[int, int] | None = None

    def rows(self) -> Rows:
        """The vectors as the file has them now. What is here already is not read again."""
        with self._lock:
            seen = self._state()
            if self._rows is None or seen != self._seen:
                self._rows = self._read(self._rows)
                self._seen = seen
            return self._rows

    def _state(self) -> tuple[int, int]:
        """Changes when anybody writes to the file: another process, or this connection."""
        with self._database.reading() as db:
            return int(db.execute("PRAGMA data_version").fetchone()[0]), db.total_changes

    def _read(self, old: Rows | None) -> Rows:
        query = """SELECT v.chunk_id, d.shelf_id FROM vectors v JOIN models m ON m.id = v.model_id AND m.name = ?
            JOIN chunks c ON c.id = v.chunk_id JOIN documents d ON d.id = c.document_id ORDER BY v.chunk_id"""
        with self._database.reading() as db:
            row = db.execute("SELECT id, n_dims FROM models WHERE name = ?", (self._model,)).fetchone()
            listed = np.array(db.execute(query, (self._model,)).fetchall(), np.int64).reshape(-1, 2)
        model_id, n_dims = row or (0, 0)
        ids = listed[:, 0]
        matrix = np.zeros((len(ids), n_dims), np.float32)
        known = np.full(len(ids), -1, np.int64)
        if old is not None and old.matrix.shape[1] == n_dims:
            known = old.rows_of(ids)
            matrix[known >= 0] = old.matrix[known[known >= 0]]
        fresh = np.flatnonzero(known < 0)
        for at in range(0, len(fresh), _AT_ONCE):
            part = fresh[at : at + _AT_ONCE]
            self._fill(matrix, part, ids, model_id)
        return Rows(ids, listed[:, 1], matrix)

    def _fill(
        self, matrix: NDArray[np.float32], part: NDArray[np.int64], ids: NDArray[np.int64], model_id: int
    ) -> None:
        """Read the vectors of these rows. One that went meanwhile stays zero, and is nearest to nothing."""
        first, last = int(ids[part[0]]), int(ids[part[-1]])
        query = "SELECT chunk_id, vector FROM vectors WHERE model_id = ? AND chunk_id BETWEEN ? AND ?"
        wanted = {int(ids[row]): int(row) for row in part}
        with self._database.reading() as db:
            for chunk_id, blob in db.execute(query, (model_id, first, last)):
                if chunk_id in wanted:
                    matrix[wanted[chunk_id]] = np.frombuffer(blob, "<f4")
