"""Choose how a model is loaded: context, KV type, batch, layers on the card and what of them stays in RAM.

All candidates are weighed together, by predicted tokens a second and what a longer context or finer KV cache is worth
beside them; nothing is cut in a fixed order. Pure: sizes in bytes, speeds in bytes or tokens a second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from llmserver.errors import CannotPlan
from llmserver.offload.memory import Setup, Sizes, card_blocks, in_ram, kv_bytes, on_card, split_blocks

if TYPE_CHECKING:
    from llmserver.offload.shape import Shape, Weight

_KV_WORTH = {"f16": 1.0, "bf16": 1.0, "q8_0": 0.93, "q4_0": 0.8}  # of the speed one would give for f16
_BATCH_WORTH = {512: 1.0, 256: 0.98, 128: 0.94, 64: 0.88}
_CTX_WORTH = 0.15  # a context twice as long is worth 11 % of the speed
_MOST_CTX = 131_072
_CHAT_TOKENS = 4096  # what the prediction takes as read at every token, or the context if that is less
_BETWEEN_S = 30e-6  # from one device to another and back: 20 to 50 microseconds measured by others
_RAM_RESERVE = 512 * 1024 * 1024


@dataclass(frozen=True)
class Card:
    """A graphics card: what of it may be used is free - reserve."""

    name: str
    total: int
    free: int
    reserve: int
    bandwidth: float

    @property
    def budget(self) -> int:
        """Bytes that a plan may take."""
        return max(self.free - self.reserve, 0)


@dataclass(frozen=True)
class Machine:
    """Where the model shall run."""

    card: Card | None
    ram_free: int
    ram_bandwidth: float

    @property
    def ram_budget(self) -> int:
        """Bytes of RAM that a plan may take."""
        return max(self.ram_free - _RAM_RESERVE, 0)


@dataclass(frozen=True)
class Wish:
    """What the user wants; None leaves it to the planner. n_ctx_least is the floor of a context that it may choose."""

    n_ctx: int | None = None
    n_ctx_least: int = 4096
    kv: tuple[str, ...] = ("f16", "q8_0")
    n_ubatch: tuple[int, ...] = (512, 256, 128)
    n_seq: int = 1
    n_card: int | None = None
    swa_full: bool = False


@dataclass(frozen=True)
class Plan:
    """A way to load the model: its sizes by place, the speed of one stream, and how much it is worth."""

    setup: Setup
    card: Sizes
    ram: Sizes
    tokens_per_s: float
    worth: float
    card_lacks: int
    ram_lacks: int

    @property
    def fits(self) -> bool:
        """Whether it stays within both budgets."""
        return self.card_lacks <= 0 and self.ram_lacks <= 0


@dataclass(frozen=True)
class Choice:
    """The best plan that fits, else the nearest; the next better one that does not; the same without splitting."""

    plan: Plan
    better: Plan | None
    whole_layers: Plan | None
    n_weighed: int


Compute = Callable[[Setup], "tuple[int, int] | None"]
"""Bytes of the compute buffers on the card and in RAM; None where llama.cpp cannot make such a context."""


def choose(shape: Shape, machine: Machine, wish: Wish, compute: Compute) -> Choice:
    """Weigh all candidates. compute is asked once for each context, KV type and batch. Raises CannotPlan."""
    known = [(base, found) for base in _bases(shape, wish) if (found := compute(base)) is not None]
    plans = [plan for base, found in known for plan in _placements(shape, machine, wish, base, found)]
    if not plans:
        raise CannotPlan(f"llama.cpp can make no context of {wish.n_ctx or wish.n_ctx_least:,} tokens for this model")
    fitting = [plan for plan in plans if plan.fits]
    best = max(fitting, key=_order) if fitting else min(plans, key=lambda p: max(p.card_lacks, 0) + max(p.ram_lacks, 0))
    better = [plan for plan in plans if not plan.fits and plan.worth > best.worth] if fitting else []
    whole = [plan for plan in fitting if plan.setup.n_split == 0]
    return Choice(
        plan=best,
        better=min(better, key=lambda p: max(p.card_lacks, p.ram_lacks), default=None),
        whole_layers=max(whole, key=_order, default=None),
        n_weighed=len(plans),
    )


def _order(plan: Plan) -> tuple[float, int, int]:
    return plan.worth, plan.setup.n_ctx, -plan.card.total


def _bases(shape: Shape, wish: Wish) -> Iterator[Setup]:
    for n_ctx in _contexts(shape, wish):
        for kv in wish.kv:
            for n_ubatch in wish.n_ubatch:
                yield Setup(n_ctx, kv, min(n_ubatch, n_ctx), wish.n_seq, swa_full=wish.swa_full)


def _contexts(shape: Shape, wish: Wish) -> list[int]:
    if wish.n_ctx:
        return [wish.n_ctx]
    most = min(shape.n_ctx_train or wish.n_ctx_least, _MOST_CTX)
    ladder = [min(wish.n_ctx_least, most)]
    while ladder[-1] < most:
        ladder.append(min(ladder[-1] * 2, most))
    return ladder


def _placements(shape: Shape, machine: Machine, wish: Wish, base: Setup, compute: tuple[int, int]) -> list[Plan]:
    """The ways to lay one context out that may be best, and for each the next one that does not fit."""
    if machine.card is None:
        return [_weigh(shape, machine, wish, base, compute)]

    def plan(n_card: int, n_split: int = 0) -> Plan:
        return _weigh(shape, machine, wish, replace(base, n_card=n_card, n_split=n_split), compute)

    if wish.n_card is not None:
        return [plan(shape.n_layers if wish.n_card < 0 else min(wish.n_card, shape.n_layers))]
    whole = _around(lambda n: plan(n), range(shape.n_layers + 1))
    split = _around(lambda n: plan(shape.n_layers, len(shape.layers) - n), range(len(shape.layers) + 1))
    return whole + split


def _around(plan: Callable[[int], Plan], steps: range) -> list[Plan]:
    """More steps take more of the card: the last that fits it and the first that does not."""
    low, high = steps.start, steps.stop  # the first that does not fit is within
    while low < high:
        middle = (low + high) // 2
        if plan(middle).card_lacks <= 0:
            low = middle + 1
        else:
            high = middle
    return [plan(at) for at in (low - 1, low) if at in steps]


def _weigh(shape: Shape, machine: Machine, wish: Wish, setup: Setup, compute: tuple[int, int]) -> Plan:
    uses_card = setup.n_card > 0
    card = replace(on_card(shape, setup), compute=compute[0] if uses_card else 0)
    ram = replace(in_ram(shape, setup), compute=compute[1] if uses_card else max(compute))
    speed = tokens_per_s(shape, machine, setup)
    context = setup.n_ctx / min(wish.n_ctx_least, setup.n_ctx)
    worth = speed * _KV_WORTH[setup.kv] * _BATCH_WORTH.get(setup.n_ubatch, 0.9) * context**_CTX_WORTH
    return Plan(
        setup=setup,
        card=card,
        ram=ram,
        tokens_per_s=speed,
        worth=worth,
        card_lacks=card.total - (machine.card.budget if machine.card else 0),
        ram_lacks=ram.total - machine.ram_budget,
    )


def tokens_per_s(shape: Shape, machine: Machine, setup: Setup) -> float:
    """Of one stream: what a token reads on each side over the side's bandwidth, and the ways between them."""
    card, split = card_blocks(shape, setup), split_blocks(shape, setup)
    as_f16 = replace(setup, kv="f16")  # fewer bytes to read, but more work to unpack: no quicker in practice
    used = shape.n_expert_used / shape.n_expert if shape.n_expert else 1.0
    fill = min(setup.n_ctx, _CHAT_TOKENS) / max(setup.n_ctx, 1)
    n_card, n_ram = 0.0, 0.0
    for at, layer in enumerate(shape.layers):
        rest = sum(_read(w, used) for w in layer.weights if w.part == "rest") + kv_bytes(shape, layer, as_f16) * fill
        inner = sum(_read(w, used) for w in layer.weights if w.part != "rest")
        n_card += (rest if at in card else 0.0) + (inner if at in card and at not in split else 0.0)
        n_ram += (0.0 if at in card else rest) + (inner if at not in card or at in split else 0.0)
    output = sum(w.n_bytes for w in shape.output)
    n_ram += 0 if setup.n_card else output
    n_card += output if setup.n_card else 0
    ways = len(split) + (1 if 0 < setup.n_card < shape.n_layers else 0)
    card_s = n_card / machine.card.bandwidth if machine.card else 0.0
    seconds = card_s + n_ram / machine.ram_bandwidth + ways * _BETWEEN_S
    return 1.0 / seconds if seconds > 0 else 0.0


def _read(weight: Weight, used: float) -> float:
    return weight.n_bytes * (used if weight.part == "experts" else 1.0)
