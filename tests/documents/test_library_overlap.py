"""Two sources of a shelf that have the same documents: none is lost with the other, none comes back by it."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag.library import Library
from rag.sources.kinds import covers
from tests.documents.shelf import is_sound

ANNA = "anna"


@pytest.fixture
def farm(tmp_path: Path) -> Path:
    root = tmp_path / "farm"
    (root / "deep").mkdir(parents=True)
    (root / "llama.md").write_text("A llama eats grass in the paddock.")
    (root / "deep/horse.md").write_text("A horse sleeps in the barn.")
    (root / "deep/goat.txt").write_text("A goat climbs on the roof.")
    return root


class Shelf:
    """One shelf of a library, with sources."""

    def __init__(self, library: Library) -> None:
        self.library, self.id = library, library.index.add_shelf(ANNA, "farm").id

    def add(self, path: Path, **options: object) -> int:
        source_id = self.library.add_source(ANNA, self.id, "folder", str(path), options).id
        self.library.refresh(source_id)
        return source_id

    @property
    def names(self) -> set[str]:
        return {each.uri.rpartition("/")[2] for each in self.library.documents(self.id)}

    def delete(self, name: str) -> int:
        (found,) = self.library.documents(self.id, text=name)
        self.library.delete_document(ANNA, found.id)
        return found.id


@pytest.fixture
def shelf(library: Library) -> Shelf:
    return Shelf(library)


def test_what_another_source_has_too_stays_when_one_is_removed(library: Library, shelf: Shelf, farm: Path) -> None:
    whole = shelf.add(farm)
    part = shelf.add(farm / "deep")
    library.remove_source(ANNA, whole)
    assert shelf.names == {"horse.md", "goat.txt"}
    assert library.search("where does the horse sleep", [shelf.id])[0].uri.endswith("/horse.md")
    assert library.source(part).n_documents == 2
    assert library.refresh(part).n_same == 2
    assert is_sound(library.index)


def test_what_the_other_source_does_not_have_after_all_goes_at_its_next_refresh(
    library: Library, shelf: Shelf, farm: Path
) -> None:
    whole = shelf.add(farm)
    part = shelf.add(farm / "deep", only=["*.md"])
    library.remove_source(ANNA, whole)
    assert library.refresh(part).n_removed == 1
    assert shelf.names == {"horse.md"}


def test_a_folder_that_is_removed_leaves_nothing_to_a_repository_of_its_place(
    library: Library, shelf: Shelf, farm: Path
) -> None:
    (farm / ".git").mkdir()
    library.add_source(ANNA, shelf.id, "git", str(farm))
    library.remove_source(ANNA, shelf.add(farm))
    assert shelf.names == set()
    assert library.search("where does the horse sleep", [shelf.id]) == []


def test_a_folder_that_takes_over_a_document_is_looked_through_anew(library: Library, shelf: Shelf, farm: Path) -> None:
    whole = shelf.add(farm, only=["*.md"], watch=True)
    part = shelf.add(farm / "deep")
    assert not library.changed(library.source(whole))
    library.remove_source(ANNA, part)
    assert "goat.txt" in shelf.names
    assert library.changed(library.source(whole))
    library.refresh(whole)
    assert shelf.names == {"llama.md", "horse.md"}


@pytest.mark.parametrize("removes_first", [False, True])
def test_a_document_that_was_deleted_stays_away_from_every_source(
    library: Library, shelf: Shelf, farm: Path, removes_first: bool
) -> None:
    whole = shelf.add(farm)
    part = shelf.add(farm / "deep")
    document_id = shelf.delete("horse")
    if removes_first:
        library.remove_source(ANNA, whole)
    assert library.refresh(part).n_put_away == 1
    assert "horse.md" not in shelf.names
    library.restore_document(ANNA, document_id)
    library.refresh(part)
    assert "horse.md" in shelf.names


def test_a_document_that_is_added_by_itself_comes_though_it_was_deleted(shelf: Shelf, farm: Path) -> None:
    shelf.add(farm)
    shelf.delete("horse")
    shelf.add(farm / "deep/horse.md")
    assert "horse.md" in shelf.names


@pytest.mark.parametrize(
    ("kind", "address", "uri", "may_have"),
    [
        ("folder", "/a/b", "file:///a/b/c%20d.md", True),
        ("folder", "/a/b", "file:///a/bc/d.md", False),
        ("folder", "/a/b.md", "file:///a/b.md", True),
        ("git", "/a/b", "file:///a/b/c.md", False),
        ("git", "https://a.example/b", "https://a.example/b/wiki", False),
        ("page", "https://a.example/b", "https://a.example/b", True),
        ("page", "https://a.example/b", "https://a.example/b/c", False),
        ("crawl", "https://a.example/b", "https://a.example/c", False),
        ("sitemap", "https://a.example/s.xml", "https://a.example/c", False),
    ],
)
def test_which_documents_a_source_may_have(kind: str, address: str, uri: str, may_have: bool) -> None:
    assert covers(kind, address, uri) is may_have
