"""Decide how a model would lie on a machine, how quickly it would answer at most, and which one suits the machine.

The planner's arithmetic with the server's defaults, without its probe: what llama.cpp computes in is an allowance here.
Pure; sizes in bytes, speeds in tokens a second of one answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llmserver.library.catalog import CHAT, billions
from llmserver.offload.memory import sequences
from llmserver.offload.planner import Buffers, Wish, choose
from llmserver.offload.shape import Layer, Shape, Weight

if TYPE_CHECKING:
    from llmserver.library.catalog import Model
    from llmserver.offload.planner import Machine, Plan

CARD, SPLIT, PROCESSOR, NOWHERE = "card", "card + RAM", "processor", "no"
N_CTX, N_PARALLEL = 4096, 8  # of a server that is told nothing else

# Half of it is what people read along; a processor makes about half of what its memory alone would let it.
USEFUL_TOKENS_PER_S = 12.0
_LEAST_CARDS = 3 * 1024**3  # less holds wholly only what is too small to be the best choice

# Embedding models compute whole texts at once, so cores count, not memory. Measured: all-MiniLM-L6-v2 as Q8_0, texts of
# 200 tokens, two cores, n_batch 256. A book has some 2,000 such chunks.
_CHUNKS_PER_S, _CHUNKS_BILLIONS = 14.0, 0.0106  # of one core, and the parameters that computed
USEFUL_CHUNKS_PER_S = 5.0

_BUFFER_BYTES, _BUFFER_SHARE = 96 * 1024**2, 0.02  # llama.cpp took 18 to 124 MiB for 0.1 to 6.6 GB
_N_LAYER, _KV_SHARE = 32, 0.08  # of a model about which the catalog says nothing more: KV cache of N_CTX by file size
_FFN_SHARE = 0.65  # of a block's weights


@dataclass(frozen=True)
class Fit:
    """How a model lies on a machine; where it lies NOWHERE, the nearest way and what it lacks."""

    where: str
    n_cards: int
    card_bytes: int
    ram_bytes: int
    card_lacks: int
    ram_lacks: int
    tokens_per_s: float
    n_ctx: int
    is_estimate: bool
    """Made without the file's own header."""

    @property
    def card_share(self) -> float:
        """How much of it is on the card."""
        return self.card_bytes / max(self.card_bytes + self.ram_bytes, 1)

    @property
    def lacks(self) -> int:
        """Bytes that are missing, wherever."""
        return self.card_lacks + self.ram_lacks


@dataclass(frozen=True)
class Advice:
    """The model for a machine and why; larger: one that would answer too, but is only partly on the card."""

    model: Model
    fit: Fit
    why: str
    larger: tuple[Model, Fit] | None = None


def fit(shape: Shape, machine: Machine, *, shared_bytes: int = 0, is_estimate: bool = False) -> Fit:
    """Return how a model lies on a machine. shared_bytes: what card and RAM have together where they are one memory."""
    is_small = bool(shape.n_window) or any(layer.state_values for layer in shape.layers)
    n_ctx = min(N_CTX, shape.n_ctx_train or N_CTX)
    wish = Wish(n_ctx=n_ctx, n_ubatch=(512,), n_seq=sequences(N_PARALLEL, is_small=is_small))
    taken = buffers(shape, machine)
    plan = choose(shape, machine, wish, lambda _setup: taken).plan
    card_bytes = sum(sizes.total for sizes in plan.cards)
    beyond = card_bytes + plan.ram.total - shared_bytes if shared_bytes else 0
    return Fit(
        where=_where(shape, plan) if plan.fits and beyond <= 0 else NOWHERE,
        n_cards=sum(sizes.total > 0 for sizes in plan.cards),
        card_bytes=card_bytes,
        ram_bytes=plan.ram.total,
        card_lacks=sum(max(lacks, 0) for lacks in plan.card_lacks),
        ram_lacks=max(plan.ram_lacks, beyond, 0),
        tokens_per_s=plan.tokens_per_s,
        n_ctx=n_ctx,
        is_estimate=is_estimate,
    )


def _where(shape: Shape, plan: Plan) -> str:
    if not plan.setup.n_card:
        return PROCESSOR
    return CARD if plan.setup.n_card >= shape.n_layers and not plan.setup.n_split else SPLIT


def buffers(shape: Shape, machine: Machine) -> Buffers:
    """Return what llama.cpp is allowed to compute in: on each card that holds layers, and in RAM."""
    n_bytes = _BUFFER_BYTES + int(shape.n_bytes * _BUFFER_SHARE)
    if not machine.cards:
        return Buffers((), n_bytes)
    return Buffers((n_bytes,) * len(machine.cards), _BUFFER_BYTES)


def estimated(model: Model) -> Shape:
    """Return the shape that a model of the catalog should have: even blocks, sizes as the catalog knows them.

    What a token does not read are resting experts, or tables of embeddings, which stay in RAM.
    """
    n_layer = model.n_layer or _N_LAYER
    used = model.n_expert_used / model.n_expert if model.n_expert else 1.0
    resting = model.size_bytes * (1 - model.read_share)
    experts = min(resting / (1 - used), model.size_bytes) if model.n_expert else 0.0
    tables = 0.0 if model.n_expert else resting
    block = (model.size_bytes - experts - tables) / (n_layer + 1)  # the output counts as one more
    ffn = 0.0 if experts else block * _FFN_SHARE
    weights = [_weight("rest", block - ffn), _weight("ffn", ffn), _weight("experts", experts / n_layer)]
    kv_token_bytes = model.kv_token_bytes or int(model.size_bytes * _KV_SHARE / N_CTX)
    layer = Layer(
        weights=tuple(weight for weight in weights if weight.n_bytes),
        k_width=kv_token_bytes // (2 * n_layer),
        v_width=0,
        state_values=model.state_bytes // (4 * n_layer),
    )
    return Shape(
        name=model.title,
        architecture="",
        n_ctx_train=model.n_ctx_train,
        n_vocab=0,
        n_window=0,
        n_expert=model.n_expert,
        n_expert_used=model.n_expert_used,
        has_template=True,
        layers=(layer,) * n_layer,
        input=(_weight("rest", tables),) if tables else (),
        output=(_weight("rest", block),),
        is_tied=False,
    )


def _weight(part: str, n_bytes: float) -> Weight:
    return Weight(part, int(n_bytes), row_elements=512, row_bytes=1024, part=part)


def recommend(found: Sequence[tuple[Model, Fit]], machine: Machine) -> Advice:
    """Return the best chat model that fits with a useful speed, the demonstration model where none does."""
    found = [pair for pair in found if pair[0].kind == CHAT]
    known = [pair for pair in found if not pair[0].demo and pair[1].where != NOWHERE]
    whole = [pair for pair in known if pair[1].where == CARD] if _cards_bytes(machine) >= _LEAST_CARDS else []
    quick = [pair for pair in known if pair[1].tokens_per_s >= USEFUL_TOKENS_PER_S]
    if whole:
        best = _largest(whole)
        more = [pair for pair in quick if pair[0].size_bytes > best[0].size_bytes]
        return Advice(*best, "the largest that lies wholly on the card", _largest(more) if more else None)
    if quick:
        return Advice(*_largest(quick), f"the largest of which {USEFUL_TOKENS_PER_S:.0f} tokens/s can be hoped for")
    if known:
        best = max(known, key=lambda pair: pair[1].tokens_per_s)
        return Advice(*best, f"the quickest; none reaches {USEFUL_TOKENS_PER_S:.0f} tokens/s here")
    smallest = min(found, key=lambda pair: pair[0].size_bytes)
    return Advice(*smallest, "no model of use fits; this one shows that everything works")


def chunks_per_s(model: Model, n_cores: int) -> float:
    """Return how many texts of 200 tokens a processor would embed in a second, about."""
    return _CHUNKS_PER_S * n_cores * _CHUNKS_BILLIONS / (billions(model.active or model.parameters) or 1.0)


def recommend_embedding(found: Sequence[tuple[Model, Fit]], n_cores: int) -> tuple[Model, str]:
    """Return the embedding model for a machine, which computes beside the chat model on the processor, and why."""
    known = [model for model, its in found if its.where != NOWHERE] or [model for model, _ in found]
    quick = [model for model in known if chunks_per_s(model, n_cores) >= USEFUL_CHUNKS_PER_S]
    if quick:
        best = max(quick, key=lambda model: model.size_bytes)
        return best, f"the largest of which {USEFUL_CHUNKS_PER_S:.0f} chunks/s can be hoped for"
    return max(known, key=lambda model: chunks_per_s(model, n_cores)), "the quickest"


def _largest(found: Sequence[tuple[Model, Fit]]) -> tuple[Model, Fit]:
    return max(found, key=lambda pair: pair[0].size_bytes)


def _cards_bytes(machine: Machine) -> int:
    return sum(card.total for card in machine.cards)
