"""The database's shape, as numbered steps. PRAGMA user_version holds the number of the last one that ran."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from chatbot.errors import StartupError


def m001_initial(db: sqlite3.Connection) -> None:
    """Chats and messages. Messages form a tree by parent_id; leaf_id is the end of the branch that is shown."""
    db.execute(
        """CREATE TABLE chats (
            id TEXT PRIMARY KEY,
            title TEXT NOT NULL,
            leaf_id TEXT,
            created_at REAL NOT NULL,
            updated_at REAL NOT NULL
        )"""
    )
    db.execute(
        """CREATE TABLE messages (
            id TEXT PRIMARY KEY,
            chat_id TEXT NOT NULL REFERENCES chats(id) ON DELETE CASCADE,
            parent_id TEXT REFERENCES messages(id),
            role TEXT NOT NULL,
            content TEXT NOT NULL,
            status TEXT NOT NULL,
            version INTEGER NOT NULL,
            client_key TEXT,
            meta TEXT NOT NULL,
            created_at REAL NOT NULL
        )"""
    )
    db.execute("CREATE INDEX messages_of_chat ON messages(chat_id)")
    db.execute("CREATE UNIQUE INDEX message_keys ON messages(client_key) WHERE client_key IS NOT NULL")
    db.execute("CREATE INDEX chats_by_time ON chats(updated_at DESC)")


STEPS: tuple[Callable[[sqlite3.Connection], None], ...] = (m001_initial,)


def migrate(db: sqlite3.Connection) -> None:
    """Bring the database to the newest shape; does nothing when it is there. Each step is one transaction.

    Raises StartupError for a database that a newer version has written.
    """
    done = int(db.execute("PRAGMA user_version").fetchone()[0])
    if done > len(STEPS):
        raise StartupError(f"the chat database has version {done}, this program knows {len(STEPS)}: update Paddock")
    for number, step in enumerate(STEPS[done:], start=done + 1):
        db.execute("BEGIN IMMEDIATE")
        try:
            step(db)
            db.execute(f"PRAGMA user_version = {number}")
        except sqlite3.Error:
            db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")
