"""What is looked at for the library by the clock; here each look is one that the test asks for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from chatbot.web import library_watch
from chatbot.web.library_watch import Embedding, LibraryWatch
from rag.errors import EmbedderAway, LibraryBroken
from tests.processes import until


@dataclass(frozen=True)
class Source:
    """A source as far as the watch looks at it."""

    id: int
    state: str = "ok"
    options: dict[str, Any] = field(default_factory=dict)


class House:
    """A library, a server of embeddings, and runs that are only written down."""

    def __init__(self) -> None:
        self.sources: list[Source] = []
        self.broken_off: list[Source] = []
        self.different: set[int] = set()
        self.started: list[int] = []
        self.away, self.is_there, self.is_broken = "", True, False
        self.n_purged = self.n_told = self.n_filled = 0
        self.has_other_vectors = False

    def library(self) -> Any:
        if self.is_broken:
            raise LibraryBroken("library.db is damaged")
        return self if self.is_there else None

    def embedder(self) -> Any:
        return self

    def use_model(self, model: str) -> None:
        self.model = model

    def check(self) -> str:
        if self.away:
            raise EmbedderAway(self.away)
        return "small"

    def all_sources(self) -> list[Source]:
        return list(self.sources)

    def unfinished(self) -> list[Source]:
        return list(self.broken_off)

    def changed(self, source: Source) -> bool:
        return source.id in self.different

    def start(self, source_id: int) -> None:
        self.started.append(source_id)

    def is_running(self, source_id: int) -> bool:
        return source_id in self.started

    def must_fill(self) -> bool:
        return self.has_other_vectors

    def fill(self) -> None:
        self.n_filled += 1
        self.has_other_vectors = False

    def must_fill_again(self) -> bool:
        return False

    def purge(self) -> None:
        self.n_purged += 1

    def tell(self) -> None:
        self.n_told += 1


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
def watch(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LibraryWatch]:
    """A watch whose own thread never looks."""
    monkeypatch.setattr(LibraryWatch, "_go_round", lambda _: None)
    runs: Any = house
    made = LibraryWatch(tmp_path / "library.db", house.library, house.embedder, runs, house.purge, house.tell)
    yield made
    made.close()


def test_what_was_broken_off_goes_on_and_what_never_began_begins(house: House, watch: LibraryWatch) -> None:
    house.sources = [Source(1, "ok"), Source(2, "new"), Source(3, "stopped")]
    house.broken_off = [Source(4, "running")]
    watch.look()
    assert sorted(house.started) == [2, 4]
    house.sources.append(Source(5, "new"))  # a terminal has added it, and is about to run it
    watch.look()
    assert sorted(house.started) == [2, 4]
    house.broken_off.append(Source(6, "running"))  # a terminal that was killed
    watch.look()
    assert sorted(house.started) == [2, 4, 6]


def test_a_watched_folder_is_read_when_it_has_changed(house: House, watch: LibraryWatch) -> None:
    house.sources = [Source(n, options={"watch": n < 3}) for n in (1, 2, 3)]
    watch.look()
    assert house.started == []
    house.different = {2, 3}  # the third is not watched
    watch.look()
    assert house.started == [2]


def test_vectors_are_made_when_somebody_who_makes_them_comes_back(house: House, watch: LibraryWatch) -> None:
    house.away = "nobody answers: start the model server"
    watch.look()
    assert (house.n_filled, watch.embedding().is_there) == (0, False)
    assert "start the model server" in watch.embedding().notice
    house.away = ""
    watch.look()
    assert (house.n_filled, watch.embedding()) == (1, Embedding("small", is_there=True))
    watch.look()
    assert house.n_filled == 1
    watch.fill_soon()
    watch.look()
    assert house.n_filled == 2
    house.has_other_vectors = True
    watch.look()
    watch.look()
    assert house.n_filled == 3


def test_what_another_process_wrote_is_told_once(house: House, watch: LibraryWatch, tmp_path: Path) -> None:
    watch.look()
    n_told = house.n_told
    watch.look()
    assert house.n_told == n_told
    (tmp_path / "library.db-wal").write_bytes(b"a page")
    watch.look()
    watch.look()
    assert house.n_told == n_told + 1


def test_what_was_deleted_is_purged_once_an_hour(house: House, watch: LibraryWatch) -> None:
    for _ in range(3):
        watch.look()
    assert house.n_purged == 1


def test_without_a_library_nobody_is_asked_until_a_page_wants_to_know(
    house: House, watch: LibraryWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library_watch, "_ANSWER_S", 0.0)
    house.is_there, house.away = False, "nobody answers"
    watch.look()
    assert (house.n_told, house.n_purged) == (0, 0)
    assert watch.embedding() == Embedding()
    watch.look()
    assert "nobody answers" in watch.embedding().notice
    assert (house.n_told, house.n_filled) == (1, 0)


def test_a_look_that_fails_ends_no_other(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(library_watch, "_FIRST_LOOK_S", 0.0)
    monkeypatch.setattr(library_watch, "_LOOK_EVERY_S", 0.001)
    runs: Any = house
    house.is_broken = True
    watch = LibraryWatch(tmp_path / "library.db", house.library, house.embedder, runs, house.purge, house.tell)
    until(lambda: "library.db is damaged" in caplog.text, "a line in the log")
    house.is_broken = False
    until(lambda: house.n_purged, "a look that works")
    assert caplog.text.count("library.db is damaged") == 1
    house.is_broken = True
    until(lambda: caplog.text.count("library.db is damaged") == 2, "the same trouble, told again after it was over")
    watch.close()
