"""Models, machines and buffers for tests of the planner, and what it decides worked out the slow way."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace

from llmserver.offload import planner
from llmserver.offload.memory import Setup, card_blocks, in_ram, kv_bytes, on_cards, split_blocks
from llmserver.offload.planner import Buffers, Card, Compute, Machine, Plan, Wish, choose
from llmserver.offload.shape import Layer, Shape, Weight

MIB = 1024 * 1024
GB = 1e9


def weight(mib: float, part: str = "rest") -> Weight:
    return Weight("w", int(mib * MIB), 4096, 4096 * 18 // 32, part)


def model(n: int = 32, rest: float = 24, ffn: float = 95, width: int = 1024, **changes: object) -> Shape:
    """Like a model of 7 billion weights in 4 bits, unless said otherwise."""
    layer = Layer((weight(rest), weight(ffn, "experts" if changes.get("n_expert") else "ffn")), width, width)
    shape = Shape("m", "llama", 32_768, 32_000, 0, 0, 0, True, (layer,) * n, (weight(70),), (weight(102),), False)
    return replace(shape, **changes)  # type: ignore[arg-type]


def uneven(sizes: Sequence[tuple[int, int, int]], output: int) -> Shape:
    """A model whose blocks differ: MiB of attention and of FFN, values of a cell."""
    layers = tuple(Layer((weight(rest), weight(ffn, "ffn")), width, width) for rest, ffn, width in sizes)
    return replace(model(), layers=layers, output=(weight(output),))


def machine(*cards_mib: int | None, ram_mib: int = 32_000, ram_gbs: float = 20, gbs: Sequence[float] = ()) -> Machine:
    """Cards with a reserve of 256 MiB and 192 GB/s each unless gbs says otherwise; None is no card."""
    speeds = [*gbs, *[192.0] * len(cards_mib)]
    cards = tuple(
        Card(f"card {at}", size * MIB, size * MIB, 256 * MIB, speed * GB)
        for at, (size, speed) in enumerate(zip(cards_mib, speeds, strict=False))
        if size is not None
    )
    return Machine(cards, ram_mib * MIB, ram_gbs * GB)


def compute(machine: Machine) -> Compute:
    """As much on each card, the more the longer the context and the batch."""

    def found(setup: Setup) -> Buffers:
        return Buffers((setup.n_ubatch * 256 * 1024 + setup.n_ctx * 4096,) * len(machine.cards), 8 * MIB)

    return found


def best(shape: Shape, here: Machine, wish: Wish) -> Plan:
    return choose(shape, here, wish, compute(here)).plan


def richer(here: Machine, card: int, more: int) -> Machine:
    """With so many more bytes on a card."""
    cards = list(here.cards)
    cards[card] = replace(cards[card], total=cards[card].total + more, free=cards[card].free + more)
    return replace(here, cards=tuple(cards))


def every_setup(shape: Shape, base: Setup, n_cards: int) -> Iterator[Setup]:
    """All ways that there are: whole layers on cards, or all of them with some FFN in RAM."""
    for layers in itertools.product(range(shape.n_layers + 1), repeat=n_cards):
        if (n := sum(layers)) <= shape.n_layers:
            for n_split in range(shape.n_layers if n == shape.n_layers else 1):
                yield replace(base, n_card=n, n_split=n_split, layers_by_card=layers)


def takes(shape: Shape, here: Machine, setup: Setup) -> bool:
    """Whether every place has room for a setup."""
    buffers = compute(here)(setup)
    assert buffers
    cards = zip(on_cards(shape, setup), setup.layers_by_card, buffers.cards, here.cards, strict=True)
    is_whole = setup.n_card == shape.n_layers and not setup.n_split
    in_use = buffers.ram if is_whole else max(buffers.ram, *buffers.cards)
    return in_ram(shape, setup).total + in_use <= here.ram_budget and all(
        sizes.total + (size if n else 0) <= card.budget for sizes, n, size, card in cards
    )


def seconds(shape: Shape, here: Machine, setup: Setup) -> float:
    """For a token: block by block, each part where it lies."""
    borders = list(itertools.accumulate(setup.layers_by_card, initial=shape.n_layers - setup.n_card))
    speed = {
        at: card.bandwidth
        for card, start, end in zip(here.cards, borders, borders[1:], strict=False)
        for at in range(start, end)
    }
    fill, split = min(setup.n_ctx, 4096) / setup.n_ctx, split_blocks(shape, setup)
    total = sum(w.n_bytes for w in shape.output) / speed.get(len(shape.layers), here.ram_bandwidth)
    for at, layer in enumerate(shape.layers):
        own = speed.get(at, here.ram_bandwidth)
        inner = sum(w.n_bytes for w in layer.weights if w.part != "rest")
        rest = sum(w.n_bytes for w in layer.weights if w.part == "rest")
        total += (rest + kv_bytes(shape, layer, replace(setup, kv="f16")) * fill) / own
        total += inner / (here.ram_bandwidth if at in split else own)
    n_used = sum(n > 0 for n in setup.layers_by_card)
    ways = len(split) + max(n_used - 1, 0) + (0 < setup.n_card < shape.n_layers)
    assert card_blocks(shape, setup).start == borders[0] or not setup.n_card
    return total + ways * planner._BETWEEN_S
