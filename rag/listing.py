"""Which documents there are: lists, what a source had of them, deleting with a way back. No chunks, no vectors."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace

from rag.database import Connection, Database
from rag.documents import Document
from rag.errors import RagError, UnknownShelf

_TO_INDEX = "INSERT INTO chunk_index (rowid, title, headings, body) VALUES (?, ?, ?, ?)"
_FROM_INDEX = "INSERT INTO chunk_index (chunk_index, rowid, title, headings, body) VALUES ('delete', ?, ?, ?, ?)"
_KEPT = """SELECT d.id, d.shelf_id, d.uri, d.title, d.kind, d.sha256, d.n_chars,
    (SELECT count(*) FROM chunks c WHERE c.document_id = d.id), d.added_at,
    coalesce(json_extract(d.meta, '$.link'), '')
    FROM documents d WHERE d.shelf_id = ? AND d.deleted_at IS NULL"""
_WITH_TEXT = " AND (d.title LIKE ? ESCAPE '\\' OR d.uri LIKE ? ESCAPE '\\')"

_ASIDE = "removed from shelf {}: {}"
FORGET_ASIDE = """DELETE FROM state WHERE name LIKE 'removed from shelf %' AND (CAST(value AS REAL) < ?
    OR CAST(substr(name, length('removed from shelf ') + 1) AS INTEGER) NOT IN (SELECT id FROM shelves))"""
_BRING_BACK = """UPDATE documents SET deleted_at = NULL, source_id = ?
    WHERE shelf_id = ? AND source_id IS NULL AND deleted_at = ? AND NOT EXISTS (SELECT 1 FROM documents d
        WHERE d.shelf_id = documents.shelf_id AND d.uri = documents.uri AND d.deleted_at IS NULL)"""
_TAKE_BACK = "DELETE FROM put_away WHERE uri = ? AND source_id IN (SELECT id FROM sources WHERE shelf_id = ?)"


@dataclass(frozen=True)
class Kept:
    """A document as it is kept, without its text. link: where it can be opened outside, or empty."""

    id: int
    shelf_id: int
    uri: str
    title: str
    kind: str
    sha256: str
    n_chars: int
    n_chunks: int
    added_at: float
    link: str = ""


@dataclass(frozen=True)
class Known:
    """What is kept of a document that a source is asked for again: the hash of its bytes, the source's stamp, the
    pages that it links to."""

    sha256: str = ""
    stamp: str = ""
    links: tuple[str, ...] = ()


class Listing(Database):
    """The documents of all shelves, as rows."""

    def documents(self, shelf_id: int, source_id: int | None = None) -> list[Kept]:
        """The documents of a shelf, or of one source of it, by uri."""
        query = f"{_KEPT} AND (? IS NULL OR d.source_id = ?) ORDER BY d.uri"
        with self.reading() as db:
            return [_kept(row) for row in db.execute(query, (shelf_id, source_id, source_id))]

    def listed(self, shelf_id: int, after: str = "", limit: int = 200, text: str = "") -> list[Kept]:
        """The first documents of a shelf by uri, after one, whose title or uri has the text."""
        query = f"{_KEPT} AND d.uri > ? {_WITH_TEXT if text else ''} ORDER BY d.uri LIMIT ?"
        with self.reading() as db:
            return [_kept(row) for row in db.execute(query, (shelf_id, after, *_patterns(text), limit))]

    def n_documents(self, shelf_id: int, text: str = "") -> int:
        """How many documents a shelf has, whose title or uri has the text."""
        query = "SELECT count(*) FROM documents d WHERE d.shelf_id = ? AND d.deleted_at IS NULL"
        with self.reading() as db:
            return int(db.execute(query + (_WITH_TEXT if text else ""), (shelf_id, *_patterns(text))).fetchone()[0])

    def n_of_source(self, source_id: int) -> int:
        """How many documents a source has."""
        query = "SELECT count(*) FROM documents WHERE source_id = ? AND deleted_at IS NULL"
        with self.reading() as db:
            return int(db.execute(query, (source_id,)).fetchone()[0])

    def known(self, shelf_id: int) -> dict[str, tuple[str, str]]:
        """(sha256, stamp) of each document of a shelf by its uri; the stamp is its source's, or empty."""
        query = """SELECT uri, sha256, coalesce(json_extract(meta, '$.stamp'), '') FROM documents
            WHERE shelf_id = ? AND deleted_at IS NULL"""
        with self.reading() as db:
            return {uri: (sha256, stamp) for uri, sha256, stamp in db.execute(query, (shelf_id,))}

    def known_of(self, shelf_id: int, uri: str) -> Known:
        """What is kept of one document; of none it is all empty."""
        query = """SELECT sha256, coalesce(json_extract(meta, '$.stamp'), ''),
            coalesce(json_extract(meta, '$.links'), '') FROM documents
            WHERE shelf_id = ? AND uri = ? AND deleted_at IS NULL"""
        with self.reading() as db:
            row = db.execute(query, (shelf_id, uri)).fetchone()
        return Known(row[0], row[1], tuple(filter(None, row[2].split("\n")))) if row else Known()

    def set_stamp(self, shelf_id: int, uri: str, stamp: str) -> None:
        """Keep another stamp of a document whose bytes are the same."""
        query = """UPDATE documents SET meta = json_set(meta, '$.stamp', ?)
            WHERE shelf_id = ? AND uri = ? AND deleted_at IS NULL"""
        with self.writing() as db:
            db.execute(query, (stamp, shelf_id, uri))

    def document(self, document_id: int) -> tuple[int, Document]:
        """The shelf of a document, and the document. Raises UnknownShelf."""
        query = """SELECT shelf_id, uri, title, text, kind, sha256, pages, meta FROM documents
            WHERE id = ? AND deleted_at IS NULL"""
        with self.reading() as db:
            row = db.execute(query, (document_id,)).fetchone()
        if row is None:
            raise UnknownShelf("this document is no longer in the library")
        shelf_id, uri, title, text, kind, sha256, pages, meta = row
        return shelf_id, Document(uri, title, text, kind, sha256, tuple(json.loads(pages)), json.loads(meta))

    def delete_document(self, document_id: int) -> None:
        """Take a document away; restore_document brings it back until it is purged.

        One that its source still has stays away at every refresh. Raises UnknownShelf.
        """
        with self.writing() as db:
            query = "UPDATE documents SET deleted_at = ? WHERE id = ? AND deleted_at IS NULL"
            if not db.execute(query, (time.time(), document_id)).rowcount:
                raise UnknownShelf("this document is no longer in the library")
            db.execute(
                "INSERT OR IGNORE INTO put_away (source_id, uri)"
                " SELECT source_id, uri FROM documents WHERE id = ? AND source_id IS NOT NULL",
                (document_id,),
            )

    def restore_document(self, document_id: int) -> None:
        """Bring a deleted document back. Raises UnknownShelf when it is gone for good, RagError when another has its
        place."""
        with self.writing() as db:
            query = "SELECT shelf_id, uri, title, deleted_at FROM documents WHERE id = ?"
            row = db.execute(query, (document_id,)).fetchone()
            if row is None:
                raise UnknownShelf("this document is gone for good: add it again")
            shelf_id, uri, title, deleted_at = row
            if deleted_at is None:
                return
            taken = "SELECT 1 FROM documents WHERE shelf_id = ? AND uri = ? AND deleted_at IS NULL"
            if db.execute(taken, (shelf_id, uri)).fetchone():
                raise RagError(f"the document {title} was added again meanwhile: delete that one first")
            db.execute("UPDATE documents SET deleted_at = NULL WHERE id = ?", (document_id,))
            db.execute(_TAKE_BACK, (uri, shelf_id))

    def is_put_away(self, shelf_id: int, uri: str) -> bool:
        """Whether a person deleted this document from a shelf, whichever source has it."""
        query = """SELECT 1 FROM put_away p JOIN sources s ON s.id = p.source_id WHERE p.uri = ? AND s.shelf_id = ?"""
        with self.reading() as db:
            return db.execute(query, (uri, shelf_id)).fetchone() is not None

    def take_back(self, shelf_id: int, uri: str) -> None:
        """A person asks for a document again that was deleted from a shelf."""
        with self.writing() as db:
            db.execute(_TAKE_BACK, (uri, shelf_id))

    def put_away_of(self, source_id: int) -> list[str]:
        """What a person deleted of a source, by its uri."""
        with self.reading() as db:
            return [row[0] for row in db.execute("SELECT uri FROM put_away WHERE source_id = ?", (source_id,))]

    def keep_away(self, source_id: int, uri: str) -> None:
        """A document is not to be read from this source either."""
        with self.writing() as db:
            db.execute("INSERT OR IGNORE INTO put_away (source_id, uri) VALUES (?, ?)", (source_id, uri))

    def hand_over(self, document_id: int, source_id: int) -> None:
        """A document stays as one of another source, which is looked through anew at its next refresh."""
        with self.writing() as db:
            db.execute("UPDATE documents SET source_id = ? WHERE id = ?", (source_id, document_id))
            db.execute("UPDATE sources SET look = '' WHERE id = ?", (source_id,))

    def set_aside(self, document_id: int, at: float) -> bool:
        """A document goes with its source, with a way back; False for one that was deleted before."""
        query = "UPDATE documents SET deleted_at = ?, source_id = NULL WHERE id = ? AND deleted_at IS NULL"
        with self.writing() as db:
            return db.execute(query, (at, document_id)).rowcount > 0

    def remember_aside(self, shelf_id: int, uri: str, at: float) -> None:
        """When the documents of a source at this place were set aside."""
        with self.writing() as db:
            db.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (_ASIDE.format(shelf_id, uri), repr(at)))

    def bring_back(self, shelf_id: int, uri: str, source_id: int) -> None:
        """A source is there again: what was set aside of it and not added meanwhile is its own, as it was."""
        name = _ASIDE.format(shelf_id, uri)
        with self.writing() as db:
            row = db.execute("SELECT value FROM state WHERE name = ?", (name,)).fetchone()
            if row:
                db.execute("DELETE FROM state WHERE name = ?", (name,))
                db.execute(_BRING_BACK, (source_id, shelf_id, float(row[0])))

    def places_of(self, source_id: int) -> list[tuple[int, str]]:
        """The documents of a source, deleted ones too: (id, uri)."""
        with self.reading() as db:
            return db.execute("SELECT id, uri FROM documents WHERE source_id = ?", (source_id,)).fetchall()

    def remove(self, document_ids: Iterable[int]) -> int:
        """Forget documents for good; how many there were."""
        with self.writing() as db:
            return sum(_remove(db, document_id) for document_id in document_ids)

    def purge_documents(self, before: float) -> int:
        """Forget for good what was deleted before that time; how many."""
        with self.reading() as db:
            found = [row[0] for row in db.execute("SELECT id FROM documents WHERE deleted_at < ?", (before,))]
        return sum(self._purge(document_id, before) for document_id in found)  # one at a time: nobody waits long

    def _purge(self, document_id: int, before: float) -> int:
        query = "SELECT 1 FROM documents WHERE id = ? AND deleted_at < ?"
        with self.writing() as db:
            is_deleted = db.execute(query, (document_id, before)).fetchone()  # still: it may have been restored
            return _remove(db, document_id) if is_deleted else 0


def _remove(db: Connection, document_id: int) -> int:
    unindex(db, document_id)
    return db.execute("DELETE FROM documents WHERE id = ?", (document_id,)).rowcount


def index_words(db: Connection, document_id: int) -> None:
    """Take a document's words into the index, once its text and its chunks are written."""
    db.executemany(_TO_INDEX, _words_of(db, document_id))


def unindex(db: Connection, document_id: int) -> None:
    """Take a document's words out of the index, while its text is still there."""
    db.executemany(_FROM_INDEX, _words_of(db, document_id))


def _words_of(db: Connection, document_id: int) -> list[tuple[int, str, str, str]]:
    """What the view chunk_words says of a document's chunks. The view would read the whole text for each of them."""
    title, text = db.execute("SELECT title, text FROM documents WHERE id = ?", (document_id,)).fetchone() or ("", "")
    chunks = db.execute("SELECT id, headings, start, stop FROM chunks WHERE document_id = ?", (document_id,))
    return [(chunk_id, title, headings, text[start:stop]) for chunk_id, headings, start, stop in chunks]


def _kept(row: tuple[int, int, str, str, str, str, int, int, float, str]) -> Kept:
    kept = Kept(*row)
    return kept if kept.link.startswith(("https://", "http://")) else replace(kept, link="")


def _patterns(text: str) -> tuple[str, ...]:
    """What LIKE takes for a text, twice: for the title, and for the uri."""
    if not text:
        return ()
    plain = "".join(f"\\{letter}" if letter in "%_\\" else letter for letter in text)
    return (f"%{plain}%",) * 2
