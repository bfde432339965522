"""Write small GGUF files that are whole: plain filling for downloads, and a llama of one block to quantize."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from gguf import GGUFWriter

N_EMBD, N_FF, N_VOCAB = 256, 512, 64


def filling(n_bytes: int, seed: int) -> bytes:
    """A file with one tensor of about so many random bytes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "filling.gguf"
        writer = GGUFWriter(path, "llama")
        writer.add_tensor("filling", np.random.default_rng(seed).random(n_bytes // 4, dtype=np.float32))
        _write(writer)
        return path.read_bytes()


def write_llama(path: Path, *, n_tensors_a_part: int = 0) -> list[Path]:
    """A llama of one block with random float16 weights; in several files if so many tensors fill one."""
    random = np.random.default_rng(7)
    writer = GGUFWriter(path, "llama", split_max_tensors=n_tensors_a_part)
    writer.add_context_length(64)
    writer.add_embedding_length(N_EMBD)
    writer.add_block_count(1)
    writer.add_feed_forward_length(N_FF)
    writer.add_head_count(4)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(N_VOCAB)
    shapes = {"token_embd": (N_VOCAB, N_EMBD), "blk.0.ffn_down": (N_EMBD, N_FF)}
    shapes |= {f"blk.0.attn_{part}": (N_EMBD, N_EMBD) for part in ("q", "k", "v", "output")}
    shapes |= {f"blk.0.ffn_{part}": (N_FF, N_EMBD) for part in ("gate", "up")}
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", random.normal(0, 0.02, shape).astype(np.float16))
    for name in ("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(N_EMBD, dtype=np.float32))
    _write(writer)
    return sorted(path.parent.glob(f"{path.stem}*.gguf"))


def _write(writer: GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
