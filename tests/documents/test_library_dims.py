"""The embedding model makes vectors of another length under its old name: all are made anew, by themselves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chatbot.core.library.searching import Searching
from rag.documents import Chunk, Document
from rag.errors import EmbedderAway
from rag.extract import read
from rag.library import Library
from tests.documents.kitchen import ANNA, QUESTION, cooking, kitchen
from tests.documents.shelf import WordEmbedder


@pytest.fixture
def embedder() -> WordEmbedder:
    return WordEmbedder()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return kitchen(tmp_path)


@pytest.fixture
def library(tmp_path: Path, embedder: WordEmbedder, folder: Path) -> Iterator[Library]:
    """Its one shelf is read whole; then the model is another."""
    made = cooking(tmp_path / "library.db", embedder, folder)
    embedder.n_dims = 100
    yield made
    made.close()


def test_a_search_goes_on_by_words_says_why_and_asks_for_new_vectors(library: Library, embedder: WordEmbedder) -> None:
    told: list[str] = []
    assert [each.title for each in Searching(library, told.append).passages(QUESTION, [1], 1)] == ["eggs.md"]
    assert told == [
        "This was found by words alone, not by what they mean: words makes embeddings of 100 numbers now, not of 64 as "
        "before: they are made anew in the background, and by `chat library refresh`."
    ]
    assert library.must_fill()
    assert library.fill() == 2
    assert not library.must_fill()
    assert library.search(QUESTION, [1])[0].cosine is not None
    assert library.fill() == 0


def test_what_comes_meanwhile_is_taken_and_the_others_follow(
    library: Library, embedder: WordEmbedder, folder: Path
) -> None:
    (folder / "soup.md").write_text("Soup is cooked for half an hour.")
    (folder / "eggs.md").write_text("Eggs are boiled for nine minutes.\n\n" + "# More\n\nAn egg is a cell. " * 80)
    report = library.refresh(1)
    assert (report.n_new, report.n_changed, report.failures) == (1, 1, [])
    library.add_file(ANNA, 1, "tea.md", b"Tea takes four minutes.")
    assert library.must_fill()
    library.fill()
    n_done, n_all = library.index.n_vectors("words")
    assert n_done == n_all
    assert all(each.cosine is not None for each in library.search("minutes", [1], 9))


def test_vectors_stay_while_nobody_can_say_how_long_new_ones_are(library: Library, embedder: WordEmbedder) -> None:
    embedder.is_away = True
    assert library.fill() == 0
    with pytest.raises(EmbedderAway, match="nobody answers"):
        library.search(QUESTION, [1])
    embedder.is_away, embedder.n_dims = False, 64
    assert library.search(QUESTION, [1])[0].cosine is not None


def becomes_two(embedder: WordEmbedder) -> None:
    """From now on each request is another model's under the same name."""

    def embed(texts: list[str]) -> list[object]:
        embedder.n_dims = 164 - embedder.n_dims
        return [embedder.vector(text) for text in texts]

    embedder.embed = embed  # type: ignore[method-assign, assignment]


def with_forty_more(library: Library) -> Library:
    for number in range(40):
        library.index.put(1, Document(f"{number}", f"{number}", f"Egg {number}.", "text", ""), [Chunk(0, 6, 0, (), 3)])
    return library


def test_a_server_of_two_models_under_one_name_keeps_nobody_waiting(library: Library, embedder: WordEmbedder) -> None:
    becomes_two(embedder)
    assert with_forty_more(library).fill() > 0


def test_a_server_of_two_models_under_one_name_does_not_take_over_from_the_model_of_before(
    library: Library, embedder: WordEmbedder
) -> None:
    other = WordEmbedder("other")
    becomes_two(other)
    again = Library(library.index.path, other, read=read)
    assert with_forty_more(again).fill() > 0
    assert again.index.models()[0] == "words"
    assert library.index.n_vectors("words")[0] == 2
    again.close()
