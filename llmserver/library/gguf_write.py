"""Write a GGUF file of version 3: settings, then tensors, each at a multiple of 32 bytes. Knows no models."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

Array = np.ndarray[Any, Any]
F32, Q8_0 = 0, 8  # ggml_type in ggml.h
_ALIGNMENT = 32
_BLOCK = 32  # weights of a Q8_0 block, which share one float16 factor
_UINT32, _INT32, _FLOAT32, _BOOL, _STRING, _ARRAY = 4, 5, 6, 7, 8, 9  # gguf_type in gguf.h


@dataclass(frozen=True)
class Int32s:
    """A list of numbers that may be below zero: other whole numbers are written as unsigned ones."""

    values: Sequence[int]


@dataclass(frozen=True)
class Written:
    """A tensor as its bytes go into the file; the shape is numpy's, its last dimension the rows' length."""

    name: str
    type: int
    shape: tuple[int, ...]
    data: bytes


Value = str | bool | int | float | Int32s | Sequence[str]


def as_f32(name: str, values: Array) -> Written:
    """Return a tensor of float32."""
    return Written(name, F32, values.shape, values.astype("<f4").tobytes())


def as_q8_0(name: str, values: Array) -> Written:
    """Return a tensor in blocks of 32 weights of a byte and their factor, as llama.cpp's quantize_row_q8_0 does it.

    Raises ValueError for rows that are no multiple of 32.
    """
    if values.shape[-1] % _BLOCK:
        raise ValueError(f"{name}: rows of {values.shape[-1]} weights are no multiple of {_BLOCK}")
    blocks = values.astype(np.float32).reshape(-1, _BLOCK)
    factor = np.abs(blocks).max(axis=1, keepdims=True) / np.float32(127)
    inverse = np.divide(np.float32(1), factor, out=np.zeros_like(factor), where=factor != 0)
    scaled = blocks * inverse
    size = np.abs(scaled)
    whole = np.floor(size)
    rounded = (np.sign(scaled) * (whole + np.floor(2 * (size - whole)))).astype(np.int8)  # halves away from zero
    packed = np.empty(len(blocks), dtype=[("factor", "<f2"), ("weights", np.int8, _BLOCK)])
    packed["factor"], packed["weights"] = factor[:, 0].astype("<f2"), rounded
    return Written(name, Q8_0, values.shape, packed.tobytes())


def write(file: BinaryIO, settings: Mapping[str, Value], tensors: Iterable[Written]) -> None:
    """Write the whole file at its place."""
    found = list(tensors)
    head = [b"GGUF", struct.pack("<IQQ", 3, len(found), len(settings))]
    head += [_string(name) + _value(value) for name, value in settings.items()]
    offset = 0
    for one in found:
        head.append(_string(one.name) + struct.pack("<I", len(one.shape)))
        head.append(struct.pack(f"<{len(one.shape)}Q", *reversed(one.shape)) + struct.pack("<IQ", one.type, offset))
        offset += len(one.data) + _padding(len(one.data))
    start = b"".join(head)
    file.write(start + bytes(_padding(len(start))))
    for one in found:
        file.write(one.data)
        file.write(bytes(_padding(len(one.data))))


def _padding(n_bytes: int) -> int:
    return -n_bytes % _ALIGNMENT


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _value(value: Value) -> bytes:
    """A setting's type and its bytes."""
    if isinstance(value, bool):
        return struct.pack("<I?", _BOOL, value)
    if isinstance(value, int):
        return struct.pack("<II", _UINT32, value)
    if isinstance(value, float):
        return struct.pack("<If", _FLOAT32, value)
    if isinstance(value, str):
        return struct.pack("<I", _STRING) + _string(value)
    if isinstance(value, Int32s):
        items, kind = np.array(value.values, dtype="<i4").tobytes(), _INT32
        return struct.pack("<IIQ", _ARRAY, kind, len(value.values)) + items
    return struct.pack("<IIQ", _ARRAY, _STRING, len(value)) + b"".join(map(_string, value))
