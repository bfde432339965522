"""Find the passages that answer a question: by words and by vectors, weighed together, and whether they do at all."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rag import gate, probe
from rag.documents import Passage, joined, overlap, place
from rag.embed import Embedder, Server
from rag.errors import EmbedderAway, LibraryBroken
from rag.index import Index
from rag.nearness import Nearness
from rag.vectors import Rows, Vector, VectorStore, best
from rag.words import Words, codes, has_code, last_codes

Mask = NDArray[np.bool_]

_CANDIDATES = 60
_RERANKED = 20
_RERANKED_CHARS = 1_600  # of each: rerankers read 512 tokens
_CHUNKS_A_PASSAGE = 3  # at most, in the mean: neighbours are joined
_JOINED_CHARS = 2_400  # more is no longer a place that a link can point to
_LIKENESS = 0.1  # of the cosine with a better one: what a chunk loses
_OTHER_CODE = 0.1  # in spreads: so far below the gate is at most what speaks of another error or model
_TWIN_COSINE = 0.985  # two chunks this near say the same


@dataclass(frozen=True)
class Weights:
    """How vectors and words are weighed: a chunk's score is so much of its cosine with the question plus so much of its
    share of the question's words, where one is what parts related from unrelated texts in the model's cosines.
    docs/decisions/0011-index.md says where the numbers are from."""

    words: float = 0.8
    cosine: float = 1.0


@dataclass(frozen=True)
class Candidate:
    """A chunk that a search found. cosine is None while it has no vector; words is its share of the question's."""

    chunk_id: int
    score: float
    cosine: float | None
    words: float


def weigh(cosines: Vector, wanted: Mask, has_vector: Mask, shares: Vector, words: float) -> Vector:
    """The score of each chunk that is wanted. One without a vector gets the mean cosine of the best, so that its words
    decide."""
    found: Vector = np.float32(words) * shares
    waits = np.flatnonzero(wanted & ~has_vector)
    if len(waits):
        near = cosines[wanted & has_vector]
        middle = np.float32(np.partition(near, -min(_CANDIDATES, len(near)))[-_CANDIDATES:].mean())
        cosines = cosines.copy()
        cosines[waits] = np.where(shares[waits] > 0, middle, -np.inf)
    found += cosines
    found[~wanted] = -np.inf
    return found


@dataclass(frozen=True)
class _Seen:
    """What a search looks at: the chunks, with the vectors of a model, and who makes a question's; None for nobody.
    probe: what is kept to know the model by."""

    rows: Rows
    model: str
    embedder: Embedder | None
    probe: str


class Search:
    """Searches of one library with one embedding model."""

    def __init__(self, index: Index, embedder: Embedder, weights: Weights | None = None) -> None:
        self._index, self._embedder = index, embedder
        self._weights = weights or Weights()
        self._words = Words(index)
        self._store: tuple[str, str, VectorStore] = "", "", VectorStore(index, "")  # with the same two as the nearness
        self._other: Embedder | None = None  # the embedder of before, while its vectors search
        self._nearness: tuple[str, str, Nearness] = "", "", Nearness()  # with the model, and what it is known by
        self._scales: dict[tuple[str, str], gate.Scale] = {}  # by the model, and what it is known by
        self._proved: dict[str, str] = {}  # what each model was known by when it was seen to be the same

    def passages(
        self,
        question: str,
        shelf_ids: Collection[int],
        n_most: int = 5,
        document_ids: Collection[int] | None = None,
        min_score: float = -math.inf,
    ) -> list[Passage]:
        """The passages that fit a question best, best first; neighbours are one passage. Raises EmbedderAway.

        document_ids: look in these documents alone, of those on the shelves. A reranker of the server decides on the
        order of those that have min_score, which come before all others; the scores stay what they are.
        """
        seen = self._seen()
        wanted = seen.rows.wanted(shelf_ids, document_ids)
        query = self._query(question, seen, wanted)
        found = self._candidates(question, seen, wanted, query)
        kept = varied(found, seen.rows, max(_CHUNKS_A_PASSAGE * n_most, _RERANKED if self._reranker() else 0))
        made = read(self._index, kept)
        if query is not None and seen.embedder is not None:
            n_scored = max(n_most, _RERANKED if self._reranker() else 0)
            made = self._scored(query, made[:n_scored], min_score, seen, seen.embedder)
        return self._reranked(question, self._of_codes(question, made, seen), min_score)[:n_most]

    def min_score(self) -> float:
        """The score below which nothing answers, for the model whose vectors search."""
        return self._scale(self._seen()).min_score

    def candidates(
        self, question: str, shelf_ids: Collection[int], document_ids: Collection[int] | None = None
    ) -> list[Candidate]:
        """The best chunks, with their scores. Raises EmbedderAway."""
        seen = self._seen()
        wanted = seen.rows.wanted(shelf_ids, document_ids)
        return self._candidates(question, seen, wanted, self._query(question, seen, wanted))

    def _scored(
        self, query: Vector, found: list[Passage], min_score: float, seen: _Seen, embedder: Embedder
    ) -> list[Passage]:
        """The passages, in the order in which they are, with the scores that the gate looks at. The sentences are asked
        only where it depends on them."""
        scale = self._scale(seen)
        gate_at = max(min_score, scale.min_score)

        def scored(each: Passage, nearest: float | None = None) -> Passage:
            cosine = scale.unrelated if each.cosine is None else each.cosine
            return replace(each, score=scale.score(cosine, nearest, each.words))

        made = [scored(each) for each in found]
        unsure = [number for number, each in enumerate(made) if each.score < gate_at]
        model, known_by, nearness = self._nearness
        if (model, known_by) != (seen.model, seen.probe):
            nearness = Nearness()
            self._nearness = seen.model, seen.probe, nearness
        near = nearness.of(query, [made[n] for n in unsure], embedder)
        for number, nearest in zip(unsure, near, strict=True):
            made[number] = scored(made[number], nearest)
        return made

    def _of_codes(self, question: str, found: list[Passage], seen: _Seen) -> list[Passage]:
        """The passages, where those that name no code of a question with codes answer nothing: error E31 is not error
        E7. Those of an earlier question count only where some passage names one of the last."""
        wanted = last_codes(question)
        if not wanted:
            return found
        texts = [" ".join((each.title, *each.headings, each.text)) for each in found]
        if any(has_code(text, wanted) for text in texts):
            wanted = codes(question)
        scale = self._scale(seen)
        most = scale.min_score - _OTHER_CODE * scale.spread
        return [
            each if has_code(text, wanted) else replace(each, score=min(each.score, most))
            for each, text in zip(found, texts, strict=True)
        ]

    def _candidates(self, question: str, seen: _Seen, wanted: Mask, query: Vector | None) -> list[Candidate]:
        rows = seen.rows
        if not wanted.any():
            return []
        shares, has_vector, scale = self._words.shares(question, rows), rows.has_vector & wanted, self._scale(seen)
        cosines = rows.matrix @ query if query is not None else None
        if cosines is None:
            scores = np.where((shares > 0) & wanted, scale.of_words(shares), np.float32(-np.inf))
        else:
            weight = self._weights.words * scale.spread
            scores = weigh(self._weights.cosine * cosines, wanted, rows.has_vector, shares, weight)
        return [
            Candidate(
                int(rows.chunk_ids[row]),
                float(scores[row]),
                float(cosines[row]) if cosines is not None and has_vector[row] else None,
                float(shares[row]),
            )
            for row in best(scores, _CANDIDATES)
        ]

    def _seen(self) -> _Seen:
        """The chunks as they are now. While another model's vectors are made, those of the one before search, if the
        server still has it."""
        model = next(iter(self._index.models()), "")
        known_by = probe.kept(self._index, model)  # before the rows: at worst they are newer, and read again next time
        store_model, store_known_by, store = self._store
        if (store_model, store_known_by) != (model, known_by):
            store = VectorStore(self._index, model)
            self._store = model, known_by, store
        rows = store.rows()
        return _Seen(rows, model, self._embedder_of(model) if rows.has_vector.any() else None, known_by)

    def _embedder_of(self, model: str) -> Embedder | None:
        if self._embedder.model == model:
            return self._embedder
        if not isinstance(self._embedder, Server):
            return None
        other = self._other
        if other is None or other.model != model:
            other = self._other = self._embedder.of(model)
        return other

    def _query(self, question: str, seen: _Seen, wanted: Mask) -> Vector | None:
        """The question's vector; None where there is nothing to compare it with, or the server no longer has the
        model. Raises EmbedderAway."""
        if seen.embedder is None or not (seen.rows.has_vector & wanted).any():
            return None
        try:
            made, n_dims = seen.embedder.embed([question])[0], seen.rows.matrix.shape[1]
            if len(made) != n_dims:
                raise self._is_other(f"makes embeddings of {len(made)} numbers now, not of {n_dims} as before", seen)
            if not seen.probe or self._proved.get(seen.model) != seen.probe:
                self._prove(seen.embedder, seen)
            return made
        except EmbedderAway:
            if seen.embedder is self._embedder:
                raise
            return None  # the words search until the vectors of the new model are made

    def _prove(self, embedder: Embedder, seen: _Seen) -> None:
        """Once: that the model made the vectors that it is compared with. Raises EmbedderAway where it did not."""
        vector = embedder.embed([probe.TEXT])[0]
        if probe.is_other(seen.probe, vector):
            raise self._is_other("is another model now than the one that made the embeddings here", seen)
        if not seen.probe:
            with suppress(LibraryBroken):  # on a full disk: it is asked again
                probe.keep(self._index, seen.model, vector)
        self._proved[seen.model] = probe.kept(self._index, seen.model)

    def _is_other(self, why: str, seen: _Seen) -> EmbedderAway:
        self._index.must_fill = True
        return EmbedderAway(f"{seen.model} {why}: they are made anew in the background, and by `chat library refresh`")

    def _scale(self, seen: _Seen) -> gate.Scale:
        """The scale of the model whose vectors search; the same for scores that words alone give."""
        key = (seen.model, seen.probe)
        if key not in self._scales:
            found = gate.kept(self._index, seen.model)
            if found is None and seen.embedder is not self._embedder:
                return gate.TYPICAL
            self._scales[key] = found or gate.of_library(self._index, self._embedder, seen.model)
        return self._scales[key]

    def _reranker(self) -> Server | None:
        return self._embedder if isinstance(self._embedder, Server) and self._embedder.can_rerank() else None

    def _reranked(self, question: str, found: list[Passage], least: float) -> list[Passage]:
        """In the order of the server's reranker; as they are where it has none, or it fails.

        What lies below the least score answers nothing, wherever the reranker puts it: it takes no other's place.
        """
        server = self._reranker()
        first = found[:_RERANKED]
        if server is None or len(first) < 2:
            return found
        scores = server.rerank(
            question, [f"{place(each.title, each.headings)}\n{each.text[:_RERANKED_CHARS]}" for each in first]
        )
        if scores is None:
            return found
        ranked = sorted(zip(first, scores, strict=True), key=lambda pair: -pair[1])
        passing = [each for each, _ in ranked if each.score >= least]
        others = [each for each in found if each.score < least or each not in first]
        return [*passing, *others]


def varied(found: Sequence[Candidate], rows: Rows, n_most: int) -> list[Candidate]:
    """The best ones, each the lower the more it is like one before it, and none that says what another says."""
    at = rows.rows_of(np.array([each.chunk_id for each in found], np.int64))
    vectors = np.where(((at >= 0) & rows.has_vector[at])[:, None], rows.matrix[at], np.float32(0))
    cosines, likeness = vectors @ vectors.T, np.zeros(len(found), np.float32)
    scores = np.array([each.score for each in found], np.float32)
    kept: list[Candidate] = []
    for _ in found:
        if len(kept) == n_most:
            break
        number = int(np.argmax(scores - _LIKENESS * likeness))
        scores[number] = -np.inf
        if likeness[number] <= _TWIN_COSINE:
            kept.append(found[number])
            likeness = np.maximum(likeness, cosines[number])
    return kept


def read(index: Index, found: Sequence[Candidate]) -> list[Passage]:
    """The passages of chunks, best first; those that follow each other in a document, or leave out one, are one,
    as long as it is short enough to be a place."""
    ids = [each.chunk_id for each in found]
    between = sorted({each + 1 for each in ids if each + 2 in ids})  # a document's chunks are numbered on
    parts = index.parts([*ids, *between])
    gaps = [part for part in parts[len(ids) :] if part is not None]
    made: list[Passage] = []
    for each, part in zip(found, parts, strict=False):
        if part is None or any(overlap(other, part) for other in made):  # gone meanwhile, or there already
            continue
        passage = replace(part, score=each.score, cosine=each.cosine, words=each.words)
        for number, other in enumerate(made):
            gap = next((gap for gap in gaps if _touches(gap, passage) and _touches(gap, other)), None)
            if _touches(other, passage) or gap is not None:
                both = joined(joined(other, gap) if gap is not None else other, passage)
                if both.end - both.start <= _JOINED_CHARS:
                    made[number] = both
                    break
        else:
            made.append(passage)
    return made


def _touches(one: Passage, other: Passage) -> bool:
    return one.document_id == other.document_id and (one.end == other.start or other.end == one.start)
