"""The database file itself: opening it, the claim on it, transactions, and the record of what a process wrote."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from chatbot.core import migrations
from chatbot.errors import DatabaseInUse, StartupError, StorageError
from rag import process

Connection = sqlite3.Connection


class Database:
    """One connection behind one lock. Safe to use from several threads; a call takes milliseconds.

    The file may be open in several processes. The web server alone claims it, and hears what the others write:
    they note each change in the table `changes`.
    """

    def __init__(self, path: Path, *, claim: bool = False) -> None:
        """Open or create the file. Raises StartupError, or DatabaseInUse when it is claimed already."""
        self._path = path
        self._lock = threading.RLock()
        self._owner = process.own()
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._claim = _claim(path) if claim else None
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            for pragma in ("busy_timeout = 5000", "journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
                self._db.execute(f"PRAGMA {pragma}")
            migrations.migrate(self._db)
            if claim:
                with suppress(sqlite3.OperationalError):  # a full disk: then they are told again
                    self._db.execute("DELETE FROM changes")
        except (OSError, sqlite3.Error) as why:
            raise StartupError(f"cannot open the chat database {path}: {why}; choose a folder with --data_dir") from why

    def close(self) -> None:
        """Close the file and give up the claim on it."""
        with self._lock:
            self._db.close()
            if self._claim:
                self._claim.close()

    def _note(self, db: Connection, chat_id: str, message_id: str = "", *, is_new: bool = False) -> None:
        """Record what changed, for the process that holds the claim. What that one writes itself it knows."""
        if self._claim is None:
            self._note_always(db, chat_id, message_id, is_new=is_new)

    def _note_always(self, db: Connection, chat_id: str, message_id: str = "", *, is_new: bool = False) -> None:
        seq = db.execute("SELECT coalesce(max(seq), 0) + 1 FROM changes").fetchone()[0]
        db.execute(
            "INSERT INTO changes (chat_id, message_id, seq, born) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (chat_id, message_id) DO UPDATE SET seq = excluded.seq",
            (chat_id, message_id, seq, seq if is_new else None),
        )

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._lock:
            try:
                yield self._db
            except sqlite3.Error as why:
                raise StorageError(f"the chat database could not be read: {why}") from why

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """One transaction, undone as a whole by any failure. Raises StorageError with the space that is left."""
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield self._db
                self._db.execute("COMMIT")
            except sqlite3.Error as why:
                self._undo()
                raise StorageError(f"the chat could not be saved: {why}; {self._space()}") from why
            except BaseException:
                self._undo()
                raise

    def _undo(self) -> None:
        with suppress(sqlite3.Error):  # SQLite undoes some failures itself, and then there is nothing to undo
            self._db.execute("ROLLBACK")

    def _space(self) -> str:
        free = shutil.disk_usage(self._path.parent).free
        return f"{free / 1e6:,.0f} MB are free in {self._path.parent}"


def storable(text: str) -> str:
    """The text as UTF-8 can hold it: halves of a character that came apart are joined, lone ones replaced."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def n_bytes_of(text: str) -> int:
    """What a text takes in the database."""
    return len(storable(text).encode())


def _claim(path: Path) -> IO[str]:
    """Lock a file beside the database, so that two servers never answer the same chats. Freed when the process ends."""
    import fcntl

    file = Path(f"{path}.lock").open("a+", encoding="ascii")  # noqa: SIM115 - held as long as the store
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as why:
        file.seek(0)
        owner = file.read().strip() or "unknown"
        file.close()
        raise DatabaseInUse(
            f"another chat server (process {owner}) uses {path}: stop it, or start this one with another --data_dir"
        ) from why
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file
