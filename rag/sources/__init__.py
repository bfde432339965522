"""Where documents come from: folders, git repositories, pages, sitemaps and crawls. Each lists its items, lazily.

What reads a file to text and what fetches an address are given from outside: who asks decides what may be read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Readable:
    """A file as text. title: its own, or empty; pages: the offset in text at which each page begins, or none."""

    text: str
    kind: str
    title: str = ""
    pages: tuple[int, ...] = ()


@dataclass(frozen=True)
class Fetched:
    """What an address answered, and the address in the end."""

    url: str
    content_type: str
    body: bytes


class Read(Protocol):
    """Reads a file to text. Raises DocumentRefused, with a reason that stands for itself."""

    def __call__(self, name: str, data: bytes, *, content_type: str = "", url: str = "") -> Readable:
        """name: decides how it is read, unless content_type does; url: makes its links whole."""


# Fetches an address. Raises SourceFailed.
Fetch = Callable[[str], Fetched]
