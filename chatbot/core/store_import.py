"""A chat that comes whole from elsewhere: its tree of messages is taken in one transaction or not at all."""

from __future__ import annotations

import heapq
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import EllipsisType
from typing import Any

from chatbot.core.events import Status
from chatbot.core.store_base import Connection, storable
from chatbot.core.store_chats import TITLE_CHARS, clean_tags, flat_title, notes_json
from chatbot.core.store_files import insert_file, new_file
from chatbot.core.store_messages import Messages, new_message
from chatbot.core.store_rows import OWNER, NewMessage, Notes
from chatbot.errors import BadRequest


class Imports(Messages):
    """Messages that may come many at once."""

    def add_chat(
        self,
        title: str,
        created_at: float,
        updated_at: float,
        messages: Sequence[NewMessage],
        options: Mapping[str, Any] | None = None,
        *,
        leaf_key: str | EllipsisType | None = ...,
        tags: Sequence[str] = (),
        pinned: bool = False,
        notes: Sequence[Notes] = (),
        owner_id: str = OWNER,
    ) -> str:
        """Keep a whole chat; its id. leaf_key names the end of the branch to show, else the last; None shows none.
        notes end with messages by their keys.

        Raises BadRequest for keys that are no tree.
        """
        ordered = parents_first(messages)
        wanted = clean_tags(tags)
        shown = leaf_key if leaf_key is not ... else ordered[-1].key if ordered else None
        ids: dict[str, str] = {}
        with self._writing() as db:
            chat_id = self._insert_chat(db, flat_title(title)[:TITLE_CHARS], created_at, updated_at, options, owner_id)
            for each in ordered:
                ids[each.key] = self._take(chat_id, each, ids)
            _count(db, list(ids.values()))
            db.execute("UPDATE messages SET is_imported = 1 WHERE chat_id = ?", (chat_id,))
            if shown is not None and shown not in ids:
                raise BadRequest(f"the chat is to end with the message {shown!r}, which it does not hold")
            kept = notes_json([_renamed(each, ids) for each in notes])
            db.execute(
                "UPDATE chats SET leaf_id = ?, pinned = ?, updated_at = ?, notes = ? WHERE id = ?",
                (None if shown is None else ids[shown], int(pinned), updated_at, kept, chat_id),
            )
            db.executemany("INSERT INTO chat_tags (chat_id, tag) VALUES (?, ?)", [(chat_id, tag) for tag in wanted])
        return chat_id

    def _take(self, chat_id: str, new: NewMessage, ids: Mapping[str, str]) -> str:
        status = new.status if new.status.is_final else Status.INTERRUPTED
        parent = ids[new.parent_key] if new.parent_key is not None else None
        made = replace(
            new_message(chat_id, parent, new.role, storable(new.content), status),
            meta=json.loads(json.dumps(dict(new.meta))),
            created_at=new.created_at,
            reasoning=storable(new.reasoning),
        )
        self._insert(self._db, made, is_counted=False)
        for place, file in enumerate(new.files):
            insert_file(self._db, new_file(chat_id, made.id, file), place)
        return made.id


def _count(db: Connection, message_ids: Sequence[str]) -> None:
    """Put new messages into their order, and into the search index."""
    last = db.execute("SELECT coalesce(max(n), 0) FROM messages").fetchone()[0]
    db.executemany("UPDATE messages SET n = ? WHERE id = ?", [(n, i) for n, i in enumerate(message_ids, last + 1)])
    db.execute("INSERT INTO message_index (rowid, content) SELECT n, content FROM messages WHERE n > ?", (last,))


def _renamed(notes: Notes, ids: Mapping[str, str]) -> Notes:
    """Notes with the ids of messages in place of their keys."""
    return replace(notes, through=ids[notes.through], outdated=tuple(ids[key] for key in notes.outdated))


def parents_first(messages: Sequence[NewMessage]) -> list[NewMessage]:
    """The messages so that each comes after its parent, otherwise as given. Raises BadRequest for what is no tree."""
    if len({each.key for each in messages}) < len(messages):
        raise BadRequest("two messages of the chat have the same key")
    children: dict[str | None, list[int]] = {}
    for place, each in enumerate(messages):
        children.setdefault(each.parent_key, []).append(place)
    ordered: list[NewMessage] = []
    ready = children.pop(None, [])  # a heap: sorted already
    while ready:
        each = messages[heapq.heappop(ready)]
        ordered.append(each)
        for place in children.pop(each.key, ()):
            heapq.heappush(ready, place)
    if children:
        raise BadRequest(f"a message of the chat follows {next(iter(children))!r}, which no way leads to")
    return ordered
