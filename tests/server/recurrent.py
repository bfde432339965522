"""Write tiny models with random weights and a recurrent state: mamba, all of it state, and jamba, with attention too.

They say nothing, but what they say depends on every token before it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from gguf import GGUFWriter, TokenType

_N_EMBD, _N_STATE, _N_CONV, _DT_RANK, _N_HEAD = 64, 16, 4, 4, 4
_N_INNER, _N_FF = 2 * _N_EMBD, 2 * _N_EMBD
_BEGIN, _END = "<|im_start|>", "<|im_end|>"


def write_recurrent(path: Path, kind: str, *, seed: int = 1) -> Path:
    """A model of llama.cpp's layout over single bytes. kind: "mamba" or "jamba"."""
    has_attention = [kind == "jamba" and i % 2 == 1 for i in range(4)]
    writer = GGUFWriter(path, kind)
    _add_vocabulary(writer)
    writer.add_context_length(4096)
    writer.add_embedding_length(_N_EMBD)
    writer.add_feed_forward_length(_N_FF if kind == "jamba" else 0)
    writer.add_block_count(len(has_attention))
    writer.add_head_count(_N_HEAD if kind == "jamba" else 0)
    if kind == "jamba":
        writer.add_head_count_kv([_N_HEAD if attention else 0 for attention in has_attention])
    writer.add_ssm_conv_kernel(_N_CONV)
    writer.add_ssm_inner_size(_N_INNER)
    writer.add_ssm_state_size(_N_STATE)
    writer.add_ssm_time_step_rank(_DT_RANK)
    writer.add_layer_norm_rms_eps(1e-5)
    _Weights(writer, np.random.default_rng(seed)).add(kind, has_attention)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_vocabulary(writer: GGUFWriter) -> None:
    """GPT-2's alphabet of 256 bytes without merges, and the two marks of ChatML."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    letters = [*map(chr, plain), *(chr(256 + i) for i in range(len(others)))]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list([*letters, _BEGIN, _END])
    writer.add_token_types([TokenType.NORMAL] * len(letters) + [TokenType.CONTROL] * 2)
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(len(letters))
    writer.add_eos_token_id(len(letters) + 1)
    writer.add_add_bos_token(False)


class _Weights:
    def __init__(self, writer: GGUFWriter, random: np.random.Generator) -> None:
        self._writer, self._random = writer, random

    def add(self, kind: str, has_attention: list[bool]) -> None:
        self._matrix("token_embd", 258, _N_EMBD, gain=8)
        self._matrix("output", 258, _N_EMBD)
        self._ones("output_norm", _N_EMBD, 3)
        for i, attention in enumerate(has_attention):
            self._ones(f"blk.{i}.attn_norm", _N_EMBD)
            if attention:
                for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
                    self._matrix(f"blk.{i}.{part}", _N_EMBD, _N_EMBD, gain=2)
            else:
                self._add_state(f"blk.{i}.", is_normed=kind == "jamba")
            if kind == "jamba":
                self._ones(f"blk.{i}.ffn_norm", _N_EMBD)
                self._matrix(f"blk.{i}.ffn_gate", _N_FF, _N_EMBD)
                self._matrix(f"blk.{i}.ffn_up", _N_FF, _N_EMBD)
                self._matrix(f"blk.{i}.ffn_down", _N_EMBD, _N_FF)

    def _add_state(self, block: str, *, is_normed: bool) -> None:
        self._matrix(f"{block}ssm_in", 2 * _N_INNER, _N_EMBD, gain=2)
        self._matrix(f"{block}ssm_conv1d", _N_INNER, _N_CONV)
        self._put(f"{block}ssm_conv1d.bias", np.zeros(_N_INNER))
        self._matrix(f"{block}ssm_x", _DT_RANK + 2 * _N_STATE, _N_INNER)
        self._matrix(f"{block}ssm_dt", _N_INNER, _DT_RANK)
        self._put(f"{block}ssm_dt.bias", np.full(_N_INNER, -2.0))
        self._put(f"{block}ssm_a", -np.tile(np.arange(1, _N_STATE + 1) / 8, (_N_INNER, 1)))
        self._put(f"{block}ssm_d", np.ones(_N_INNER))
        self._matrix(f"{block}ssm_out", _N_EMBD, _N_INNER, gain=2)
        if is_normed:
            self._ones(f"{block}ssm_dt_norm", _DT_RANK)
            self._ones(f"{block}ssm_b_norm", _N_STATE)
            self._ones(f"{block}ssm_c_norm", _N_STATE)

    def _matrix(self, name: str, n_out: int, n_in: int, *, gain: float = 1.0) -> None:
        self._put(f"{name}.weight", self._random.normal(0, gain / np.sqrt(n_in), (n_out, n_in)))

    def _ones(self, name: str, n: int, value: float = 1.0) -> None:
        self._put(f"{name}.weight", np.full(n, value))

    def _put(self, name: str, values: np.ndarray) -> None:
        self._writer.add_tensor(name, values.astype(np.float32))
