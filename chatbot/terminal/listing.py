"""Chats, search hits and models as lines of text. Pure."""

from __future__ import annotations

import re
import textwrap
import time
from collections.abc import Sequence

from chatbot.core.model import ModelInfo
from chatbot.core.store_rows import Chat, Hit

_ID_CHARS = 8
_NARROWEST = 20


def chat_lines(chats: Sequence[Chat], now: float, open_id: str | None = None) -> list[str]:
    """A line a chat: its id, when it changed, its title; a star for the one that is open."""
    return [
        f"{'*' if chat.id == open_id else ' '} {chat.id[:_ID_CHARS]}  {when(chat.updated_at, now):>10}  {_titled(chat)}"
        for chat in chats
    ]


def hit_lines(hits: Sequence[Hit]) -> list[str]:
    """Two lines a hit: the chat, and where the text stands in it."""
    out = []
    for hit in hits:
        out.append(f"{hit.chat_id[:_ID_CHARS]}  {flat(hit.title)}")
        if hit.message_id is not None:
            out.append(f"{' ' * _ID_CHARS}  {flat(hit.snippet)}")
    return out


def model_lines(models: Sequence[ModelInfo], current: str = "") -> list[str]:
    """A line a model: its name, how much it holds, what it can do, whether it is in memory."""
    width = max((len(model.name) for model in models), default=0)
    out = []
    for model in models:
        parts = [
            f"{model.n_ctx:,} tokens" if model.n_ctx else "",
            "base model" if model.is_base else "",
            "demonstration" if model.demo else "",
            model.state if model.state != "ok" else "",
        ]
        told = ", ".join(filter(None, parts))
        out.append(f"{'*' if model.name == current else ' '} {model.name:{width}}  {told}".rstrip())
    return out


def hanging(text: str, columns: int) -> str:
    """Lines of two columns, wrapped so that the second one stays a column."""
    return "\n".join(out for line in text.split("\n") for out in _hung(line, columns))


def _hung(line: str, columns: int) -> list[str]:
    found = re.match(r"( {3,}|\W{0,2}\S.*? {2,})\S", line)
    n_before = len(found[1]) if found else 0
    if len(line) < columns or columns - n_before < _NARROWEST:
        return [line]
    first, *others = textwrap.wrap(line[n_before:], columns - n_before - 1)
    return [line[:n_before] + first, *(" " * n_before + other for other in others)]


def when(at: float, now: float) -> str:
    """A moment as a person says it: the hour today, else the date."""
    then, today = time.localtime(at), time.localtime(now)
    if then[:3] == today[:3]:
        return time.strftime("%H:%M", then)
    return time.strftime("%Y-%m-%d", then)


def flat(text: str) -> str:
    """One line without control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _titled(chat: Chat) -> str:
    tags = "".join(f" #{tag}" for tag in chat.tags)
    return f"{flat(chat.title)}{tags}{' (pinned)' if chat.pinned else ''}"
