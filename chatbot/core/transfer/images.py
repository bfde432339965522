"""Pictures in a stranger's file: in base64, data: addresses and archives, taken only if their bytes are pictures."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from pathlib import PurePosixPath

from chatbot.core import pictures
from chatbot.core.store_rows import NewFile
from chatbot.core.transfer import clean
from rag.extract.limits import Unreadable

MAX_BYTES = 40_000_000
# The bytes of a picture by the id that the file gives it; None where they are not there.
Lookup = Callable[[str], bytes | None]


def nowhere(_: str) -> None:
    """The lookup of a file that holds no pictures."""


def taken(name: object, data: bytes | None) -> NewFile | None:
    """A picture as a file of a message; None when these bytes are no picture that can be kept."""
    if not data or len(data) > MAX_BYTES:
        return None
    try:
        seen = pictures.look(data)
    except Unreadable:
        return None
    suffix = seen.media_type.removeprefix("image/")
    given = clean.name(name) if isinstance(name, str) and name.strip() else f"picture.{suffix}"
    return NewFile(given, pictures.KIND, "", media_type=seen.media_type, data=data)


def from_base64(name: object, text: object) -> NewFile | None:
    """A picture that stands in the file as base64."""
    if not isinstance(text, str) or len(text) > MAX_BYTES * 4 // 3 + 4:
        return None
    try:
        return taken(name, base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        return None


def from_url(name: object, url: object) -> NewFile | None:
    """A picture that stands in the file as a data: address. Others are fetched by nobody."""
    if not isinstance(url, str) or not url.startswith("data:image/"):
        return None
    return from_base64(name, url.partition(";base64,")[2])


def asset_of(path: str) -> str:
    """The id in the name of a picture in ChatGPT's archive, or in its address: `file-abc` of `file-abc-photo.png`."""
    name = PurePosixPath(path).name
    for joint in ("-", "_"):
        if name.startswith(f"file{joint}"):
            rest = name[5:]
            n_chars = next((i for i, char in enumerate(rest) if not char.isalnum()), len(rest))
            return name[: 5 + n_chars] if n_chars else ""
    return ""
