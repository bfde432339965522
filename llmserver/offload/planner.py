"""Choose how a model is loaded: context, KV type, batch, layers on each card and what of them stays in RAM.

All candidates are weighed together, by predicted tokens a second and what a longer context or finer KV cache is worth
beside them; nothing is cut in a fixed order. Pure: sizes in bytes, speeds in bytes or tokens a second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from llmserver.errors import CannotPlan
from llmserver.offload.memory import Ledger, Setup, Sizes, Weights, kv_sums
from llmserver.offload.spread import Deals, Place

if TYPE_CHECKING:
    from llmserver.offload.shape import Shape

_KV_WORTH = {"f16": 1.0, "bf16": 1.0, "q8_0": 0.93, "q4_0": 0.8}  # of the speed one would give for f16
_BATCH_WORTH = {512: 1.0, 256: 0.98, 128: 0.94, 64: 0.88}
_CTX_WORTH = 0.15  # a context twice as long is worth 11 % of the speed
_MOST_CTX = 131_072
_CHAT_TOKENS = 4096  # what the prediction takes as read at every token, or the context if that is less
_BETWEEN_S = 30e-6  # from one device to another and back: 20 to 50 microseconds measured by others
_RAM_RESERVE = 512 * 1024 * 1024


@dataclass(frozen=True)
class Card:
    """A graphics card or a worker's device: what of it may be used is free - reserve."""

    name: str
    total: int
    free: int
    reserve: int
    bandwidth: float
    reserve_is_measured: bool = False
    bandwidth_is_measured: bool = False

    @property
    def budget(self) -> int:
        """Bytes that a plan may take."""
        return max(self.free - self.reserve, 0)


@dataclass(frozen=True)
class Machine:
    """Where the model shall run. cards: in the order of llama.cpp's devices."""

    cards: tuple[Card, ...]
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
    """A way to load the model: its sizes by place, the speed of one stream, and how much it is worth.

    card_lacks, ram_lacks: bytes above the budgets; below zero, what stays free of them.
    """

    setup: Setup
    cards: tuple[Sizes, ...]
    ram: Sizes
    tokens_per_s: float
    worth: float
    card_lacks: tuple[int, ...]
    ram_lacks: int

    @property
    def fits(self) -> bool:
        """Whether it stays within all budgets."""
        return self.lacks == 0

    @property
    def lacks(self) -> int:
        """Bytes that are missing, in all places together."""
        return sum(max(lacks, 0) for lacks in (*self.card_lacks, self.ram_lacks))


@dataclass(frozen=True)
class Choice:
    """The best plan that fits, else the nearest; the next better one that does not; the same without splitting."""

    plan: Plan
    better: Plan | None
    whole_layers: Plan | None
    n_weighed: int


@dataclass(frozen=True)
class Buffers:
    """What llama.cpp computes in: bytes on each card that holds layers, and in RAM."""

    cards: tuple[int, ...]
    ram: int


Compute = Callable[[Setup], "Buffers | None"]
"""The compute buffers of a context; None where llama.cpp cannot make such a one."""


def choose(shape: Shape, machine: Machine, wish: Wish, compute: Compute) -> Choice:
    """Weigh all candidates. compute is asked once for each context, KV type and batch. Raises CannotPlan."""
    weights = Weights(shape)
    known = [(base, found) for base in _bases(shape, wish) if (found := compute(base)) is not None]
    plans = [plan for base, found in known for plan in _Context(shape, weights, machine, wish, base, found).plans()]
    if not plans:
        raise CannotPlan(f"llama.cpp can make no context of {wish.n_ctx or wish.n_ctx_least:,} tokens for this model")
    fitting = [plan for plan in plans if plan.fits]
    best = max(fitting, key=_order) if fitting else min(plans, key=lambda plan: plan.lacks)
    better = [plan for plan in plans if not plan.fits and plan.worth > best.worth] if fitting else []
    whole = [plan for plan in fitting if plan.setup.n_split == 0]
    return Choice(
        plan=best,
        better=min(better, key=lambda plan: plan.lacks, default=None),
        whole_layers=max(whole, key=_order, default=None),
        n_weighed=len(plans),
    )


def _order(plan: Plan) -> tuple[float, int, int]:
    return plan.worth, plan.setup.n_ctx, -sum(sizes.total for sizes in plan.cards)


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


class _Context:
    """One context, KV type and batch: the ways to lay it out that may be best, and the next ones, which do not fit."""

    def __init__(
        self, shape: Shape, weights: Weights, machine: Machine, wish: Wish, base: Setup, buffers: Buffers
    ) -> None:
        self._n_layers, self._weights, self._machine, self._wish = shape.n_layers, weights, machine, wish
        self._base, self._buffers, self._ledger = base, buffers, Ledger(shape, base, weights)
        fill = min(base.n_ctx, _CHAT_TOKENS) / max(base.n_ctx, 1)
        # Fewer bytes are more work to unpack: no quicker in practice. Of recurrent states a token reads its own.
        as_f16 = kv_sums(shape, replace(base, kv="f16", n_seq=1))
        self._read = [n + kv * fill for n, kv in zip(weights.read, as_f16, strict=True)]
        length = base.n_ctx / min(wish.n_ctx_least, base.n_ctx)
        self._factor = _KV_WORTH[base.kv] * _BATCH_WORTH.get(base.n_ubatch, 0.9) * length**_CTX_WORTH
        self._places = [
            Place(card.budget - compute, 1 / card.bandwidth)
            for card, compute in zip(machine.cards, buffers.cards, strict=True)
        ]

    def plans(self) -> list[Plan]:
        """For each kind of layout the best that fits, and what comes after the largest that does."""
        deals = self._deals()
        if not self._places:
            return [self._plan(deals, 0)]
        if self._wish.n_card is not None:
            n = self._wish.n_card
            return [self._plan(deals, self._n_layers if n < 0 else min(n, self._n_layers))]
        most = max(n for n in range(self._n_layers + 1) if deals.fits(self._n_layers - n))
        whole = [self._plan(deals, n) for n in range(most + 1)]
        best = max((plan for plan in whole if plan.fits), key=_order, default=None)
        found = [best or whole[-1]]
        if most < self._n_layers:
            found.append(self._plan(deals, most + 1))
        return found + self._with_split(best, is_needed=most < self._n_layers)

    def _with_split(self, best: Plan | None, *, is_needed: bool) -> list[Plan]:
        """All layers on cards, some of them with FFN or experts in RAM: the same two, where it beats the best."""
        n_blocks, found, low = self._n_layers - 1, list[Plan](), 1
        if is_needed:  # all of them whole do not fit
            high = n_blocks + 1
            while low < high:
                middle = (low + high) // 2
                low, high = (low, middle) if self._deals(middle).fits(0) else (middle + 1, high)
            found.append(self._plan(self._deals(low - 1), self._n_layers, low - 1))
        for n_split in sorted(range(low, n_blocks + 1), key=self._least_seconds):
            if best and self._least_seconds(n_split) * best.tokens_per_s >= 1:
                break
            plan = self._plan(self._deals(n_split), self._n_layers, n_split)
            if plan.ram_lacks > 0 and n_split == low:  # the others take more of it
                return [*found, plan]
            if plan.fits and (best is None or plan.worth > best.worth):
                best = plan
                found.append(plan)
        return found

    def _least_seconds(self, n_split: int) -> float:
        """No deal with so many split blocks is quicker than on the quickest card alone."""
        inner = self._weights.read_inner[n_split]
        on_card = (self._read[-1] - inner) / max(card.bandwidth for card in self._machine.cards)
        return on_card + inner / self._machine.ram_bandwidth + n_split * _BETWEEN_S

    def _deals(self, n_split: int = 0) -> Deals:
        inner = self._weights.read_inner
        read = [n - inner[min(at, n_split)] for at, n in enumerate(self._read)]
        return Deals(self._places, self._ledger.held(n_split), read, _BETWEEN_S)

    def _plan(self, deals: Deals, n_card: int, n_split: int = 0) -> Plan:
        first, machine, buffers = self._n_layers - n_card, self._machine, self._buffers
        layers = deals.quickest(first) if deals.fits(first) else deals.nearest(first)
        setup = replace(self._base, n_card=n_card, n_split=n_split, layers_by_card=layers)
        sizes = self._ledger.on_cards(setup) if layers else ()
        cards = tuple(
            replace(size, compute=compute) if n else size
            for n, size, compute in zip(layers, sizes, buffers.cards, strict=True)
        )
        is_whole = n_card == self._n_layers and not n_split  # else RAM computes as well
        ram = replace(
            self._ledger.in_ram(setup), compute=buffers.ram if is_whole else max(buffers.ram, *buffers.cards, 0)
        )
        speed = self._tokens_per_s(setup)
        return Plan(
            setup=setup,
            cards=cards,
            ram=ram,
            tokens_per_s=speed,
            worth=speed * self._factor,
            card_lacks=tuple(size.total - card.budget for size, card in zip(cards, machine.cards, strict=True)),
            ram_lacks=ram.total - machine.ram_budget,
        )

    def _tokens_per_s(self, setup: Setup) -> float:
        """Of one stream: what a token reads in each place over the place's bandwidth, and the ways between them."""
        at = first = self._n_layers - setup.n_card
        split = max(min(first + setup.n_split, self._n_layers - 1), first)
        read, inner = self._read, self._weights.read_inner
        seconds = (read[first] + inner[split] - inner[first]) / self._machine.ram_bandwidth
        for card, n in zip(self._machine.cards, setup.layers_by_card, strict=True):
            end = at + n
            seconds += (read[end] - read[at] - inner[min(end, split)] + inner[min(at, split)]) / card.bandwidth
            at = end
        n_used = sum(n > 0 for n in setup.layers_by_card)
        ways = split - first + max(n_used - 1, 0) + (1 if 0 < setup.n_card < self._n_layers else 0)
        seconds += ways * _BETWEEN_S
        return 1.0 / seconds if seconds > 0 else 0.0
