"""Decide whether a model file is what it says: its tensor table against its size, its checksum against the catalog."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from llmserver.errors import ModelFileBroken, ModelFileMissing
from llmserver.library import split
from llmserver.library.catalog import Catalog, Model
from llmserver.offload.gguf import read

Progress = Callable[[int, int], None]
"""Told how much is done, and of how much."""

_CHUNK_BYTES = 1 << 20
_GET_AGAIN = "remove it with `models rm {0}` and get it again with `models pull {1}`"


@dataclass(frozen=True)
class Verdict:
    """What was found out about one model: an empty fault means that it may be served."""

    name: str
    fault: str = ""
    checked: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.fault or f'ok, {self.checked}'}"


def models_in(folder: Path) -> list[Path]:
    """Return the models of a folder, split ones by their first part and none twice because a link leads to it."""
    files = sorted(folder.glob("*.gguf"))
    first = {path.with_name(split.parts(path.name)[0]) for path in files}
    real = {path.resolve() for path in first if not path.is_symlink()}
    return sorted(path for path in first if not path.is_symlink() or path.resolve() not in real)


def verify(path: Path, catalog: Catalog, *, quick: bool, progress: Progress) -> Verdict:
    """Check one model, of a split one all parts; quick leaves the checksum out. Raises nothing for a bad file."""
    first = split.parts(path.name)[0]
    path = path if first == path.name else path.with_name(first)  # "." has no name to exchange
    entry = _entry(path, catalog)
    try:
        read(path)
        if entry is None:
            return Verdict(path.name, checked="header and sizes right; the catalog knows no checksum of it")
        return _against(entry, path, quick=quick, progress=progress)
    except (ModelFileMissing, ModelFileBroken) as why:
        advice = f"; {_GET_AGAIN.format(path.name, entry.name)}" if entry and path.exists() else ""
        return Verdict(path.name, fault=f"{why.message.removeprefix(f'{path} ')}{advice}")
    except OSError as why:
        return Verdict(path.name, fault=f"cannot be read: {why.strerror or why}; check the disk")


def _entry(path: Path, catalog: Catalog) -> Model | None:
    """Return the catalog's entry for a file of this name, links followed."""
    name = path.resolve().name
    return next((model for model in catalog.models if model.file == name), None)


def _against(entry: Model, path: Path, *, quick: bool, progress: Progress) -> Verdict:
    """Compare with what the catalog pins: the size first, which costs nothing."""
    again = _GET_AGAIN.format(path.name, entry.name)
    size = path.stat().st_size
    if entry.size_exact and size != entry.size_bytes:
        return Verdict(path.name, fault=f"{size:,} bytes, the catalog expects {entry.size_bytes:,}; {again}")
    if not entry.sha256:
        return Verdict(path.name, checked="header and sizes right; the catalog pins no checksum")
    if quick:
        return Verdict(path.name, checked="header and sizes right; checksum not looked at")
    if sha256(path, progress) != entry.sha256:
        return Verdict(path.name, fault=f"its sha256 is not the catalog's, so its content is damaged; {again}")
    return Verdict(path.name, checked="header, sizes and checksum right")


def sha256(path: Path, progress: Progress = lambda _done, _total: None) -> str:
    """Return the checksum of a file in lower-case hexadecimal digits."""
    digest = hashlib.sha256()
    n_bytes, n_done = path.stat().st_size, 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            n_done += len(chunk)
            progress(n_done, n_bytes)
    return digest.hexdigest()
