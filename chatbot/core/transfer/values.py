"""What passes between a file of chats and the store: chats as they are read, and what was wrong with the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from chatbot.core.events import Status
from chatbot.core.store_rows import NewFile, NewMessage, Notes


@dataclass(frozen=True)
class Node:
    """One message as a file holds it. One without a role only links others and is shown to nobody."""

    key: str
    parent: str | None
    role: str
    content: str
    created_at: float | None = None
    reasoning: str = ""
    status: Status = Status.DONE
    meta: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[NewFile, ...] = ()


@dataclass(frozen=True)
class ImportedChat:
    """A whole chat. source_key is the same each time this chat is read: its program's name and its id there.

    is_dated says whether the file tells when the chat began; created_at is now where it does not. The through of
    notes is the key of a message.
    """

    title: str
    created_at: float
    updated_at: float
    messages: tuple[NewMessage, ...]
    leaf_key: str | None
    source_key: str
    options: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    pinned: bool = False
    notices: tuple[str, ...] = ()
    is_dated: bool = True
    notes: tuple[Notes, ...] = ()


@dataclass(frozen=True)
class Skipped:
    """Something that was not read as a chat, and why. A stranger is no chat of any format that is known."""

    why: str
    is_stranger: bool = False


Read = ImportedChat | Skipped


class Damaged(ValueError):
    """What should be a chat cannot be read as one; the message says why."""
