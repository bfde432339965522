"""The numbers that the library is tuned and promised with, as they are served: others are seen here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rag.answer import MOST_CALLS
from rag.extract.pdf import without_repeats
from rag.search import Candidate, Search, varied
from rag.sources.web import Bounds
from rag.vectors import Rows
from tests.documents.shelf import document, library, put

ANGLES = {"mare": 0.60, "gate": 0.45}


class Angled:
    """Texts by the cosine that they have with any question; its model's scale is the known one."""

    model, max_tokens = "all-minilm-l6-v2", 10_000

    def embed(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        return [self.vector(text) for text in texts]

    def vector(self, text: str) -> NDArray[np.float32]:
        cosine = next((each for word, each in ANGLES.items() if word in text and "?" not in text), 1.0)
        return np.array([cosine, np.sqrt(1 - cosine**2)], np.float32)


def test_words_weigh_enough_to_beat_a_slightly_better_vector(tmp_path: Path) -> None:
    index = library(tmp_path)
    shelf = index.add_shelf("owner", "farm").id
    for uri, text in {"mare.md": "A mare sleeps in the hay.", "gate.md": "The gate opens with 4471."}.items():
        put(index, shelf, document(uri, text), Angled())  # type: ignore[arg-type]
    found = Search(index, Angled()).candidates("gate 4471?", [shelf])
    index.close()
    first, other = found
    assert (first.cosine, other.cosine) == (pytest.approx(0.45), pytest.approx(0.60))
    assert first.score == pytest.approx(0.45 + 0.8 * 0.5 * first.words), "docs/decisions/0011-index.md"


@pytest.mark.parametrize(("cosine", "n_kept"), [(0.98, 2), (0.99, 1)])
def test_texts_that_are_nearly_the_same_are_told_once(cosine: float, n_kept: int) -> None:
    matrix = np.array([[1.0, 0.0], [cosine, np.sqrt(1 - cosine**2)]], np.float32)
    ids, everybody = np.array([1, 2]), np.ones(2, np.bool_)
    rows = Rows(ids, ids, np.ones(2, np.int64), np.ones(2, np.float32), everybody, matrix)
    assert len(varied([Candidate(1, 0.9, 0.9, 0.0), Candidate(2, 0.8, 0.8, 0.0)], rows, 2)) == n_kept


@pytest.mark.parametrize(("n_with", "is_dropped"), [(5, True), (3, False)])
def test_a_line_of_every_other_page_is_dropped_and_one_of_a_few_stays(n_with: int, is_dropped: bool) -> None:
    bodies = [f"{word} eats.\n{word} sleeps.\n{word} hums.\n{word} runs." for word in "abcdefghij"]
    pages = [f"The book\n{body}" if at < n_with else body for at, body in enumerate(bodies)]
    assert without_repeats(pages) == (bodies if is_dropped else pages)


def test_a_crawl_and_an_answer_are_bounded() -> None:
    assert Bounds() == Bounds(depth=3, n_pages=500, wait_s=0.5)
    assert MOST_CALLS == 12
