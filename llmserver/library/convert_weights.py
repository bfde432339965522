"""Read what a safetensors file holds and refuse one that is damaged. Reads its header, not its weights."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from llmserver.errors import ModelFileBroken, ModelFileMissing

_MAX_HEADER_BYTES = 100_000_000  # the format's own limit
_LFS_POINTER = b"version "  # as 8 bytes of length, more than any file has

_N_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "BOOL": 1}
_N_BYTES |= {f"{kind}{8 * n}": n for kind in "IU" for n in (1, 2, 4, 8)}
"""Bytes of one element; kinds that are not here have less than a byte, or are new."""


@dataclass(frozen=True)
class Tensor:
    """One tensor of a file: its bytes begin at `start` of the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    n_bytes: int


@dataclass(frozen=True)
class WeightFile:
    """A whole safetensors file; the path has its links resolved, the name is the one it went by."""

    name: str
    path: Path
    n_bytes: int
    tensors: tuple[Tensor, ...]


def read(path: Path) -> WeightFile:
    """Return what the file holds. Raises ModelFileMissing, or ModelFileBroken with what is wrong."""
    try:
        with path.open("rb") as file:
            n_bytes = os.fstat(file.fileno()).st_size
            first = file.read(8)
            n_header = int.from_bytes(first, "little")
            if first == _LFS_POINTER:
                raise _broken(path, "is a Git LFS pointer, not the weights: run `git lfs pull` in its folder")
            if len(first) < 8 or n_bytes - 8 < n_header <= _MAX_HEADER_BYTES:
                raise _broken(path, f"is cut short: {n_bytes:,} bytes do not even hold its header")
            if n_header > _MAX_HEADER_BYTES:
                raise _broken(path, "is no safetensors file")
            header = json.loads(file.read(n_header))
    except FileNotFoundError as why:
        raise ModelFileMissing(f"{path} is not there") from why
    except OSError as why:
        raise _broken(path, f"cannot be read: {why.strerror or why}") from why
    except (ValueError, RecursionError) as why:
        raise _broken(path, "is no safetensors file: its header is not JSON") from why
    tensors = _tensors(path, header, 8 + n_header)
    _check_ends(path, tensors, 8 + n_header, n_bytes)
    return WeightFile(path.name, path.resolve(), n_bytes, tensors)


def _tensors(path: Path, header: Any, start: int) -> tuple[Tensor, ...]:
    """Return the tensors in the order of their bytes."""
    if not isinstance(header, dict):
        raise _broken(path, "is no safetensors file: its header is no JSON object")
    tensors = [_tensor(path, name, entry, start) for name, entry in header.items() if name != "__metadata__"]
    return tuple(sorted(tensors, key=lambda tensor: (tensor.start, tensor.n_bytes)))


def _tensor(path: Path, name: str, entry: Any, start: int) -> Tensor:
    try:
        dtype, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    except (TypeError, ValueError, KeyError) as why:
        raise _broken(path, f"is damaged: its header says nothing useful of the tensor {name!r}") from why
    numbers = (*shape, begin, end)
    if not isinstance(dtype, str) or any(type(number) is not int or number < 0 for number in numbers) or end < begin:
        raise _broken(path, f"is damaged: its header has no possible place or shape of the tensor {name!r}")
    if dtype in _N_BYTES and prod(shape) * _N_BYTES[dtype] != end - begin:
        raise _broken(path, f"is damaged: the shape of the tensor {name!r} does not fit its {end - begin:,} bytes")
    return Tensor(name, dtype, shape, start + begin, end - begin)


def _check_ends(path: Path, tensors: tuple[Tensor, ...], start: int, n_bytes: int) -> None:
    """Refuse a file whose tensors leave holes, overlap or end elsewhere than the file."""
    end = start
    for tensor in tensors:
        if tensor.start != end:
            raise _broken(path, f"is damaged: the tensor {tensor.name!r} does not begin where the one before it ends")
        end += tensor.n_bytes
    if n_bytes < end:
        raise _broken(path, f"is cut short: {n_bytes:,} of {end:,} bytes are here; download it again")
    if n_bytes > end:
        raise _broken(path, f"is damaged: {n_bytes - end:,} bytes follow its last tensor; download it again")


def _broken(path: Path, what: str) -> ModelFileBroken:
    return ModelFileBroken(f"{path} {what}")
