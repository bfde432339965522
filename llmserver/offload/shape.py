"""What a model is made of, as far as memory and speed depend on it: its layers, their weights and their caches.

Read from the metadata and the tensor table of a GGUF file. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llmserver.offload.gguf import Gguf, Tensor

_BLOCK = re.compile(r"blk\.(\d+)\.(.+)")
_EXPERTS = re.compile(r"ffn_(up|down|gate|gate_up)_(ch)?exps\.")
_FFN = re.compile(r"ffn_(up|down|gate)\.weight$")
_LORA = re.compile(r"(.+)\.lora_[ab]")
_RECURRENT = ("ssm_", "time_mix_", "shortconv.")
_CACHED = ("attn_k.", "attn_qkv.", "attn_kv_a_mqa.", "attn_k_b.")
# Every how manieth layer sees the whole context, where the file does not say; as in llama.cpp's set_swa_pattern.
_EVERY = {"gemma2": 2, "gemma3": 6, "gemma3n": 5, "cohere2": 4, "gpt-oss": 2, "exaone4": 4, "olmo2": 4, "llama4": 4}
_MOST_BLOCKS = 10_000


@dataclass(frozen=True)
class Weight:
    """A tensor of a layer, sizes in bytes. part: "ffn", "experts" or "rest"."""

    name: str
    n_bytes: int
    row_elements: int
    row_bytes: int
    part: str


@dataclass(frozen=True)
class Layer:
    """One block. k_width, v_width: values that a cell of the KV cache holds, 0 where it keeps none."""

    weights: tuple[Weight, ...]
    k_width: int
    v_width: int
    is_windowed: bool = False
    state_values: int = 0  # float32 values of a recurrent state, for each sequence


@dataclass(frozen=True)
class Shape:
    """A model for planning. Its input tensors always stay in RAM; the output is a layer of its own."""

    name: str
    architecture: str
    n_ctx_train: int
    n_vocab: int
    n_window: int
    n_expert: int
    n_expert_used: int
    has_template: bool
    layers: tuple[Layer, ...]
    input: tuple[Weight, ...]
    output: tuple[Weight, ...]
    is_tied: bool

    @property
    def n_layers(self) -> int:
        """Blocks and the output, as n_gpu_layers counts them."""
        return len(self.layers) + 1

    @cached_property
    def n_bytes(self) -> int:
        """All weights of the file."""
        output = [w for w in self.output if not (self.is_tied and w.name == "token_embd.weight")]
        return sum(w.n_bytes for w in (*self.input, *output, *(w for layer in self.layers for w in layer.weights)))

    def with_windows(self, is_windowed: Sequence[bool]) -> Shape:
        """The same model with what llama.cpp itself says of each layer's window."""
        if len(is_windowed) < len(self.layers):
            return self
        layers = [replace(layer, is_windowed=w) for layer, w in zip(self.layers, is_windowed, strict=False)]
        return replace(self, layers=tuple(layers))

    def with_adapter(self, adapter: Gguf) -> Shape:
        """The same model with a LoRA adapter, which lies where the weights lie that it changes."""
        layers, ends = [list(layer.weights) for layer in self.layers], list[Weight]()
        for tensor in adapter.tensors:
            changed = _LORA.fullmatch(tensor.name)
            place = _BLOCK.match(tensor.name)
            weight = replace(_weight(tensor), part=_part(changed[1]) if changed else "rest")
            (layers[int(place[1])] if place and int(place[1]) < len(layers) else ends).append(weight)
        return replace(
            self,
            layers=tuple(replace(layer, weights=tuple(w)) for layer, w in zip(self.layers, layers, strict=True)),
            input=(*self.input, *(w for w in ends if not w.name.startswith("output"))),
            output=(*self.output, *(w for w in ends if w.name.startswith("output"))),
        )


def shape_of(gguf: Gguf) -> Shape:
    """The model in a GGUF file; numbers that are missing count as 0, and a probe has the last word."""
    facts = _Facts(gguf)
    blocks: dict[int, list[Tensor]] = {}
    others: list[Tensor] = []
    for tensor in gguf.tensors:
        found = _BLOCK.match(tensor.name)
        if found and int(found[1]) < facts.n_block:
            blocks.setdefault(int(found[1]), []).append(tensor)
        else:
            others.append(tensor)
    output = [t for t in others if t.name.startswith("output")]
    is_tied = not any(t.name == "output.weight" for t in output)
    if is_tied:
        output += [t for t in others if t.name == "token_embd.weight"]
    name = gguf.metadata.get("general.name")
    return Shape(
        name="".join(c for c in name if c.isprintable())[:80] if isinstance(name, str) else "",
        architecture=gguf.architecture,
        n_ctx_train=facts.number("context_length"),
        n_vocab=facts.n_vocab,
        n_window=facts.number("attention.sliding_window"),
        n_expert=facts.number("expert_count"),
        n_expert_used=facts.number("expert_used_count"),
        has_template=isinstance(gguf.metadata.get("tokenizer.chat_template"), str),
        layers=tuple(facts.layer(at, blocks.get(at, [])) for at in range(facts.n_block)),
        input=tuple(_weight(t) for t in others if not t.name.startswith("output")),
        output=tuple(_weight(t) for t in output),
        is_tied=is_tied,
    )


class _Facts:
    """The architecture's numbers in the metadata, each one value or one for each layer."""

    def __init__(self, gguf: Gguf) -> None:
        self._gguf = gguf
        self.n_block = min(self.number("block_count"), _MOST_BLOCKS)
        self._n_head = self.number("attention.head_count")
        self._head = self.number("embedding_length") // self._n_head if self._n_head else 0

    @property
    def n_vocab(self) -> int:
        tokens = self._gguf.metadata.get("tokenizer.ggml.tokens")
        return int(getattr(tokens, "length", 0)) or self.number("vocab_size")

    def number(self, key: str, at: int = 0) -> int:
        """A metadata number, that of layer `at` where it is a list."""
        value = self._gguf.of(key)
        values = getattr(value, "values", None)
        if values is not None:
            value = values[at] if at < len(values) else 0
        return int(value) if isinstance(value, (int, float)) and 0 <= value < 2**48 else 0

    def layer(self, at: int, tensors: Sequence[Tensor]) -> Layer:
        names = [t.name.split(".", 2)[2] for t in tensors]
        is_recurrent = any(name.startswith(_RECURRENT) for name in names)
        keeps = any(name.startswith(_CACHED) for name in names)
        if is_recurrent and self._gguf.architecture != "falcon-h1":  # which has both in one layer
            keeps = False
        k_width, v_width = self._widths(at) if keeps else (0, 0)
        state = self._state() if is_recurrent else 0
        return Layer(tuple(_weight(t) for t in tensors), k_width, v_width, self._is_windowed(at), state)

    def _widths(self, at: int) -> tuple[int, int]:
        rank = self.number("attention.kv_lora_rank")
        if rank and self._gguf.of("attention.key_length_mla") is not None:
            return rank + self.number("rope.dimension_count"), 0  # one latent vector, from which V is taken as well
        given = self._gguf.of("attention.head_count_kv") is not None
        n_head = self.number("attention.head_count_kv", at) if given else self._n_head
        narrow = "_swa" if self._is_windowed(at) and self.number("attention.key_length_swa") else ""
        k = self.number(f"attention.key_length{narrow}") or self._head
        v = self.number(f"attention.value_length{narrow}") or self._head
        return n_head * k, n_head * v

    def _is_windowed(self, at: int) -> bool:
        if not self.number("attention.sliding_window"):
            return False
        pattern = self._gguf.of("attention.sliding_window_pattern")
        values = getattr(pattern, "values", None)
        if values is not None:
            return bool(values[at]) if at < len(values) else False
        every = pattern if isinstance(pattern, int) else _EVERY.get(self._gguf.architecture, 1)
        return every > 1 and (at + 1) % every != 0

    def _state(self) -> int:
        """Values of a recurrent layer's state: the convolution's last inputs, and the state itself."""
        inner, state = self.number("ssm.inner_size"), self.number("ssm.state_size")
        if not inner:  # RWKV: a matrix for each head, and the last input of both halves
            n_embd = self.number("embedding_length")
            return n_embd * self.number("wkv.head_size") + 2 * n_embd
        n_conv = max(self.number("ssm.conv_kernel") - 1, 0)
        return n_conv * (inner + 2 * self.number("ssm.group_count") * state) + inner * state


def _weight(tensor: Tensor) -> Weight:
    row, n_rows = tensor.shape[0], 1
    for n in tensor.shape[1:]:
        n_rows *= n
    return Weight(tensor.name, tensor.n_bytes, row, tensor.n_bytes // max(n_rows, 1), _part(tensor.name))


def _part(name: str) -> str:
    return "experts" if _EXPERTS.search(name) else "ffn" if _FFN.search(name) else "rest"
