"""Walk the bytes of a GGUF header: no length is used before it was compared with what is left of the file.

The file is read in pieces and not mapped: one that becomes shorter meanwhile is an error here, and would be a signal
that ends the process there.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llmserver.errors import ModelFileBroken, ModelFileMissing

GET_ONE = "./setup.sh --no-start --model smollm2-135m"
MOST_HEADER_BYTES = 128 << 20  # the longest known, 262,144 tokens and 514,906 merges, has 16 MB
_MOST_SKIPPED = 1 << 22  # texts, each of which takes time
_PIECE_BYTES = 1 << 20
_MOST_SHOWN = 60
_LENGTH = struct.Struct("<Q")


def shown(text: str, most: int = _MOST_SHOWN) -> str:
    """A name out of a file, fit for one line of a terminal or a log."""
    return repr(text if len(text) <= most else f"{text[:most]}...")


def shown_path(path: Path) -> str:
    """The path as it is, or escaped where it holds what a line must not."""
    text = str(path)
    return text if text.isprintable() else repr(text)


def broken(path: Path, says: str) -> ModelFileBroken:
    """The error for a file that is damaged: one line with the way out."""
    return ModelFileBroken(f"{shown_path(path)} {says}; get it again, or one that works with `{GET_ONE}`")


def _unreadable(name: str, why: OSError) -> ModelFileMissing:
    return ModelFileMissing(
        f"cannot read the model file {name}: {why.strerror}: mend that or name another with --model"
    )


@contextmanager
def opened(path: Path, named: Path) -> Iterator[int]:
    """The descriptor of a regular file; `named` is what the errors call it. Raises ModelFileMissing."""
    name = shown_path(named)
    try:
        # a pipe without a writer would hold up a plain open for ever
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except FileNotFoundError as why:
        raise ModelFileMissing(f"no model file at {name}: get one with `{GET_ONE}` or name yours with --model") from why
    except OSError as why:
        raise _unreadable(name, why) from why
    try:
        mode = os.fstat(file).st_mode
        if stat.S_ISDIR(mode):
            raise ModelFileMissing(f"{name} is a folder, not a model file: get one with `{GET_ONE}`")
        if not stat.S_ISREG(mode):
            raise ModelFileMissing(f"{name} is a pipe or a device, not a model file: get one with `{GET_ONE}`")
        yield file
    except OSError as why:
        raise _unreadable(name, why) from why
    finally:
        os.close(file)


class Cursor:
    """The place up to which a header is read. Every reading method raises ModelFileBroken and names `what`."""

    def __init__(self, file: int, path: Path) -> None:
        self._file, self.path = file, path
        self.what = "the header"
        self.size = os.fstat(file).st_size
        self._piece, self._begin, self._at = b"", 0, 0  # bytes in memory, where in the file they begin, place in them
        self._n_skipped = 0

    @property
    def place(self) -> int:
        """Bytes from the start of the file."""
        return self._begin + self._at

    @property
    def left(self) -> int:
        """Bytes from here to the end of the file, below zero after a skip past it."""
        return self.size - self.place

    def unpack(self, layout: struct.Struct) -> tuple[Any, ...]:
        """The numbers of this layout."""
        self._need(layout.size)
        values = layout.unpack_from(self._piece, self._at)
        self._at += layout.size
        return values

    def name(self, most_bytes: int) -> str:
        """A text that has to be unambiguous: valid UTF-8 without NUL, at which C would end it."""
        (length,) = self.unpack(_LENGTH)
        if length > most_bytes:
            raise self.broken(f"has a name of {length:,} bytes, {most_bytes:,} are the most")
        raw = self.take(length)
        try:
            text = raw.decode()
        except UnicodeDecodeError as why:
            raise self.broken(f"has the name {repr(raw[:_MOST_SHOWN])[1:]}, which is not UTF-8") from why
        if "\0" in text:
            raise self.broken(f"has the name {shown(text)}, which holds a NUL")
        return text

    def text(self) -> str:
        """A text of which some bytes may be no UTF-8: cut in the middle of a letter, as tokens are."""
        (length,) = self.unpack(_LENGTH)
        return self.take(length).decode("utf-8", "replace")

    def take(self, n_bytes: int) -> bytes:
        """So many bytes."""
        self._need(n_bytes)
        at, self._at = self._at, self._at + n_bytes
        return self._piece[at : self._at]

    def skip(self, n_bytes: int) -> None:
        """Go on behind so many bytes without reading them."""
        self.require(n_bytes)
        self._at += n_bytes

    def skip_texts(self, n: int) -> None:
        """Go on behind n texts, of which only the lengths are read."""
        self.require(n * _LENGTH.size)
        self._n_skipped += n
        if self._n_skipped > _MOST_SKIPPED:
            raise self.broken(f"is one text too many: {_MOST_SKIPPED:,} are the most in a header")
        length_at = _LENGTH.unpack_from
        while n:
            self._need(_LENGTH.size)
            piece, at, last = self._piece, self._at, len(self._piece) - _LENGTH.size
            while n and at <= last:
                at += 8 + length_at(piece, at)[0]
                n -= 1
            self._at = at
            if self.left < 0:
                says = f"is cut short or damaged: a text of {self.what} ends {-self.left:,} bytes behind the file's end"
                raise broken(self.path, says)

    def require(self, n_bytes: int) -> None:
        """Refuse where fewer bytes are left; this comes before anything that takes n_bytes of time or memory."""
        if n_bytes > self.left:
            raise broken(
                self.path,
                f"is cut short or damaged: {self.what} needs {n_bytes:,} bytes where {max(0, self.left):,} "
                f"of the file's {self.size:,} are left",
            )

    def broken(self, says: str) -> ModelFileBroken:
        """The error that names the place."""
        return broken(self.path, f"is damaged: {self.what} {says}")

    def _need(self, n_bytes: int) -> None:
        """Have so many bytes in memory from here on."""
        if n_bytes <= len(self._piece) - self._at:
            return
        self.require(n_bytes)
        if self.place + n_bytes > MOST_HEADER_BYTES:
            raise self.broken(f"leads past the {MOST_HEADER_BYTES:,} bytes that a header may have")
        wanted = min(max(n_bytes, _PIECE_BYTES), self.left)
        piece = b""
        while len(piece) < n_bytes:
            more = os.pread(self._file, wanted - len(piece), self.place + len(piece))
            if not more:
                raise broken(self.path, f"became shorter than its {self.size:,} bytes while it was read")
            piece = piece + more if piece else more
        self._begin, self._piece, self._at = self.place, piece, 0
