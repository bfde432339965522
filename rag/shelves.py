"""The shelves: whose each is, who may read it, deleting with a way back."""

from __future__ import annotations

import time
from dataclasses import dataclass

from rag.errors import RagError, UnknownShelf
from rag.index import Index

_NAME_CHARS = 80


@dataclass(frozen=True)
class Shelf:
    """A set of documents with a name. is_own: whether the user who asked may change it."""

    id: int
    owner_id: str
    name: str
    is_shared: bool
    is_own: bool
    n_documents: int
    n_chunks: int


_QUERY = """SELECT s.id, s.owner_id, s.name, s.is_shared, s.owner_id = ?,
    (SELECT count(*) FROM documents d WHERE d.shelf_id = s.id),
    (SELECT count(*) FROM chunks c JOIN documents d ON d.id = c.document_id WHERE d.shelf_id = s.id)
    FROM shelves s WHERE s.deleted_at IS NULL AND (s.owner_id = ? OR s.is_shared)"""


class Shelves(Index):
    """The library: shelves and what stands on them."""

    def shelves(self, owner_id: str) -> list[Shelf]:
        """The shelves that a user may read, by name."""
        with self.reading() as db:
            rows = db.execute(_QUERY, (owner_id, owner_id)).fetchall()
        return sorted((_shelf(row) for row in rows), key=lambda shelf: shelf.name.casefold())

    def shelf(self, owner_id: str, name: str) -> Shelf:
        """The shelf of a name, a user's own before a shared one. Raises UnknownShelf with those there are."""
        found = [each for each in self.shelves(owner_id) if each.name.casefold() == name.strip().casefold()]
        if found:
            return max(found, key=lambda shelf: shelf.is_own)
        there = ", ".join(shelf.name for shelf in self.shelves(owner_id))
        raise UnknownShelf(f"there is no shelf {name}: {f'there are {there}' if there else 'add one first'}")

    def add_shelf(self, owner_id: str, name: str, *, is_shared: bool = False) -> Shelf:
        """Begin a shelf. Raises RagError for a name that is taken or none."""
        flat = _clean(name)
        with self.writing() as db:
            query = "SELECT 1 FROM shelves WHERE owner_id = ? AND name = ? COLLATE NOCASE AND deleted_at IS NULL"
            if db.execute(query, (owner_id, flat)).fetchone():
                raise RagError(f"there is a shelf {flat} already: add to it, or choose another name")
            made = db.execute(
                "INSERT INTO shelves (owner_id, name, is_shared, created_at) VALUES (?, ?, ?, ?)",
                (owner_id, flat, int(is_shared), time.time()),
            )
            row = db.execute(f"{_QUERY} AND s.id = ?", (owner_id, owner_id, made.lastrowid)).fetchone()
        return _shelf(row)

    def change_shelf(
        self, owner_id: str, shelf_id: int, *, name: str | None = None, is_shared: bool | None = None
    ) -> None:
        """Rename a shelf, or share it with all users or with nobody. Raises UnknownShelf for another's."""
        with self.writing() as db:
            changes = {"name": _clean(name) if name is not None else None, "is_shared": is_shared}
            for column, value in changes.items():
                if value is not None:
                    query = f"UPDATE shelves SET {column} = ? WHERE id = ? AND owner_id = ? AND deleted_at IS NULL"  # noqa: S608
                    _need(db.execute(query, (value, shelf_id, owner_id)).rowcount)

    def delete_shelf(self, owner_id: str, shelf_id: int) -> None:
        """Take a shelf away; restore_shelf brings it back until it is purged. Raises UnknownShelf."""
        with self.writing() as db:
            query = "UPDATE shelves SET deleted_at = ? WHERE id = ? AND owner_id = ? AND deleted_at IS NULL"
            _need(db.execute(query, (time.time(), shelf_id, owner_id)).rowcount)

    def restore_shelf(self, owner_id: str, shelf_id: int) -> None:
        """Bring a deleted shelf back. Raises UnknownShelf when it is gone for good."""
        with self.writing() as db:
            query = "UPDATE shelves SET deleted_at = NULL WHERE id = ? AND owner_id = ?"
            _need(db.execute(query, (shelf_id, owner_id)).rowcount)

    def purge_shelves(self, before: float) -> int:
        """Really delete the shelves that were deleted before that time; how many documents went with them."""
        with self.reading() as db:
            query = """SELECT d.id FROM documents d JOIN shelves s ON s.id = d.shelf_id WHERE s.deleted_at < ?"""
            found = [row[0] for row in db.execute(query, (before,))]
        n_removed = sum(self.remove([document_id]) for document_id in found)  # one at a time: nobody waits long
        with self.writing() as db:
            db.execute("DELETE FROM shelves WHERE deleted_at < ?", (before,))
        return n_removed


def _clean(name: str) -> str:
    flat = " ".join(name.split())
    if not 0 < len(flat) <= _NAME_CHARS:
        raise RagError(f"a shelf's name has 1 to {_NAME_CHARS} characters, this one has {len(flat)}")
    return flat


def _need(n_changed: int) -> None:
    if not n_changed:
        raise UnknownShelf("this shelf is no longer in the library, or is not yours")


def _shelf(row: tuple[int, str, str, int, int, int, int]) -> Shelf:
    shelf_id, owner_id, name, is_shared, is_own, n_documents, n_chunks = row
    return Shelf(shelf_id, owner_id, name, bool(is_shared), bool(is_own), n_documents, n_chunks)
