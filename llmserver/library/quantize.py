"""Decide whether a model may be quantized, have a process of its own do it, and name the result when it is whole."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from llmserver import cpu
from llmserver.errors import BadSettings, CommandFailed, ModelFileBroken, ModelFileMissing
from llmserver.library import split
from llmserver.library.child import listen
from llmserver.offload.gguf import Gguf, read
from llmserver.offload.types import TYPES as TYPES_OF_TENSORS

Progress = Callable[[int, int], None]

TYPES = (
    *("F32", "F16", "BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q5_K_S", "Q5_1", "Q5_0", "Q4_K_M", "Q4_K_S", "Q4_1", "Q4_0"),
    *("IQ4_NL", "IQ4_XS", "Q3_K_L", "Q3_K_M", "Q3_K_S", "IQ3_M", "IQ3_S", "IQ3_XS", "IQ3_XXS", "Q2_K", "Q2_K_S"),
    *("IQ2_M", "IQ2_S", "IQ2_XS", "IQ2_XXS", "IQ1_M", "IQ1_S", "TQ2_0", "TQ1_0", "Q2_0", "Q1_0", "MXFP4_MOE"),
)
"""llama-quantize's names (llama.cpp, tools/quantize/quantize.cpp), larger ones first."""

_SHORT = {"Q3_K": "Q3_K_M", "Q4_K": "Q4_K_M", "Q5_K": "Q5_K_M"}
_NEEDS_MATRIX = {"IQ1_M", "IQ1_S", "IQ2_M", "IQ2_S", "IQ2_XS", "IQ2_XXS", "IQ3_XS", "IQ3_XXS", "Q2_K_S"}
_TYPE_IN_NAME = re.compile(rf"[-._]({'|'.join((*TYPES, *_SHORT))})$", re.IGNORECASE)
_PACKAGE_ROOT = Path(__file__).resolve().parents[2]
_MIB = 1024 * 1024
_ERROR = 4  # GGML_LOG_LEVEL_ERROR in ggml.h


@dataclass(frozen=True)
class Result:
    """The new file; n_other tensors of n_tensors have another type because their rows do not fit the wanted one."""

    path: Path
    type: str
    n_bytes: int
    n_source_bytes: int
    n_other: int
    n_tensors: int


def quantize(source: Path, wanted: str, out: Path | None, *, force: bool, progress: Progress) -> Result:
    """Write the source's model with weights of the wanted type, to `out` or beside the source under a name of its own.

    Raises BadSettings, ModelFileMissing, ModelFileBroken and CommandFailed; whatever happens, no half file stays.
    """
    type_name = _type(wanted)
    gguf = read(source)
    path = out or _beside(gguf.paths[0], type_name)
    _refuse_source(gguf, type_name, force=force)
    _refuse_target(path, gguf, force=force)
    n_source_bytes = sum(part.stat().st_size for part in gguf.paths)
    with _half_of(path) as half:
        plan = _run(gguf.paths[0], half, type_name, lambda _done, _total: None, dry_run=True)
        n_needed = _size_bytes(plan, gguf, n_source_bytes)
        _require_space(path, n_needed)
        done = _run(gguf.paths[0], half, type_name, progress, n_needed=n_needed)
        _check(half, path)
        n_bytes = half.stat().st_size
        os.replace(half, path)
    return Result(path, type_name, n_bytes, n_source_bytes, done.n_other, len(gguf.tensors))


def _type(wanted: str) -> str:
    name = _SHORT.get(wanted.upper(), wanted.upper())
    if name not in TYPES:
        raise BadSettings(f"no type named {wanted!r}: take one of {', '.join(TYPES)}")
    return name


def _beside(source: Path, type_name: str) -> Path:
    """Return the source's name with its type exchanged: a-F16.gguf and a.gguf both become a-Q4_K_M.gguf."""
    source = source.resolve()
    stem = split.stem(source.name)
    found = _TYPE_IN_NAME.search(stem)
    name = f"{stem[: found.start(1)]}{type_name}" if found else f"{stem}-{type_name}"
    return source.with_name(f"{name}.gguf")


def _refuse_source(gguf: Gguf, type_name: str, *, force: bool) -> None:
    """Refuse weights that have been rounded once already."""
    rounded: Counter[int] = Counter()
    for tensor in gguf.tensors:
        if TYPES_OF_TENSORS[tensor.type].block > 1:
            rounded[tensor.type] += tensor.n_bytes
    if rounded and not force:
        now = TYPES_OF_TENSORS[rounded.most_common(1)[0][0]].name.upper()
        raise BadSettings(
            f"{gguf.paths[0].name} is quantized already ({now}): what was rounded away does not come back, so the "
            f"{type_name} made of it is worse than one made of the F16, BF16 or F32 file; take that, or say --force"
        )


def _refuse_target(path: Path, gguf: Gguf, *, force: bool) -> None:
    if not path.parent.is_dir():
        raise BadSettings(f"no folder {path.parent} for the result")
    if path.suffix != ".gguf" or len(split.parts(path.name)) > 1 or path.is_dir() or path.is_symlink():
        raise BadSettings(f"{path} cannot be the result: name one whole file that ends in .gguf, no link, with --out")
    if path.resolve() in [part.resolve() for part in gguf.paths]:
        raise BadSettings(f"{path.name} is the source itself: name another file with --out")
    if path.exists() and not force:
        raise BadSettings(f"{path} is there already: name another file with --out, or say --force")


def _size_bytes(plan: _Ear, gguf: Gguf, n_source_bytes: int) -> int:
    """Return the result's size: the weights as llama.cpp plans them, and the header and vocabulary as they are."""
    n_header = n_source_bytes - sum(tensor.n_bytes for tensor in gguf.tensors)
    return (plan.n_weight_bytes or n_source_bytes) + max(0, n_header)


def _require_space(path: Path, n_bytes: int) -> None:
    free = shutil.disk_usage(path.parent).free
    if n_bytes > free:
        raise CommandFailed(
            f"{path.name} needs {_mb(n_bytes)}, {_mb(free)} free at {path.parent}: "
            "make room or name another place with --out"
        )


@contextmanager
def _half_of(path: Path) -> Iterator[Path]:
    """Lend the name under which the result grows, held by a lock, and leave nothing of it behind."""
    half = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with half.open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield half
    except OSError as why:
        raise CommandFailed(f"cannot write {path}: {why.strerror or why}") from why
    finally:
        half.unlink(missing_ok=True)


def _check(half: Path, path: Path) -> None:
    try:
        read(half)
    except (ModelFileMissing, ModelFileBroken) as why:
        raise CommandFailed(f"llama.cpp wrote {path.name} wrongly ({why.message}): it was removed") from why


class _Ear:
    """Remembers what matters of the child's log."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.n_weight_bytes = 0
        self.n_other = 0
        self.reason = ""

    def hear(self, line: str) -> None:
        """Take one line: a message of llama.cpp's log as JSON, or what an abort or a traceback wrote."""
        try:
            level, text = json.loads(line)
        except (ValueError, TypeError):
            level, text = _ERROR, line
        if level == _ERROR and text.strip("=\n "):
            self.reason = " ".join(text.split()).split("failed to quantize: ", 1)[-1]
        if found := re.match(r"\[ *(\d+)/ *(\d+)\]", text):
            self._progress(int(found[1]), int(found[2]))
        elif found := re.search(r"quant size += +([\d.]+) MiB", text):
            self.n_weight_bytes = int((float(found[1]) + 0.01) * _MIB)
        elif found := re.search(r"(\d+) of \d+ tensor\(s\) required fallback", text):
            self.n_other = int(found[1])


def _run(
    source: Path, half: Path, type_name: str, progress: Progress, *, dry_run: bool = False, n_needed: int = 0
) -> _Ear:
    """Let the child work and listen to it; CommandFailed has llama.cpp's own reason."""
    ftype = "LLAMA_FTYPE_ALL_F32" if type_name == "F32" else f"LLAMA_FTYPE_MOSTLY_{type_name}"
    command = [sys.executable, "-m", "llmserver.library.quantizer", str(source), str(half), ftype]
    command += [str(cpu.physical_cores()), "dry-run" if dry_run else "quantize"]
    ear = _Ear(progress)
    path = os.pathsep.join(filter(None, [str(_PACKAGE_ROOT), os.environ.get("PYTHONPATH")]))
    status = listen(command, os.environ | {"PYTHONPATH": path, "GGML_NO_BACKTRACE": "1"}, ear.hear)
    if status != 0:
        raise CommandFailed(_failure(source, half, type_name, ear.reason, status, n_needed))
    return ear


def _failure(source: Path, half: Path, type_name: str, reason: str, status: int, n_needed: int) -> str:
    """Return one line: what failed, llama.cpp's reason, and what helps where that is known."""
    free = shutil.disk_usage(half.parent).free
    if n_needed > half.stat().st_size + free:
        return f"the disk is full at {half.parent}: {_mb(n_needed)} needed, {_mb(free)} free; make room, run it again"
    if not reason:
        reason = f"it ended by {signal.Signals(-status).name}" if status < 0 else "it gave no reason"
    text = f"llama.cpp cannot make {type_name} of {source.name}: {reason}"
    if type_name in _NEEDS_MATRIX:
        text += f" ({type_name} needs an importance matrix, which this command does not make: take Q3_K_S or IQ4_XS)"
    return text


def _mb(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:,.0f} MB"
