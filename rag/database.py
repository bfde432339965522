"""The library's file: opening it, its shape as numbered steps, transactions. No search, no documents."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rag.errors import LibraryBroken

Connection = sqlite3.Connection

MEMORY = Path(":memory:")  # in place of a file: nothing is kept

TOKENIZER = "porter unicode61 remove_diacritics 2"

_FIRST = (
    """CREATE TABLE shelves (
        id INTEGER PRIMARY KEY,
        owner_id TEXT NOT NULL,
        name TEXT NOT NULL,
        is_shared INTEGER NOT NULL DEFAULT 0,
        is_hidden INTEGER NOT NULL DEFAULT 0,
        created_at REAL NOT NULL,
        deleted_at REAL
    )""",
    "CREATE UNIQUE INDEX shelf_names ON shelves(owner_id, name) WHERE deleted_at IS NULL AND NOT is_hidden",
    """CREATE TABLE sources (
        id INTEGER PRIMARY KEY,
        shelf_id INTEGER NOT NULL REFERENCES shelves(id) ON DELETE CASCADE,
        kind TEXT NOT NULL,
        address TEXT NOT NULL,
        options TEXT NOT NULL,
        state TEXT NOT NULL DEFAULT 'new',
        problem TEXT NOT NULL DEFAULT '',
        runner TEXT,
        refreshed_at REAL,
        look TEXT NOT NULL DEFAULT '',
        UNIQUE (shelf_id, kind, address)
    )""",
    """CREATE TABLE failures (
        source_id INTEGER NOT NULL REFERENCES sources(id) ON DELETE CASCADE,
        uri TEXT NOT NULL,
        reason TEXT NOT NULL,
        stamp TEXT NOT NULL,
        at REAL NOT NULL,
        PRIMARY KEY (source_id, uri)
    ) WITHOUT ROWID""",
    # What a person deleted of a source: it stays away although the source still has it.
    """CREATE TABLE put_away (
        source_id INTEGER NOT NULL REFERENCES sources(id) ON DELETE CASCADE,
        uri TEXT NOT NULL,
        PRIMARY KEY (source_id, uri)
    ) WITHOUT ROWID""",
    # No number is given twice: the sources of old answers are known by it.
    """CREATE TABLE documents (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        shelf_id INTEGER NOT NULL REFERENCES shelves(id) ON DELETE CASCADE,
        source_id INTEGER REFERENCES sources(id) ON DELETE CASCADE,
        uri TEXT NOT NULL,
        title TEXT NOT NULL,
        kind TEXT NOT NULL,
        sha256 TEXT NOT NULL,
        n_chars INTEGER NOT NULL,
        added_at REAL NOT NULL,
        deleted_at REAL,
        meta TEXT NOT NULL,
        pages TEXT NOT NULL,
        text TEXT NOT NULL
    )""",
    "CREATE UNIQUE INDEX document_uris ON documents(shelf_id, uri) WHERE deleted_at IS NULL",
    "CREATE INDEX documents_deleted ON documents(deleted_at) WHERE deleted_at IS NOT NULL",
    "CREATE INDEX documents_by_source ON documents(source_id)",
    """CREATE TABLE chunks (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        document_id INTEGER NOT NULL REFERENCES documents(id) ON DELETE CASCADE,
        place INTEGER NOT NULL,
        start INTEGER NOT NULL,
        stop INTEGER NOT NULL,
        lead INTEGER NOT NULL,
        headings TEXT NOT NULL,
        n_tokens INTEGER NOT NULL,
        UNIQUE (document_id, place)
    )""",
    "CREATE TABLE models (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, n_dims INTEGER NOT NULL)",
    """CREATE TABLE vectors (
        model_id INTEGER NOT NULL REFERENCES models(id) ON DELETE CASCADE,
        chunk_id INTEGER NOT NULL REFERENCES chunks(id) ON DELETE CASCADE,
        vector BLOB NOT NULL,
        PRIMARY KEY (model_id, chunk_id)
    ) WITHOUT ROWID""",
    "CREATE INDEX vectors_of_chunk ON vectors(chunk_id)",
    "CREATE TABLE state (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE VIEW chunk_words AS SELECT c.id AS id, d.title AS title, c.headings AS headings,"
    " substr(d.text, c.start + 1, c.stop - c.start) AS body FROM chunks c JOIN documents d ON d.id = c.document_id",
    f"""CREATE VIRTUAL TABLE chunk_index USING fts5(
        title, headings, body, content='chunk_words', content_rowid='id', tokenize='{TOKENIZER}'
    )""",
)


def m001_initial(db: Connection) -> None:
    """Shelves, sources, documents with their chunks, the vectors of each model, the index of words.

    A document's text stands last, so that its other columns are read without it. The index takes its words from the
    texts, so a chunk has to leave it before its document changes.
    """
    for change in _FIRST:
        db.execute(change)


def m002_earlier_names(db: Connection) -> None:
    """What a shelf was called before, the latest first: chats go on to ask it by that."""
    db.execute("ALTER TABLE shelves ADD COLUMN earlier TEXT NOT NULL DEFAULT '[]'")


def m003_sizes(db: Connection) -> None:
    """What each text takes, in bytes. The column stands behind the text, so it is read from an index that has it."""
    db.execute("ALTER TABLE documents ADD COLUMN n_bytes INTEGER NOT NULL DEFAULT 0")
    db.execute("UPDATE documents SET n_bytes = length(CAST(text AS BLOB))")
    db.execute("CREATE INDEX document_sizes ON documents(shelf_id, deleted_at, n_bytes)")


STEPS: tuple[Callable[[Connection], None], ...] = (m001_initial, m002_earlier_names, m003_sizes)


class Database:
    """One connection behind one lock; safe to use from several threads, and beside other processes."""

    def __init__(self, path: Path) -> None:
        """Open or create the file, which its owner alone may read. Raises LibraryBroken."""
        self.path = path
        self._lock = threading.RLock()
        try:
            if path != MEMORY:
                _make_private(path)
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            for pragma in ("busy_timeout = 10000", "journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
                self._db.execute(f"PRAGMA {pragma}")
            migrate(self._db)
        except (OSError, sqlite3.Error) as why:
            raise LibraryBroken(f"cannot open the library {path}: {why}") from why

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def leave_disk(self) -> None:
        """Go on in memory with what the file has: it stays as it is, whatever is written from now on."""
        with self._lock:
            if self.path == MEMORY:
                return
            try:
                copy = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
                self._db.backup(copy)
                for pragma in ("foreign_keys = ON", "temp_store = MEMORY"):
                    copy.execute(f"PRAGMA {pragma}")
            except sqlite3.Error as why:
                raise LibraryBroken(f"the library {self.path} cannot be read: {why}") from why
            self._db.close()
            self._db, self.path = copy, MEMORY

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """The connection, for questions. Raises LibraryBroken."""
        with self._lock:
            try:
                yield self._db
            except sqlite3.Error as why:
                raise LibraryBroken(f"the library {self.path} cannot be read: {why}") from why

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction, undone as a whole by any failure. Raises LibraryBroken."""
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield self._db
                self._db.execute("COMMIT")
            except sqlite3.Error as why:
                self._undo()
                raise LibraryBroken(f"the library {self.path} cannot be written: {why}") from why
            except BaseException:
                self._undo()
                raise

    def _undo(self) -> None:
        with suppress(sqlite3.Error):  # SQLite undoes some failures itself
            self._db.execute("ROLLBACK")


def _make_private(path: Path) -> None:
    """What stands in files of chats stands in this file too, and in those that SQLite puts beside it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_RDONLY, 0o600))
    with suppress(OSError):  # another user's
        path.chmod(0o600)


def migrate(db: Connection) -> None:
    """Bring the file to the newest shape, each step in a transaction. Raises LibraryBroken for one of a newer program.

    Another process may do the same at this moment: the number is read again within each transaction.
    """
    done = _version(db)
    if done > len(STEPS):
        raise LibraryBroken(f"the library has version {done}, this program knows {len(STEPS)}: update Paddock")
    for number, step in enumerate(STEPS[done:], start=done + 1):
        db.execute("BEGIN IMMEDIATE")
        try:
            if _version(db) < number:
                step(db)
                db.execute(f"PRAGMA user_version = {number}")
        except sqlite3.Error:
            db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")


def _version(db: Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])
