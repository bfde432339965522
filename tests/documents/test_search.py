"""A search weighs words and vectors together, joins neighbours, leaves out what is said twice."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rag import gate
from rag.database import TOKENIZER
from rag.errors import EmbedderAway
from rag.gate import PAIRS
from rag.search import Candidate, Search, varied, weigh
from rag.shelves import Shelves
from rag.stems import Stems
from rag.vectors import Rows, VectorStore, best
from rag.words import Words, telling
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
    cosines, shares = np.array([0.6, 0.55, 0.2], np.float32), np.array([0.0, 1.0, 0.5], np.float32)
    everybody = np.ones(3, np.bool_)
    assert weigh(cosines, everybody, everybody, shares, 0.0).tolist() == pytest.approx([0.6, 0.55, 0.2])
    assert weigh(cosines, everybody, everybody, shares, 0.2).tolist() == pytest.approx([0.6, 0.75, 0.3])


def test_a_chunk_that_waits_for_its_vector_is_found_only_by_words() -> None:
    cosines, shares = np.array([0.6, 0.0, 0.0], np.float32), np.array([0.0, 1.0, 0.0], np.float32)
    found = weigh(cosines, np.ones(3, np.bool_), np.array([True, False, False]), shares, 0.2)
    assert found[:2].tolist() == pytest.approx([0.6, 0.8])
    assert found[2] == -np.inf


def test_what_is_not_looked_at_is_neither_found_nor_lends_its_cosine() -> None:
    cosines, shares = np.array([0.9, 0.6, 0.0], np.float32), np.array([1.0, 0.0, 1.0], np.float32)
    found = weigh(cosines, np.array([False, True, True]), np.array([True, True, False]), shares, 0.2)
    assert found[0] == -np.inf
    assert found[1:].tolist() == pytest.approx([0.6, 0.8])


def test_the_share_of_words_is_that_of_bm25(index: Shelves, search: Search) -> None:
    rows = VectorStore(index, "words").rows()
    shares = dict(zip(rows.document_ids.tolist(), Words(index).shares("When is the llama shorn?", rows), strict=True))
    uris = {each.id: each.uri for each in index.documents(1)}
    assert max(shares, key=lambda each: shares[each]) == next(i for i, uri in uris.items() if uri == "llama.md")
    with index.reading() as db:
        query = "SELECT rowid, -bm25(chunk_index) FROM chunk_index WHERE chunk_index MATCH 'code OR horse OR each'"
        theirs = dict(db.execute(query).fetchall())
    ours = Words(index).shares("code horse each", rows)
    order = [int(rows.chunk_ids[row]) for row in np.argsort(-ours) if ours[row] > 0]
    assert order == sorted(theirs, key=lambda chunk_id: -theirs[chunk_id])


def test_stems_are_those_of_the_index(index: Shelves) -> None:
    with index.reading() as db:
        [(sql,)] = db.execute("SELECT sql FROM sqlite_master WHERE name = 'chunk_index'").fetchall()
    assert f"tokenize='{TOKENIZER}'" in sql
    assert Stems().of(["running", "Écoles", "runs", "NEAR(", '"']) == ["run", "ecol", "near"]


def test_documents_named_are_the_only_ones_looked_in(index: Shelves, search: Search) -> None:
    ids = {each.uri: each.id for each in index.documents(1)}
    assert {each.uri for each in search.passages("llama", [1], document_ids=[ids["horse.md"]])} == {"horse.md"}
    assert search.passages("llama", [99], document_ids=[ids["horse.md"]]) == []
    assert search.passages("llama", [1], document_ids=[]) == []


def test_the_best_rows_in_order_without_other_shelves() -> None:
    assert best(np.array([0.1, 0.9, -np.inf, 0.5], np.float32), 3).tolist() == [1, 3, 0]
    assert best(np.array([], np.float32), 3).tolist() == []


def test_rows_of_chunks_without_a_vector_are_told_apart() -> None:
    shelf_ids, has_vector = np.array([1, 1, 2]), np.ones(3, np.bool_)
    rows = Rows(np.array([3, 7, 9]), np.array([5, 5, 6]), shelf_ids, np.ones(3, np.float32), has_vector, np.eye(3))
    assert rows.rows_of(np.array([7, 8, 3, 100])).tolist() == [1, -1, 0, -1]


class Squeezed(WordEmbedder):
    """A model that knows which question belongs to which answer; all its cosines lie between a floor and one."""

    def __init__(self, floor: float) -> None:
        super().__init__("squeezed")
        self._floor = floor
        self._topics = {text: number for number, pair in enumerate(PAIRS) for text in pair}

    def vector(self, text: str) -> NDArray[np.float32]:
        topic = np.zeros(len(PAIRS), np.float32)
        topic[self._topics.get(text, 0)] = text in self._topics
        own = np.append(super().vector(text), topic) / np.sqrt(1 + topic.sum())
        return np.append(np.sqrt(1 - self._floor) * own, np.sqrt(self._floor)).astype(np.float32)


@pytest.mark.parametrize("floor", [0.0, 0.5, 0.8])
def test_the_gate_lies_where_the_cosines_of_a_model_lie(index: Shelves, floor: float) -> None:
    embedder = Squeezed(floor)
    for uri, text in FACTS.items():
        put(index, 1, document(uri, text), embedder)
    search = Search(index, embedder)
    [answer] = search.passages("llama shorn in spring, wool spun by hand", [1], 1)
    assert answer.uri == "llama.md"
    assert answer.score > search.min_score()
    assert search.passages("capital Burkina Faso", [1], 1)[0].score < search.min_score()
    assert search.min_score() > floor
    n_asked = len(embedder.asked)
    assert Search(index, embedder).min_score() == search.min_score()
    assert len(embedder.asked) == n_asked, "it is measured once for a library"


def test_the_gate_of_the_model_that_comes_along_is_known() -> None:
    scale = gate.known("all-minilm-l6-v2-Q8_0")
    assert scale == gate.known("all-MiniLM-L6-v2") and scale and 0.3 < scale.min_score < 0.6
    assert gate.known("another") is None


def test_words_alone_have_a_gate_too(index: Shelves) -> None:
    for uri, text in FACTS.items():
        put(index, 1, document(uri, text))
    search = Search(index, WordEmbedder())
    assert search.passages("code of the gate", [1])[0].score > search.min_score()
    assert search.passages("What is the month of the wedding in Burkina Faso?", [1])[0].score < search.min_score()
    assert search.passages("zebra", [1]) == []


class Ranker(WordEmbedder):
    """A server that also ranks, by the words it was told."""

    def __init__(self, *wanted: str, model: str = "words") -> None:
        super().__init__(model)
        self.wanted, self.has_failed = wanted, False
        self.others: dict[str, WordEmbedder] = {}
        self.n_made = 0

    def of(self, model: str) -> WordEmbedder:
        self.n_made += 1
        return self.others[model]

    def can_rerank(self) -> bool:
        return bool(self.wanted)

    def rerank(self, question: str, texts: Sequence[str]) -> list[float] | None:
        return None if self.has_failed else [float(sum(word in text for word in self.wanted)) for text in texts]


def test_a_reranker_decides_on_the_order_and_may_fail(index: Shelves) -> None:
    ranker = Ranker("brushed")
    for uri, text in FACTS.items():
        put(index, 1, document(uri, text), ranker)
    search = Search(index, ranker)
    found = search.passages("When is the llama shorn?", [1], 2)
    assert [each.uri for each in found] == ["horse.md", "llama.md"]
    assert found[1].score > found[0].score
    ranker.has_failed = True
    assert search.passages("When is the llama shorn?", [1], 2)[0].uri == "llama.md"


@pytest.mark.parametrize("is_there", [True, False])
def test_the_old_model_searches_while_the_new_one_is_at_work(index: Shelves, is_there: bool) -> None:
    old = WordEmbedder("old")
    for uri, text in FACTS.items():
        put(index, 1, document(uri, text), old)
    server = Ranker(model="new")
    server.others["old"] = old
    old.is_away = not is_there
    search = Search(index, server)
    found = search.passages("When is the llama shorn?", [1], 1)
    assert found[0].uri == "llama.md"
    assert (found[0].cosine is not None) is is_there
    assert "When is the llama shorn?" not in server.asked
    search.passages("Who hums?", [1])
    assert server.n_made == 1, "its client is used again"


def test_a_search_reads_again_only_what_was_written_since(index: Shelves, search: Search) -> None:
    asked: list[str] = []
    search.passages("Who hums?", [1])  # the scale and the probe are kept: a change
    search.passages("When is the llama shorn?", [1])
    with index.reading() as db:
        db.set_trace_callback(asked.append)
    search.passages("Who has shorn a llama?", [1])
    assert not [query for query in asked if "FROM vectors" in query or "FROM temp.places" in query]
    put(index, 1, document("new.md", "The llama was shorn by Anna."), WordEmbedder())
    assert "new.md" in [each.uri for each in search.passages("Who has shorn a llama?", [1])]
    assert [query for query in asked if "FROM temp.places" in query]


def test_one_chunk_between_two_that_are_found_joins_them(index: Shelves) -> None:
    wool, hay = "Wool of the llama is spun by hand. " * 16, "Of hay there is plenty in this barn. " * 16
    text = f"# One\n\n{wool}\n\n# Two\n\n{hay}\n\n# Three\n\n{wool.replace('hand', 'foot')}\n\n# Four\n\n{hay}"
    put(index, 1, document("a.md", text))
    put(index, 1, document("b.md", f"# Five\n\n{wool.replace('hand', 'machine')}"))
    found = Search(index, WordEmbedder()).passages("llama wool", [1], 5)
    assert sorted(each.uri for each in found) == ["a.md", "b.md"]
    [joined] = [each for each in found if each.uri == "a.md"]
    assert text[joined.start : joined.end] == joined.text
    assert "# Two" in joined.text
    assert "# Four" not in joined.text


def test_a_passage_stays_a_place_however_many_neighbours_are_found(index: Shelves) -> None:
    text = "\n\n".join(f"# Part {n}\n\n{f'Wool of llama {n} is spun by hand. ' * 20}" for n in range(12))
    put(index, 1, document("a.md", text))
    found = Search(index, WordEmbedder()).passages("llama wool", [1], 5)
    assert len(found) > 1
    assert all(each.end - each.start <= 2_400 for each in found)
    spans = sorted((each.start, each.end) for each in found)
    assert all(one[1] <= other[0] for one, other in itertools.pairwise(spans))


def test_what_is_like_a_better_one_comes_later(index: Shelves) -> None:
    same, other = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    near = np.array([0.96, 0.28])
    matrix = np.array([same, near, other], np.float32)
    ids, everybody = np.array([1, 2, 3]), np.ones(3, np.bool_)
    rows = Rows(ids, ids, np.ones(3, np.int64), np.ones(3, np.float32), everybody, matrix)
    found = [Candidate(1, 0.9, 0.9, 0.0), Candidate(2, 0.8, 0.8, 0.0), Candidate(3, 0.75, 0.75, 0.0)]
    assert [each.chunk_id for each in varied(found, rows, 3)] == [1, 3, 2]
    assert [each.chunk_id for each in varied(found, rows, 1)] == [1]


def test_what_says_nothing_in_german_is_not_looked_for() -> None:
    assert telling("Was hilft gegen die Schnecken im Garten?") == ["hilft", "schnecken", "garten"]
    assert telling("Why did the program die in the war room?") == ["program", "die", "war", "room"]
