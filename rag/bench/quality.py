"""Whether the right passage is found, and whether a question without an answer is refused."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rag.bench.home import Asked
from rag.bench.questions import Question
from rag.documents import Passage
from rag.embed import Embedder, Vector
from rag.index import Index
from rag.search import Search, Weights

_BATCH = 32
WAYS: Mapping[str, Weights] = {
    "words": Weights(words=1.0, cosine=0.0),
    "vectors": Weights(words=0.0),
    "merged": Weights(),
}


class Remembered:
    """Vectors that are asked for once, many at a time where it is known before which."""

    def __init__(self, embedder: Embedder, texts: Iterable[str]) -> None:
        self.model = embedder.model
        self._embedder = embedder
        self._made: dict[str, Vector] = {}
        self.embed(list(texts))

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        """The vectors of texts."""
        missing = [text for text in dict.fromkeys(texts) if text not in self._made]
        for at in range(0, len(missing), _BATCH):
            part = missing[at : at + _BATCH]
            self._made.update(zip(part, self._embedder.embed(part), strict=True))
        return [self._made[text] for text in texts]


@dataclass(frozen=True)
class Hits:
    """The share of questions whose answer is the first passage, among the first five, the first ten; the mean of one
    over its place."""

    n_questions: int
    hit_1: float
    hit_5: float
    hit_10: float
    mrr: float


@dataclass(frozen=True)
class Refusals:
    """The shares of questions that the gate refuses: those that nothing answers, those about the other package, and
    those that are answered. best: the score of the best passage of each."""

    min_score: float
    unanswerable: float
    elsewhere: float
    answerable: float


@dataclass(frozen=True)
class AtHome:
    """What becomes of the questions to a small library: the share of those with an answer whose note comes first, of
    these that the gate refuses, and of those without an answer that it refuses."""

    n_answerable: int
    n_unanswerable: int
    note_first: float
    answerable: float
    unanswerable: float


def at_home(search: Search, questions: Sequence[Asked], shelf_ids: Collection[int]) -> AtHome:
    """Ask all questions."""
    gate = search.min_score()
    found = [(each.uri, search.passages(each.text, shelf_ids)) for each in questions]
    answerable = [(uri, passages) for uri, passages in found if uri]

    def refused(lists: Sequence[Sequence[Passage]]) -> float:
        return sum(all(each.score < gate for each in passages) for passages in lists) / max(1, len(lists))

    return AtHome(
        len(answerable),
        len(found) - len(answerable),
        sum(passages[0].uri == uri for uri, passages in answerable if passages) / max(1, len(answerable)),
        refused([passages for _, passages in answerable]),
        refused([passages for uri, passages in found if not uri]),
    )


def hits(search: Search, questions: Sequence[Question], shelf_ids: Collection[int]) -> Hits:
    """Ask all questions."""
    places = [[_place(search.passages(each.text, shelf_ids, n_most), each) for n_most in (5, 10)] for each in questions]
    n_all = max(1, len(places))
    return Hits(
        len(places),
        sum(five == 1 for five, _ in places) / n_all,
        sum(five is not None for five, _ in places) / n_all,
        sum(ten is not None for _, ten in places) / n_all,
        sum(1 / ten for _, ten in places if ten is not None) / n_all,
    )


def _place(found: Sequence[Passage], question: Question) -> int | None:
    """At which place, from 1, a passage of the section stands that answers."""
    for number, each in enumerate(found, start=1):
        if each.uri == question.uri and each.start < question.end and each.end > question.start:
            return number
    return None


def all_ways(
    index: Index, embedder: Embedder, questions: Sequence[Question], shelf_ids: Collection[int]
) -> dict[str, Hits]:
    """By words, by vectors, merged; and merged on the half that the weights were tuned on, and on the other."""
    made = {name: hits(Search(index, embedder, weights), questions, shelf_ids) for name, weights in WAYS.items()}
    search = Search(index, embedder)
    made["merged, tuned on"] = hits(search, questions[::2], shelf_ids)
    made["merged, held out"] = hits(search, questions[1::2], shelf_ids)
    return made


def refusals(
    index: Index, embedder: Embedder, questions: Sequence[Question], shelves: Mapping[str, int], nonsense: Sequence[str]
) -> Refusals:
    """What the gate does. shelves: the shelf of each package; a question elsewhere is asked of the other FAQ's."""
    search = Search(index, embedder)
    gate = search.min_score()
    faqs = {each.package for each in questions}

    def refused(asked: Iterable[tuple[str, Collection[int]]]) -> float:
        best = [max((p.score for p in search.passages(text, ids)), default=-1.0) for text, ids in asked]
        return float(np.mean([score < gate for score in best])) if best else 0.0

    elsewhere = [
        (each.text, [shelves[name] for name in faqs if name != each.package]) for each in questions if len(faqs) > 1
    ]
    return Refusals(
        gate,
        refused((text, list(shelves.values())) for text in nonsense),
        refused(elsewhere),
        refused((each.text, [shelves[each.package]]) for each in questions),
    )
