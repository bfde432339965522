"""Measure how quickly a card moves its own memory: a few copies within it by ggml, some 30 ms and 64 MiB of it."""

from __future__ import annotations

import ctypes
import time
from typing import Any

_BUFFER = 32 * 1024 * 1024
_ROUNDS = 6
_INT8 = 24  # GGML_TYPE_I8 in ggml.h
_CONTEXT = 16 * 1024  # books of two tensors


class _Params(ctypes.Structure):
    """ggml_init_params in ggml.h."""

    _fields_ = [("mem_size", ctypes.c_size_t), ("mem_buffer", ctypes.c_void_p), ("no_alloc", ctypes.c_bool)]


def measured(name: str) -> float | None:
    """Bytes a second that the device of this name reads and writes; None where it has no room or cannot copy."""
    ggml = _ggml()
    device = ggml.ggml_backend_dev_by_name(name.encode())
    if not device:
        return None
    context = ggml.ggml_init(_Params(_CONTEXT, None, True))
    tensors = [ggml.ggml_new_tensor_1d(context, _INT8, _BUFFER) for _ in range(2)]
    buffer = ggml.ggml_backend_alloc_ctx_tensors_from_buft(context, ggml.ggml_backend_dev_buffer_type(device))
    try:
        return max(_once(ggml, tensors) for _ in range(_ROUNDS)) if buffer else None
    finally:
        if buffer:
            ggml.ggml_backend_buffer_free(buffer)
        ggml.ggml_free(context)


def _once(ggml: Any, tensors: list[int]) -> float:
    began = time.perf_counter()
    ggml.ggml_backend_tensor_copy(*tensors)
    return 2 * _BUFFER / (time.perf_counter() - began)  # each byte is read and written


def _ggml() -> Any:
    from llama_cpp._ggml import libggml as ggml

    pointer = ctypes.c_void_p
    for name, result, *arguments in (
        ("ggml_backend_dev_by_name", pointer, ctypes.c_char_p),
        ("ggml_backend_dev_buffer_type", pointer, pointer),
        ("ggml_init", pointer, _Params),
        ("ggml_new_tensor_1d", pointer, pointer, ctypes.c_int, ctypes.c_int64),
        ("ggml_backend_alloc_ctx_tensors_from_buft", pointer, pointer, pointer),
        ("ggml_backend_tensor_copy", None, pointer, pointer),
        ("ggml_backend_buffer_free", None, pointer),
        ("ggml_free", None, pointer),
    ):
        function = getattr(ggml, name)
        function.restype, function.argtypes = result, list(arguments)
    return ggml
