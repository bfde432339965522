"""The library in a user's name: sources come, change and fail on their own; nobody touches what is another's."""

from __future__ import annotations

import os
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from rag import process
from rag.errors import LibraryBroken, RagError, SourceBusy, SourceFailed
from rag.extract import read
from rag.library import Library, Progress
from rag.sources import Readable
from tests.documents.shelf import WordEmbedder, full_disk, is_sound
from tests.documents.test_sources_disk import git

ANNA, BERT = "anna", "bert"


def added(library: Library, shelf_id: int, farm: Path) -> int:
    source_id = library.add_source(ANNA, shelf_id, "folder", str(farm)).id
    library.refresh(source_id)
    return source_id


def names(library: Library, shelf_id: int) -> list[str]:
    return [each.uri.rpartition("/")[2] for each in library.documents(shelf_id)]


def found(library: Library, question: str, shelf_id: int) -> str:
    return library.search(question, [shelf_id])[0].uri.rpartition("/")[2]


def test_a_folder_comes_and_what_fails_is_told(library: Library, shelf_id: int, farm: Path) -> None:
    source = library.add_source(ANNA, shelf_id, "folder", str(farm))
    assert (source.state, source.refreshed_at) == ("new", None)
    told: list[Progress] = []
    report = library.refresh(source.id, told.append)
    assert (report.n_new, told[-1].n_done, told[-1].n_all) == (3, 4, 4)
    [after] = library.sources(shelf_id)
    assert (after.state, after.n_documents, after.n_failures, after.problem) == ("ok", 3, 1, "")
    assert after.refreshed_at
    [failure] = library.failures(source.id)
    assert failure.uri == (farm / "broken.pdf").as_uri()
    assert found(library, "who sleeps in the barn", shelf_id) == "horse.txt"


def test_a_refresh_follows_the_folder(library: Library, shelf_id: int, farm: Path) -> None:
    source_id = added(library, shelf_id, farm)
    assert library.refresh(source_id).n_same == 3
    (farm / "llama.md").write_text("# Llama\n\nA llama hums.")
    (farm / "deep/goat.txt").unlink()
    (farm / "broken.pdf").unlink()
    report = library.refresh(source_id)
    assert (report.n_changed, report.n_removed, report.n_same) == (1, 1, 1)
    assert names(library, shelf_id) == ["horse.txt", "llama.md"]
    assert library.failures(source_id) == []


def test_a_file_that_was_emptied_answers_no_more_and_one_that_cannot_be_read_keeps_its_text(
    library: Library, shelf_id: int, farm: Path
) -> None:
    source_id = added(library, shelf_id, farm)
    (farm / "deep/horse.txt").write_text("")
    (farm / "deep/goat.txt").write_bytes(b"%PDF-1.7 broken")
    report = library.refresh(source_id)
    assert report.n_removed == 1 and names(library, shelf_id) == ["goat.txt", "llama.md"]
    assert not any("horse" in each.text for each in library.search("Where does a horse sleep?", [shelf_id]))
    told = {each.uri.rpartition("/")[2]: each.reason for each in library.failures(source_id)}
    assert told["horse.txt"] == "is empty"
    assert told["goat.txt"].endswith("; the text that was read before is kept")
    (farm / "deep/horse.txt").write_text("A horse sleeps in the meadow.")
    assert library.refresh(source_id).n_new == 1


def test_a_file_that_was_only_touched_is_read_once_more_and_not_again(
    library: Library, shelf_id: int, farm: Path
) -> None:
    source_id = added(library, shelf_id, farm)
    os.utime(farm / "llama.md", (1, 1))
    assert library.refresh(source_id).n_same == 3
    assert library.index.known_of(shelf_id, (farm / "llama.md").as_uri()).stamp.endswith(" 1000000000")


def test_what_cannot_be_read_is_not_tried_at_every_look(
    library: Library, shelf_id: int, farm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source_id = added(library, shelf_id, farm)
    opened: list[str] = []

    def noting(name: str, data: bytes, **more: str) -> Readable:
        opened.append(name)
        return read(name, data, **more)

    monkeypatch.setattr(library, "_read", noting)
    before = library.failures(source_id)
    library.refresh(source_id)
    assert (opened, library.failures(source_id)) == ([], before)
    (farm / "broken.pdf").write_bytes(b"%PDF-1.7 broken in another way")
    library.refresh(source_id)
    assert opened == ["broken.pdf"]
    with library.index.writing() as db:
        db.execute("UPDATE failures SET at = at - 4000")
    library.refresh(source_id)
    assert opened == ["broken.pdf", "broken.pdf"]


def test_a_folder_of_too_many_files_is_refused_with_the_number(
    library: Library, shelf_id: int, farm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rag.sources.folder.MAX_FILES", 3)
    source_id = library.add_source(ANNA, shelf_id, "folder", str(farm)).id
    with pytest.raises(SourceFailed, match="more than 3 documents"):
        library.refresh(source_id)


def test_changed_sees_files_come_go_and_be_written(library: Library, shelf_id: int, farm: Path) -> None:
    source_id = added(library, shelf_id, farm)

    def is_changed() -> bool:
        was = library.changed(library.source(source_id))
        library.refresh(source_id)
        assert not library.changed(library.source(source_id))
        return was

    assert not is_changed()
    (farm / "new.txt").write_text("new")
    assert is_changed()
    (farm / "new.txt").write_text("newer")
    assert is_changed()
    (farm / "new.txt").unlink()
    assert is_changed()
    os.utime(farm / "llama.md", (1, 1))
    assert is_changed()
    assert not is_changed()


def test_a_folder_that_is_gone_or_empty_loses_nothing(library: Library, shelf_id: int, farm: Path) -> None:
    source_id = added(library, shelf_id, farm)
    farm.rename(farm.with_name("away"))
    with pytest.raises(SourceFailed, match="No such file"):
        library.refresh(source_id)
    assert library.source(source_id).state == "failed"
    assert "No such file" in library.source(source_id).problem
    farm.mkdir()  # its disk is not mounted
    with pytest.raises(SourceFailed, match="3 that were read of it stay"):
        library.refresh(source_id)
    assert len(names(library, shelf_id)) == 3


def test_a_folder_within_that_cannot_be_opened_keeps_its_documents(
    library: Library, shelf_id: int, farm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source_id = added(library, shelf_id, farm)
    (farm / "llama.md").unlink()
    scandir = os.scandir

    def refusing(path: str) -> object:
        if Path(path).name == "deep":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr("rag.sources.folder.os.scandir", refusing)  # root may open any folder
    report = library.refresh(source_id)
    assert report.n_removed == 1
    assert names(library, shelf_id) == ["goat.txt", "horse.txt"]
    assert any("Permission denied" in each.reason for each in library.failures(source_id))


def test_a_name_that_is_no_utf8_does_no_harm(library: Library, shelf_id: int, farm: Path) -> None:
    with open(os.fsencode(farm) + b"/caf\xe9.txt", "w") as file:
        file.write("Coffee grows on hills.")
    added(library, shelf_id, farm)
    assert found(library, "coffee hills", shelf_id) == "caf%E9.txt"
    assert library.documents(shelf_id, text="caf")[0].title == "caf\ufffd.txt"


def test_only_patterns_choose_by_name_or_path(library: Library, shelf_id: int, farm: Path) -> None:
    source_id = library.add_source(ANNA, shelf_id, "folder", str(farm), {"only": ["deep/*.txt", "*.md"]}).id
    library.refresh(source_id)
    assert names(library, shelf_id) == ["goat.txt", "horse.txt", "llama.md"]


@pytest.mark.parametrize(
    ("kind", "address", "options", "said"),
    [
        ("tape", "/x", {}, "folder, page, sitemap, crawl, git are known"),
        ("folder", "relative", {}, "begins with /"),
        ("folder", "/no/such/folder", {}, "is not there"),
        ("folder", "/tmp", {"depth": 1}, "it has only, watch"),
        ("folder", "/tmp", {"watch": "yes"}, "true or false"),
        ("folder", "/tmp", {"only": "*.md"}, "a list"),
        ("page", "https://example.org/", {}, "--network true"),
        ("git", "https://example.org/x", {}, "--network true"),
        ("git", "ssh://example.org/x", {}, "no https address"),
    ],
)
def test_a_source_that_cannot_be_is_refused_with_what_can(
    library: Library, shelf_id: int, kind: str, address: str, options: dict[str, object], said: str
) -> None:
    with pytest.raises(RagError, match=said):
        library.add_source(ANNA, shelf_id, kind, address, options)
    assert library.sources(shelf_id) == []


def test_the_same_source_twice_is_refused(library: Library, shelf_id: int, farm: Path) -> None:
    library.add_source(ANNA, shelf_id, "folder", str(farm))
    with pytest.raises(RagError, match="on this shelf already"):
        library.add_source(ANNA, shelf_id, "folder", f" {farm} ")


def test_one_run_at_a_time_and_stopping_keeps_what_came(library: Library, shelf_id: int, farm: Path) -> None:
    for number in range(300):
        (farm / f"{number}.txt").write_text(f"Note number {number}.")
    source_id = library.add_source(ANNA, shelf_id, "folder", str(farm)).id
    stop = threading.Event()

    def tell(at: Progress) -> None:
        with pytest.raises(SourceBusy, match="is being read already"):
            library.refresh(source_id)
        assert library.source(source_id).state == "running"
        stop.set()

    report = library.refresh(source_id, tell, stop.is_set)
    assert not report.is_whole
    after = library.source(source_id)
    assert (after.state, after.n_documents) == ("stopped", report.n_new)
    assert library.unfinished() == []
    assert not library.changed(after)  # who stopped it does not want it to begin again by itself
    again = library.refresh(source_id)
    assert (again.n_same, again.n_new) == (report.n_new, 303 - report.n_new)


def test_a_run_of_another_process_is_respected_as_long_as_it_lives(library: Library, shelf_id: int, farm: Path) -> None:
    source_id = library.add_source(ANNA, shelf_id, "folder", str(farm)).id

    def claim(runner: str) -> None:
        with library.index.writing() as db:
            db.execute("UPDATE sources SET state = 'running', runner = ? WHERE id = ?", (runner, source_id))

    claim(f"1:{process.start_of(1)}:7")
    assert library.source(source_id).state == "running"
    assert library.unfinished() == []
    with pytest.raises(SourceBusy, match="by process 1 "):
        library.refresh(source_id)
    with pytest.raises(SourceBusy):
        library.remove_source(ANNA, source_id)
    claim("1:another start:7")  # its number belongs to another process now
    assert library.source(source_id).state == "stopped"
    assert [each.id for each in library.unfinished()] == [source_id]
    assert library.refresh(source_id).n_new == 3


def test_the_copy_of_a_repository_goes_with_its_source(
    library: Library, shelf_id: int, farm: Path, tmp_path: Path
) -> None:
    git("init", "-q", place=farm)
    git("add", ".", place=farm)
    git("commit", "-q", "-m", "first", place=farm)
    source_id = library.add_source(ANNA, shelf_id, "git", str(farm)).id
    assert library.refresh(source_id).n_new == 3
    copy = tmp_path / "repositories" / str(source_id)
    assert copy.is_dir()
    assert library.link(library.search("llama", [shelf_id])[0]) == ""  # it lies on this machine
    library.index.delete_shelf(ANNA, shelf_id)
    library.purge(time.time() + 1)
    assert not copy.exists()


def test_a_run_that_left_with_its_process_is_found_again(library: Library, shelf_id: int, farm: Path) -> None:
    source_id = library.add_source(ANNA, shelf_id, "folder", str(farm)).id
    library.refresh(source_id, is_leaving=lambda: True)
    assert [each.id for each in library.unfinished()] == [source_id]
    library.refresh(source_id)
    assert library.unfinished() == []


def test_a_file_is_taken_while_nobody_makes_embeddings(library: Library, shelf_id: int, embedder: WordEmbedder) -> None:
    embedder.is_away = True
    document_id = library.add_file(ANNA, shelf_id, "a.txt", b"A llama eats grass.")
    assert not library.has_vectors()
    assert library.search("llama", [shelf_id])[0].document_id == document_id
    embedder.is_away = False
    assert library.fill() == 1
    assert library.has_vectors()


def test_an_embedding_server_that_dies_in_a_run_costs_no_document(
    library: Library, shelf_id: int, farm: Path, embedder: WordEmbedder
) -> None:
    for number in range(200):
        (farm / f"{number}.txt").write_text(f"Note number {number}.")
    source_id = library.add_source(ANNA, shelf_id, "folder", str(farm)).id

    def tell(at: Progress) -> None:
        embedder.is_away = at.n_done > 50

    report = library.refresh(source_id, tell)
    assert report.is_whole
    assert report.without_vectors == "nobody answers"
    n_done, n_all = library.index.n_vectors("words")
    assert 0 < n_done < n_all == 203
    embedder.is_away = False
    assert library.fill() == n_all - n_done


def test_a_full_disk_ends_the_run_with_its_reason_and_harms_nothing(
    library: Library, shelf_id: int, farm: Path
) -> None:
    for number in range(60):
        (farm / f"{number}.txt").write_text(f"Note number {number}. " * 300)
    source_id = library.add_source(ANNA, shelf_id, "folder", str(farm)).id
    with library.index.reading() as db:
        n_pages = db.execute("PRAGMA page_count").fetchone()[0]
        db.execute(f"PRAGMA max_page_count = {n_pages + 60}")
    with pytest.raises(LibraryBroken, match="disk is full"):
        library.refresh(source_id)
    assert library.source(source_id).state in {"failed", "stopped"}
    assert not library.changed(library.source(source_id))  # it is not tried every ten seconds
    assert is_sound(library.index)
    with library.index.reading() as db:
        db.execute("PRAGMA max_page_count = 1000000")
    n_kept = library.n_documents(shelf_id)
    report = library.refresh(source_id)
    assert (report.n_same, report.n_new) == (n_kept, 63 - n_kept)
    assert is_sound(library.index)


def test_a_source_that_a_full_disk_ended_twice_is_read_again_once_there_is_room(
    library: Library, shelf_id: int, farm: Path
) -> None:
    source_id = added(library, shelf_id, farm)
    with ExitStack() as disk:
        with pytest.raises(LibraryBroken, match="disk is full"):
            library.refresh(source_id, lambda _: disk.enter_context(full_disk(library.index)))
        with pytest.raises(LibraryBroken, match="disk is full"):
            library.refresh(source_id)
    assert [each.id for each in library.unfinished()] == [source_id]
    assert library.refresh(source_id).n_same == 3
    assert library.source(source_id).state == "ok"
