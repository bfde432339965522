"""The gate: one scale for scores of vectors and of words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chatbot.core.library.searching import Searching
from rag.extract import read
from rag.gate import TYPICAL
from rag.library import Library
from tests.documents.test_search import FACTS, Squeezed

FITS, STRANGE = (
    "When is wool of the llama spun by hand, and with which comb?",
    "Which zeppelin crossed Patagonia by day?",
)


def library_of(folder: Path, embedder: Squeezed) -> Library:
    made = Library(folder / "library.db", embedder, read=read)
    shelf_id = made.index.add_shelf("owner", "farm").id
    for name, text in FACTS.items():
        made.add_file("owner", shelf_id, name, text.encode())
    return made


@pytest.fixture(params=[0.0, 0.8], ids=["low", "high"])
def embedder(request: pytest.FixtureRequest) -> Squeezed:
    return Squeezed(request.param)


@pytest.fixture
def library(tmp_path: Path, embedder: Squeezed) -> Iterator[Library]:
    made = library_of(tmp_path, embedder)
    yield made
    made.close()


def lets_in(searching: Searching, question: str) -> bool:
    least = searching.min_score()
    return any(each.score >= least for each in searching.passages(question, [1], 3, min_score=least))


def test_words_alone_are_measured_on_the_scale_of_the_model_that_is_away(library: Library, embedder: Squeezed) -> None:
    measured = library.min_score()
    assert abs(measured - TYPICAL.min_score) > 0.05
    embedder.is_away = True
    told: list[str] = []
    searching = Searching(library, told.append)
    assert searching.min_score() == measured
    assert lets_in(searching, FITS) and not lets_in(searching, STRANGE)
    assert len(told) == 1
    again = Searching(Library(library.index.path, embedder, read=read), told.append)  # by a process that begins now
    assert again.min_score() == measured
    assert lets_in(again, FITS) and not lets_in(again, STRANGE)


def test_a_look_that_began_without_the_model_goes_on_so(library: Library, embedder: Squeezed) -> None:
    embedder.is_away = True
    searching = Searching(library, lambda _: None)
    assert searching.min_score() == TYPICAL.min_score  # nobody has measured it yet
    embedder.is_away = False
    assert lets_in(searching, FITS) and not lets_in(searching, STRANGE)
    assert searching.passages(FITS, [1], 1)[0].cosine is None


def test_a_score_that_is_chosen_holds_with_and_without_the_model(library: Library, embedder: Squeezed) -> None:
    searching = Searching(library, lambda _: None, 0.91)
    assert searching.min_score() == 0.91
    embedder.is_away = True
    assert searching.min_score() == 0.91
