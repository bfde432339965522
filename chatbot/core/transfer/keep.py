"""Take chats into the store and out of it. Each chat is taken whole in one transaction; one that is here is left alone.

A chat is known by the id that it had where it came from first, which stays with its first message. One with a message
that is not in the chat here is not the same any more and comes as another chat, so that nothing is lost.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from chatbot.core.options import ChatOptions
from chatbot.core.store import OWNER, Store
from chatbot.core.store_base import n_bytes_of, storable
from chatbot.core.store_chats import notes_json
from chatbot.core.store_rows import NewMessage, Stored, StoredFile
from chatbot.core.transfer import clean, markdown, own
from chatbot.core.transfer.values import ImportedChat, Read, Skipped
from chatbot.errors import BadRequest, UnknownChat

KNOWN_FORMATS = (
    "Paddock's own JSON and Markdown, and the exports of llama.cpp's page, Open WebUI and ChatGPT, also zipped"
)
# Under this name the first message of an imported chat remembers where the chat comes from.
ORIGIN = "imported_from"
_MAX_SKIPPED = 10_000
_MAX_NOTICES = 20


@dataclass(frozen=True)
class Taken:
    """What an import did: the chats that are new, and what a person should know."""

    chat_ids: tuple[str, ...]
    n_messages: int
    n_skipped: int
    notices: tuple[str, ...]

    def wire(self) -> dict[str, Any]:
        """As the browser gets it."""
        return {
            "n_chats": len(self.chat_ids),
            "n_messages": self.n_messages,
            "n_skipped": self.n_skipped,
            "notices": list(self.notices),
        }


def as_json(store: Store, chat_id: str) -> str:
    """A chat as JSON, whole. Raises UnknownChat."""
    messages = store.tree(chat_id)
    files, notes = _files(store, messages), store.notes(chat_id)
    return own.write(store.chat(chat_id), messages, files, store.options(chat_id), notes)


def all_as_json(store: Store, owner_id: str = OWNER) -> Iterator[str]:
    """All chats of a user as one list, piece by piece."""
    separator = "[\n"
    for chat in store.chats(owner_id):
        try:
            yield separator + as_json(store, chat.id)
        except UnknownChat:  # deleted meanwhile
            continue
        separator = ",\n"
    yield "[]\n" if separator == "[\n" else "\n]\n"


def as_markdown(store: Store, chat_id: str) -> str:
    """The branch of a chat that is shown, as Markdown. Raises UnknownChat."""
    messages = store.messages(chat_id)
    return markdown.write(store.chat(chat_id), messages, _files(store, messages), store.options(chat_id))


def _files(store: Store, messages: Sequence[Stored]) -> dict[str, list[StoredFile]]:
    return store.files_of([message.id for message in messages])


def take(store: Store, found: Iterable[Read], owner_id: str = OWNER, room: int | None = None) -> Taken:
    """Keep for a user what is new of the chats of a file, as long as it has room bytes in all; None is any number.

    Raises BadRequest when it holds no chats, StorageError.
    """
    log, known = _Log(), _Known(store, owner_id)
    left = math.inf if room is None else room
    for each in found:
        if isinstance(each, Skipped):
            log.skip(each)
        elif known.has(each):
            log.n_known += 1
        elif (size := _size(each)) > left:
            log.skip(Skipped("larger than what you may still store: delete some chats, or ask an administrator"))
        else:
            try:
                chat_id = _add(store, each, log, owner_id)
            except BadRequest as why:
                log.skip(Skipped(why.message))
            else:
                left -= size
                log.took(each, chat_id)
                known.add(chat_id, each.created_at)
        if log.n_skipped >= _MAX_SKIPPED:
            log.details["the rest of the file was not read: too much of it is no chat"] += 1
            break
    return log.result()


def _size(chat: ImportedChat) -> int:
    """What of a chat counts as stored, in bytes."""
    files = (n_bytes_of(file.text) + len(file.data or b"") for message in chat.messages for file in message.files)
    metas = (len(json.dumps(dict(message.meta))) for message in chat.messages if message.meta)
    texts = (n_bytes_of(message.content) + n_bytes_of(message.reasoning) for message in chat.messages)
    beside = [len(json.dumps(dict(chat.options)))] if chat.options else []
    beside += [len(notes_json(chat.notes) or "")]
    return sum(texts) + sum(files) + sum(metas) + sum(beside)


def _add(store: Store, chat: ImportedChat, log: _Log, owner_id: str) -> str:
    options = _valid(chat.options, log)
    first, *others = chat.messages
    marked = replace(first, meta={ORIGIN: chat.source_key, **first.meta})
    return store.add_chat(
        chat.title,
        chat.created_at,
        chat.updated_at,
        [marked, *others],
        options,
        leaf_key=chat.leaf_key,
        tags=chat.tags,
        pinned=chat.pinned,
        notes=chat.notes,
        owner_id=owner_id,
    )


def _valid(options: Mapping[str, Any], log: _Log) -> dict[str, Any]:
    """The settings that this Paddock knows, with values that are allowed."""
    kept: dict[str, Any] = {}
    for name, value in options.items():
        try:
            kept |= ChatOptions.from_wire({name: value}).wire()
        except BadRequest as why:
            log.details[f"a setting of a chat was left out: {clean.line(why.message, 200)}"] += 1
    return kept


class _Known:
    """Which chats are here already, by where they came from. Reads only first messages of chats that may be the one."""

    def __init__(self, store: Store, owner_id: str) -> None:
        self._store = store
        self._ids: list[str] = []
        self._by_time: dict[int, list[str]] = {}
        self._names: dict[str, set[str]] = {}
        for chat in store.chats(owner_id):
            self.add(chat.id, chat.created_at)

    def has(self, chat: ImportedChat) -> bool:
        """Whether this chat, or the one that it is a copy of, is here with all its messages."""
        names = {chat.source_key, str(chat.messages[0].meta.get(ORIGIN, chat.source_key))}
        at = _milliseconds(chat.created_at)
        near = [chat_id for when in (at - 1, at, at + 1) for chat_id in self._by_time.get(when, ())]
        same = [chat_id for chat_id in (near if chat.is_dated else self._ids) if names & self._names_of(chat_id)]
        return any(self._holds(chat_id, chat.messages) for chat_id in same)

    def add(self, chat_id: str, created_at: float) -> None:
        """This chat is here."""
        self._ids.append(chat_id)
        self._by_time.setdefault(_milliseconds(created_at), []).append(chat_id)

    def _names_of(self, chat_id: str) -> set[str]:
        if chat_id not in self._names:
            first = self._store.children(None, chat_id)[:1]
            origins = [self._store.message(message_id).meta.get(ORIGIN) for message_id in first]
            self._names[chat_id] = {f"paddock:{chat_id}", *(str(origin) for origin in origins if origin)}
        return self._names[chat_id]

    def _holds(self, chat_id: str, messages: Sequence[NewMessage]) -> bool:
        """Whether each message is in this chat; an answer may have been continued here."""
        here = Counter((each.role, each.content) for each in self._store.tree(chat_id))
        lacking = Counter((each.role, storable(each.content)) for each in messages) - here
        return all(
            role == "assistant" and any(role == other and text.startswith(begun) for other, text in here)
            for role, begun in lacking
        )


def _milliseconds(at: float) -> int:
    """The time as Markdown keeps it too."""
    return round(at * 1000)


@dataclass
class _Log:
    """What happened so far."""

    chat_ids: list[str] = field(default_factory=list)
    n_messages: int = 0
    n_skipped: int = 0
    n_strangers: int = 0
    n_known: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    details: Counter[str] = field(default_factory=Counter)

    def skip(self, found: Skipped) -> None:
        self.n_skipped += 1
        self.n_strangers += found.is_stranger
        self.reasons[found.why] += 1

    def took(self, chat: ImportedChat, chat_id: str) -> None:
        self.chat_ids.append(chat_id)
        self.n_messages += len(chat.messages)
        for notice in chat.notices:
            self.details[f"“{clean.line(chat.title, 60)}”: {notice}"] += 1

    def result(self) -> Taken:
        """What the person is told."""
        if not self.chat_ids and not self.n_known and self.n_strangers == self.n_skipped:
            raise BadRequest(f"this file holds no chats that Paddock can read. It reads {KNOWN_FORMATS}.")
        told = [f"{_chats(n)} left out: {why}" for why, n in self.reasons.most_common()]
        if self.n_known:
            told.insert(0, f"{_chats(self.n_known)} left out: here already")
        told += [f"{what} ({n} times)" if n > 1 else what for what, n in self.details.most_common()]
        if len(told) > _MAX_NOTICES:
            told = [*told[: _MAX_NOTICES - 1], f"and {len(told) - _MAX_NOTICES + 1:,} more such notices"]
        return Taken(tuple(self.chat_ids), self.n_messages, self.n_skipped + self.n_known, tuple(told))


def _chats(n: int) -> str:
    return f"{n:,} chat{'' if n == 1 else 's'}"
