"""Chats and messages in one SQLite file. The one owner of that file; every write is one transaction."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any

from chatbot.core import migrations
from chatbot.core.events import Done, Message, Status
from chatbot.errors import DatabaseInUse, StartupError, StorageError, UnknownAnswer, UnknownChat

_TITLE_CHARS = 60
_COLUMNS = "id, chat_id, parent_id, role, content, status, version, meta, created_at"


@dataclass(frozen=True)
class Chat:
    """A conversation as the list shows it; times are seconds since 1970."""

    id: str
    title: str
    updated_at: float


@dataclass(frozen=True)
class Stored:
    """A message as it is kept. version grows by one at each write; meta holds error, usage, timings, notices."""

    id: str
    chat_id: str
    parent_id: str | None
    role: str
    content: str
    status: Status
    version: int
    meta: dict[str, Any]
    created_at: float

    def wire(self) -> dict[str, Any]:
        """As sent to a browser."""
        return asdict(self)


class Store:
    """The database. Safe to use from several threads; a call takes milliseconds."""

    def __init__(self, path: Path) -> None:
        """Open or create the file. Raises StartupError or DatabaseInUse with what to do."""
        self._path = path
        self._lock = threading.RLock()
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._claim = _claim(path)
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON", "busy_timeout = 5000"):
                self._db.execute(f"PRAGMA {pragma}")
            migrations.migrate(self._db)
        except (OSError, sqlite3.Error) as why:
            raise StartupError(f"cannot open the chat database {path}: {why}; choose a folder with --data_dir") from why

    def close(self) -> None:
        """Close the file and give up the claim on it."""
        with self._lock:
            self._db.close()
            self._claim.close()

    def chats(self) -> list[Chat]:
        """All chats, the one that changed last first."""
        with self._reading() as db:
            rows = db.execute("SELECT id, title, updated_at FROM chats ORDER BY updated_at DESC").fetchall()
        return [Chat(*row) for row in rows]

    def chat(self, chat_id: str) -> Chat:
        """One chat. Raises UnknownChat."""
        with self._reading() as db:
            row = db.execute("SELECT id, title, updated_at FROM chats WHERE id = ?", (chat_id,)).fetchone()
        if row is None:
            raise UnknownChat("this chat does not exist any more")
        return Chat(*row)

    def messages(self, chat_id: str) -> list[Stored]:
        """The branch that is shown, oldest first. Raises UnknownChat."""
        self.chat(chat_id)
        with self._reading() as db:
            leaf = db.execute("SELECT leaf_id FROM chats WHERE id = ?", (chat_id,)).fetchone()[0]
        return self.branch(leaf) if leaf else []

    def branch(self, leaf_id: str) -> list[Stored]:
        """The messages from the first one to the given one."""
        query = f"""WITH RECURSIVE up(id, depth) AS (
            SELECT ?, 0 UNION ALL
            SELECT m.parent_id, up.depth + 1 FROM messages m JOIN up ON m.id = up.id WHERE m.parent_id IS NOT NULL
        ) SELECT {_COLUMNS} FROM messages JOIN up USING (id) ORDER BY up.depth DESC"""  # noqa: S608 - own columns
        with self._reading() as db:
            return [_stored(row) for row in db.execute(query, (leaf_id,)).fetchall()]

    def message(self, message_id: str) -> Stored:
        """One message. Raises UnknownAnswer."""
        with self._reading() as db:
            found = db.execute(f"SELECT {_COLUMNS} FROM messages WHERE id = ?", (message_id,)).fetchone()  # noqa: S608
        if found is None:
            raise UnknownAnswer("this message does not exist any more")
        return _stored(found)

    def by_key(self, key: str) -> Stored | None:
        """The user's message that was sent with this key, if it arrived before."""
        with self._reading() as db:
            query = f"SELECT {_COLUMNS} FROM messages WHERE client_key = ?"  # noqa: S608 - own columns
            found = db.execute(query, (key,)).fetchone()
        return _stored(found) if found else None

    def answer_of(self, user_id: str) -> Stored:
        """The newest answer to a user's message. Raises UnknownAnswer."""
        with self._reading() as db:
            query = f"SELECT {_COLUMNS} FROM messages WHERE parent_id = ? ORDER BY rowid DESC LIMIT 1"  # noqa: S608
            found = db.execute(query, (user_id,)).fetchone()
        if found is None:
            raise UnknownAnswer("this message has no answer")
        return _stored(found)

    def add_turn(self, chat_id: str | None, text: str, key: str | None) -> tuple[Stored, Stored]:
        """Append a user's message and the empty answer that will follow it, to a new chat when chat_id is None."""
        with self._writing() as db:
            if chat_id is None:
                chat_id, leaf = self._new_chat(db, text), None
            else:
                row = db.execute("SELECT leaf_id FROM chats WHERE id = ?", (chat_id,)).fetchone()
                if row is None:
                    raise UnknownChat("this chat does not exist any more")
                leaf = row[0]
            user = _new(chat_id, leaf, "user", text, Status.DONE)
            answer = _new(chat_id, user.id, "assistant", "", Status.QUEUED)
            self._append(db, user, key)
            self._append(db, answer)
            return user, answer

    def add_answer(self, user_id: str) -> Stored:
        """Append another answer to a user's message: a branch beside the ones it has."""
        user = self.message(user_id)
        with self._writing() as db:
            answer = _new(user.chat_id, user.id, "assistant", "", Status.QUEUED)
            self._append(db, answer)
            return answer

    def save(self, answer_id: str, content: str, status: Status, meta: dict[str, Any]) -> int:
        """Write an answer's text so far; returns its new version."""
        query = "UPDATE messages SET content = ?, status = ?, meta = ?, version = version + 1 WHERE id = ?"
        with self._writing() as db:
            db.execute(query, (content, status.value, json.dumps(meta), answer_id))
            row = db.execute("SELECT version FROM messages WHERE id = ?", (answer_id,)).fetchone()
            if row is None:
                raise UnknownAnswer("this answer does not exist any more")
            db.execute(
                "UPDATE chats SET updated_at = ? WHERE id = (SELECT chat_id FROM messages WHERE id = ?)",
                (time.time(), answer_id),
            )
        return int(row[0])

    def interrupt_unfinished(self) -> int:
        """Mark answers that a killed process left behind; how many there were."""
        final = [s.value for s in Status if s.is_final]
        marks = ", ".join("?" * len(final))
        with self._writing() as db:
            return db.execute(
                f"UPDATE messages SET status = ?, version = version + 1 WHERE status NOT IN ({marks})",  # noqa: S608
                (Status.INTERRUPTED.value, *final),
            ).rowcount

    def _new_chat(self, db: sqlite3.Connection, text: str) -> str:
        chat_id, now = _new_id(), time.time()
        row = (chat_id, title(text), now, now)
        db.execute("INSERT INTO chats (id, title, created_at, updated_at) VALUES (?, ?, ?, ?)", row)
        return chat_id

    def _append(self, db: sqlite3.Connection, new: Stored, key: str | None = None) -> None:
        """Insert a message and make it the end of the branch that is shown."""
        db.execute(
            f"INSERT INTO messages ({_COLUMNS}, client_key) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
            (*asdict(replace(new, status=new.status.value, meta="{}")).values(), key),  # type: ignore[arg-type]
        )
        db.execute("UPDATE chats SET leaf_id = ?, updated_at = ? WHERE id = ?", (new.id, new.created_at, new.chat_id))

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._db
            except sqlite3.Error as why:
                raise StorageError(f"the chat database could not be read: {why}") from why

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
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


def title(text: str) -> str:
    """A chat's title: the beginning of its first message, cut at a word."""
    flat = " ".join(text.split())
    if len(flat) <= _TITLE_CHARS:
        return flat
    return flat[:_TITLE_CHARS].rsplit(" ", 1)[0] + "…"


def meta_of(done: Done, notices: list[str]) -> dict[str, Any]:
    """What is kept of an answer besides its text."""
    kept = {k: v for k, v in asdict(done).items() if k != "status" and v is not None}
    return kept | ({"notices": notices} if notices else {})


def as_messages(branch: list[Stored]) -> list[Message]:
    """What the model gets of a branch: messages with text, without answers that never began."""
    return [Message(m.role, m.content) for m in branch if m.content]


def _stored(row: tuple[Any, ...]) -> Stored:
    made = Stored(*row)
    return replace(made, status=Status(row[5]), meta=json.loads(row[7]))


def _new(chat_id: str, parent: str | None, role: str, text: str, status: Status) -> Stored:
    return Stored(_new_id(), chat_id, parent, role, text, status, 1, {}, time.time())


def _new_id() -> str:
    return secrets.token_hex(8)


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
