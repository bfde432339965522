"""Files, as text or as the pictures they are: added while a message is written, given to it when it is sent."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import astuple
from typing import Any

from chatbot.core.store_base import Connection, storable
from chatbot.core.store_chats import Chats, new_id
from chatbot.core.store_rows import OWNER, NewFile, Stored, StoredFile
from chatbot.errors import BadRequest, UnknownFile

_COLUMNS = "id, chat_id, message_id, name, kind, text, source, n_chars, created_at, media_type, data, owner_id"
_WITHOUT_TEXT = _COLUMNS.replace(" text,", " '',").replace(" data,", " NULL,")


class Files(Chats):
    """The files of all chats."""

    def add_file(
        self,
        chat_id: str | None,
        name: str,
        kind: str,
        text: str,
        source: str = "",
        *,
        owner_id: str = OWNER,
        media_type: str = "",
        data: bytes | None = None,
    ) -> StoredFile:
        """Keep a file's text, or a picture's data, for a message that is yet to be sent; chat_id is None before the
        first one."""
        made = new_file(chat_id, None, NewFile(name, kind, text, source, media_type, data, owner_id))
        with self._writing() as db:
            if chat_id is not None:
                self._need(db, chat_id)
            insert_file(db, made, 0)
        return made

    def file(self, file_id: str) -> StoredFile:
        """One file. Raises UnknownFile."""
        with self._reading() as db:
            return _find(db, file_id)

    def files_of(self, message_ids: Sequence[str], *, with_text: bool = True) -> dict[str, list[StoredFile]]:
        """The files of messages by the message's id, in the order in which they were given.

        Without their text pictures have no data either.
        """
        columns = _COLUMNS if with_text else _WITHOUT_TEXT
        query = f"SELECT {columns} FROM files WHERE message_id IN (SELECT value FROM json_each(?)) ORDER BY place"  # noqa: S608
        found: dict[str, list[StoredFile]] = {}
        with self._reading() as db:
            for row in db.execute(query, (json.dumps(list(message_ids)),)):
                found.setdefault(row[2], []).append(StoredFile(*row))
        return found

    def files_there(self, file_ids: Sequence[str]) -> frozenset[str]:
        """Those of these files that are still kept."""
        query = "SELECT id FROM files WHERE id IN (SELECT value FROM json_each(?))"
        with self._reading() as db:
            return frozenset(file_id for (file_id,) in db.execute(query, (json.dumps(list(file_ids)),)))

    def drop_file(self, file_id: str) -> None:
        """Forget a file that was not sent yet. One that was sent stays with its message."""
        with self._writing() as db:
            if _find(db, file_id).message_id is not None:
                raise BadRequest("this file was sent already and stays with its message")
            db.execute("DELETE FROM files WHERE id = ?", (file_id,))

    def _first_name(self, db: Connection, file_ids: Sequence[str]) -> str:
        """What a chat is called whose first message is files alone."""
        return _find(db, file_ids[0]).name if file_ids else ""

    def _give_files(self, db: Connection, file_ids: Sequence[str], to: Stored) -> None:
        """Attach files to a message. One that another message has is copied: a message sent anew keeps its files."""
        for place, file_id in enumerate(dict.fromkeys(file_ids)):
            each = _find(db, file_id)
            if each.message_id is None:
                change = "UPDATE files SET chat_id = ?, message_id = ?, place = ? WHERE id = ?"
                db.execute(change, (to.chat_id, to.id, place, file_id))
            else:
                told = (each.source, each.media_type, each.data, each.owner_id)
                copied = NewFile(each.name, each.kind, each.text, *told)
                insert_file(db, new_file(to.chat_id, to.id, copied), place)


def new_file(chat_id: str | None, message_id: str | None, new: NewFile) -> StoredFile:
    """A file that was not there before."""
    name, text, source = storable(new.name), storable(new.text), storable(new.source)
    more = (new.media_type, new.data, new.owner_id)
    return StoredFile(new_id(), chat_id, message_id, name, new.kind, text, source, len(text), time.time(), *more)


def _find(db: Connection, file_id: str) -> StoredFile:
    row: tuple[Any, ...] | None = db.execute(f"SELECT {_COLUMNS} FROM files WHERE id = ?", (file_id,)).fetchone()  # noqa: S608
    if row is None:
        raise UnknownFile("this file is not here any more: add it again")
    return StoredFile(*row)


def insert_file(db: Connection, new: StoredFile, place: int) -> None:
    """Write a new file, so many places behind the first of its message."""
    db.execute(
        f"INSERT INTO files ({_COLUMNS}, place) VALUES ({', '.join('?' * 13)})",  # noqa: S608 - own columns
        (*astuple(new), place),
    )
