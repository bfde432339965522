"""The model server gets another embedding model while the web chat runs: all is found meanwhile, and embedded anew."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from chatbot.core.library import embedder_of, open_library
from chatbot.core.library.searching import Searching
from chatbot.settings import ChatSettings
from chatbot.web import library_runs
from chatbot.web.library_runs import FILL, Runs
from chatbot.web.library_watch import LibraryWatch
from rag.errors import SourceFailed
from rag.library import Library, Source
from tests.fakes import EMBEDS, FakeServer, Gate, Refuse
from tests.processes import until

NOTES = {"eggs.md": "Boil the eggs for nine minutes.", "wool.md": "Llama wool is spun by hand in spring."}


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as made:
        made.embeds = True
        yield made


class House:
    """A library with its runs and its watch, whose looks are those that a test asks for."""

    def __init__(self, folder: Path, server: FakeServer) -> None:
        settings = ChatSettings(url=server.url)
        door = open_library(settings, folder / "chat.db")
        self.library: Library = door.open()
        self.full = ""  # why the owner may store no more
        self.told: list[int] = []
        self.runs = Runs(door.open, self.told.append, self._may_go_on)
        embedder = partial(embedder_of, settings)
        self.watch = LibraryWatch(door.path, door.open, embedder, self.runs, lambda: None, lambda: None)
        self.shelf_id = self.library.index.add_shelf("anna", "farm").id
        for name, text in NOTES.items():
            self.library.add_file("anna", self.shelf_id, name, text.encode())

    def _may_go_on(self, _: Source) -> None:
        if self.full:
            raise SourceFailed(self.full)

    def look(self) -> None:
        """What is looked at every ten seconds, with what it begins."""
        self.watch.look()
        until(lambda: not self.runs.is_running(FILL), "all vectors")

    def found(self) -> tuple[str, bool, list[str]]:
        """(the nearest document, whether by what it means, what a person is told) for a question."""
        told: list[str] = []
        nearest = Searching(self.library, told.append).passages("How long are eggs boiled?", [self.shelf_id], 1)[0]
        return nearest.title, nearest.cosine is not None, told


@pytest.fixture
def house(tmp_path: Path, server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setattr(LibraryWatch, "_go_round", lambda _: None)
    made = House(tmp_path, server)
    made.look()
    yield made
    made.watch.close()
    made.runs.close()
    made.library.close()


def test_another_embedding_model_makes_all_vectors_anew_while_the_words_answer(
    house: House, server: FakeServer
) -> None:
    assert house.found() == ("eggs.md", True, [])
    server.embeds_as = "other-embeddings"
    server.embed_gate = gate = Gate()
    house.watch.look()
    assert house.watch.embedding().model == "other-embeddings"
    gate.wait_until_reached()
    server.embed_gate = None
    assert house.found()[0] == "eggs.md"
    gate.open()
    until(lambda: not house.runs.is_running(FILL), "all vectors")
    assert house.library.index.models() == ["other-embeddings"]
    assert house.found() == ("eggs.md", True, [])
    house.library.add_file("anna", house.shelf_id, "hay.md", b"Ponies eat hay.")
    assert house.library.index.n_vectors("other-embeddings") == (3, 3)


def test_a_model_that_changes_while_vectors_are_made_gets_its_own(house: House, server: FakeServer) -> None:
    server.embeds_as = "second"
    server.embed_gate = gate = Gate()
    house.watch.look()
    gate.wait_until_reached()
    server.embeds_as = "third"
    house.watch.look()  # the run of the second model still waits for its server
    server.embed_gate = None
    gate.open()
    house.look()
    until(lambda: house.library.index.models() == ["third"], "the vectors of the model that is there")
    assert house.found() == ("eggs.md", True, [])


def test_vectors_that_could_not_be_made_are_made_once_the_server_makes_them_again(
    house: House, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.library.add_file("anna", house.shelf_id, "hay.md", b"Ponies eat hay. " * 2_000)  # its vectors follow
    house.watch.fill_soon()
    server.embed_refusal = Refuse(400, "no_room")
    house.look()
    assert house.library.index.n_vectors(EMBEDS)[0] == 2
    server.embed_refusal = None
    house.look()
    assert house.library.index.n_vectors(EMBEDS)[0] == 2  # a server that makes none is not asked all the time
    monkeypatch.setattr(library_runs, "_FILL_AGAIN_S", 0.0)
    house.look()
    n_done, n_all = house.library.index.n_vectors(EMBEDS)
    assert n_done == n_all > 10


def test_a_watched_folder_whose_owner_may_store_no_more_says_so_and_is_not_begun_again(
    house: House, tmp_path: Path
) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "hay.md").write_text("Ponies eat hay.")
    source = house.library.add_source("anna", house.shelf_id, "folder", str(folder), {"watch": True})
    house.full = "your documents take 9 MB, and 9 MB are allowed"
    for _ in range(3):
        house.look()
        until(lambda: not house.runs.is_running(source.id), "the end of the run")
    kept = house.library.source(source.id)
    assert (kept.state, kept.problem) == ("failed", house.full)
    assert house.told.count(source.id) == 3  # that it waits, goes on and has ended, of one run


def test_what_is_being_read_keeps_the_model_that_it_began_with(
    house: House, server: FakeServer, tmp_path: Path
) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "hay.md").write_text("Ponies eat hay.")
    source = house.library.add_source("anna", house.shelf_id, "folder", str(folder))
    server.embed_gate = gate = Gate()
    house.runs.start(source.id)
    gate.wait_until_reached()
    server.embeds_as = "second"
    house.watch.look()
    server.embed_gate = None
    gate.open()
    until(lambda: not house.runs.is_running(source.id), "the end of the run")
    house.look()
    assert house.library.index.models() == ["second"]
    assert house.library.index.n_vectors("second") == (3, 3)
