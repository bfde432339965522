"""The index keeps each document whole: it comes, changes and goes in one transaction, before other processes too."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from rag.chunk import chunk
from rag.errors import LibraryBroken, RagError, UnknownShelf
from rag.shelves import Shelves
from rag.vectors import VectorStore
from rag.words import Words, telling
from tests.documents.shelf import WordEmbedder, document, library, put
from tests.processes import REPO

LLAMA = (
    "# Llamas\n\nA llama eats grass in the paddock.\n\n## Wool\n\n" + "Its wool is warm and is spun in spring. " * 60
)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Shelves]:
    made = library(tmp_path)
    yield made
    made.close()


@pytest.fixture
def shelf_id(index: Shelves) -> int:
    return index.add_shelf("owner", "farm").id


def found(index: Shelves, question: str, *shelf_ids: int) -> list[str]:
    """The uris of what is found by words."""
    rows = VectorStore(index, "words").rows()
    hits = (Words(index).shares(question, rows) > 0) & rows.wanted(shelf_ids)
    parts = index.parts([int(chunk_id) for chunk_id in rows.chunk_ids[hits]])
    return list(dict.fromkeys(part.uri for part in parts if part))


def is_sound(index: Shelves) -> bool:
    with index.reading() as db:
        db.execute("INSERT INTO chunk_index (chunk_index) VALUES ('integrity-check')")
        return bool(db.execute("PRAGMA integrity_check").fetchone()[0] == "ok")


def test_a_document_comes_back_as_it_was(index: Shelves, shelf_id: int) -> None:
    new = document("llama.md", LLAMA, "Llamas", pages=(0, 40))
    document_id = put(index, shelf_id, new, WordEmbedder())
    assert index.document(document_id) == (shelf_id, new)
    assert index.chunks(document_id) == chunk(LLAMA, "Llamas")
    assert index.n_vectors("words") == (len(chunk(LLAMA, "Llamas")),) * 2
    [kept] = index.documents(shelf_id)
    assert (kept.uri, kept.n_chars, kept.n_chunks) == ("llama.md", len(LLAMA), len(chunk(LLAMA, "Llamas")))


def test_a_changed_document_takes_the_place_of_the_old_one(index: Shelves, shelf_id: int) -> None:
    embedder = WordEmbedder()
    first = put(index, shelf_id, document("a.md", LLAMA), embedder)
    second = put(index, shelf_id, document("a.md", "Horses run."), embedder)
    assert first == second
    assert found(index, "grass wool llama", shelf_id) == []
    assert found(index, "horses", shelf_id) == ["a.md"]
    assert index.n_vectors("words") == (1, 1)
    assert len(VectorStore(index, "words").rows().chunk_ids) == 1
    assert is_sound(index)


def test_a_removed_document_is_found_no_more(index: Shelves, shelf_id: int) -> None:
    document_id = put(index, shelf_id, document("a.md", LLAMA), WordEmbedder())
    put(index, shelf_id, document("b.md", "A llama hums."), WordEmbedder())
    assert index.remove([document_id, 999]) == 1
    assert found(index, "llama", shelf_id) == ["b.md"]
    assert index.n_vectors("words") == (1, 1)
    with pytest.raises(UnknownShelf):
        index.document(document_id)
    assert is_sound(index)


def test_vectors_that_do_not_fit_leave_the_old_document(index: Shelves, shelf_id: int) -> None:
    put(index, shelf_id, document("a.md", LLAMA), WordEmbedder())
    new = document("a.md", "Horses run.")
    with pytest.raises(ValueError, match="2 vectors for 1 chunks"):
        index.put(shelf_id, new, chunk(new.text), {"words": [np.ones(3, np.float32)] * 2})
    assert found(index, "wool", shelf_id) == ["a.md"]
    assert is_sound(index)


def test_vectors_are_counted_on_shelves_without_what_others_have_and_what_is_deleted(
    index: Shelves, shelf_id: int
) -> None:
    other, embedder = index.add_shelf("bert", "zoo"), WordEmbedder()
    put(index, shelf_id, document("a.md", "A llama hums."), embedder)
    put(index, shelf_id, document("b.md", "A horse runs."))
    index.delete_document(put(index, shelf_id, document("c.md", "A cow moos.")))
    put(index, other.id, document("d.md", "A lion sleeps."))
    assert index.n_vectors_on("words", [shelf_id]) == (1, 2)
    assert index.n_vectors_on("words", [shelf_id, other.id]) == (1, 3)
    assert index.n_vectors_on("another", [other.id]) == (0, 1)
    assert index.n_vectors_on("words", []) == (0, 0)


def test_a_search_stays_within_its_shelves(index: Shelves, shelf_id: int) -> None:
    other = index.add_shelf("anna", "zoo")
    embedder = WordEmbedder()
    put(index, shelf_id, document("a.md", "A llama hums."), embedder)
    put(index, other.id, document("b.md", "A llama hums."), embedder)
    assert found(index, "llama", shelf_id) == ["a.md"]
    assert found(index, "llama", other.id) == ["b.md"]
    assert found(index, "llama") == []
    assert VectorStore(index, "words").rows().wanted([other.id]).tolist() == [False, True]


def test_memory_follows_what_this_and_other_processes_write(index: Shelves, shelf_id: int, tmp_path: Path) -> None:
    embedder = WordEmbedder()
    store = VectorStore(index, "words")
    assert len(store.rows().chunk_ids) == 0
    first = put(index, shelf_id, document("a.md", LLAMA), embedder)
    before = store.rows()
    other = library(tmp_path)
    put(other, shelf_id, document("b.md", "A llama hums."), embedder)
    after = store.rows()
    assert len(after.chunk_ids) == len(before.chunk_ids) + 1
    assert np.array_equal(after.matrix[:-1], before.matrix)
    assert np.allclose(after.matrix[-1], embedder.vector("b.md\nA llama hums."))
    other.remove([first])
    assert len(store.rows().chunk_ids) == 1
    assert store.rows() is store.rows()
    other.close()


def test_chunks_wait_for_their_vectors_and_a_new_model_replaces_the_old(index: Shelves, shelf_id: int) -> None:
    put(index, shelf_id, document("a.md", LLAMA), WordEmbedder("old"))
    put(index, shelf_id, document("b.md", "Horses run."))
    waiting = index.without_vectors("old", 10)
    assert [each.text for each in waiting] == ["b.md\nHorses run."]
    everything = index.without_vectors("new", 100)
    vectors = [WordEmbedder("new").vector(each.text) for each in everything]
    index.set_vectors("new", [each.chunk_id for each in everything], vectors)
    assert index.models() == ["old", "new"]
    index.choose_model("new")
    assert index.models() == ["new"]
    assert index.n_vectors("old")[0] == 0
    assert index.without_vectors("new", 10) == []


def test_vectors_of_chunks_that_are_gone_are_left_out(index: Shelves, shelf_id: int) -> None:
    document_id = put(index, shelf_id, document("a.md", "Horses run."))
    [waiting] = index.without_vectors("words", 10)
    index.remove([document_id])
    index.set_vectors("words", [waiting.chunk_id], [WordEmbedder().vector("x")])
    assert index.n_vectors("words") == (0, 0)


def test_unchanged_parts_keep_their_vectors(index: Shelves, shelf_id: int) -> None:
    put(index, shelf_id, document("a.md", LLAMA), WordEmbedder())
    known = index.vectors_by_text(shelf_id, "a.md", "words")
    assert set(known) == {each.told(LLAMA, "a.md") for each in chunk(LLAMA, "a.md")}
    assert index.vectors_by_text(shelf_id, "a.md", "other") == {}


def test_shelves_belong_to_somebody(index: Shelves) -> None:
    mine = index.add_shelf("owner", "  My   shelf ")
    theirs = index.add_shelf("anna", "my shelf", is_shared=True)
    assert mine.name == "My shelf"
    assert [each.id for each in index.shelves("bert")] == [theirs.id]
    assert index.shelf("owner", "MY SHELF") == mine
    assert index.shelf("bert", "my shelf").owner_id == "anna"
    with pytest.raises(RagError, match="already"):
        index.add_shelf("owner", "my shelf")
    with pytest.raises(UnknownShelf, match="those there are: my shelf"):
        index.shelf("bert", "garden")
    with pytest.raises(UnknownShelf):
        index.change_shelf("bert", theirs.id, name="Mine now")
    index.change_shelf("anna", theirs.id, is_shared=False)
    assert index.shelves("bert") == []


@pytest.mark.parametrize("name", ["None", " off ", "default", "", "x" * 81])
def test_a_name_that_could_not_be_asked_for_is_refused(index: Shelves, shelf_id: int, name: str) -> None:
    with pytest.raises(RagError):
        index.add_shelf("owner", name)
    with pytest.raises(RagError):
        index.change_shelf("owner", shelf_id, name=name)


def test_a_deleted_shelf_comes_back_until_it_is_purged(index: Shelves, shelf_id: int) -> None:
    put(index, shelf_id, document("a.md", LLAMA), WordEmbedder())
    index.delete_shelf("owner", shelf_id)
    assert index.shelves("owner") == []
    with pytest.raises(UnknownShelf):
        put(index, shelf_id, document("b.md", LLAMA))
    index.restore_shelf("owner", shelf_id)
    assert found(index, "wool", shelf_id) == ["a.md"]
    index.delete_shelf("owner", shelf_id)
    assert index.purge_shelves(0) == 0
    assert index.purge_shelves(9e12) == 1
    with pytest.raises(UnknownShelf):
        index.restore_shelf("owner", shelf_id)
    assert is_sound(index)


@pytest.mark.parametrize(
    "question", ['"', "AND OR NOT", "a* b:c (d", "NEAR(x y)", "'; DROP TABLE chunks", "", "¿?", "\x00"]
)
def test_whatever_is_typed_is_only_words(index: Shelves, shelf_id: int, question: str) -> None:
    put(index, shelf_id, document("a.md", LLAMA), WordEmbedder())
    assert isinstance(found(index, question, shelf_id), list)


def test_words_that_stand_in_any_question_are_not_looked_for() -> None:
    assert telling("How do I spin the wool?") == ["spin", "wool"]
    assert telling("what is it") == ["what", "is", "it"]


def test_a_file_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    library(tmp_path).close()
    db = sqlite3.connect(tmp_path / "library.db")
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(LibraryBroken, match="update Paddock"):
        library(tmp_path)


WRITES = """
import sys
from pathlib import Path
from tests.documents.shelf import WordEmbedder, document, library, put
index = library(Path(sys.argv[1]))
embedder = WordEmbedder()
for n in range(100_000):
    text = f"# Part {n}\\n\\n" + "A llama eats grass. " * (n % 97)
    put(index, 1, document(f"{n % 40}.md", text, f"Number {n}"), embedder)
    print(n, flush=True)
"""


@pytest.mark.parametrize("n_before", [3, 41, 60])
def test_a_killed_writer_leaves_a_sound_index(index: Shelves, shelf_id: int, tmp_path: Path, n_before: int) -> None:
    child = subprocess.Popen([sys.executable, "-c", WRITES, str(tmp_path)], stdout=subprocess.PIPE, cwd=REPO, text=True)
    assert child.stdout
    last = -1
    for line in child.stdout:
        last = int(line)
        if last >= n_before:
            os.kill(child.pid, signal.SIGKILL)
            break
    child.wait()
    child.stdout.close()
    assert is_sound(index)
    kept = index.documents(shelf_id)
    assert min(last + 1, 40) <= len(kept) <= 40  # it may have written more than was read of it
    assert all(each.n_chunks == len(index.chunks(each.id)) > 0 for each in kept)
    n_done, n_all = index.n_vectors("words")
    assert n_done == n_all == sum(each.n_chunks for each in kept)
