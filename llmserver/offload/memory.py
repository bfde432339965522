"""How much memory a model takes in a given setup, on each card and in RAM. Pure arithmetic; sizes in bytes.

After llama.cpp's load_tensors, llama_kv_cache, llama_kv_cache_iswa and llama_memory_recurrent. Compute buffers have no
closed form: they come from a probe.
"""

from __future__ import annotations

import ctypes
import math
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from llmserver.offload.shape import Layer, Shape, Weight

BYTES_PER_VALUE = {"f16": 2.0, "bf16": 2.0, "q8_0": 34 / 32, "q4_0": 18 / 32}
_PAD = 256  # cells
_MOST_SEQUENCES = 256  # of llama.cpp
_ALIGN_RAM, _ALIGN_CARD = 32, 128
_ROW_ON_CARD = 512  # elements to which CUDA pads the last row of a quantized tensor
_Number = TypeVar("_Number", int, float)


@dataclass(frozen=True)
class Setup:
    """How a model is loaded.

    n_card: layers on cards, counted as n_gpu_layers does: the output first, then blocks from the last back.
    n_split: how many of those blocks, from the first on, leave their FFN or experts in RAM.
    layers_by_card: how many of those layers each card holds, in the order of llama.cpp's devices, which is theirs from
    front to back; empty where one card holds them all.
    """

    n_ctx: int
    kv: str = "f16"
    n_ubatch: int = 512
    n_seq: int = 1
    n_card: int = 0
    n_split: int = 0
    swa_full: bool = False
    layers_by_card: tuple[int, ...] = ()


@dataclass(frozen=True)
class Sizes:
    """What one place holds."""

    weights: int = 0
    kv: int = 0
    compute: int = 0
    output: int = 0

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.kv + self.compute + self.output


def sequences(n_parallel: int, *, is_small: bool) -> int:
    """Sequences of a context: idle ones cost nothing where they only share a pool of cells, else (is_small: a window or
    a state for each) they cost memory."""
    return min(n_parallel + (4 if is_small else max(16, n_parallel)), _MOST_SEQUENCES)


def cells(shape: Shape, setup: Setup, *, is_windowed: bool) -> int:
    """Cells of a layer's KV cache: the padded context, or for a sliding window what all sequences can look at."""
    whole = _up(setup.n_ctx, _PAD)
    if not is_windowed or setup.swa_full or not shape.n_window:
        return whole
    return min(whole, _up(shape.n_window * setup.n_seq + setup.n_ubatch, _PAD))


def kv_bytes(shape: Shape, layer: Layer, setup: Setup) -> int:
    """A layer's KV cache and, where it is recurrent, the state of every sequence."""
    n_cells = cells(shape, setup, is_windowed=layer.is_windowed)
    cache = n_cells * (layer.k_width + layer.v_width) * BYTES_PER_VALUE[setup.kv]
    return int(cache) + layer.state_values * 4 * setup.n_seq


def card_blocks(shape: Shape, setup: Setup) -> range:
    """Blocks on cards."""
    return range(max(shape.n_layers - setup.n_card, 0), len(shape.layers))


def split_blocks(shape: Shape, setup: Setup) -> range:
    """Blocks on cards whose FFN or experts stay in RAM."""
    return card_blocks(shape, setup)[: setup.n_split]


def dealt(tensor_split: Sequence[float], n_layers: int) -> tuple[int, ...]:
    """How many of n_layers each card gets by tensor_split, in load_tensors' arithmetic of single floats; empty where it
    says nothing. Numbers of layers that add up to n_layers are met exactly: what is compared are equal quotients."""
    sums = list(accumulate(map(_single, tensor_split), lambda a, b: _single(a + b)))
    if not sums or not 0 < sums[-1] < math.inf:
        return ()
    borders = [_single(n / sums[-1]) for n in sums]
    counts = [0] * len(sums)
    for at in range(n_layers):
        counts[min(bisect_right(borders, _single(at / n_layers)), len(sums) - 1)] += 1
    return tuple(counts)


class Weights:
    """A model's weights added up: each list holds at n what all layers before layer n take, the output being the last.

    card, ram: as either side pads them. read: what a token reads of them. The inner ones: of FFN or experts alone.
    """

    def __init__(self, shape: Shape) -> None:
        used = shape.n_expert_used / shape.n_expert if shape.n_expert else 1.0
        blocks = [layer.weights for layer in shape.layers]
        in_ram = tuple(w for w in shape.output if not (shape.is_tied and w.name == "token_embd.weight"))
        self.input = sum(_in_ram(w) for w in shape.input)
        self.card, self.card_inner = _sums([*blocks, shape.output], _on_card)
        self.ram, self.ram_inner = _sums([*blocks, in_ram], _in_ram)
        self.read, self.read_inner = _sums(
            [*blocks, shape.output], lambda w: w.n_bytes * (used if w.part == "experts" else 1.0)
        )


class Ledger:
    """What any placement of a model takes in one context. kv: added up as Weights are."""

    def __init__(self, shape: Shape, base: Setup, weights: Weights | None = None) -> None:
        self.weights = weights or Weights(shape)
        self.kv = kv_sums(shape, base)
        self._n_layers, self._output = shape.n_layers, shape.n_vocab * base.n_seq * 4

    def held(self, n_split: int) -> list[int]:
        """What the layers take on cards, added up, when so many blocks from the very first leave a part in RAM."""
        inner = self.weights.card_inner
        return [
            card + kv - inner[min(at, n_split)]
            for at, (card, kv) in enumerate(zip(self.weights.card, self.kv, strict=True))
        ]

    def on_cards(self, setup: Setup) -> tuple[Sizes, ...]:
        """Weights and KV cache on each card."""
        at, split = self._borders(setup)
        card, inner, found = self.weights.card, self.weights.card_inner, list[Sizes]()
        for n in setup.layers_by_card or (self._n_layers - at,):
            end = at + n
            in_ram = inner[min(end, split)] - inner[min(at, split)]
            found.append(Sizes(weights=card[end] - card[at] - in_ram, kv=self.kv[end] - self.kv[at]))
            at = end
        return tuple(found)

    def in_ram(self, setup: Setup) -> Sizes:
        """Weights and KV cache beside the cards, and the logits of one row for each sequence."""
        first, split = self._borders(setup)
        inner = self.weights.ram_inner[split] - self.weights.ram_inner[first]
        weights = self.weights.input + self.weights.ram[first] + inner
        return Sizes(weights=weights, kv=self.kv[first], output=self._output)

    def _borders(self, setup: Setup) -> tuple[int, int]:
        """The first layer on a card, and the first block from it on that is whole there."""
        first = max(self._n_layers - setup.n_card, 0)
        return first, max(min(first + setup.n_split, self._n_layers - 1), first)


def kv_sums(shape: Shape, setup: Setup) -> list[int]:
    """The KV caches of all layers before each, of all at the end; the output has none."""
    return list(accumulate((*(kv_bytes(shape, layer, setup) for layer in shape.layers), 0), initial=0))


def on_cards(shape: Shape, setup: Setup) -> tuple[Sizes, ...]:
    """Weights and KV cache on each card."""
    return Ledger(shape, setup).on_cards(setup)


def in_ram(shape: Shape, setup: Setup) -> Sizes:
    """Weights and KV cache beside the cards, and the logits of one row for each sequence."""
    return Ledger(shape, setup).in_ram(setup)


def _sums(layers: Sequence[Sequence[Weight]], size: Callable[[Weight], _Number]) -> tuple[list[_Number], list[_Number]]:
    """Of all weights, and of those that are FFN or experts."""
    whole = (sum(size(w) for w in layer) for layer in layers)
    inner = (sum(size(w) for w in layer if w.part != "rest") for layer in layers)
    return list(accumulate(whole, initial=0)), list(accumulate(inner, initial=0))


def _single(value: float) -> float:
    """The nearest single float; quotients of single floats made in double precision come out as made in single."""
    return ctypes.c_float(value).value


def _in_ram(weight: Weight) -> int:
    return _up(weight.n_bytes, _ALIGN_RAM)


def _on_card(weight: Weight) -> int:
    extra, beyond = 0, weight.row_elements % _ROW_ON_CARD
    if beyond and weight.row_bytes < weight.row_elements * 2:  # quantized
        extra = weight.row_bytes * (_ROW_ON_CARD - beyond) // weight.row_elements
    return _up(weight.n_bytes + extra, _ALIGN_CARD)


def _up(n: int, to: int) -> int:
    return -(-n // to) * to
