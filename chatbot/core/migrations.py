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


# The statuses after which a message's text stays as it is: only such messages are searched.
_FINAL = "('done', 'stopped', 'error', 'interrupted')"


_CONVERSATION = (
    "ALTER TABLE chats ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE chats ADD COLUMN deleted_at REAL",
    "ALTER TABLE chats ADD COLUMN options TEXT NOT NULL DEFAULT '{}'",
    "ALTER TABLE chats ADD COLUMN notes TEXT",
    "DROP INDEX chats_by_time",
    "CREATE INDEX chats_in_list ON chats(pinned DESC, updated_at DESC) WHERE deleted_at IS NULL",
    "ALTER TABLE messages ADD COLUMN reasoning TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE messages ADD COLUMN seq INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE messages ADD COLUMN owner TEXT",
    "ALTER TABLE messages ADD COLUMN n INTEGER",
    "UPDATE messages SET n = rowid",
    "CREATE UNIQUE INDEX messages_by_n ON messages(n)",
    "CREATE INDEX messages_by_parent ON messages(parent_id)",
    f"CREATE INDEX unfinished_messages ON messages(chat_id) WHERE status NOT IN {_FINAL}",
    """CREATE TABLE chat_tags (
        chat_id TEXT NOT NULL REFERENCES chats(id) ON DELETE CASCADE,
        tag TEXT NOT NULL,
        PRIMARY KEY (chat_id, tag)
    ) WITHOUT ROWID""",
    """CREATE TABLE files (
        id TEXT PRIMARY KEY,
        chat_id TEXT REFERENCES chats(id) ON DELETE CASCADE,
        message_id TEXT REFERENCES messages(id) ON DELETE CASCADE,
        place INTEGER NOT NULL,
        name TEXT NOT NULL,
        kind TEXT NOT NULL,
        source TEXT NOT NULL,
        n_chars INTEGER NOT NULL,
        created_at REAL NOT NULL,
        text TEXT NOT NULL
    )""",
    "CREATE INDEX files_of_message ON files(message_id, place)",
    "CREATE INDEX files_of_chat ON files(chat_id)",
    "CREATE TABLE presets (name TEXT PRIMARY KEY, options TEXT NOT NULL)",
    "CREATE TABLE prompts (name TEXT PRIMARY KEY, text TEXT NOT NULL)",
    """CREATE TABLE changes (
        chat_id TEXT NOT NULL,
        message_id TEXT NOT NULL,
        seq INTEGER NOT NULL,
        born INTEGER,
        PRIMARY KEY (chat_id, message_id)
    )""",
    "CREATE INDEX changes_by_seq ON changes(seq)",
)


def m002_conversation(db: sqlite3.Connection) -> None:
    """Branches, options, notes, files, tags, search, and what two processes need of each other.

    messages.n counts in the order of arrival; the index of the texts is kept by it, since a rowid may change.
    """
    for change in _CONVERSATION:
        db.execute(change)
    _index_messages(db)


def _index_messages(db: sqlite3.Connection) -> None:
    """The search index. It takes its texts from messages, so each change there must tell it the old text too.

    A message that comes without n is indexed by who inserts it: many at once are quicker without the trigger.
    """
    db.execute(
        """CREATE VIRTUAL TABLE message_index USING fts5(
            content, content='messages', content_rowid='n', tokenize='unicode61 remove_diacritics 2', prefix='1 2 3'
        )"""
    )
    is_final, was_final = f"new.status IN {_FINAL}", f"old.status IN {_FINAL}"
    add = "INSERT INTO message_index (rowid, content) SELECT new.n, new.content"
    drop = "INSERT INTO message_index (message_index, rowid, content) SELECT 'delete', old.n, old.content"
    db.execute(
        f"CREATE TRIGGER message_came AFTER INSERT ON messages WHEN new.n IS NOT NULL AND {is_final} BEGIN {add}; END"
    )
    db.execute(f"CREATE TRIGGER message_went AFTER DELETE ON messages WHEN {was_final} BEGIN {drop}; END")
    db.execute(
        f"""CREATE TRIGGER message_changed AFTER UPDATE OF content, status ON messages
            WHEN old.content IS NOT new.content OR ({was_final}) <> ({is_final})
            BEGIN {drop} WHERE {was_final}; {add} WHERE {is_final}; END"""
    )
    db.execute(
        "INSERT INTO message_index (rowid, content)"  # noqa: S608 - own words
        f" SELECT n, content FROM messages WHERE status IN {_FINAL}"
    )


_ACCOUNTS = (
    "ALTER TABLE chats ADD COLUMN owner_id TEXT NOT NULL DEFAULT 'owner'",
    "ALTER TABLE files ADD COLUMN owner_id TEXT NOT NULL DEFAULT 'owner'",
    "DROP INDEX chats_in_list",
    "CREATE INDEX chats_in_list ON chats(owner_id, pinned DESC, updated_at DESC) WHERE deleted_at IS NULL",
    """CREATE TABLE users (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL UNIQUE COLLATE NOCASE,
        password TEXT NOT NULL,
        is_admin INTEGER NOT NULL DEFAULT 0,
        is_locked INTEGER NOT NULL DEFAULT 0,
        limits TEXT NOT NULL DEFAULT '{}',
        created_at REAL NOT NULL
    )""",
    """CREATE TABLE sessions (
        id TEXT PRIMARY KEY,
        user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE,
        token_hash TEXT NOT NULL UNIQUE,
        device TEXT NOT NULL,
        created_at REAL NOT NULL,
        seen_at REAL NOT NULL
    )""",
    "CREATE INDEX sessions_of_user ON sessions(user_id)",
    """CREATE TABLE invitations (
        id TEXT PRIMARY KEY,
        code_hash TEXT NOT NULL UNIQUE,
        user_id TEXT REFERENCES users(id) ON DELETE CASCADE,
        is_admin INTEGER NOT NULL DEFAULT 0,
        note TEXT NOT NULL DEFAULT '',
        created_at REAL NOT NULL,
        expires_at REAL NOT NULL
    )""",
    "CREATE TABLE house (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "ALTER TABLE presets RENAME TO old_presets",
    """CREATE TABLE presets (
        owner_id TEXT NOT NULL,
        name TEXT NOT NULL,
        options TEXT NOT NULL,
        PRIMARY KEY (owner_id, name)
    )""",
    "INSERT INTO presets SELECT 'owner', name, options FROM old_presets",
    "DROP TABLE old_presets",
    "ALTER TABLE prompts RENAME TO old_prompts",
    """CREATE TABLE prompts (
        owner_id TEXT NOT NULL,
        name TEXT NOT NULL,
        text TEXT NOT NULL,
        PRIMARY KEY (owner_id, name)
    )""",
    "INSERT INTO prompts SELECT 'owner', name, text FROM old_prompts",
    "DROP TABLE old_prompts",
)


def m003_accounts(db: sqlite3.Connection) -> None:
    """Who may come in, and whose each chat is.

    The owner of the machine is the user `owner`, with or without an account: what a terminal or a page without
    accounts writes is theirs. sessions and invitations hold hashes, never what was handed out; an invitation with a
    user_id lets that user choose a new password.
    """
    for change in _ACCOUNTS:
        db.execute(change)


def m004_images(db: sqlite3.Connection) -> None:
    """Files that are pictures: their bytes and media type; text is empty for them."""
    db.execute("ALTER TABLE files ADD COLUMN media_type TEXT NOT NULL DEFAULT ''")
    db.execute("ALTER TABLE files ADD COLUMN data BLOB")


def m005_imported(db: sqlite3.Connection) -> None:
    """Messages that came with a file: nobody asked for them here, so no limit counts them."""
    db.execute("ALTER TABLE messages ADD COLUMN is_imported INTEGER NOT NULL DEFAULT 0")
    db.execute("UPDATE messages SET is_imported = 1 WHERE created_at > strftime('%s', 'now') + 86400")


def m006_seen(db: sqlite3.Connection) -> None:
    """When a user was here last, which outlives the sessions."""
    db.execute("ALTER TABLE users ADD COLUMN seen_at REAL")
    db.execute("UPDATE users SET seen_at = (SELECT max(seen_at) FROM sessions WHERE user_id = users.id)")


def m007_stops(db: sqlite3.Connection) -> None:
    """Whether another process asks the one that writes an answer to stop."""
    db.execute("ALTER TABLE messages ADD COLUMN stop_wanted INTEGER NOT NULL DEFAULT 0")


STEPS: tuple[Callable[[sqlite3.Connection], None], ...] = (
    m001_initial,
    m002_conversation,
    m003_accounts,
    m004_images,
    m005_imported,
    m006_seen,
    m007_stops,
)


def migrate(db: sqlite3.Connection) -> None:
    """Bring the database to the newest shape; does nothing when it is there. Each step is one transaction.

    Another process may do the same at this moment: the number is read again within each transaction.
    Raises StartupError for a database that a newer version has written.
    """
    done = _version(db)
    if done > len(STEPS):
        raise StartupError(f"the chat database has version {done}, this program knows {len(STEPS)}: update Paddock")
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


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])
