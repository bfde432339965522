"""Add a LoRA adapter to a checkpoint's weights, piece by piece, in copies of the files that it changes. Pure numpy."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from llmserver.errors import BadSettings, ModelFileBroken
from llmserver.library.convert_source import MERGE_IN_PYTHON, Adapter, Checkpoint
from llmserver.library.convert_weights import Tensor, WeightFile

Progress = Callable[[int, int], None]
Floats = npt.NDArray[np.float32]

_PREFIX = "base_model.model."
_SIDES = (".lora_A.weight", ".lora_B.weight")
_KINDS = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}
_PIECE_BYTES = 64_000_000


@dataclass(frozen=True)
class _Change:
    """What is added to one weight: left times right."""

    file: WeightFile
    weight: Tensor
    left: Floats
    right: Floats


def changed_bytes(source: Checkpoint, adapter: Adapter) -> int:
    """Return how much room the copies take. Raises BadSettings where the adapter does not fit the model."""
    return sum(file.n_bytes for file in {file.name: file for file, _, _ in _pairs(source, adapter).values()}.values())


def merge(source: Checkpoint, adapter: Adapter, place: Path, progress: Progress) -> dict[str, Path]:
    """Return where each file of the merged model is: a copy in `place`, or the source's own if nothing changed."""
    paths = source.paths()
    n_pairs = len(_pairs(source, adapter))
    for n_done, change in enumerate(_changes(source, adapter)):
        progress(n_done, n_pairs)
        copy = place / change.file.name
        if paths[change.file.name] != copy:
            shutil.copyfile(change.file.path, copy)
            copy.chmod(0o600)
            paths[change.file.name] = copy
        with copy.open("r+b") as file:
            _add(file, change)
    progress(n_pairs, n_pairs)
    return paths


def _pairs(source: Checkpoint, adapter: Adapter) -> dict[str, tuple[WeightFile, Tensor, tuple[Tensor, Tensor]]]:
    """Return, by the weight's name, where it is and the adapter's A and B for it."""
    sides: dict[str, dict[str, Tensor]] = {}
    for tensor in adapter.file.tensors:
        side = next((side for side in _SIDES if tensor.name.endswith(side)), None)
        if side is None:
            raise BadSettings(f"{adapter.name} holds {tensor.name}, which is more than plain LoRA: {MERGE_IN_PYTHON}")
        sides.setdefault(tensor.name.removesuffix(side).removeprefix(_PREFIX) + ".weight", {})[side] = tensor
    weights = {tensor.name: (file, tensor) for file in source.files for tensor in file.tensors}
    found = {}
    for name, both in sides.items():
        if len(both) != len(_SIDES):
            raise ModelFileBroken(f"{adapter.file.path} has only half of the change to {name}: download it again")
        if name not in weights:
            raise BadSettings(
                f"{adapter.name} changes {name}, which {source.name} does not have: is it an adapter of this model? "
                f"If it is, {MERGE_IN_PYTHON}"
            )
        found[name] = (*weights[name], (both[_SIDES[0]], both[_SIDES[1]]))
    if not found:
        raise ModelFileBroken(f"{adapter.file.path} changes nothing: it has no tensors")
    for file, weight, (a, b) in found.values():
        _refuse_misfit(adapter, file, weight, a, b)
    return found


def _refuse_misfit(adapter: Adapter, file: WeightFile, weight: Tensor, a: Tensor, b: Tensor) -> None:
    for tensor, path in ((weight, file.path), (a, adapter.file.path), (b, adapter.file.path)):
        if tensor.dtype not in _KINDS:
            raise BadSettings(
                f"{tensor.name} in {path.name} is {tensor.dtype}: an adapter can be merged into F32, F16 and BF16 "
                "weights only; import the model and the adapter apart and serve both with --adapters"
            )
    is_pair = len(a.shape) == len(b.shape) == 2 and a.shape[0] == b.shape[1] > 0
    if not is_pair or weight.shape != (b.shape[0], a.shape[1])[:: -1 if adapter.is_turned else 1]:
        raise BadSettings(
            f"{adapter.name} was made for another model: {weight.name} is {_by(weight)} here, and what it adds is "
            f"{_by(b)} times {_by(a)}"
        )


def _by(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape))


def _changes(source: Checkpoint, adapter: Adapter) -> Iterator[_Change]:
    with adapter.file.path.open("rb") as file:
        for home, weight, (a, b) in _pairs(source, adapter).values():
            down, up = _read(file, a), _read(file, b) * np.float32(adapter.scale(a.shape[0]))
            yield _Change(home, weight, down.T, up.T) if adapter.is_turned else _Change(home, weight, up, down)


def _read(file: BinaryIO, tensor: Tensor) -> Floats:
    file.seek(tensor.start)
    return _floats(file.read(tensor.n_bytes), tensor.dtype).reshape(tensor.shape)


def _add(file: BinaryIO, change: _Change) -> None:
    """Change the weight in its place; a piece at a time, because the largest are larger than the memory is free."""
    n_rows, n_columns = change.weight.shape
    n_row_bytes = change.weight.n_bytes // max(1, n_rows)
    n_piece = max(1, _PIECE_BYTES // max(1, 4 * n_columns))
    for row in range(0, n_rows, n_piece):
        rows = slice(row, min(row + n_piece, n_rows))
        file.seek(change.weight.start + row * n_row_bytes)
        now = _floats(file.read((rows.stop - row) * n_row_bytes), change.weight.dtype).reshape(-1, n_columns)
        file.seek(change.weight.start + row * n_row_bytes)
        file.write(_packed(now + change.left[rows] @ change.right, change.weight.dtype))


def _floats(data: bytes, dtype: str) -> Floats:
    raw = np.frombuffer(data, dtype=_KINDS[dtype])
    if dtype == "BF16":  # the upper half of a float32
        return (raw.astype(np.uint32) << 16).view(np.float32)
    return raw.astype(np.float32)


def _packed(values: Floats, dtype: str) -> bytes:
    """Return the values in the weight's own type, rounded to the nearest, of two equally near to the even one."""
    if dtype != "BF16":
        with np.errstate(over="ignore"):
            return values.astype(_KINDS[dtype]).tobytes()
    bits = np.ascontiguousarray(values).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return np.where(np.isnan(values), np.uint32(0x7FC0), rounded).astype("<u2").tobytes()
