"""What a page may send, checked: each function reads one field and says what would be right. Decides nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from chatbot.core.events import ChatRequest
from chatbot.core.options import ChatOptions
from chatbot.core.store_base import storable
from chatbot.errors import BadRequest, MessageTooLong

ID_CHARS = 64
_MAX_KNOWN = 1_000
_MAX_CHATS = 10_000
_MAX_FILES = 20
_MAX_TAGS = 100
_TEXT_CHARS = 500
_MOST_NUMBER = 2**53  # that JavaScript knows exactly

Body = Mapping[str, Any]
F = TypeVar("F")


def an_id(body: Body, name: str) -> str:
    """The id of something."""
    value = body.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= ID_CHARS:
        raise BadRequest(f"{name} must be a string of at most {ID_CHARS} characters")
    return value


def an_id_or_none(body: Body, name: str) -> str | None:
    """The id of something, or null."""
    return None if body.get(name) is None else an_id(body, name)


def ids(body: Body, name: str, most: int = _MAX_CHATS) -> list[str]:
    """A list of ids; none when it is not there."""
    value = body.get(name, [])
    if not isinstance(value, list) or len(value) > most:
        raise BadRequest(f"{name} must be a list of at most {most:,} ids")
    return [an_id({name: each}, name) for each in value]


def text(body: Body, name: str, max_chars: int = _TEXT_CHARS) -> str:
    """A text, which may be empty, as the databases can hold it."""
    value = body.get(name, "")
    if not isinstance(value, str):
        raise BadRequest(f"{name} must be a string")
    if len(value) > max_chars:
        raise MessageTooLong(f"{name} has {len(value):,} characters, {max_chars:,} are allowed: make it shorter")
    return storable(value)


def text_or_none(body: Body, name: str, max_chars: int) -> str | None:
    """A text, or null."""
    return None if body.get(name) is None else text(body, name, max_chars)


def a_flag(body: Body, name: str) -> bool:
    """true or false."""
    value = body.get(name)
    if not isinstance(value, bool):
        raise BadRequest(f"{name} must be true or false")
    return value


def a_flag_or(body: Body, name: str, default: F) -> bool | F:
    """true or false; what stands for it when it is not there."""
    return default if body.get(name) is None else a_flag(body, name)


def a_number(body: Body, name: str) -> int:
    """A whole number from 0, such as the id of something in the library."""
    value = body.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < _MOST_NUMBER:
        raise BadRequest(f"{name} must be a whole number from 0")
    return value


def a_number_or_none(body: Body, name: str) -> int | None:
    """A whole number from 0, or null."""
    return None if body.get(name) is None else a_number(body, name)


def numbers(body: Body, name: str, most: int) -> list[int]:
    """A list of whole numbers."""
    value = body.get(name, [])
    if not isinstance(value, list) or len(value) > most:
        raise BadRequest(f"{name} must be a list of at most {most:,} numbers")
    return [a_number({name: each}, name) for each in value]


def tags(body: Body) -> list[str]:
    """A list of short texts."""
    value = body.get("tags")
    if not isinstance(value, list) or len(value) > _MAX_TAGS or not all(isinstance(tag, str) for tag in value):
        raise BadRequest(f"tags must be a list of at most {_MAX_TAGS} strings")
    return value


def an_object(body: Body, name: str) -> dict[str, Any]:
    """An object; an empty one when it is not there."""
    value = body.get(name, {})
    if not isinstance(value, dict):
        raise BadRequest(f"{name} must be an object")
    return value


def an_object_or_none(body: Body, name: str) -> dict[str, Any] | None:
    """An object, or null."""
    return None if body.get(name) is None else an_object(body, name)


def a_message(body: Body, max_chars: int) -> ChatRequest:
    """Read a message. Raises BadRequest or MessageTooLong with what would be right."""
    written, key = body.get("text"), body.get("key", "")
    if not isinstance(written, str):
        raise BadRequest("text must be a string")
    files = tuple(ids(body, "files", _MAX_FILES))
    if not written.strip() and not files:
        raise BadRequest("the message is empty: write something first, or attach a file")
    if len(written) > max_chars:
        raise MessageTooLong(
            f"this message has {len(written):,} characters, {max_chars:,} are allowed: send it in parts"
        )
    if not isinstance(key, str) or len(key) > ID_CHARS:
        raise BadRequest(f"key must be a string of at most {ID_CHARS} characters")
    try:
        written.encode()
    except UnicodeEncodeError as why:
        raise BadRequest("the message holds half a character (a lone surrogate): type it again") from why
    return ChatRequest(
        an_id_or_none(body, "chat_id"),
        written,
        key,
        an_id_or_none(body, "parent") if "parent" in body else ...,
        files,
        ChatOptions.from_wire(an_object_or_none(body, "options") or {}).wire(),
    )


def known(body: Body) -> dict[str, int]:
    """The last event numbers that a returning browser has: {answer id: number}."""
    after = body.get("after", {})
    if not isinstance(after, dict) or len(after) > _MAX_KNOWN:
        raise BadRequest(f"after must be an object of at most {_MAX_KNOWN} numbers")
    if not all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in after.values()):
        raise BadRequest("after must hold whole numbers from 0")
    return after
