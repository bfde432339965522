"""Read the chats of any file that Paddock knows, one at a time. What a file is, its content says, not its name."""

from __future__ import annotations

import io
import lzma
import mmap
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Any

from chatbot.core.transfer import chatgpt, images, llamacpp, markdown, openwebui, own, scan
from chatbot.core.transfer.scan import Buffer, Span
from chatbot.core.transfer.values import Damaged, ImportedChat, Read, Skipped
from chatbot.errors import StorageError

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_NAMES_IN_ZIP = (".json", ".jsonl", ".md", ".markdown")  # the others are pictures and pages, which may be large
# What zipfile and its decompressors say to damage, to passwords and to methods that they do not know.
_ZIP_TROUBLE = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, IndexError, KeyError, OSError, RuntimeError, ValueError),
)
_MAX_ENTRIES = 20_000
_PIECE = 1_000_000
_STRANGER = Skipped("it is no chat of a format that Paddock knows", is_stranger=True)


def read(file: IO[bytes], max_bytes: int) -> Iterator[Read]:
    """The chats of an open file, and what could not be read. An archive may hold max_bytes when it is unpacked."""
    file.seek(0)
    if file.read(4) in _ZIP:
        yield from _archive(file, max_bytes)
        return
    with _mapped(file) as data:
        yield from _chats(data)


def _archive(file: IO[bytes], max_bytes: int) -> Iterator[Read]:
    """The chats of the texts in a zip file. Nothing is unpacked under a name of the archive's choice."""
    try:
        archive = zipfile.ZipFile(file)
    except _ZIP_TROUBLE as why:
        yield Skipped(f"the archive is damaged ({why})")
        return
    left = max_bytes
    entries = [each for each in archive.infolist() if each.filename.lower().endswith(_NAMES_IN_ZIP)]
    stored = _Pictures(archive, max_bytes)
    for entry in entries[:_MAX_ENTRIES]:
        with tempfile.TemporaryFile() as text:
            trouble, n_bytes = _unpack(archive, entry, text, left)
            left -= n_bytes
            if trouble:
                yield Skipped(trouble)
            if left < 0:
                return
            if not trouble:
                with _mapped(text) as data:
                    yield from _without_strangers(_chats(data, stored.find))
    if len(entries) > _MAX_ENTRIES:
        yield Skipped(
            f"of the archive's {len(entries):,} texts the first {_MAX_ENTRIES:,} are read: import it in parts"
        )


class _Pictures:
    """The pictures in an archive by their ids, each read when a chat asks for it."""

    def __init__(self, archive: zipfile.ZipFile, max_bytes: int) -> None:
        self._archive, self._left = archive, max_bytes
        named = [(images.asset_of(each.filename), each) for each in archive.infolist()[: 2 * _MAX_ENTRIES]]
        self._entries = {asset: entry for asset, entry in named if asset}

    def find(self, asset: str) -> bytes | None:
        """The bytes behind an id; None when they are missing, damaged, or more than an import may hold."""
        entry = self._entries.get(asset)
        most = min(self._left, images.MAX_BYTES)
        if entry is None or entry.file_size > most:
            return None
        try:
            with self._archive.open(entry) as packed:
                data = packed.read(most + 1)
        except _ZIP_TROUBLE:
            return None
        self._left -= len(data)
        return data if len(data) <= most else None


def _without_strangers(found: Iterator[Read]) -> Iterator[Read]:
    """A text of an archive that holds no chat at all tells of something else and is passed over."""
    n_strangers, is_ours = 0, False
    for each in found:
        if isinstance(each, Skipped) and each.is_stranger:
            n_strangers += 1
        else:
            is_ours = True
            yield each
    if is_ours:
        yield from [_STRANGER] * n_strangers


def _unpack(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, into: IO[bytes], left: int) -> tuple[str, int]:
    """Unpack one entry, whatever size it claims; (trouble, bytes that it took)."""
    n_bytes = 0
    try:
        with archive.open(entry) as packed:
            while piece := packed.read(_PIECE):
                n_bytes += len(piece)
                if n_bytes > left:
                    return "the archive holds more than an import may when it is unpacked: see --max_import_mb", n_bytes
                _write(into, piece)
    except _ZIP_TROUBLE as why:
        return f"a file in the archive is damaged or has a password ({why})", n_bytes
    return "", n_bytes


def _write(into: IO[bytes], piece: bytes) -> None:
    """Raises StorageError: a full disk is no fault of the archive."""
    try:
        into.write(piece)
        into.flush()
    except OSError as why:
        raise StorageError(f"the archive cannot be unpacked here: {why.strerror}") from why


@contextmanager
def _mapped(file: IO[bytes]) -> Iterator[Buffer]:
    """A file's bytes, not read into memory when it is on disk."""
    file.flush()
    if file.seek(0, 2) == 0 or isinstance(file, io.BytesIO):
        file.seek(0)
        yield file.read()
        return
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield data


def _chats(data: Buffer, find: images.Lookup = images.nowhere) -> Iterator[Read]:
    """The chats of one text; find gives the pictures that lie beside it."""
    if scan.first_byte(data) not in (b"{", b"["):
        yield _markdown(data)
        return
    for span in scan.spans(data):
        try:
            found = scan.parse(data, span)
            if llamacpp.is_session(found):
                yield from _sessions(data, span.start)
                return
            yield _chat(found, find) or _STRANGER
        except Damaged as why:
            yield Skipped(str(why))


def _chat(found: Mapping[str, Any], find: images.Lookup) -> ImportedChat | None:
    """The chat that an object is. Raises Damaged."""
    if own.is_own(found):
        return own.read(found)
    if llamacpp.is_conversation(found):
        return llamacpp.read(found["conv"], found["messages"])
    if chatgpt.is_conversation(found):
        return chatgpt.read(found, find)
    if openwebui.is_chat(found):
        return openwebui.read(found)
    return None


def _markdown(data: Buffer) -> Read:
    if data[:10].removeprefix(b"\xef\xbb\xbf")[:3] != b"---":
        return _STRANGER
    if len(data) > scan.MAX_ELEMENT_BYTES:
        return Skipped(f"it is larger than {scan.MAX_ELEMENT_BYTES / 1e6:.0f} MB")
    words = data[:].decode("utf-8", "replace")
    try:
        return markdown.read(words) if markdown.is_own(words) else _STRANGER
    except Damaged as why:
        return Skipped(str(why))


@dataclass
class _Session:
    """A conversation that comes line by line."""

    conv: Mapping[str, Any]
    messages: list[object] = field(default_factory=list)
    n_bytes: int = 0
    n_damaged: int = 0

    def take(self, message: Mapping[str, Any], n_bytes: int) -> None:
        self.n_bytes += n_bytes
        if message.get("convId", self.conv.get("id")) != self.conv.get("id"):
            self.n_damaged += 1  # its own session's line is lost
        elif self.n_bytes <= scan.MAX_ELEMENT_BYTES:
            self.messages.append(message)

    def read(self) -> Read:
        if self.n_bytes > scan.MAX_ELEMENT_BYTES:
            return Skipped(f"it is larger than {scan.MAX_ELEMENT_BYTES / 1e6:.0f} MB")
        try:
            return llamacpp.read(self.conv, [*self.messages, *[None] * self.n_damaged])
        except Damaged as why:
            return Skipped(str(why))


def _sessions(data: Buffer, start: int) -> Iterator[Read]:
    """The conversations of llama.cpp's file of lines. A damaged line costs its message alone."""
    session: _Session | None = None
    for line in scan.lines(data, start):
        found = _record(data, line)
        if found is not None and llamacpp.is_session(found):
            if session:
                yield session.read()
            session = _Session(found)
        elif session and found is None:
            session.n_damaged += 1
        elif session and found and (message := llamacpp.message_of(found)):
            session.take(message, line.end - line.start)
    if session:
        yield session.read()


def _record(data: Buffer, line: Span) -> Mapping[str, Any] | None:
    """The object in a line; None when it is damaged."""
    if line.end - line.start > scan.MAX_ELEMENT_BYTES:
        return None
    words = data[line.start : line.end]
    span = next(scan.spans(words), None)
    try:
        return scan.parse(words, span) if span else None
    except Damaged:
        return None
