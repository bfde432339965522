"""The shelves: whose each is, who may read it, deleting with a way back."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

from rag.database import Connection
from rag.errors import RagError, UnknownShelf
from rag.index import Index
from rag.listing import FORGET_ASIDE

_NAME_CHARS = 80
_MOST_EARLIER = 20
_NO_NAMES = ("none", "off", "default")


@dataclass(frozen=True)
class Shelf:
    """A set of documents with a name. is_own: whether the user who asked may change it. is_hidden: it is in no list;
    the long files of a user's chats stand there. earlier: what it was called before, by which chats may
    still ask it."""

    id: int
    owner_id: str
    name: str
    is_shared: bool
    is_own: bool
    n_documents: int
    n_chunks: int
    is_hidden: bool = False
    earlier: tuple[str, ...] = ()

    def was_called(self, name: str) -> bool:
        """Whether it had this name before."""
        return name.strip().casefold() in map(str.casefold, self.earlier)


_QUERY = """SELECT s.id, s.owner_id, s.name, s.is_shared, s.owner_id = ?,
    (SELECT count(*) FROM documents d WHERE d.shelf_id = s.id AND d.deleted_at IS NULL),
    (SELECT count(*) FROM chunks c JOIN documents d ON d.id = c.document_id
        WHERE d.shelf_id = s.id AND d.deleted_at IS NULL), s.is_hidden, s.earlier
    FROM shelves s WHERE s.deleted_at IS NULL AND (s.owner_id = ? OR s.is_shared)"""
_OWN = "WHERE id = ? AND owner_id = ? AND deleted_at IS NULL AND NOT is_hidden"
_HIDDEN = "files of chats"


class Shelves(Index):
    """The library: shelves and what stands on them."""

    def shelves(self, owner_id: str) -> list[Shelf]:
        """The shelves that a user may read, by name, the oldest first of those of one name."""
        with self.reading() as db:
            rows = db.execute(f"{_QUERY} AND NOT s.is_hidden", (owner_id, owner_id)).fetchall()
        return sorted((_shelf(row) for row in rows), key=lambda shelf: (shelf.name.casefold(), shelf.id))

    def shelf(self, owner_id: str, name: str) -> Shelf:
        """The shelf of a name, a user's own before a shared one. Raises UnknownShelf with those there are."""
        found = [each for each in self.shelves(owner_id) if each.name.casefold() == name.strip().casefold()]
        if found:
            return max(found, key=lambda shelf: shelf.is_own)
        there = ", ".join(shelf.name for shelf in self.shelves(owner_id))
        raise UnknownShelf(f"there is no shelf {name}; {f'those there are: {there}' if there else 'add one first'}")

    def hidden_shelf(self, owner_id: str) -> Shelf:
        """The one shelf of a user that is in no list; it is made when it is first asked for."""
        with self.writing() as db:
            db.execute(
                "INSERT INTO shelves (owner_id, name, is_hidden, created_at) SELECT ?, ?, 1, ?"
                " WHERE NOT EXISTS (SELECT 1 FROM shelves WHERE owner_id = ? AND is_hidden)",
                (owner_id, _HIDDEN, time.time(), owner_id),
            )
            query = f"{_QUERY} AND s.is_hidden AND s.owner_id = ?"
            return _shelf(db.execute(query, (owner_id, owner_id, owner_id)).fetchone())

    def readable(self, owner_id: str, shelf_id: int) -> Shelf:
        """A shelf that this user may read. Raises UnknownShelf."""
        with self.reading() as db:
            row = db.execute(f"{_QUERY} AND s.id = ?", (owner_id, owner_id, shelf_id)).fetchone()
        if row is None:
            raise _unknown()
        return _shelf(row)

    def own(self, owner_id: str, shelf_id: int) -> Shelf:
        """A shelf that this user may change. Raises UnknownShelf."""
        found = self.readable(owner_id, shelf_id)
        if not found.is_own:
            raise _unknown()
        return found

    def add_shelf(self, owner_id: str, name: str, *, is_shared: bool = False) -> Shelf:
        """Begin a shelf. Raises RagError for a name that is taken or none."""
        flat = _clean(name)
        with self.writing() as db:
            _need_free(db, owner_id, flat)
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
            if name is not None:
                _need_free(db, owner_id, _clean(name), but=shelf_id)
                _keep_name(db, owner_id, shelf_id, _clean(name))
            changes = {"name": _clean(name) if name is not None else None, "is_shared": is_shared}
            for column, value in changes.items():
                if value is not None:
                    query = f"UPDATE shelves SET {column} = ? {_OWN}"  # noqa: S608
                    _need(db.execute(query, (value, shelf_id, owner_id)).rowcount)

    def delete_shelf(self, owner_id: str, shelf_id: int) -> None:
        """Take a shelf away; restore_shelf brings it back until it is purged. Raises UnknownShelf."""
        with self.writing() as db:
            _need(db.execute(f"UPDATE shelves SET deleted_at = ? {_OWN}", (time.time(), shelf_id, owner_id)).rowcount)  # noqa: S608

    def restore_shelf(self, owner_id: str, shelf_id: int) -> None:
        """Bring a deleted shelf back. Raises UnknownShelf when it is gone for good, RagError when its name is taken."""
        with self.writing() as db:
            query = "SELECT name FROM shelves WHERE id = ? AND owner_id = ? AND deleted_at IS NOT 0"
            row = db.execute(query, (shelf_id, owner_id)).fetchone()
            if row is None:
                raise _unknown()
            _need_free(db, owner_id, row[0], but=shelf_id)
            db.execute("UPDATE shelves SET deleted_at = NULL WHERE id = ?", (shelf_id,))

    def shelf_of(self, document_id: int, *, is_there: bool = False) -> int:
        """The shelf of a document, deleted or not unless it is to be there. Raises UnknownShelf."""
        query = "SELECT shelf_id FROM documents WHERE id = ? AND (deleted_at IS NULL OR NOT ?)"
        with self.reading() as db:
            row = db.execute(query, (document_id, is_there)).fetchone()
        if row is None:
            raise UnknownShelf("this document is no longer in the library")
        return int(row[0])

    def hidden_documents(self) -> list[tuple[int, str]]:
        """(id, uri) of the documents on all hidden shelves."""
        query = "SELECT d.id, d.uri FROM documents d JOIN shelves s ON s.id = d.shelf_id AND s.is_hidden ORDER BY d.id"
        with self.reading() as db:
            return [(row[0], row[1]) for row in db.execute(query)]

    def readers(self, shelf_id: int) -> tuple[str, bool]:
        """(whose a shelf is, whether all users may read it). Raises UnknownShelf."""
        with self.reading() as db:
            row = db.execute("SELECT owner_id, is_shared FROM shelves WHERE id = ?", (shelf_id,)).fetchone()
        if row is None:
            raise _unknown()
        return row[0], bool(row[1])

    def text_bytes(self, owner_id: str) -> int:
        """What the texts of all documents on a user's own shelves take."""
        query = """SELECT coalesce(sum(n_bytes), 0) FROM documents WHERE deleted_at IS NULL
            AND shelf_id IN (SELECT id FROM shelves WHERE owner_id = ? AND deleted_at IS NULL)"""
        with self.reading() as db:
            return int(db.execute(query, (owner_id,)).fetchone()[0])

    def remove_owner(self, owner_id: str) -> None:
        """Forget all shelves of a user at once."""
        with self.writing() as db:
            db.execute("UPDATE shelves SET deleted_at = 0, is_shared = 0 WHERE owner_id = ?", (owner_id,))
        self.purge_shelves(1.0)

    def purge_shelves(self, before: float) -> int:
        """Really delete the shelves that were deleted before that time; how many documents went with them."""
        with self.writing() as db:  # with 0 a shelf has no way back: it goes whole
            db.execute("UPDATE shelves SET deleted_at = 0 WHERE deleted_at < ?", (before,))
        with self.reading() as db:
            query = "SELECT d.id FROM documents d JOIN shelves s ON s.id = d.shelf_id WHERE s.deleted_at = 0"
            found = [row[0] for row in db.execute(query)]
        n_removed = sum(self.remove([document_id]) for document_id in found)  # one at a time: nobody waits long
        with self.writing() as db:
            # Not with documents, whose words would stay: another process may have begun to remove it meanwhile.
            db.execute("DELETE FROM shelves WHERE deleted_at = 0 AND id NOT IN (SELECT shelf_id FROM documents)")
            db.execute(FORGET_ASIDE, (before,))
        return n_removed


def _clean(name: str) -> str:
    flat = " ".join(name.split())
    if not 0 < len(flat) <= _NAME_CHARS:
        raise RagError(f"a shelf's name has 1 to {_NAME_CHARS} characters, this one has {len(flat)}")
    if flat.casefold() in _NO_NAMES:
        raise RagError(f"a shelf cannot be called {flat}: that is said where no shelf is meant")
    return flat


def _need_free(db: Connection, owner_id: str, name: str, but: int = 0) -> None:
    """No other shelf of the user may have this name: a shelf is called by it, whatever its case."""
    query = "SELECT name FROM shelves WHERE owner_id = ? AND deleted_at IS NULL AND NOT is_hidden AND id <> ?"
    if name.casefold() in {row[0].casefold() for row in db.execute(query, (owner_id, but))}:
        raise RagError(f"there is a shelf {name} already: add to it, or choose another name")


def _keep_name(db: Connection, owner_id: str, shelf_id: int, new: str) -> None:
    """Keep the name that a shelf has beside those before it, but for the one that it gets."""
    row = db.execute(f"SELECT name, earlier FROM shelves {_OWN}", (shelf_id, owner_id)).fetchone()  # noqa: S608
    if row:
        names = {each.casefold(): each for each in (row[0], *json.loads(row[1]))}
        names.pop(new.casefold(), None)
        kept = json.dumps(list(names.values())[:_MOST_EARLIER])
        db.execute("UPDATE shelves SET earlier = ? WHERE id = ?", (kept, shelf_id))


def _unknown() -> UnknownShelf:
    return UnknownShelf("this shelf is no longer in the library, or is not yours")


def _need(n_changed: int) -> None:
    if not n_changed:
        raise _unknown()


def _shelf(row: tuple[int, str, str, int, int, int, int, int, str]) -> Shelf:
    shelf_id, owner_id, name, is_shared, is_own, n_documents, n_chunks, is_hidden, earlier = row
    counts = (n_documents, n_chunks, bool(is_hidden), tuple(json.loads(earlier)))
    return Shelf(shelf_id, owner_id, name, bool(is_shared), bool(is_own), *counts)
