"""The files of a folder, or one file: which of them are documents, and which did not change since they were read."""

from __future__ import annotations

import fnmatch
import hashlib
import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rag.documents import Document
from rag.errors import DocumentRefused, SourceFailed
from rag.sources import Read

MAX_BYTES = 100_000_000
# What nobody wrote to be read: caches, dependencies, the insides of repositories.
_SKIPPED = frozenset(("node_modules", "__pycache__", "venv", "site-packages", "dist-packages"))
_NO_TEXT = frozenset(
    re.findall(
        r"\.\w+",
        """.png .jpg .jpeg .gif .webp .bmp .ico .svg .tif .tiff .heic .mp3 .wav .ogg .flac .m4a .mp4 .mkv .avi .mov
        .webm .woff .woff2 .ttf .otf .eot .exe .dll .so .dylib .a .o .obj .pyc .pyo .class .jar .bin .img .iso .gguf .pt
        .safetensors .onnx .npy .npz .db .sqlite .sqlite3 .lock .map""",
    )
)


@dataclass(frozen=True)
class Folder:
    """A folder with its files at any depth, or one file. only: patterns of names, such as *.md; none is all."""

    path: Path
    read: Read
    only: Sequence[str] = ()
    max_bytes: int = MAX_BYTES

    def items(self) -> Iterator[FileItem]:
        """The files in the order of their paths. Links are not followed. Raises SourceFailed for no such folder."""
        root = self.path.expanduser().absolute()
        try:
            mode = root.stat().st_mode
        except OSError as why:
            raise SourceFailed(f"{root} cannot be read: {why.strerror}") from why
        if stat.S_ISREG(mode):
            yield FileItem(root, root.name, self.read, self.max_bytes)
            return
        if not stat.S_ISDIR(mode):
            raise SourceFailed(f"{root} is no folder and no file")
        for path in _walk(root):
            if is_wanted(path.name, self.only):
                yield FileItem(path, path.relative_to(root).as_posix(), self.read, self.max_bytes)


@dataclass(frozen=True)
class FileItem:
    """One file of the disk. name: as it is shown, below the folder."""

    path: Path
    name: str
    _read: Read
    _max_bytes: int = MAX_BYTES
    _kept: list[bytes] = field(default_factory=list, compare=False)

    @property
    def uri(self) -> str:
        """The file's address."""
        return self.path.as_uri()

    @property
    def stamp(self) -> str:
        """Its size and when it was written: while they are the same, nobody has changed it."""
        try:
            found = self.path.stat()
        except OSError:
            return ""
        return f"{found.st_size} {found.st_mtime_ns}"

    def sha256(self) -> str:
        """Of its bytes. Raises DocumentRefused."""
        self._kept[:] = [self._bytes()]
        return hashlib.sha256(self._kept[0]).hexdigest()

    def read(self) -> Document:
        """The file as text. Raises DocumentRefused."""
        stamp = self.stamp
        data = self._kept.pop() if self._kept else self._bytes()
        found = self._read(self.path.name, data)
        return Document(
            self.uri,
            found.title or self.name,
            found.text,
            found.kind,
            hashlib.sha256(data).hexdigest(),
            found.pages,
            {"stamp": stamp, "name": self.name},
        )

    def _bytes(self) -> bytes:
        """All bytes of a plain file; a pipe put in its place meanwhile does not hold us up."""
        try:
            handle = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | getattr(os, "O_NOFOLLOW", 0))
            with os.fdopen(handle, "rb") as file:
                found = os.fstat(file.fileno())
                if not stat.S_ISREG(found.st_mode):
                    raise DocumentRefused("is no plain file")
                if found.st_size > self._max_bytes:
                    raise DocumentRefused(
                        f"has {found.st_size / 1e6:,.1f} MB, and {self._max_bytes / 1e6:,.0f} MB are the most: split it"
                    )
                return file.read(self._max_bytes + 1)
        except OSError as why:
            raise DocumentRefused(f"cannot be read: {why.strerror}") from why


def _walk(folder: Path) -> Iterator[Path]:
    """All plain files below a folder; hidden ones and links are left out. A folder that cannot be read is left out."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            if entry.name not in _SKIPPED:
                yield from _walk(Path(entry.path))
        elif entry.is_file(follow_symlinks=False):
            yield Path(entry.path)


def is_wanted(name: str, only: Sequence[str]) -> bool:
    """Whether a file of this name may be a document."""
    if only:
        return any(fnmatch.fnmatch(name.lower(), pattern.lower()) for pattern in only)
    return Path(name).suffix.lower() not in _NO_TEXT
