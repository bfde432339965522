"""The list of chats: names, tags, options and notes of each, deleting with a way back."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from chatbot.core.store_base import Connection, Database, storable
from chatbot.core.store_rows import OWNER, Chat, Notes
from chatbot.errors import BadRequest, UnknownChat

TITLE_CHARS = 200
_TAG_CHARS = 40
_MAX_TAGS = 20
_BETWEEN_PURGES_S = 0.002
_COLUMNS = "id, title, updated_at, created_at, pinned, leaf_id, owner_id"


def flat_title(title: str) -> str:
    """A title in one line."""
    return " ".join(storable(title).split())


def _notes_of(kept: object) -> tuple[Notes, ...]:
    found = json.loads(str(kept or "[]"))
    listed = found if isinstance(found, list) else [found]  # once there was one
    return tuple(Notes(**{**each, "outdated": tuple(each.get("outdated", ()))}) for each in listed)


def notes_json(notes: Sequence[Notes]) -> str | None:
    """The notes of all branches as they are kept."""
    return json.dumps([asdict(each) for each in notes]) if notes else None


class Chats(Database):
    """The chats themselves, without their messages."""

    def chats(self, owner_id: str = OWNER) -> list[Chat]:
        """A user's chats: pinned ones first, then the one that changed last."""
        query = f"""SELECT {_COLUMNS} FROM chats WHERE owner_id = ? AND deleted_at IS NULL
            ORDER BY pinned DESC, updated_at DESC"""  # noqa: S608 - own columns
        tagged = """SELECT t.chat_id, t.tag FROM chat_tags t CROSS JOIN chats c ON c.id = t.chat_id
            WHERE c.owner_id = ? ORDER BY t.tag"""  # few chats have tags: CROSS JOIN begins with these
        tags: dict[str, list[str]] = {}
        with self._reading() as db:
            for chat_id, tag in db.execute(tagged, (owner_id,)):
                tags.setdefault(chat_id, []).append(tag)
            rows = db.execute(query, (owner_id,)).fetchall()
        return [_chat(row, tags.get(row[0], ())) for row in rows]

    def chat(self, chat_id: str) -> Chat:
        """One chat. Raises UnknownChat."""
        with self._reading() as db:
            row = db.execute(f"SELECT {_COLUMNS} FROM chats WHERE id = ? AND deleted_at IS NULL", (chat_id,)).fetchone()  # noqa: S608
            tags = db.execute("SELECT tag FROM chat_tags WHERE chat_id = ? ORDER BY tag", (chat_id,)).fetchall()
        if row is None:
            raise UnknownChat("this chat does not exist any more")
        return _chat(row, [tag for (tag,) in tags])

    def rename(self, chat_id: str, title: str) -> Chat:
        """Give a chat another title."""
        flat = flat_title(title)
        if not 0 < len(flat) <= TITLE_CHARS:
            raise BadRequest(f"a title has 1 to {TITLE_CHARS} characters, this one has {len(flat)}")
        return self._change(chat_id, "title", flat)

    def set_pinned(self, chat_id: str, pinned: bool) -> Chat:
        """Keep a chat at the head of the list, or no longer."""
        return self._change(chat_id, "pinned", int(pinned))

    def set_tags(self, chat_id: str, tags: Sequence[str]) -> Chat:
        """Give a chat these tags and no others."""
        wanted = clean_tags(tags)
        with self._writing() as db:
            self._need(db, chat_id)
            _write_tags(db, chat_id, wanted)
            self._note(db, chat_id)
        return self.chat(chat_id)

    def delete(self, chat_ids: Sequence[str]) -> None:
        """Take chats from the list. They can be restored until they are purged."""
        self._mark(chat_ids, time.time())

    def restore(self, chat_ids: Sequence[str]) -> list[Chat]:
        """Bring deleted chats back. Raises UnknownChat when one is gone for good."""
        self._mark(chat_ids, None)
        return [self.chat(chat_id) for chat_id in dict.fromkeys(chat_ids)]

    def purge_deleted(self, before: float) -> int:
        """Really delete what was deleted before that time, and files that were never sent; how many chats.

        One chat at a time, so that nobody waits long: each of its texts has to leave the search index.
        """
        with self._writing() as db:
            db.execute("DELETE FROM files WHERE message_id IS NULL AND created_at < ?", (before,))
            found = db.execute("SELECT id FROM chats WHERE deleted_at < ?", (before,)).fetchall()
        n_purged = 0
        for (chat_id,) in found:
            with self._writing() as db:
                query = "DELETE FROM chats WHERE id = ? AND deleted_at < ?"  # it may be restored meanwhile
                n_purged += db.execute(query, (chat_id, before)).rowcount
            time.sleep(_BETWEEN_PURGES_S)
        return n_purged

    def options(self, chat_id: str) -> dict[str, Any]:
        """The chat's own settings; what it does not set is as everywhere."""
        found = self._field(chat_id, "options")
        return dict(json.loads(str(found)))

    def set_options(self, chat_id: str, options: Mapping[str, Any]) -> None:
        """Replace the chat's own settings as a whole."""
        self._change(chat_id, "options", json.dumps(dict(options)))

    def notes(self, chat_id: str) -> tuple[Notes, ...]:
        """What the oldest messages were folded into, of all branches, the newest last."""
        return _notes_of(self._field(chat_id, "notes"))

    def set_notes(self, chat_id: str, notes: Sequence[Notes], *, was: Sequence[Notes]) -> bool:
        """Replace the notes of all branches; False where they are no longer what they were."""
        with self._writing() as db:
            self._need(db, chat_id)
            (kept,) = db.execute("SELECT notes FROM chats WHERE id = ?", (chat_id,)).fetchone()
            if _notes_of(kept) != tuple(was):
                return False
            db.execute("UPDATE chats SET notes = ? WHERE id = ?", (notes_json(notes), chat_id))
            self._note(db, chat_id)
        return True

    def _mark(self, chat_ids: Sequence[str], deleted_at: float | None) -> None:
        with self._writing() as db:
            for chat_id in dict.fromkeys(chat_ids):
                changed = db.execute("UPDATE chats SET deleted_at = ? WHERE id = ?", (deleted_at, chat_id)).rowcount
                if not changed and deleted_at is None:
                    raise UnknownChat("this chat was deleted for good and cannot be brought back")
                self._note(db, chat_id)

    def _change(self, chat_id: str, column: str, value: object) -> Chat:
        with self._writing() as db:
            self._need(db, chat_id)
            db.execute(f"UPDATE chats SET {column} = ? WHERE id = ?", (value, chat_id))  # noqa: S608 - own columns
            self._note(db, chat_id)
        return self.chat(chat_id)

    def _field(self, chat_id: str, column: str) -> object:
        with self._reading() as db:
            self._need(db, chat_id)
            return db.execute(f"SELECT {column} FROM chats WHERE id = ?", (chat_id,)).fetchone()[0]  # noqa: S608

    def _need(self, db: Connection, chat_id: str) -> str | None:
        """The end of the branch that a chat shows. Raises UnknownChat, also for a deleted one."""
        row = db.execute("SELECT leaf_id FROM chats WHERE id = ? AND deleted_at IS NULL", (chat_id,)).fetchone()
        if row is None:
            raise UnknownChat("this chat does not exist any more")
        leaf: str | None = row[0]
        return leaf

    def _insert_chat(
        self,
        db: Connection,
        title: str,
        created_at: float,
        updated_at: float,
        options: Mapping[str, Any] | None,
        owner_id: str,
    ) -> str:
        chat_id = new_id()
        db.execute(
            "INSERT INTO chats (id, title, created_at, updated_at, options, owner_id) VALUES (?, ?, ?, ?, ?, ?)",
            (chat_id, title, created_at, updated_at, json.dumps(dict(options or {})), owner_id),
        )
        self._note(db, chat_id)
        return chat_id


def clean_tags(tags: Sequence[str]) -> list[str]:
    """Tags without doubles and surrounding spaces. Raises BadRequest with the limits."""
    by_name = {flat.casefold(): flat for tag in tags if (flat := " ".join(storable(tag).split()).lstrip("#"))}
    if len(by_name) > _MAX_TAGS or any(len(tag) > _TAG_CHARS for tag in by_name.values()):
        raise BadRequest(f"a chat has at most {_MAX_TAGS} tags, each of at most {_TAG_CHARS} characters")
    return list(by_name.values())


def new_id() -> str:
    """An id that no other row has."""
    return secrets.token_hex(8)


def _write_tags(db: Connection, chat_id: str, tags: Sequence[str]) -> None:
    db.execute("DELETE FROM chat_tags WHERE chat_id = ?", (chat_id,))
    db.executemany("INSERT INTO chat_tags (chat_id, tag) VALUES (?, ?)", [(chat_id, tag) for tag in tags])


def _chat(row: tuple[Any, ...], tags: Sequence[str]) -> Chat:
    chat_id, title, updated_at, created_at, pinned, leaf_id, owner_id = row
    return Chat(chat_id, title, updated_at, created_at, bool(pinned), tuple(tags), leaf_id, owner_id)
