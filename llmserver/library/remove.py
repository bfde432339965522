"""Decide which files of the models folder are one model, and remove them: parts, halves of downloads, links to them."""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

from llmserver.errors import BadSettings, CommandFailed, ModelFileMissing
from llmserver.library import split
from llmserver.library.catalog import Catalog
from llmserver.library.pull import DEFAULT_LINK, halves


@dataclass(frozen=True)
class Removed:
    """What is gone, and the room that it took."""

    name: str
    n_files: int
    n_bytes: int


@dataclass(frozen=True)
class _Found:
    """What belongs to one model: its files, what downloads of it left, and the links in the folder that lead to it."""

    name: str
    files: tuple[Path, ...]
    halves: tuple[Path, ...]
    links: tuple[Path, ...]

    def everything(self) -> tuple[Path, ...]:
        """Return all of it in the order of removal: a run that is cut short leaves what the next one finds."""
        return (*self.links, *self.halves, *self.files)


def remove(wanted: str, models_dir: Path, catalog: Catalog, *, force: bool) -> Removed:
    """Remove a model of the models folder: a catalog name, a file name or a path that ends inside the folder.

    Raises BadSettings for what lies outside, is no model or is the default one (unless forced), ModelFileMissing
    and CommandFailed.
    """
    folder = Path(os.path.realpath(models_dir))
    found = _find(_inside(_meant(wanted, models_dir, catalog), folder, wanted), folder)
    if not found.everything():
        raise ModelFileMissing(f"{found.name} is not in {folder}: `models list` shows what is")
    if folder / DEFAULT_LINK in found.everything() and not force:
        raise BadSettings(
            f"{found.name} is the default model: make another one the default with `models use`, or say --force"
        )
    for half in found.halves:
        _refuse_growing(half, found.name)
    n_bytes = sum(_freed_bytes(path) for path in found.everything())
    for path in found.everything():
        _unlink(path)
    return Removed(found.name, len(found.everything()), n_bytes)


def _meant(wanted: str, models_dir: Path, catalog: Catalog) -> Path:
    """Return the path that the words mean, which need not exist; a bare name is one of the models folder."""
    path = Path(wanted).expanduser()
    if catalog.has(wanted) or ("/" not in wanted and path.suffix != ".gguf"):
        return models_dir / catalog.find(wanted).file
    if "/" not in wanted or not (path.exists() or path.is_absolute()):
        return models_dir / path
    return path


def _inside(path: Path, folder: Path, wanted: str) -> Path:
    """Return the path with every link followed; refuse what is not a model of the folder."""
    real = Path(os.path.realpath(path))
    if not real.is_relative_to(folder) or real == folder:
        raise BadSettings(f"{wanted} leads to {real}, outside of {folder}: this command removes nothing there")
    if real.suffix != ".gguf" or real.is_dir():
        raise BadSettings(f"{wanted} is no model file: this command removes .gguf files only")
    return real


def _find(target: Path, folder: Path) -> _Found:
    paths = [target.with_name(name) for name in split.parts(target.name)]
    return _Found(
        name=paths[0].name,
        files=tuple(path for path in paths if path.is_file() or path.is_symlink()),
        halves=tuple(half for path in paths for half in halves(path)),
        links=tuple(
            link
            for link in sorted(folder.glob("*.gguf"))
            if link.is_symlink() and link not in paths and Path(os.path.realpath(link)) in paths
        ),
    )


def _refuse_growing(half: Path, name: str) -> None:
    """Refuse while another process writes the file: it would end with an error, or put the model back."""
    try:
        with half.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as why:
        raise BadSettings(f"another process is writing {name}: stop it first") from why
    except OSError as why:
        raise CommandFailed(f"cannot remove {half}: {why.strerror or why}") from why


def _freed_bytes(path: Path) -> int:
    """Return what removing this name gives back: nothing while another hard link keeps the file."""
    found = path.lstat()
    return found.st_size if found.st_nlink == 1 else 0


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as why:
        raise CommandFailed(f"cannot remove {path}: {why.strerror or why}") from why
