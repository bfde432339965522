"""Decide which file names make up one model: "x-00002-of-00003.gguf" is the second of three. Touches no disk."""

from __future__ import annotations

import re

_PART = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")


def parts(name: str) -> tuple[str, ...]:
    """Return the names of all files of this file's model, first to last; the name alone for a whole file."""
    found = _PART.fullmatch(name)
    if found is None or not 1 <= int(found["number"]) <= int(found["count"]):
        return (name,)
    count = int(found["count"])
    return tuple(f"{found['stem']}-{number:05d}-of-{count:05d}.gguf" for number in range(1, count + 1))


def stem(name: str) -> str:
    """Return the name without ".gguf" and without the number of the part."""
    found = _PART.fullmatch(name)
    return found["stem"] if found else name.removesuffix(".gguf")
