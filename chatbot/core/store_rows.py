"""What the store keeps, as values: chats, messages, files, notes, what a search finds. No SQL."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from chatbot.core.events import Done, Status

# The user whose everything is that a terminal, or a page without accounts, writes.
OWNER = "owner"
_TITLE_CHARS = 60


@dataclass(frozen=True)
class Chat:
    """A conversation as the list shows it; times are seconds since 1970. leaf_id ends the branch that is shown."""

    id: str
    title: str
    updated_at: float
    created_at: float = 0.0
    pinned: bool = False
    tags: tuple[str, ...] = ()
    leaf_id: str | None = None
    owner_id: str = OWNER


@dataclass(frozen=True)
class Stored:
    """A message as it is kept. version grows by one at each write; meta holds error, usage, timings, notices.

    seq is the number of the last event that the text holds, so that an answer that goes on counts from there.
    """

    id: str
    chat_id: str
    parent_id: str | None
    role: str
    content: str
    status: Status
    version: int
    meta: dict[str, Any]
    created_at: float
    reasoning: str = ""
    seq: int = 0

    def wire(self) -> dict[str, Any]:
        """As sent to a browser."""
        return asdict(self)


@dataclass(frozen=True)
class StoredFile:
    """A file as the model gets it: its text, or a picture's media_type and data. message_id is None until it is sent;
    source is an address or empty."""

    id: str
    chat_id: str | None
    message_id: str | None
    name: str
    kind: str
    text: str
    source: str
    n_chars: int
    created_at: float
    media_type: str = ""
    data: bytes | None = field(default=None, repr=False)
    owner_id: str = OWNER

    def wire(self) -> dict[str, Any]:
        """As sent to a browser: all but what is in it."""
        return {"id": self.id, "name": self.name, "kind": self.kind, "n_chars": self.n_chars, "source": self.source}


@dataclass(frozen=True)
class Hit:
    """A place that a search found: message_id is None for a title; start and end bound the match in the snippet."""

    chat_id: str
    title: str
    message_id: str | None
    snippet: str
    start: int
    end: int
    updated_at: float


@dataclass(frozen=True)
class Notes:
    """What the oldest messages of a chat were folded into: through is the id of the last of these n_folded; outdated
    are the ids of those answers among them that a person has changed since."""

    text: str
    through: str
    n_folded: int
    outdated: tuple[str, ...] = ()


@dataclass(frozen=True)
class Preset:
    """A named set of options."""

    name: str
    options: dict[str, Any]


@dataclass(frozen=True)
class Prompt:
    """A named text to begin a message with."""

    name: str
    text: str


@dataclass(frozen=True)
class NewFile:
    """A file of an imported message."""

    name: str
    kind: str
    text: str
    source: str = ""
    media_type: str = ""
    data: bytes | None = field(default=None, repr=False)
    owner_id: str = OWNER


@dataclass(frozen=True)
class NewMessage:
    """A message of an imported chat. Keys are the import's own names of messages; parent_key is None at the root."""

    key: str
    parent_key: str | None
    role: str
    content: str
    created_at: float = field(default_factory=time.time)
    reasoning: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)
    status: Status = Status.DONE
    files: tuple[NewFile, ...] = ()


@dataclass(frozen=True)
class Changes:
    """What other processes wrote since a token: chats as they are now, ids of those that are gone, messages."""

    token: int
    chats: tuple[Chat, ...] = ()
    gone: tuple[str, ...] = ()
    new: tuple[Stored, ...] = ()
    changed: tuple[Stored, ...] = ()


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
