"""What people do with the documents of a library: delete and bring back, drop, share, list."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from rag.errors import DocumentRefused, RagError, UnknownShelf
from rag.extract import read
from rag.library import Library, Progress
from rag.shelves import Shelves
from tests.documents.shelf import WordEmbedder, is_sound
from tests.documents.test_library import ANNA, BERT, added, found, names


def test_a_deleted_document_is_found_nowhere_and_stays_away(library: Library, shelf_id: int, farm: Path) -> None:
    source_id = added(library, shelf_id, farm)
    [horse] = library.documents(shelf_id, text="horse")
    library.delete_document(ANNA, horse.id)
    assert library.n_documents(shelf_id) == 2
    assert library.source(source_id).n_documents == 2
    assert all(passage.document_id != horse.id for passage in library.search("horse sleeps barn", [shelf_id]))
    with pytest.raises(UnknownShelf):
        library.document(ANNA, horse.id)
    (farm / "deep/horse.txt").write_text("A horse runs.")
    assert library.refresh(source_id).n_put_away == 1
    assert "horse.txt" not in names(library, shelf_id)
    library.restore_document(ANNA, horse.id)
    assert found(library, "horse sleeps barn", shelf_id) == "horse.txt"
    assert library.refresh(source_id).n_changed == 1
    assert library.document(ANNA, horse.id)[1].text == "A horse runs."


def test_a_document_deleted_while_its_source_is_read_stays_away(library: Library, shelf_id: int, farm: Path) -> None:
    for number in range(150):
        (farm / f"{number}.txt").write_text(f"Note number {number}.")
    source_id = added(library, shelf_id, farm)
    for number in range(150):
        (farm / f"{number}.txt").write_text(f"Newer note number {number}.")
    kept = library.documents(shelf_id)
    waiting = [kept[100], kept[152]]  # one that is read when the first is kept, one that is not yet

    def tell(at: Progress) -> None:
        while waiting:
            library.delete_document(ANNA, waiting.pop().id)

    assert library.refresh(source_id, tell).n_put_away == 2
    assert {each.uri for each in kept} - {each.uri for each in library.documents(shelf_id)} == {
        kept[100].uri,
        kept[152].uri,
    }


def test_what_was_deleted_a_day_ago_goes_for_good(library: Library, shelf_id: int, farm: Path, tmp_path: Path) -> None:
    source_id = added(library, shelf_id, farm)
    [horse] = library.documents(shelf_id, text="horse")
    library.delete_document(ANNA, horse.id)
    with library.index.writing() as db:
        db.execute("UPDATE documents SET deleted_at = deleted_at - 90000 WHERE deleted_at IS NOT NULL")
    again = Library(tmp_path / "library.db", WordEmbedder(), read=read)
    with pytest.raises(UnknownShelf):
        again.restore_document(ANNA, horse.id)
    assert again.refresh(source_id).n_put_away == 1  # it stays away, since the source still has it
    assert is_sound(again.index)
    again.close()


def before_write(monkeypatch: pytest.MonkeyPatch, index: Shelves, n_write: int, do: Callable[[], None]) -> None:
    """Do something, as another does, just before the index begins its n-th transaction from now on."""
    plain, n_begun = index.writing, 0

    def writing() -> AbstractContextManager[sqlite3.Connection]:
        nonlocal n_begun
        n_begun += 1
        if n_begun == n_write:
            monkeypatch.setattr(index, "writing", plain)
            do()
        return plain()

    monkeypatch.setattr(index, "writing", writing)


def test_a_document_that_comes_back_while_the_old_ones_go_for_good_stays(
    library: Library, shelf_id: int, farm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    added(library, shelf_id, farm)
    [horse] = library.documents(shelf_id, text="horse")
    library.delete_document(ANNA, horse.id)
    before_write(monkeypatch, library.index, 1, lambda: library.restore_document(ANNA, horse.id))
    assert library.purge(time.time() + 1) == 0
    assert found(library, "horse sleeps barn", shelf_id) == "horse.txt"


@pytest.mark.parametrize(("n_write", "n_kept"), [(1, 3), (2, 0), (3, 0)])
def test_a_shelf_that_is_asked_for_while_it_goes_comes_back_whole_or_not_at_all(
    library: Library, shelf_id: int, farm: Path, monkeypatch: pytest.MonkeyPatch, n_write: int, n_kept: int
) -> None:
    def restore() -> None:
        with nullcontext() if n_kept else pytest.raises(UnknownShelf):
            library.index.restore_shelf(ANNA, shelf_id)

    added(library, shelf_id, farm)
    library.index.delete_shelf(ANNA, shelf_id)
    before_write(monkeypatch, library.index, n_write, restore)
    assert library.purge(time.time() + 1) == 3 - n_kept
    assert [each.n_documents for each in library.index.shelves(ANNA)] == [n_kept] * (n_kept > 0)
    assert is_sound(library.index)


def test_a_user_who_is_removed_while_old_shelves_go_leaves_no_words(
    library: Library, shelf_id: int, farm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begin_to_remove() -> None:
        with library.index.writing() as db:
            db.execute("UPDATE shelves SET deleted_at = 0 WHERE owner_id = ?", (ANNA,))

    added(library, shelf_id, farm)
    before_write(monkeypatch, library.index, 2, begin_to_remove)
    library.purge(0)
    assert is_sound(library.index)
    library.remove_owner(ANNA)
    assert is_sound(library.index)


def test_a_document_that_came_again_is_not_overwritten_by_an_undo(library: Library, shelf_id: int) -> None:
    first = library.add_file(ANNA, shelf_id, "note.txt", b"first")
    library.delete_document(ANNA, first)
    second = library.add_file(ANNA, shelf_id, "note.txt", b"second")
    with pytest.raises(RagError, match="added again meanwhile"):
        library.restore_document(ANNA, first)
    library.delete_document(ANNA, second)
    library.restore_document(ANNA, first)
    assert library.document(ANNA, first)[1].text == "first"


def test_a_removed_source_takes_its_documents_and_their_words(library: Library, shelf_id: int, farm: Path) -> None:
    source_id = added(library, shelf_id, farm)
    library.add_file(ANNA, shelf_id, "own.txt", b"A note about the barn.")
    library.remove_source(ANNA, source_id)
    assert names(library, shelf_id) == ["file:own.txt"]
    assert [each.uri for each in library.search("barn", [shelf_id])] == ["file:own.txt"]
    assert library.sources(shelf_id) == []
    assert is_sound(library.index)


def test_the_number_of_a_document_that_is_gone_is_given_to_no_other(library: Library, shelf_id: int) -> None:
    first = library.add_file(ANNA, shelf_id, "gate.txt", b"The gate is green.")
    library.forget([first])
    assert library.add_file(ANNA, shelf_id, "barn.txt", b"The barn is red.") != first
    with pytest.raises(UnknownShelf):
        library.document(ANNA, first)


def test_a_dropped_file_replaces_its_namesake(library: Library, shelf_id: int) -> None:
    first = library.add_file(ANNA, shelf_id, "/home/anna/a\nb.txt", b"The first text.")
    assert library.add_file(ANNA, shelf_id, "a b.txt", b"The second text.") == first
    assert library.document(ANNA, first)[1].text == "The second text."
    assert library.has_vectors()
    with pytest.raises(DocumentRefused):
        library.add_file(ANNA, shelf_id, "x.bin", bytes(range(256)) * 10)


def test_another_user_reads_what_is_shared_and_changes_nothing(library: Library, shelf_id: int, farm: Path) -> None:
    source_id = added(library, shelf_id, farm)
    document_id = library.documents(shelf_id)[0].id
    with pytest.raises(UnknownShelf):
        library.document(BERT, document_id)
    library.index.change_shelf(ANNA, shelf_id, is_shared=True)
    assert library.document(BERT, document_id)[0] == shelf_id
    for change in (
        lambda: library.add_source(BERT, shelf_id, "folder", "/tmp"),
        lambda: library.remove_source(BERT, source_id),
        lambda: library.add_file(BERT, shelf_id, "x.txt", b"x"),
        lambda: library.add_text(BERT, shelf_id, "x", "x", "x", "text"),
        lambda: library.delete_document(BERT, document_id),
        lambda: library.restore_document(BERT, document_id),
    ):
        with pytest.raises(UnknownShelf):
            change()
    assert library.n_documents(shelf_id) == 3


def test_the_shelf_of_a_document_is_told_to_those_who_may_read_it_while_it_is_there(
    library: Library, shelf_id: int
) -> None:
    document_id = library.add_file(ANNA, shelf_id, "gate.txt", b"The gate is green.")
    assert library.shelf_of(ANNA, document_id) == shelf_id
    with pytest.raises(UnknownShelf):
        library.shelf_of(BERT, document_id)
    library.delete_document(ANNA, document_id)
    with pytest.raises(UnknownShelf):
        library.shelf_of(ANNA, document_id)
    library.restore_document(ANNA, document_id)
    assert library.shelf_of(ANNA, document_id) == shelf_id


def test_the_hidden_shelf_is_its_owners_alone_and_in_no_list(library: Library) -> None:
    hidden = library.index.hidden_shelf(ANNA)
    assert library.index.hidden_shelf(ANNA) == hidden
    assert hidden.is_hidden
    assert library.index.shelves(ANNA) == []
    assert library.index.add_shelf(ANNA, hidden.name).id != hidden.id
    document_id = library.add_text(ANNA, hidden.id, "chat:1", "long.txt", "A long text\ud800.", "text")
    assert library.search("long text", [hidden.id])[0].document_id == document_id
    with pytest.raises(UnknownShelf):
        library.document(BERT, document_id)
    with pytest.raises(UnknownShelf):
        library.index.change_shelf(ANNA, hidden.id, is_shared=True)
    assert library.text_bytes(ANNA) > 0
    own = library.add_file(ANNA, library.index.add_shelf(ANNA, "own").id, "a.txt", b"a")
    assert library.hidden_documents() == [(document_id, "chat:1")]
    library.forget([document_id])
    assert library.hidden_documents() == []
    assert library.document(ANNA, own)
    library.remove_owner(ANNA)
    assert library.text_bytes(ANNA) == 0


def test_a_list_goes_on_and_looks_for_a_text(library: Library, shelf_id: int) -> None:
    for number in range(10):
        library.add_file(ANNA, shelf_id, f"100%_{number}.txt", b"x")
    first = library.documents(shelf_id, limit=4)
    rest = library.documents(shelf_id, after=first[-1].uri)
    assert [each.title for each in first + rest] == [f"100%_{number}.txt" for number in range(10)]
    assert library.n_documents(shelf_id, "%_7") == 1
    assert library.n_documents(shelf_id, "1%7") == 0


def test_of_a_removed_source_nothing_is_kept_once_it_has_no_way_back(
    library: Library, shelf_id: int, farm: Path
) -> None:
    def kept() -> int:
        with library.index.reading() as db:
            return int(
                db.execute("SELECT count(*) FROM state WHERE value LIKE ? OR name LIKE ?", ("%farm%",) * 2).fetchone()[
                    0
                ]
            )

    library.remove_source(ANNA, added(library, shelf_id, farm))
    library.purge(time.time() - 60)
    assert kept() == 1
    library.purge(time.time() + 1)
    assert kept() == 0
    other = library.index.add_shelf(BERT, "farm").id
    library.remove_source(BERT, library.add_source(BERT, other, "folder", str(farm)).id)
    library.remove_owner(BERT)
    assert kept() == 0


def test_a_removed_source_that_is_added_again_is_not_read_again(
    library: Library, shelf_id: int, farm: Path, embedder: WordEmbedder
) -> None:
    source_id = added(library, shelf_id, farm)
    before = names(library, shelf_id)
    found = [each.document_id for each in library.search("barn", [shelf_id])]
    library.remove_source(ANNA, source_id)
    embedder.is_away = True
    again = library.add_source(ANNA, shelf_id, "folder", str(farm))
    assert names(library, shelf_id) == before
    report = library.refresh(again.id)
    assert (report.n_same, report.n_new, report.n_changed, report.n_removed) == (3, 0, 0, 0)
    embedder.is_away = False
    assert [each.document_id for each in library.search("barn", [shelf_id])] == found
    library.remove_source(ANNA, again.id)
    library.purge(time.time() + 1)
    library.add_source(ANNA, shelf_id, "folder", str(farm))
    assert names(library, shelf_id) == []
    assert is_sound(library.index)


def test_texts_are_counted_in_bytes_also_in_a_library_of_before(
    library: Library, shelf_id: int, embedder: WordEmbedder, tmp_path: Path
) -> None:
    document_id = library.add_text(ANNA, shelf_id, "a", "a", "a heron", "text")
    library.add_text(ANNA, shelf_id, "b", "b", "鷺\ud800", "text")
    assert library.text_bytes(ANNA) == len("a heron") + len("鷺?".encode())
    library.add_text(ANNA, shelf_id, "a", "a", "鷺鷺", "text")
    assert library.text_bytes(ANNA) == len("鷺鷺鷺?".encode())
    library.close()
    db = sqlite3.connect(tmp_path / "library.db")
    db.executescript("DROP INDEX document_sizes; ALTER TABLE documents DROP COLUMN n_bytes; PRAGMA user_version = 2")
    db.close()
    again = Library(tmp_path / "library.db", embedder, read=read)
    assert again.text_bytes(ANNA) == len("鷺鷺鷺?".encode())
    assert again.document(ANNA, document_id)[1].text == "鷺鷺"
    again.close()
