"""Find the passages that answer a question: by words and by vectors, weighed together, and whether they do at all."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rag import words
from rag.documents import Passage
from rag.embed import Embedder
from rag.index import Index
from rag.vectors import Rows, Vector, VectorStore, best

_CANDIDATES = 60  # of each list
_TWIN_COSINE = 0.985  # two chunks this near say the same


@dataclass(frozen=True)
class Weights:
    """How the two lists are weighed: a chunk's score is its cosine with the question plus so much of its share of the
    best BM25 score."""

    words: float = 0.15


@dataclass(frozen=True)
class Candidate:
    """A chunk that a search found. cosine is None while it has no vector; words is its share of the best BM25 score."""

    chunk_id: int
    score: float
    cosine: float | None
    words: float


def merge(
    near: Sequence[tuple[int, float]], told: Sequence[tuple[int, float]], cosines: Mapping[int, float], weights: Weights
) -> list[Candidate]:
    """Weigh two lists together, best first. near: (chunk, cosine); told: (chunk, BM25); cosines: of the told ones.

    A chunk without a vector has the mean cosine of the others, so that its words decide.
    """
    most = max((score for _, score in told), default=0.0) or 1.0
    shares = {chunk_id: score / most for chunk_id, score in told}
    known = {**dict(near), **cosines}
    middle = float(np.mean([value for _, value in near])) if near else 0.0
    found = [
        Candidate(
            chunk_id,
            known.get(chunk_id, middle) + weights.words * shares.get(chunk_id, 0.0),
            known.get(chunk_id),
            shares.get(chunk_id, 0.0),
        )
        for chunk_id in dict.fromkeys([*(i for i, _ in near), *shares])
    ]
    return sorted(found, key=lambda each: -each.score)


class Search:
    """Searches of one library with one embedding model."""

    def __init__(self, index: Index, embedder: Embedder, weights: Weights | None = None) -> None:
        self._index, self._embedder = index, embedder
        self._weights = weights or Weights()
        self._stores: dict[str, VectorStore] = {}

    def passages(self, question: str, shelf_ids: Collection[int], n_most: int = 5) -> list[Passage]:
        """The passages that fit a question best, best first; neighbours are one passage. Raises EmbedderAway."""
        found = self.candidates(question, shelf_ids)
        return read(self._index, self._without_twins(found, 2 * n_most))[:n_most]

    def candidates(self, question: str, shelf_ids: Collection[int]) -> list[Candidate]:
        """All chunks that were looked at, with their scores."""
        told = words.find(self._index, question, shelf_ids, _CANDIDATES)
        rows = self._rows()
        if not len(rows.chunk_ids):
            return merge([], told, {}, self._weights)
        return self._weighed(self._embedder.embed([question])[0], told, rows, shelf_ids)

    def _weighed(
        self, query: Vector, told: Sequence[tuple[int, float]], rows: Rows, shelf_ids: Collection[int]
    ) -> list[Candidate]:
        scores = rows.scores(query, shelf_ids)
        nearest = best(scores, _CANDIDATES)
        near = [(int(rows.chunk_ids[row]), float(scores[row])) for row in nearest]
        told_rows = rows.rows_of(np.array([chunk_id for chunk_id, _ in told], np.int64))
        cosines = {chunk_id: float(scores[row]) for (chunk_id, _), row in zip(told, told_rows, strict=True) if row >= 0}
        return merge(near, told, cosines, self._weights)

    def _without_twins(self, found: Sequence[Candidate], n_most: int) -> list[Candidate]:
        """The best ones, without those that say what a better one says."""
        rows = self._rows()
        at = rows.rows_of(np.array([each.chunk_id for each in found], np.int64))
        kept: list[Candidate] = []
        vectors: list[NDArray[np.float32]] = []
        for each, row in zip(found, at, strict=True):
            vector = rows.matrix[row] if row >= 0 else None
            if vector is not None:
                if any(float(vector @ other) > _TWIN_COSINE for other in vectors):
                    continue
                vectors.append(vector)
            kept.append(each)
            if len(kept) == n_most:
                break
        return kept

    def _rows(self) -> Rows:
        model = next(iter(self._index.models()), self._embedder.model)
        return self._stores.setdefault(model, VectorStore(self._index, model)).rows()


def read(index: Index, found: Sequence[Candidate]) -> list[Passage]:
    """The passages of chunks; chunks that follow each other in a document are one, at the place of the better one."""
    made: list[Passage] = []
    for each, part in zip(found, index.parts([each.chunk_id for each in found]), strict=True):
        if part is None:  # gone meanwhile
            continue
        passage = replace(part, score=each.score)
        near = next((i for i, other in enumerate(made) if _touches(other, passage)), None)
        if near is None:
            made.append(passage)
        else:
            made[near] = _joined(made[near], passage)
    return made


def _touches(one: Passage, other: Passage) -> bool:
    return one.document_id == other.document_id and (one.end == other.start or other.end == one.start)


def _joined(better: Passage, other: Passage) -> Passage:
    """Both as one, which stands where the first of them begins."""
    first, last = sorted((better, other), key=lambda each: each.start)
    return replace(
        better,
        text=first.text + last.text,
        start=first.start,
        end=last.end,
        page=first.page,
        headings=first.headings if first.headings == last.headings else better.headings,
    )
