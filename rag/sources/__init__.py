"""Where documents come from: folders, git repositories, pages, sitemaps and crawls. Each lists its items, lazily.

What reads a file to text and what fetches an address are given from outside: who asks decides what may be read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rag.ingest import Item


@dataclass(frozen=True)
class Readable:
    """A file as text. title: its own, or empty; pages: the offset in text at which each page begins, or none; links:
    where a web page leads, whole addresses as they are written."""

    text: str
    kind: str
    title: str = ""
    pages: tuple[int, ...] = ()
    links: tuple[str, ...] = ()


@dataclass(frozen=True)
class Fetched:
    """What an address answered, and the address in the end.

    stamp: what to give the next time, so that an unchanged page need not be sent again; then is_same, and no body.
    """

    url: str
    content_type: str
    body: bytes
    stamp: str = ""
    is_same: bool = False


class Read(Protocol):
    """Reads a file to text. Raises DocumentRefused, with a reason that stands for itself."""

    def __call__(self, name: str, data: bytes, *, content_type: str = "", url: str = "") -> Readable:
        """name: decides how it is read, unless content_type does; url: makes its links whole."""


class Fetch(Protocol):
    """The way to the net: it decides what may be reached."""

    def __call__(self, url: str, stamp: str = "") -> Fetched:
        """Fetch an address. stamp: of an earlier answer. Raises SourceFailed."""

    def tunnel(self, url: str, n_bytes: int) -> AbstractContextManager[str]:
        """The address of a proxy that leads to the host of this one alone, for at most so many bytes.

        Raises SourceFailed for a host that may not be reached.
        """


@dataclass(frozen=True)
class Items:
    """The items of a source. n: how many, or None while that is not known."""

    each: Iterator[Item]
    n: int | None = None

    def __iter__(self) -> Iterator[Item]:
        return self.each
