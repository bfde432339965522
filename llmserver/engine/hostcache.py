"""The books of what is saved in host RAM: sizes, order of use, what may not go. Holds no data itself."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Blob:
    """A saved sequence of n tokens. floor: its first position that is there; partial: it needs the other cells."""

    number: int
    n: int
    floor: int
    partial: bool


class HostCache:
    """Blobs, least recently used first, never more bytes than allowed."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.size_bytes = 0
        self._sizes: OrderedDict[Blob, int] = OrderedDict()
        self._pinned: set[Blob] = set()
        self._held: set[Blob] = set()
        self._numbers: dict[int, Blob] = {}
        self._next = 0

    def __len__(self) -> int:
        return len(self._sizes)

    def make_room(self, size: int) -> list[Blob] | None:
        """The blobs that have to go before one of this size comes; None when it cannot fit."""
        going: list[Blob] = []
        left = self.size_bytes
        for blob, held in self._sizes.items():
            if left + size <= self.limit_bytes:
                break
            if not self.is_kept(blob):
                going.append(blob)
                left -= held
        return going if left + size <= self.limit_bytes else None

    def add(self, n: int, size: int, floor: int, *, partial: bool) -> Blob:
        """A new blob, the most recently used one."""
        blob = Blob(self._next, n, floor, partial)
        self._next += 1
        self._sizes[blob], self._numbers[blob.number] = size, blob
        self.size_bytes += size
        return blob

    def resize(self, number: int, size: int) -> None:
        """The blob turned out to have this size."""
        blob = self._numbers.get(number)
        if blob is not None:
            self.size_bytes += size - self._sizes[blob]
            self._sizes[blob] = size

    def find(self, number: int) -> Blob | None:
        """The blob of this number."""
        return self._numbers.get(number)

    def remove(self, blob: Blob) -> None:
        """The blob goes."""
        self.size_bytes -= self._sizes.pop(blob)
        self._pinned.discard(blob)
        del self._numbers[blob.number]

    def touch(self, blob: Blob) -> None:
        """The blob was used."""
        self._sizes.move_to_end(blob)

    def pin(self, blob: Blob, *, pinned: bool) -> None:
        """Keep the blob whatever happens, or no longer."""
        if pinned:
            self._pinned.add(blob)
        else:
            self._pinned.discard(blob)

    @contextmanager
    def holding(self, *blobs: Blob | None) -> Iterator[None]:
        """Keep these blobs for as long as the context is open."""
        self._held = {blob for blob in blobs if blob is not None}
        try:
            yield
        finally:
            self._held = set()

    def is_kept(self, blob: Blob) -> bool:
        """Whether the blob may not go now."""
        return blob in self._pinned or blob in self._held

    def is_pinned(self, blob: Blob) -> bool:
        """Whether somebody waits for it."""
        return blob in self._pinned
