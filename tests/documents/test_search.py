"""A search weighs words and vectors together, joins neighbours, leaves out what is said twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from rag.errors import EmbedderAway
from rag.search import Candidate, Search, Weights, merge
from rag.shelves import Shelves
from rag.vectors import Rows, best
from tests.documents.shelf import WordEmbedder, document, library, put

FACTS = {
    "llama.md": "# Llamas\n\nA llama is shorn in spring. Its wool is spun by hand.",
    "horse.md": "# Horses\n\nA horse is brushed each day and shod each month.",
    "gate.md": "# The gate\n\nThe gate has the code 4471 and closes at nine.",
}


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Shelves]:
    made = library(tmp_path)
    made.add_shelf("owner", "farm")
    yield made
    made.close()


@pytest.fixture
def search(index: Shelves) -> Search:
    embedder = WordEmbedder()
    for uri, text in FACTS.items():
        put(index, 1, document(uri, text), embedder)
    return Search(index, embedder)


@pytest.mark.parametrize(
    ("question", "uri"),
    [
        ("When is the llama shorn?", "llama.md"),
        ("brushing a horse each day", "horse.md"),
        ("code of the gate", "gate.md"),
    ],
)
def test_the_passage_that_answers_comes_first(search: Search, question: str, uri: str) -> None:
    found = search.passages(question, [1], 2)
    assert (found[0].uri, found[0].text, found[0].headings) == (uri, FACTS[uri], (FACTS[uri].split("\n")[0][2:],))
    assert found[0].score > found[1].score
    assert found[0].shelf == "farm"


def test_an_empty_library_and_no_shelf_find_nothing(index: Shelves, search: Search) -> None:
    assert search.passages("llama", []) == []
    assert search.passages("llama", [99]) == []
    index.remove([each.id for each in index.documents(1)])
    assert search.passages("llama", [1]) == []


def test_documents_that_wait_for_vectors_are_found_by_their_words(index: Shelves) -> None:
    put(index, 1, document("a.md", "A llama hums."))
    embedder = WordEmbedder()
    embedder.is_away = True
    assert [each.uri for each in Search(index, embedder).passages("llama", [1])] == ["a.md"]
    assert embedder.asked == []


def test_one_document_waits_while_others_have_vectors(index: Shelves, search: Search) -> None:
    put(index, 1, document("new.md", "The alpaca hums at dusk."))
    assert search.passages("alpaca at dusk", [1], 1)[0].uri == "new.md"


def test_nobody_to_make_the_vector_of_a_question_is_an_error(index: Shelves) -> None:
    embedder = WordEmbedder()
    put(index, 1, document("a.md", "A llama hums."), embedder)
    embedder.is_away = True
    with pytest.raises(EmbedderAway):
        Search(index, embedder).passages("llama", [1])


def test_neighbours_are_one_passage_with_its_place(index: Shelves) -> None:
    embedder = WordEmbedder()
    text = "# Wool\n\n" + "Wool of the llama is spun by hand. " * 60
    put(index, 1, document("wool.md", text, pages=(0, 10)), embedder)
    assert len(index.chunks(1)) > 1
    [found] = [each for each in Search(index, embedder).passages("llama wool", [1], 10)]
    assert text[found.start : found.end] == found.text
    assert found.page == 1


def test_what_is_said_twice_is_told_once(index: Shelves) -> None:
    embedder = WordEmbedder()
    for uri in ("a.md", "b.md", "c.md"):
        put(index, 1, document(uri, "A llama hums.", "Llamas"), embedder)
    put(index, 1, document("d.md", "The llama sleeps in the barn.", "Sleep"), embedder)
    found = Search(index, embedder).passages("What does a llama do?", [1])
    assert sorted(each.uri for each in found)[1:] == ["d.md"]
    assert len(found) == 2


def test_a_passage_that_goes_meanwhile_is_left_out(index: Shelves, search: Search) -> None:
    found = search.candidates("llama gate", [1])
    index.remove([each.id for each in index.documents(1) if each.uri == "llama.md"])
    from rag.search import read

    assert "llama.md" not in [each.uri for each in read(index, found)]


def test_words_move_a_chunk_up_by_their_weight() -> None:
    near, told, cosines = [(1, 0.6), (2, 0.55)], [(2, 8.0), (3, 4.0)], {2: 0.55, 3: 0.2}
    assert [each.chunk_id for each in merge(near, told, cosines, Weights(words=0.0))] == [1, 2, 3]
    weighed = merge(near, told, cosines, Weights(words=0.2))
    assert [each.chunk_id for each in weighed] == [2, 1, 3]
    assert weighed[0] == Candidate(2, pytest.approx(0.75), 0.55, 1.0)


def test_the_best_rows_in_order_without_other_shelves() -> None:
    assert best(np.array([0.1, 0.9, -1, 0.5], np.float32), 3).tolist() == [1, 3, 0]
    assert best(np.array([], np.float32), 3).tolist() == []


def test_rows_of_chunks_without_a_vector_are_told_apart() -> None:
    rows = Rows(np.array([3, 7, 9]), np.array([1, 1, 2]), np.eye(3, dtype=np.float32))
    assert rows.rows_of(np.array([7, 8, 3, 100])).tolist() == [1, -1, 0, -1]
