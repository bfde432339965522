"""Where a model lies: tensors that stay in RAM while their layer is on a card, and what each place holds."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import llama_cpp
from llama_cpp._ggml import libggml

from llmserver.engine.info import Placement
from llmserver.offload import gguf
from llmserver.offload.memory import Setup, dealt, in_ram, on_cards
from llmserver.offload.probe import buffer_names, in_order
from llmserver.offload.shape import shape_of
from llmserver.settings import ModelOptions

_KV_NAMES = {1: "f16", 30: "bf16", 8: "q8_0", 2: "q4_0"}  # ggml_type in ggml.h
# The large tensors of a block, of dense models and of mixtures of experts; offload.shape counts the same ones.
_INNER = r"ffn_((up|down|gate)\.weight|(up|down|gate|gate_up)_(ch)?exps\.)"


class Override(ctypes.Structure):
    """llama_model_tensor_buft_override in llama.h, which llama-cpp-python does not declare."""

    _fields_ = [("pattern", ctypes.c_char_p), ("buffer_type", ctypes.c_void_p)]


def overrides(options: ModelOptions) -> Any:
    """An array for the first n_cpu_ffn blocks on cards, ended by an empty entry. Raises ModelFileBroken."""
    file = gguf.read(Path(options.model))
    count = file.of("block_count")
    n_block = count if isinstance(count, int) else 0
    n_card = n_block + 1 if options.n_gpu_layers == -1 else options.n_gpu_layers
    blocks = range(max(n_block + 1 - n_card, 0), n_block)[: options.n_cpu_ffn]
    libggml.ggml_backend_cpu_buffer_type.restype = ctypes.c_void_p
    in_ram = libggml.ggml_backend_cpu_buffer_type()
    found = [Override(rf"blk\.{at}\.{_INNER}".encode(), in_ram) for at in blocks]
    return (Override * (len(blocks) + 1))(*found)


def placement(path: Path, options: ModelOptions, params: Any, allocated: Mapping[str, Mapping[str, int]]) -> Placement:
    """What arithmetic expects beside what llama.cpp said. params: of the context that was made."""
    shape, names = shape_of(gguf.read(path)), _cards(options)
    n_card = shape.n_layers if options.n_gpu_layers == -1 else min(options.n_gpu_layers, shape.n_layers)
    kv = _KV_NAMES.get(params.type_k, "other") if params.type_k == params.type_v else "other"
    setup = Setup(
        n_ctx=params.n_ctx,
        kv=kv if kv != "other" else "f16",
        n_ubatch=params.n_ubatch,
        n_seq=params.n_seq_max,
        n_card=n_card if names else 0,
        n_split=options.n_cpu_ffn,
        swa_full=options.swa_full,
    )
    layers, ram = _layers_by_card(options, setup.n_card, len(names)), in_ram(shape, setup)
    each = on_cards(shape, replace(setup, layers_by_card=layers))
    planned: dict[str, Any] = {
        "card": {"weights": sum(card.weights for card in each), "kv": sum(card.kv for card in each)},
        "ram": {"weights": ram.weights, "kv": ram.kv},
        "cards": [
            {"name": name, "layers": n, "weights": card.weights, "kv": card.kv}
            for name, n, card in zip(names, layers, each, strict=False)
        ],
    }
    return Placement(shape.n_layers, setup.n_card, options.n_cpu_ffn, setup.n_ubatch, kv, planned, allocated)


def _cards(options: ModelOptions) -> tuple[str, ...]:
    """The cards that may hold layers, as llama.cpp's log names their memory."""
    names = buffer_names(in_order())
    if options.split_mode == llama_cpp.LLAMA_SPLIT_MODE_NONE:
        return names[options.main_gpu :][:1] if options.main_gpu >= 0 else ()
    return names


def _layers_by_card(options: ModelOptions, n_card: int, n_cards: int) -> tuple[int, ...]:
    """Empty where llama.cpp decides by what is free at that moment, or cuts through tensors."""
    if n_cards <= 1:
        return (n_card,) * n_cards
    if options.split_mode != llama_cpp.LLAMA_SPLIT_MODE_LAYER or not options.tensor_split:
        return ()
    given = [*options.tensor_split, *[0.0] * n_cards]
    return dealt(given[:n_cards], n_card)
