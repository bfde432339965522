"""All chunks in memory with one model's vectors, brought up to date from the index: which are nearest to a question,
exactly."""

from __future__ import annotations

import threading
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rag.database import Database

Vector = NDArray[np.float32]

_AT_ONCE = 2_000  # vectors read under one lock
_CHUNKS = """SELECT c.id, c.document_id, d.shelf_id, c.n_tokens, v.chunk_id IS NOT NULL FROM chunks c
    JOIN documents d ON d.id = c.document_id LEFT JOIN vectors v ON v.model_id = ? AND v.chunk_id = c.id
    WHERE d.deleted_at IS NULL ORDER BY c.id"""


@dataclass(frozen=True)
class Rows:
    """All chunks, one a row: its document, its shelf, its size, and its vector, which is zero where has_vector says
    that there is none yet. chunk_ids ascend."""

    chunk_ids: NDArray[np.int64]
    document_ids: NDArray[np.int64]
    shelf_ids: NDArray[np.int64]
    n_tokens: NDArray[np.float32]
    has_vector: NDArray[np.bool_]
    matrix: NDArray[np.float32]

    def wanted(self, shelf_ids: Collection[int], document_ids: Collection[int] | None = None) -> NDArray[np.bool_]:
        """The rows on these shelves, and where documents are named, of these documents."""
        found = np.zeros(len(self.shelf_ids), np.bool_)
        for shelf_id in set(shelf_ids):  # few: quicker than isin
            found |= self.shelf_ids == shelf_id
        if document_ids is not None:
            found &= np.isin(self.document_ids, list(document_ids))
        return found

    def rows_of(self, chunk_ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """The row of each chunk, -1 for one that is not here."""
        if not len(self.chunk_ids):
            return np.full(len(chunk_ids), -1, np.int64)
        at = np.minimum(np.searchsorted(self.chunk_ids, chunk_ids), len(self.chunk_ids) - 1)
        return np.where(self.chunk_ids[at] == chunk_ids, at, -1).astype(np.int64)


def best(scores: NDArray[np.float32], n_most: int) -> NDArray[np.int64]:
    """The rows with the highest scores, best first; none that has minus infinity."""
    n_kept = min(n_most, len(scores))
    if not n_kept:
        return np.zeros(0, np.int64)
    found = np.sort(np.argpartition(-scores, n_kept - 1)[:n_kept])
    ordered = found[np.argsort(-scores[found], kind="stable")]
    return ordered[np.isfinite(scores[ordered])].astype(np.int64)


class VectorStore:
    """The chunks with the vectors of one model. Safe to use from several threads; a search sees all that was committed
    before it.

    A vector that was read is not read again: where all are made anew under the model's name, begin another store.
    """

    def __init__(self, database: Database, model: str) -> None:
        self._database, self.model = database, model
        self._lock = threading.Lock()
        self._rows: Rows | None = None
        self._seen: tuple[int, int] | None = None

    def rows(self) -> Rows:
        """The chunks as the file has them now. What is here already is not read again."""
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
        with self._database.reading() as db:
            row = db.execute("SELECT id, n_dims FROM models WHERE name = ?", (self.model,)).fetchone()
            model_id, n_dims = row or (0, 0)
            listed = np.array(db.execute(_CHUNKS, (model_id,)).fetchall(), np.int64).reshape(-1, 5)
        ids, has_vector = listed[:, 0].copy(), listed[:, 4] > 0
        matrix = np.zeros((len(ids), n_dims), np.float32)
        known = np.full(len(ids), -1, np.int64)
        if old is not None and old.matrix.shape[1] == n_dims:
            known = old.rows_of(ids)
            known[known >= 0] = np.where(old.has_vector[known[known >= 0]], known[known >= 0], -1)
            matrix[known >= 0] = old.matrix[known[known >= 0]]
        fresh = np.flatnonzero((known < 0) & has_vector)
        for at in range(0, len(fresh), _AT_ONCE):
            self._fill(matrix, fresh[at : at + _AT_ONCE], ids, model_id)
        return Rows(ids, listed[:, 1].copy(), listed[:, 2].copy(), listed[:, 3].astype(np.float32), has_vector, matrix)

    def _fill(
        self, matrix: NDArray[np.float32], part: NDArray[np.int64], ids: NDArray[np.int64], model_id: int
    ) -> None:
        """Read the vectors of these rows. One that is gone meanwhile, or longer, stays zero, nearest to nothing."""
        first, last = int(ids[part[0]]), int(ids[part[-1]])
        query = "SELECT chunk_id, vector FROM vectors WHERE model_id = ? AND chunk_id BETWEEN ? AND ?"
        wanted = {int(ids[row]): int(row) for row in part}
        with self._database.reading() as db:
            for chunk_id, blob in db.execute(query, (model_id, first, last)):
                if chunk_id in wanted and len(blob) == 4 * matrix.shape[1]:
                    matrix[wanted[chunk_id]] = np.frombuffer(blob, "<f4")
