"""Chats and messages in one SQLite file. The one owner of that file; every write is one transaction."""

from __future__ import annotations

from chatbot.core.store_import import Imports
from chatbot.core.store_rows import (
    OWNER,
    Changes,
    Chat,
    Hit,
    NewFile,
    NewMessage,
    Notes,
    Preset,
    Prompt,
    Stored,
    StoredFile,
    meta_of,
    title,
)
from chatbot.core.store_search import Search
from chatbot.core.store_sessions import Sessions
from chatbot.core.store_shelf import Shelf
from chatbot.errors import UnknownAnswer, UnknownChat

__all__ = [
    "OWNER",
    "Changes",
    "Chat",
    "Hit",
    "NewFile",
    "NewMessage",
    "Notes",
    "Preset",
    "Prompt",
    "Store",
    "Stored",
    "StoredFile",
    "meta_of",
    "title",
]


class Store(Imports, Search, Shelf, Sessions):
    """The database: chats with their messages and files, search, presets and prompts; users."""

    def changed_since(self, token: int) -> Changes:
        """What processes without the claim wrote after the token, 0 for all; the new token is in what is returned."""
        query = "SELECT chat_id, message_id, seq, coalesce(born, 0) FROM changes WHERE seq > ? ORDER BY seq"
        with self._reading() as db:
            rows = db.execute(query, (token,)).fetchall()
        chats: list[Chat] = []
        gone: list[str] = []
        for chat_id in dict.fromkeys(row[0] for row in rows):
            try:
                chats.append(self.chat(chat_id))
            except UnknownChat:
                gone.append(chat_id)
        known = {chat.id for chat in chats}
        new: list[Stored] = []
        changed: list[Stored] = []
        for chat_id, message_id, _, born in rows:
            if message_id and chat_id in known:
                (new if born > token else changed).extend(self._present(message_id))
        last = max((row[2] for row in rows), default=token)
        return Changes(last, tuple(chats), tuple(gone), tuple(new), tuple(changed))

    def _present(self, message_id: str) -> list[Stored]:
        try:
            return [self.message(message_id)]
        except UnknownAnswer:  # purged meanwhile
            return []
