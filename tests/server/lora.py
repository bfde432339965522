"""Write a LoRA adapter with random weights for SmolLM2-135M as a GGUF file. It changes the text, not for the better."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from gguf import GGUFWriter

N_EMBD, N_KV = 576, 192  # width of the model, and of its keys and values
_OUT = {"attn_q": N_EMBD, "attn_v": N_KV}


def write_lora(path: Path, *, seed: int, rank: int = 4, strength: float = 0.2, n_layer: int = 6) -> Path:
    """An adapter for query and value of the first layers, as llama.cpp's convert_lora_to_gguf.py lays one out.

    In numpy's order of dimensions lora_a is (rank, n_in) and lora_b (n_out, rank).
    """
    random = np.random.default_rng(seed)
    writer = GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(rank))
    for layer in range(n_layer):
        for part, n_out in _OUT.items():
            name = f"blk.{layer}.{part}.weight"
            writer.add_tensor(f"{name}.lora_a", random.normal(0, strength, (rank, N_EMBD)).astype(np.float32))
            writer.add_tensor(f"{name}.lora_b", random.normal(0, strength, (n_out, rank)).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
