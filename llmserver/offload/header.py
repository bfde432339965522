"""Read the header of one GGUF file, metadata and tensor table, and believe none of it before it is checked.

As strict as ggml (ggml/src/gguf.cpp): what passes here, llama.cpp can open. Knows nothing of what the numbers mean.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmserver.errors import ModelFileBroken
from llmserver.offload.cursor import GET_ONE, Cursor, broken, opened, shown, shown_path
from llmserver.offload.types import KINDS, LAYOUTS, TYPES

MOST_VALUES = 4096  # of an array; longer ones are vocabularies, which nobody here looks into
MOST_TENSORS = 100_000
_MOST_KEYS = 65_536
_MOST_KEY_BYTES = 65_535  # docs/gguf.md
_MOST_NAME_BYTES = 63  # ggml.h, GGML_MAX_NAME with its NUL
_MOST_DIMS = 4
_MOST_KEPT = 1 << 20  # values of all short arrays together
_LEAST_KEY_BYTES, _LEAST_TENSOR_BYTES = 14, 32
_VERSIONS = (2, 3)
_ALIGNMENT = 32

_U32 = struct.Struct("<I")
_COUNTS = struct.Struct("<QQ")
_KIND_AND_LENGTH = struct.Struct("<IQ")
_TYPE_AND_OFFSET = struct.Struct("<IQ")
_DIMS = {n: struct.Struct(f"<{n}Q") for n in range(1, _MOST_DIMS + 1)}

# llama.cpp ends the process or the load if one of these is of another kind.
_KIND_OF_KEY = {
    "general.architecture": "string",
    "general.alignment": "uint32",
    "split.no": "uint16",
    "split.count": "uint16",
    "split.tensors.count": "int32",
}


@dataclass(frozen=True)
class Tensor:
    """One row of the tensor table. Shape in ggml's order, the fastest dimension first; n_bytes without padding."""

    name: str
    type: int
    shape: tuple[int, ...]
    offset: int  # bytes from the start of its file
    n_bytes: int
    part: int = 0  # index in Gguf.paths


@dataclass(frozen=True)
class Array:
    """An array of the metadata; one longer than MOST_VALUES comes without its values."""

    kind: str  # a name of types.KINDS
    length: int
    values: tuple[Any, ...] | None


Value = str | int | float | bool | Array


@dataclass(frozen=True)
class File:
    """What one file holds; its tensors carry the part that its own header says it is."""

    path: Path
    version: int
    metadata: Mapping[str, Value]
    tensors: tuple[Tensor, ...]
    n_bytes: int

    @property
    def n_parts(self) -> int:
        """How many files the model has."""
        return max(1, _number(self.metadata, "split.count"))

    @property
    def part(self) -> int:
        """Which of them this is, from zero."""
        return _part(self.metadata)

    @property
    def n_tensors_of_all(self) -> int:
        """How many tensors all parts hold together."""
        return _number(self.metadata, "split.tensors.count")


def read_file(path: Path, named: Path) -> File:
    """The header of one file; `named` is what the user calls it. Raises ModelFileMissing or ModelFileBroken."""
    with opened(path, named) as file:
        cursor = Cursor(file, named)
        version, n_tensors, n_keys = _counts(cursor)
        metadata = _metadata(cursor, n_keys)
        rows = _rows(cursor, n_tensors)
        tensors = _laid_out(cursor, rows, _alignment(cursor, metadata), _part(metadata))
        end = tensors[-1].offset + tensors[-1].n_bytes if tensors else cursor.place
        n_bytes = os.fstat(file).st_size  # again: the file may have changed meanwhile
    if n_bytes < end:
        raise broken(named, f"is cut short: it has {n_bytes:,} of {end:,} bytes")
    return File(path, version, metadata, tensors, n_bytes)


def _part(metadata: Mapping[str, Value]) -> int:
    return _number(metadata, "split.no") if _number(metadata, "split.count") > 1 else 0


def _number(metadata: Mapping[str, Value], key: str) -> int:
    value = metadata.get(key, 0)
    return value if isinstance(value, int) else 0


def _counts(cursor: Cursor) -> tuple[int, int, int]:
    """Version, number of tensors, number of keys."""
    name = shown_path(cursor.path)
    if cursor.size == 0:
        raise broken(cursor.path, "is empty")
    if cursor.size < 4 or cursor.take(4) != b"GGUF":
        raise ModelFileBroken(f"{name} is not a GGUF model: get one with `{GET_ONE}`")
    (version,) = cursor.unpack(_U32)
    if version and version & 0xFFFF == 0:
        raise ModelFileBroken(
            f"{name} is a big-endian GGUF, made for machines such as s390x: get the little-endian file of this model, "
            f"or one that works with `{GET_ONE}`"
        )
    if version not in _VERSIONS:
        raise ModelFileBroken(
            f"{name} has GGUF version {version}, versions 2 and 3 can be read: get another file with `{GET_ONE}`"
        )
    n_tensors, n_keys = cursor.unpack(_COUNTS)
    for n, most, least_bytes, of_what in (
        (n_tensors, MOST_TENSORS, _LEAST_TENSOR_BYTES, "tensors"),
        (n_keys, _MOST_KEYS, _LEAST_KEY_BYTES, "keys"),
    ):
        if n > most:
            raise cursor.broken(f"announces {n:,} {of_what}, {most:,} are the most")
        cursor.require(n * least_bytes)
    return version, n_tensors, n_keys


def _metadata(cursor: Cursor, n_keys: int) -> dict[str, Value]:
    found: dict[str, Value] = {}
    n_kept = 0
    for i in range(n_keys):
        cursor.what = f"key {i + 1} of {n_keys}"
        key = cursor.name(_MOST_KEY_BYTES)
        if not key:
            raise cursor.broken("has no name")
        cursor.what = f"key {shown(key)}"
        if key in found:
            raise cursor.broken("stands there twice")
        value = found[key] = _value(cursor, key)
        if isinstance(value, Array):
            n_kept += len(value.values or ())
            if n_kept > _MOST_KEPT:
                raise cursor.broken(f"is one array too many: {_MOST_KEPT:,} values are the most in a header")
    return found


def _value(cursor: Cursor, key: str) -> Value:
    kind = _kind(cursor, cursor.unpack(_U32)[0])
    wanted = _KIND_OF_KEY.get(key, kind)
    if kind != wanted:
        raise cursor.broken(f"is of kind {kind} and must be {wanted}")
    if kind == "array":
        return _array(cursor)
    if kind == "string":
        return cursor.text()
    value: Value = cursor.unpack(LAYOUTS[kind])[0]
    return value


def _array(cursor: Cursor) -> Array:
    kind_id, length = cursor.unpack(_KIND_AND_LENGTH)
    kind = _kind(cursor, kind_id)
    if kind == "array":
        raise cursor.broken("is an array of arrays, which llama.cpp does not read")
    is_kept = length <= MOST_VALUES
    if kind == "string":
        if is_kept:
            return Array(kind, length, tuple(cursor.text() for _ in range(length)))
        cursor.skip_texts(length)
    elif is_kept:
        layout = LAYOUTS[kind]
        values = layout.iter_unpack(cursor.take(length * layout.size))
        return Array(kind, length, tuple(value for (value,) in values))
    else:
        cursor.skip(length * LAYOUTS[kind].size)
    return Array(kind, length, None)


def _kind(cursor: Cursor, kind_id: int) -> str:
    kind = KINDS.get(kind_id)
    if kind is None:
        raise cursor.broken(f"has a value of the unknown kind {kind_id}")
    return kind


def _alignment(cursor: Cursor, metadata: Mapping[str, Value]) -> int:
    alignment = metadata.get("general.alignment", _ALIGNMENT)
    cursor.what = "key 'general.alignment'"
    if not isinstance(alignment, int) or alignment <= 0 or alignment & (alignment - 1):
        raise cursor.broken(f"is {alignment}, not a power of two")
    return alignment


def _rows(cursor: Cursor, n_tensors: int) -> dict[str, Tensor]:
    """The tensor table by name, with offsets as the file has them: from where the data begins."""
    found: dict[str, Tensor] = {}
    for i in range(n_tensors):
        cursor.what = f"tensor {i + 1} of {n_tensors}"
        name = cursor.name(_MOST_NAME_BYTES)
        cursor.what = f"tensor {shown(name)}"
        if name in found:
            raise cursor.broken("stands there twice")
        (n_dims,) = cursor.unpack(_U32)
        if not 1 <= n_dims <= _MOST_DIMS:
            raise cursor.broken(f"has {n_dims:,} dimensions, 1 to {_MOST_DIMS} are possible")
        shape = cursor.unpack(_DIMS[n_dims])
        type_id, offset = cursor.unpack(_TYPE_AND_OFFSET)
        found[name] = Tensor(name, type_id, shape, offset, _n_bytes(cursor, shape, type_id))
    return found


def _n_bytes(cursor: Cursor, shape: tuple[int, ...], type_id: int) -> int:
    n_elements = math.prod(shape)
    if not 0 < n_elements < 1 << 63:
        raise cursor.broken(f"has the shape {' x '.join(map(str, shape))}, which no tensor has")
    kind = TYPES.get(type_id)
    if kind is None:
        says = f"{cursor.what} is of type {type_id}, which this llama.cpp does not know"
        raise broken(cursor.path, f"is damaged or too new: {says}")
    if shape[0] % kind.block:
        raise cursor.broken(f"has rows of {shape[0]:,} elements, {kind.name} needs a multiple of {kind.block}")
    return n_elements // kind.block * kind.n_bytes


def _laid_out(cursor: Cursor, rows: Mapping[str, Tensor], alignment: int, part: int) -> tuple[Tensor, ...]:
    """The tensors with offsets from the start of the file; each must begin where the one before it ends, padded."""
    begin, expected = _padded(cursor.place, alignment), 0
    tensors = []
    for row in rows.values():
        if row.offset != expected:
            cursor.what = f"tensor {shown(row.name)}"
            fault = "overlaps" if row.offset < expected else "leaves a hole after"
            raise cursor.broken(f"{fault} what is before it: it begins at {row.offset:,} instead of {expected:,}")
        tensors.append(Tensor(row.name, row.type, row.shape, begin + expected, row.n_bytes, part))
        expected += _padded(row.n_bytes, alignment)
    return tuple(tensors)


def _padded(n_bytes: int, alignment: int) -> int:
    return n_bytes + -n_bytes % alignment
