"""The files of a folder, or one file: which of them are documents, and which did not change since they were read."""

from __future__ import annotations

import fnmatch
import hashlib
import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from rag.documents import Document
from rag.errors import DocumentRefused, PartUnread, SourceFailed
from rag.sources import Items, Read

MAX_BYTES = 100_000_000
MAX_FILES = 100_000
# What nobody wrote to be read: caches, dependencies, the insides of repositories.
_SKIPPED = frozenset(("node_modules", "__pycache__", "venv", "site-packages", "dist-packages"))
_NO_TEXT = frozenset(
    re.findall(
        r"\.\w+",
        """.png .jpg .jpeg .gif .webp .bmp .ico .svg .tif .tiff .heic .mp3 .wav .ogg .flac .m4a .mp4 .mkv .avi .mov
        .webm .woff .woff2 .ttf .otf .eot .exe .dll .so .dylib .a .o .obj .pyc .pyo .class .jar .bin .img .iso .gguf .pt
        .safetensors .onnx .npy .npz .db .sqlite .sqlite3 .lock .map
        .bak .orig .rej .tmp .temp .swp .swo .part .crdownload""",
    )
)
_OF_EDITORS = re.compile(r".*~|#.*#|~\$.*", re.DOTALL)  # what they put beside a file: its text as it was, or a lock


@dataclass(frozen=True)
class Folder:
    """A folder with its files at any depth, or one file. only: patterns of names, such as *.md; none is all."""

    path: Path
    read: Read
    only: Sequence[str] = ()
    max_bytes: int = MAX_BYTES

    def items(self) -> Items:
        """The files in the order of their paths. Links are not followed. Raises SourceFailed for no such folder."""
        root = self.path.expanduser().absolute()
        try:
            mode = root.stat().st_mode
            if stat.S_ISDIR(mode):
                os.scandir(root).close()
        except OSError as why:
            raise SourceFailed(f"{root} cannot be read: {why.strerror}") from why
        if stat.S_ISREG(mode):
            return Items(iter([self._file(root, root.name)]), 1)
        if not stat.S_ISDIR(mode):
            raise SourceFailed(f"{root} is no folder and no file")
        found = list(islice(_walk(str(root), self.only), MAX_FILES + 1))
        if len(found) > MAX_FILES:
            raise SourceFailed(
                f"{root} has more than {MAX_FILES:,} documents: give folders in it, or patterns such as *.md"
            )
        return Items((self._item(str(root), each) for each in found), len(found))

    def _item(self, root: str, found: tuple[str, str]) -> FileItem | UnreadFolder:
        path, reason = found
        return UnreadFolder(Path(path), reason) if reason else self._file(Path(path), os.path.relpath(path, root))

    def _file(self, path: Path, name: str) -> FileItem:
        return FileItem(
            path, name.encode("utf-8", "surrogateescape").decode("utf-8", "replace"), self.read, self.max_bytes
        )


@dataclass(frozen=True)
class UnreadFolder:
    """A folder that cannot be opened: what was read of it stays."""

    path: Path
    reason: str
    stamp: str = ""

    @property
    def uri(self) -> str:
        """The folder's address."""
        return f"{self.path.as_uri()}/"

    def sha256(self) -> str:
        """Raises PartUnread."""
        raise PartUnread(f"the folder cannot be opened: {self.reason}", self.uri)

    def read(self) -> Document:
        """Raises PartUnread."""
        raise PartUnread(f"the folder cannot be opened: {self.reason}", self.uri)


@dataclass(frozen=True)
class FileItem:
    """One file of the disk. name: as it is shown, below the folder."""

    path: Path
    name: str
    _read: Read
    _max_bytes: int = MAX_BYTES
    _kept: list[bytes] = field(default_factory=list, compare=False)
    _stamped: list[str] = field(default_factory=list, compare=False)  # with what stamp its bytes were last read

    @property
    def uri(self) -> str:
        """The file's address."""
        return self.path.as_uri()

    @property
    def stamp(self) -> str:
        """Its size and when it was written: while they are the same, nobody has changed it. Of what has been read,
        as it was when that began: what is written meanwhile is read the next time."""
        if self._stamped:
            return self._stamped[0]
        try:
            return _stamp(self.path.stat())
        except OSError:
            return ""

    def sha256(self) -> str:
        """Of its bytes. Raises DocumentRefused, SourceFailed."""
        self._kept[:] = [self._bytes()]
        return hashlib.sha256(self._kept[0]).hexdigest()

    def read(self) -> Document:
        """The file as text. Raises DocumentRefused, SourceFailed."""
        data = self._kept.pop() if self._kept else self._bytes()
        found = self._read(self.path.name, data)
        return Document(
            self.uri,
            found.title or self.name,
            found.text,
            found.kind,
            hashlib.sha256(data).hexdigest(),
            found.pages,
            {"stamp": self.stamp, "name": self.name},
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
                self._stamped[:] = [_stamp(found)]
                return file.read(self._max_bytes + 1)
        except OSError as why:
            raise SourceFailed(f"cannot be read: {why.strerror}") from why  # not for what it is: it is tried again


def _stamp(found: os.stat_result) -> str:
    return f"{found.st_size} {found.st_mtime_ns}"


def look_of(path: Path, only: Sequence[str] = ()) -> str:
    """What is another as soon as a file of a folder comes, goes or is written. It costs no reading; empty without."""
    root = str(path.expanduser().absolute())
    seen = hashlib.sha256()
    try:
        if not os.path.isdir(root):
            found = os.stat(root)
            return _stamp(found)
        os.scandir(root).close()
    except OSError:
        return ""
    for entry in islice(_entries(root, only), MAX_FILES + 1):
        if isinstance(entry, tuple):
            seen.update(f"{entry[0]}\0".encode("utf-8", "surrogateescape"))
            continue
        with suppress(OSError):
            found = entry.stat(follow_symlinks=False)
            seen.update(f"{entry.path}\0{_stamp(found)}\0".encode("utf-8", "surrogateescape"))
    return seen.hexdigest()


def _walk(root: str, only: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(path, empty) of each file that may be a document, (path, why not) of each folder that cannot be opened."""
    for entry in _entries(root, only):
        yield entry if isinstance(entry, tuple) else (entry.path, "")


def _entries(root: str, only: Sequence[str]) -> Iterator[os.DirEntry[str] | tuple[str, str]]:
    """All plain files below a folder that may be documents; hidden ones and links are left out."""
    waiting: list[os.DirEntry[str] | str] = [root]
    while waiting:
        at = waiting.pop()
        if not isinstance(at, str) and not at.is_dir(follow_symlinks=False):
            yield at
            continue
        path = at if isinstance(at, str) else at.path
        try:
            with os.scandir(path) as listed:
                entries = sorted(listed, key=lambda entry: entry.name, reverse=True)  # the last one is taken first
        except OSError as why:
            yield path, why.strerror or type(why).__name__
            continue
        waiting += [entry for entry in entries if _may_hold(entry, root, only)]


def _may_hold(entry: os.DirEntry[str], root: str, only: Sequence[str]) -> bool:
    """Whether this is a folder to look into, or a file that may be a document."""
    if entry.name.startswith("."):
        return False
    try:
        if entry.is_dir(follow_symlinks=False):
            return entry.name not in _SKIPPED
        return entry.is_file(follow_symlinks=False) and is_wanted(entry.path[len(root) :].lstrip("/"), only)
    except OSError:
        return False


def is_hidden(path: str) -> bool:
    """Whether a file, or a folder that it lies in, is one that nobody wrote to be read."""
    *folders, name = path.split("/")
    return name.startswith(".") or any(each.startswith(".") or each in _SKIPPED for each in folders)


def is_wanted(path: str, only: Sequence[str]) -> bool:
    """Whether a file may be a document, by its path below the source. A pattern with a / is one of the whole path."""
    name = path.rpartition("/")[2]
    if _OF_EDITORS.fullmatch(name):
        return False
    if only:
        return any(fnmatch.fnmatchcase((path if "/" in each else name).lower(), each.lower()) for each in only)
    return os.path.splitext(name)[1].lower() not in _NO_TEXT
