"""How much memory a model takes in a given setup, on the card and in RAM. Pure arithmetic; sizes in bytes.

After llama.cpp's load_tensors, llama_kv_cache, llama_kv_cache_iswa and llama_memory_recurrent. Compute buffers have no
closed form: they come from a probe.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmserver.offload.shape import Layer, Shape, Weight

BYTES_PER_VALUE = {"f16": 2.0, "bf16": 2.0, "q8_0": 34 / 32, "q4_0": 18 / 32}
_PAD = 256  # cells
_MOST_SEQUENCES = 256  # of llama.cpp
_ALIGN_RAM, _ALIGN_CARD = 32, 128
_ROW_ON_CARD = 512  # elements to which CUDA pads the last row of a quantized tensor


@dataclass(frozen=True)
class Setup:
    """How a model is loaded.

    n_card: layers on the card, counted as n_gpu_layers does: the output first, then blocks from the last back.
    n_split: how many of those blocks, from the first on, leave their FFN or experts in RAM.
    """

    n_ctx: int
    kv: str = "f16"
    n_ubatch: int = 512
    n_seq: int = 1
    n_card: int = 0
    n_split: int = 0
    swa_full: bool = False


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
    """Blocks on the card."""
    return range(max(shape.n_layers - setup.n_card, 0), len(shape.layers))


def split_blocks(shape: Shape, setup: Setup) -> range:
    """Blocks on the card whose FFN or experts stay in RAM."""
    return card_blocks(shape, setup)[: setup.n_split]


def on_card(shape: Shape, setup: Setup) -> Sizes:
    """Weights and KV cache on the card."""
    card, split = card_blocks(shape, setup), split_blocks(shape, setup)
    weights = sum(_on_card(w) for at in card for w in shape.layers[at].weights if at not in split or w.part == "rest")
    if setup.n_card > 0:
        weights += sum(_on_card(w) for w in shape.output)
    return Sizes(weights=weights, kv=sum(kv_bytes(shape, shape.layers[at], setup) for at in card))


def in_ram(shape: Shape, setup: Setup) -> Sizes:
    """Weights and KV cache beside the card, and the logits of one row for each sequence."""
    card, split = card_blocks(shape, setup), split_blocks(shape, setup)
    held = list(shape.input)
    for at, layer in enumerate(shape.layers):
        held += [w for w in layer.weights if at not in card or (at in split and w.part != "rest")]
    if setup.n_card == 0:
        held += [w for w in shape.output if not (shape.is_tied and w.name == "token_embd.weight")]
    return Sizes(
        weights=sum(_up(w.n_bytes, _ALIGN_RAM) for w in held),
        kv=sum(kv_bytes(shape, layer, setup) for at, layer in enumerate(shape.layers) if at not in card),
        output=shape.n_vocab * setup.n_seq * 4,
    )


def _on_card(weight: Weight) -> int:
    extra, beyond = 0, weight.row_elements % _ROW_ON_CARD
    if beyond and weight.row_bytes < weight.row_elements * 2:  # quantized
        extra = weight.row_bytes * (_ROW_ON_CARD - beyond) // weight.row_elements
    return _up(weight.n_bytes + extra, _ALIGN_CARD)


def _up(n: int, to: int) -> int:
    return -(-n // to) * to
