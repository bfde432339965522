"""The devices that this build of llama.cpp can compute on, with the memory they say is free. Sizes in bytes."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

_KINDS = {0: "cpu", 1: "gpu", 2: "igpu", 3: "accel"}  # ggml_backend_dev_type in ggml-backend.h


@dataclass(frozen=True)
class Device:
    """A place for layers. kind: "gpu" has memory of its own, "igpu" shares the RAM."""

    name: str
    description: str
    kind: str
    free: int
    total: int


def cards() -> tuple[Device, ...]:
    """All devices but the processor, those with the most free memory first; none without a GPU build or a card."""
    found = [device for device in _devices() if device.kind in {"gpu", "igpu"}]
    return tuple(sorted(found, key=lambda device: (device.kind != "gpu", -device.free)))


def names() -> tuple[Device, ...]:
    """The cards without their memory (0), which a driver only tells to a process that takes some of it."""
    ggml = _ggml()
    found = [_device(ggml, ggml.ggml_backend_dev_get(at), sized=False) for at in range(ggml.ggml_backend_dev_count())]
    return tuple(device for device in found if device.kind in {"gpu", "igpu"})


def handles() -> list[int]:
    """llama.cpp's pointers to all devices: the cards, or the processor where there is none."""
    ggml = _ggml()
    found = [ggml.ggml_backend_dev_get(at) for at in range(ggml.ggml_backend_dev_count())]
    on_cards = [handle for handle in found if _KINDS.get(ggml.ggml_backend_dev_type(handle)) in {"gpu", "igpu"}]
    return on_cards or [handle for handle in found if _KINDS.get(ggml.ggml_backend_dev_type(handle)) == "cpu"]


def _devices() -> list[Device]:
    ggml = _ggml()
    return [_device(ggml, ggml.ggml_backend_dev_get(at)) for at in range(ggml.ggml_backend_dev_count())]


def _ggml() -> Any:
    from llama_cpp._ggml import libggml as ggml  # where llama-cpp-python keeps the library

    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    ggml.ggml_backend_dev_count.restype = size
    ggml.ggml_backend_dev_get.restype, ggml.ggml_backend_dev_get.argtypes = pointer, [size]
    for name in ("ggml_backend_dev_name", "ggml_backend_dev_description"):
        getattr(ggml, name).restype, getattr(ggml, name).argtypes = ctypes.c_char_p, [pointer]
    ggml.ggml_backend_dev_type.restype, ggml.ggml_backend_dev_type.argtypes = ctypes.c_int, [pointer]
    ggml.ggml_backend_dev_memory.argtypes = [pointer, ctypes.POINTER(size), ctypes.POINTER(size)]
    return ggml


def _device(ggml: Any, handle: int, *, sized: bool = True) -> Device:
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    if sized:
        ggml.ggml_backend_dev_memory(handle, ctypes.byref(free), ctypes.byref(total))
    return Device(
        name=ggml.ggml_backend_dev_name(handle).decode("utf-8", "replace"),
        description=ggml.ggml_backend_dev_description(handle).decode("utf-8", "replace").strip(),
        kind=_KINDS.get(ggml.ggml_backend_dev_type(handle), "accel"),
        free=free.value,
        total=total.value,
    )
