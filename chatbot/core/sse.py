"""Server-sent events out of bytes as they arrive. Pure: what comes is bounded, and nothing in it is believed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

MAX_EVENT_BYTES = 4_000_000
_END_OF_LINE = re.compile(rb"\r\n|\n|\r")


class NotAStream(Exception):
    """What arrives cannot be an answer: a line or an event without an end."""


def events(chunks: Iterable[bytes], max_bytes: int = MAX_EVENT_BYTES) -> Iterator[str]:
    """The data of each event, its lines joined; an event that the end of the stream cuts off is none.

    Comments, names, numbers and events without data are passed over. Raises NotAStream for one over max_bytes.
    """
    data: list[bytes] = []
    size = 0
    for line in _lines(chunks, max_bytes):
        if not line:
            if data:
                yield b"\n".join(data).decode("utf-8", "replace")
            data, size = [], 0
            continue
        name, _, value = line.partition(b":")
        if name == b"data":
            data.append(value.removeprefix(b" "))
            size += len(value) + 1
            if size > max_bytes:
                raise NotAStream(f"an event of more than {max_bytes:,} bytes")


def _lines(chunks: Iterable[bytes], max_bytes: int) -> Iterator[bytes]:
    """Complete lines without their ends, which may be any of three, also where a chunk ends between two bytes."""
    pieces: list[bytes] = []
    size = 0
    is_first = True
    for chunk in _whole_ends(chunks):
        *complete, rest = _END_OF_LINE.split(chunk)
        for each in complete:
            line = b"".join([*pieces, each])
            yield line.removeprefix(b"\xef\xbb\xbf") if is_first else line
            pieces, size, is_first = [], 0, False
        pieces.append(rest)
        size += len(rest)
        if size > max_bytes:
            raise NotAStream(f"a line of more than {max_bytes:,} bytes")


def _whole_ends(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes, cut so that no piece begins with the second half of a line's end."""
    follows_return = False
    for chunk in chunks:
        whole = chunk[1:] if follows_return and chunk.startswith(b"\n") else chunk
        if chunk:
            follows_return = chunk.endswith(b"\r")
        yield whole
