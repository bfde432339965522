"""Tensors that stay in RAM while their layer is on the card, as the array that llama.cpp reads."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

from llama_cpp._ggml import libggml

from llmserver.offload import gguf
from llmserver.settings import ModelOptions

# The large tensors of a block, of dense models and of mixtures of experts; offload.shape counts the same ones.
_INNER = r"ffn_((up|down|gate)\.weight|(up|down|gate|gate_up)_(ch)?exps\.)"


class Override(ctypes.Structure):
    """llama_model_tensor_buft_override in llama.h, which llama-cpp-python does not declare."""

    _fields_ = [("pattern", ctypes.c_char_p), ("buffer_type", ctypes.c_void_p)]


def overrides(options: ModelOptions) -> Any:
    """An array for the first n_cpu_ffn blocks on the card, ended by an empty entry. Raises ModelFileBroken."""
    file = gguf.read(Path(options.model))
    count = file.of("block_count")
    n_block = count if isinstance(count, int) else 0
    n_card = n_block + 1 if options.n_gpu_layers == -1 else options.n_gpu_layers
    blocks = range(max(n_block + 1 - n_card, 0), n_block)[: options.n_cpu_ffn]
    libggml.ggml_backend_cpu_buffer_type.restype = ctypes.c_void_p
    in_ram = libggml.ggml_backend_cpu_buffer_type()
    found = [Override(rf"blk\.{at}\.{_INNER}".encode(), in_ram) for at in blocks]
    return (Override * (len(blocks) + 1))(*found)
