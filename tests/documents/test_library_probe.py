"""Another embedding model comes under the old name, its vectors as long: that is noticed, and all are made anew."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from chatbot.core.library.searching import Searching
from rag import probe
from rag.extract import read
from rag.library import Library
from tests.documents.kitchen import ANNA, QUESTION, cooking, kitchen
from tests.documents.shelf import WordEmbedder, full_disk


@pytest.fixture
def embedder() -> WordEmbedder:
    return WordEmbedder()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return kitchen(tmp_path)


@pytest.fixture
def library(tmp_path: Path, embedder: WordEmbedder, folder: Path) -> Iterator[Library]:
    """Its one shelf is read whole, and was searched."""
    made = cooking(tmp_path / "library.db", embedder, folder)
    yield made
    made.close()


def reopened(library: Library, embedder: WordEmbedder) -> Library:
    """As another process has it."""
    return Library(library.index.path, embedder, read=read)


def all_fit(library: Library, embedder: WordEmbedder) -> bool:
    """Whether each chunk has the vector that the model makes of it now."""
    found = {}
    for kept in library.documents(1):
        found |= library.index.vectors_by_text(1, kept.uri, embedder.model)
    n_done, n_all = library.index.n_vectors(embedder.model)
    return n_done == n_all and all(np.allclose(vector, embedder.vector(text)) for text, vector in found.items())


def test_a_search_goes_on_by_words_says_why_and_asks_for_new_vectors(library: Library, embedder: WordEmbedder) -> None:
    embedder.weights = "others"
    again = reopened(library, embedder)
    told: list[str] = []
    [first] = Searching(again, told.append).passages(QUESTION, [1], 1)
    assert (first.title, first.cosine) == ("eggs.md", None)
    assert told == [
        "This was found by words alone, not by what they mean: words is another model now than the one that made the "
        "embeddings here: they are made anew in the background, and by `chat library refresh`."
    ]
    assert again.must_fill() and again.fill() == 2 and not again.must_fill()
    assert again.search(QUESTION, [1])[0].cosine is not None and all_fit(again, embedder)
    assert again.fill() == 0
    assert library.search(QUESTION, [1])[0].cosine is not None  # who searched all the time hears of it
    again.close()


def test_a_refresh_makes_all_anew_and_not_what_changed_alone(
    library: Library, embedder: WordEmbedder, folder: Path
) -> None:
    embedder.weights = "others"
    (folder / "eggs.md").write_text("Eggs are boiled for nine minutes.\n\nSoft ones for six.")
    assert library.refresh(1).n_changed == 1
    assert library.must_fill()
    library.fill()
    assert all_fit(library, embedder)


def test_a_search_asks_for_the_vector_of_its_question_alone(library: Library, embedder: WordEmbedder) -> None:
    again = reopened(library, embedder)
    again.search(QUESTION, [1])
    n_before = embedder.n_probes
    embedder.asked.clear()
    again.search(QUESTION, [1])
    assert embedder.asked == [QUESTION] and embedder.n_probes == n_before
    again.close()


@pytest.mark.parametrize("who", ["this process", "another process"])
def test_searches_follow_when_all_is_made_anew_between_two_of_them(
    library: Library, embedder: WordEmbedder, who: str
) -> None:
    embedder.weights = "others"
    again = reopened(library, embedder)
    assert (library if who == "this process" else again).fill() == 2
    fresh = reopened(library, embedder)
    assert library.search(QUESTION, [1]) == fresh.search(QUESTION, [1])
    again.close()
    fresh.close()


def test_a_copy_of_the_model_with_other_roundings_is_the_same(library: Library, embedder: WordEmbedder) -> None:
    plain = embedder.vector

    def rounded(text: str) -> object:
        made = plain(text) + np.float32(0.01) * np.sin(np.arange(embedder.n_dims, dtype=np.float32))
        return made / np.linalg.norm(made)

    embedder.vector = rounded  # type: ignore[method-assign, assignment]
    again = reopened(library, embedder)
    assert again.search(QUESTION, [1])[0].cosine is not None
    assert again.fill() == 0 and not again.must_fill()
    again.close()


@pytest.mark.parametrize("occasion", ["search", "fill", "refresh"])
def test_a_library_of_before_knows_its_model_from_the_next_occasion_on(
    library: Library, embedder: WordEmbedder, occasion: str
) -> None:
    with library.index.writing() as db:
        db.execute("DELETE FROM state WHERE name = 'probe of words'")
    again = reopened(library, embedder)
    {"search": lambda: again.search(QUESTION, [1]), "fill": again.fill, "refresh": lambda: again.refresh(1)}[occasion]()
    assert probe.kept(again.index, "words") and all_fit(again, embedder)
    embedder.weights = "others"
    assert again.fill() == 2
    again.close()


def test_a_search_needs_no_room_on_the_disk(library: Library, embedder: WordEmbedder) -> None:
    before = library.search(QUESTION, [1])
    with library.index.writing() as db:
        db.execute("DELETE FROM state WHERE name IN ('probe of words', 'scale of words')")
    again = reopened(library, embedder)
    with full_disk(again.index):
        assert again.search(QUESTION, [1]) == before
    assert again.search(QUESTION, [1]) == before and probe.kept(again.index, "words")
    again.close()


def test_a_file_that_comes_first_tells_the_model_too(tmp_path: Path, embedder: WordEmbedder) -> None:
    library = Library(tmp_path / "library.db", embedder, read=read)
    library.add_file(ANNA, library.index.add_shelf(ANNA, "cooking").id, "tea.md", b"Tea takes four minutes.")
    embedder.weights = "others"
    assert library.fill() == 1
    assert all_fit(library, embedder)
    library.close()
