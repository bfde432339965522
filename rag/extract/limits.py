"""What reading one file may cost, and how a reader says no. Pure."""

from __future__ import annotations

from dataclasses import dataclass

MAX_BYTES = 100_000_000
MAX_CHARS = 4_000_000  # about a million tokens, more than models hold
MAX_PAGES = 2_000
MAX_PART_BYTES = 50_000_000  # of a part of a DOCX, unpacked


@dataclass(frozen=True)
class Bounds:
    """What the process that reads a file may take for it: processor time, and memory."""

    time_s: int = 60
    memory_bytes: int = 1 << 30

    @property
    def wait_s(self) -> int:
        """How long it is waited for: it may have to share the processor."""
        return 4 * self.time_s


DOCUMENT, PAGE = Bounds(), Bounds(time_s=20)


class Unreadable(Exception):
    """Why a file cannot be read, in words that follow its name. links: where a page without a text leads."""

    def __init__(self, reason: str, links: tuple[str, ...] = ()) -> None:
        super().__init__(reason)
        self.reason, self.links = reason, links
