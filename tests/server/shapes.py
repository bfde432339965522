"""GGUF files of any model's shape: whole headers over sparse data, so that 7 billion weights take no disk."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from gguf import GGUFWriter
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

Q4_K, Q6_K, F32 = GGMLQuantizationType.Q4_K, GGMLQuantizationType.Q6_K, GGMLQuantizationType.F32


class Sparse:
    """Writes metadata and a tensor table; the data are a hole of the right length."""

    def __init__(self, path: Path, architecture: str, **numbers: Any) -> None:
        self._path, self._writer = path, GGUFWriter(path, architecture)
        for key, value in numbers.items():
            name = f"{architecture}.{key.replace('__', '.')}"
            if isinstance(value, list):
                self._writer.add_array(name, value)
            elif isinstance(value, float):
                self._writer.add_float32(name, value)
            else:
                self._writer.add_uint32(name, value)

    def vocab(self, n: int) -> None:
        """So many tokens, without merges or scores that mean anything."""
        self._writer.add_tokenizer_model("llama")
        self._writer.add_token_list([f"t{i}" for i in range(n)])
        self._writer.add_token_scores([0.0] * n)
        self._writer.add_token_types([1] * n)

    def tensor(self, name: str, shape: tuple[int, ...], kind: GGMLQuantizationType = Q4_K) -> None:
        """A tensor by its shape in ggml's order: the row first."""
        block, n_bytes = GGML_QUANT_SIZES[kind]
        size = math.prod(shape) // block * n_bytes
        self._writer.add_tensor_info(name, shape[::-1], "float32", size, raw_dtype=kind)  # type: ignore[arg-type]
        self._end = size

    def write(self) -> Path:
        """Finish the file."""
        self._writer.write_header_to_file()
        self._writer.write_kv_data_to_file()
        self._writer.write_ti_data_to_file()
        assert self._writer.fout
        file, at = self._writer.fout[0], 0
        file.flush()
        for info in self._writer.tensors[0].values():
            at += -(-info.nbytes // 32) * 32
        start = -(-file.tell() // 32) * 32
        self._writer.close()
        with self._path.open("r+b") as opened:
            opened.truncate(start + at)
        return self._path


def dense_7b(path: Path, n_layer: int = 32, n_vocab: int = 32_000) -> Path:
    """A llama of 7 billion weights in Q4_K with grouped attention, as Mistral 7B is."""
    sparse = Sparse(
        path,
        "llama",
        context_length=32_768,
        embedding_length=4096,
        block_count=n_layer,
        feed_forward_length=14_336,
        attention__head_count=32,
        attention__head_count_kv=8,
        attention__layer_norm_rms_epsilon=1e-5,
        rope__dimension_count=128,
    )
    sparse.vocab(n_vocab)
    sparse.tensor("token_embd.weight", (4096, n_vocab))
    for at in range(n_layer):
        _attention(sparse, at, 4096, 1024)
        for name, shape in (("gate", (4096, 14_336)), ("up", (4096, 14_336)), ("down", (14_336, 4096))):
            sparse.tensor(f"blk.{at}.ffn_{name}.weight", shape)
    sparse.tensor("output_norm.weight", (4096,), F32)
    sparse.tensor("output.weight", (4096, n_vocab), Q6_K)
    return sparse.write()


def experts(path: Path, n_layer: int = 24, n_expert: int = 32, n_used: int = 4) -> Path:
    """A mixture of experts: 10 billion weights of which few are read for a token."""
    sparse = Sparse(
        path,
        "llama",
        context_length=32_768,
        embedding_length=2048,
        block_count=n_layer,
        feed_forward_length=2048,
        attention__head_count=32,
        attention__head_count_kv=8,
        attention__layer_norm_rms_epsilon=1e-5,
        rope__dimension_count=64,
        expert_count=n_expert,
        expert_used_count=n_used,
    )
    sparse.vocab(1000)
    sparse.tensor("token_embd.weight", (2048, 1000))
    for at in range(n_layer):
        _attention(sparse, at, 2048, 512)
        sparse.tensor(f"blk.{at}.ffn_gate_inp.weight", (2048, n_expert), F32)
        for name in ("gate", "up", "down"):
            sparse.tensor(f"blk.{at}.ffn_{name}_exps.weight", (2048, 2048, n_expert))
    sparse.tensor("output_norm.weight", (2048,), F32)
    sparse.tensor("output.weight", (2048, 1000), Q6_K)
    return sparse.write()


def _attention(sparse: Sparse, at: int, n_embd: int, n_kv: int) -> None:
    for name in ("attn_norm", "ffn_norm"):
        sparse.tensor(f"blk.{at}.{name}.weight", (n_embd,), F32)
    for name, width in (("q", n_embd), ("k", n_kv), ("v", n_kv), ("output", n_embd)):
        sparse.tensor(f"blk.{at}.attn_{name}.weight", (n_embd, width))
