"""Ask llama.cpp what it would allocate, without allocating: no_alloc models and contexts, read from its own log.

Under no_alloc the log's sums of the KV cache and its compute buffers are true; weights come from the tensor table. A
model costs 0.05 to 1 s, by its vocabulary; a context on it some milliseconds.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import llama_cpp

from llmserver.errors import ModelFileBroken
from llmserver.offload import rpc
from llmserver.offload.devices import Device, names
from llmserver.offload.memory import Setup

_MIB = 1024 * 1024
_ALL_LAYERS = 0x7FFFFFFF
_ERROR = 4  # GGML_LOG_LEVEL_ERROR in ggml.h
_TYPES = {"f16": 1, "bf16": 30, "q8_0": 8, "q4_0": 2}  # ggml_type in ggml.h
_KV = re.compile(r"llama_kv_cache: size = +([\d.]+) MiB")
_STATE = re.compile(r"llama_memory_recurrent: size = +([\d.]+) MiB")
_COMPUTE = re.compile(r"sched_reserve: +(\S+) compute buffer size = +([\d.]+) MiB")
_OUTPUT = re.compile(r"llama_context: +\S+ +output buffer size = +([\d.]+) MiB")
_LAYER = re.compile(r"load_tensors: layer +(\d+) assigned to device \S+, is_swa = (\d)")


def in_order() -> tuple[Device, ...]:
    """The cards as llama.cpp counts them for tensor_split, without their memory: integrated ones only where workers are
    or no other card is."""
    found = names()
    if rpc.devices() is not None:
        return found
    return tuple(card for card in found if card.kind == "gpu") or found


def buffer_names(devices: Sequence[Device]) -> tuple[str, ...]:
    """What llama.cpp's log calls memory on each device: its name, but a worker's third one RPC2[host:port]."""
    found: list[str] = []
    for at, device in enumerate(devices):
        nth = sum(other.description == device.description for other in devices[:at])
        found.append(f"RPC{nth}[{device.description}]" if device.name.startswith("RPC") else device.name)
    return tuple(found)


@dataclass(frozen=True)
class Probe:
    """What a context would take, in bytes; compute by device, CUDA_Host being memory beside a card."""

    kv: int
    output: int
    compute: Mapping[str, int]

    def compute_on_card(self, card: str | None) -> int:
        """The compute buffer of a card; for one that is not in this machine, what the processor would need for it."""
        return self.compute.get(card or "CPU", 0)

    def beside(self, cards: Collection[str]) -> int:
        """All other compute buffers."""
        return sum(size for name, size in self.compute.items() if name not in cards)


class Prober:
    """A model whose weights are nowhere, its layers on all cards alike where there are several. windows: which layers
    have a sliding window. Raises ModelFileBroken."""

    def __init__(self, path: Path, *, n_card: int = 0) -> None:
        params = llama_cpp.llama_model_default_params()
        params.no_alloc, params.load_mode = True, llama_cpp.LLAMA_LOAD_MODE_NONE
        params.n_gpu_layers = _ALL_LAYERS if n_card < 0 else n_card
        if (devices := rpc.devices()) is not None:
            params.devices = ctypes.cast(devices, ctypes.c_void_p)
        llama_cpp.llama_backend_init()
        used = in_order()
        self._devices = dict(zip(buffer_names(used), (device.name for device in used), strict=True))
        alike = (ctypes.c_float * llama_cpp.LLAMA_MAX_DEVICES)(*[1.0] * len(used))
        params.tensor_split = alike
        with _heard() as lines:
            self._model = llama_cpp.llama_model_load_from_file(str(path).encode(), params)
        if not self._model:
            raise ModelFileBroken(f"cannot load {path}: {_reason(lines)}")
        layers = sorted((int(found[1]), found[2] == "1") for line in lines.all if (found := _LAYER.match(line)))
        self.windows = tuple(is_windowed for _, is_windowed in layers)
        self.n_probes = 0

    def look(self, setup: Setup) -> Probe:
        """What a context of this setup would take. Raises ModelFileBroken where llama.cpp cannot make it."""
        params = llama_cpp.llama_context_default_params()
        params.n_ctx, params.n_seq_max, params.n_outputs_max = setup.n_ctx, setup.n_seq, setup.n_seq
        params.n_batch = params.n_ubatch = min(setup.n_ubatch, setup.n_ctx)
        params.type_k = params.type_v = _TYPES[setup.kv]
        params.kv_unified, params.swa_full, params.no_perf = True, setup.swa_full, True
        self.n_probes += 1
        with _heard() as lines:
            ctx = llama_cpp.llama_init_from_model(self._model, params)
            if ctx:
                llama_cpp.llama_free(ctx)
        if not ctx:
            raise ModelFileBroken(f"llama.cpp makes no context of {setup.n_ctx:,} tokens: {_reason(lines)}")
        compute = {
            self._devices.get(found[1], found[1]): _bytes(found[2])
            for line in lines.all
            if (found := _COMPUTE.match(line))
        }
        return Probe(_sum(lines.all, _KV) + _sum(lines.all, _STATE), _sum(lines.all, _OUTPUT), compute)

    def free(self) -> None:
        """Give the model back."""
        if self._model:
            llama_cpp.llama_model_free(self._model)
            self._model = None


@dataclass
class _Lines:
    all: list[str]
    errors: list[str]


@contextmanager
def _heard() -> Iterator[_Lines]:
    """Within the block, llama.cpp's lines; silence afterwards, because planning shows nothing of them."""
    lines = _Lines([], [])

    def hear(level: int, text: bytes, _: Any) -> None:
        line = text.decode("utf-8", "replace").strip()
        lines.all.append(line)
        if level == _ERROR and line:
            lines.errors.append(line)

    callback = llama_cpp.llama_log_callback(hear)
    llama_cpp.llama_log_set(callback, ctypes.c_void_p(0))
    try:
        yield lines
    finally:
        llama_cpp.llama_log_set(_SILENCE, ctypes.c_void_p(0))


_SILENCE = llama_cpp.llama_log_callback(lambda level, text, _: None)


def _reason(lines: _Lines) -> str:
    return lines.errors[0].split(": ", 1)[-1] if lines.errors else "llama.cpp gave no reason"


def _sum(lines: list[str], what: re.Pattern[str]) -> int:
    return sum(_bytes(found[1]) for line in lines if (found := what.match(line)))


def _bytes(mib: str) -> int:
    return round(float(mib) * _MIB)
