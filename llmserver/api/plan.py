"""GET /plan: what memory the models take and may take, as far as it is known now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Depends, Request

from llmserver import ram
from llmserver.api.chat_prompt import source_of
from llmserver.api.keys import require_key
from llmserver.engine.pool import file_size
from llmserver.settings import ModelOptions, ServeSettings

if TYPE_CHECKING:
    from llmserver.engine.info import ModelInfo, Placement
    from llmserver.engine.pool import Held, Pool

router = APIRouter(dependencies=[Depends(require_key)], tags=["Server"])
_MIB = 1024 * 1024
WORDS_PER_TOKEN = 0.75
"""Of English, by the rule of thumb for the vocabularies of today's models; other languages get fewer."""


@router.get("/plan", summary="Plan")
async def plan(request: Request) -> dict[str, Any]:
    """Tell sizes in bytes; what only a loaded model knows is null before."""
    pool: Pool = request.app.state.pool
    settings: ServeSettings = request.app.state.settings
    memory = {
        "ram_bytes": ram.total_bytes(),
        "free_bytes": ram.free_bytes(),
        "process_bytes": ram.resident_bytes(),
        "models_limit_bytes": settings.server.models_ram_mib * _MIB,
    }
    return {"memory": memory, "models": [_entry(held) | await _counted(held) for held in pool.held()]}


async def _counted(held: Held) -> dict[str, Any]:
    """The engine's own count of its cells, to hold against the books: waits for the end of a step."""
    count = getattr(held.service, "count_cells", None)
    return {"kv_cells_counted": await count() if count else None}


def _entry(held: Held) -> dict[str, Any]:
    options, known = held.options, held.known
    return {
        "name": known.name,
        "kind": known.kind,
        "state": known.state,
        "file_bytes": file_size(options),
        "n_gpu_layers": options.n_gpu_layers,
        "n_ctx": known.info.n_ctx if known.info else options.n_ctx or None,
        "n_parallel": options.n_parallel,
        "planned_bytes": held.size_bytes if held.service is not None else None,
        "placement": asdict(known.info.placement) if known.info and known.info.placement else None,
        "summary": summary(known.info, options, _n_sequences(held)) if known.info else None,
        **_cache(held),
    }


def _cache(held: Held) -> dict[str, Any]:
    """The KV cache of a model that generates; others keep nothing between two batches."""
    backend = getattr(held.service, "backend", None)
    traits = getattr(backend, "traits", None)
    stats = held.service.stats() if held.service is not None else None
    return {
        "n_sequences": traits.n_seq if traits else None,
        "kv_cells": traits.n_cells if traits else None,
        "kv_cells_used": stats.cells_used if traits and stats else None,
        "kv_bytes_per_token": round(traits.bytes_per_token) if traits else None,
        "kv_bytes": round(traits.n_cells * traits.bytes_per_token) if traits else None,
        "host_cache_bytes": stats.host_bytes if stats else None,
        "host_cache_limit_bytes": held.options.cache_ram_mib * _MIB if held.known.kind == "chat" else None,
    }


def _n_sequences(held: Held) -> int | None:
    traits = getattr(getattr(held.service, "backend", None), "traits", None)
    return traits.n_seq if traits else None


def summary(info: ModelInfo, options: ModelOptions, n_sequences: int | None) -> str:
    """Where a loaded model runs, how much it takes in and how many it answers at once, in sentences for a person."""
    length = f"may be {info.n_ctx:,} tokens long, about {_rounded(info.n_ctx * WORDS_PER_TOKEN):,} words"
    n_people = min(options.n_parallel, n_sequences or options.n_parallel)
    people = f"up to {n_people} people are answered at once" if n_people > 1 else "one person is answered at a time"
    if info.kind != "chat":
        holds = f"A text {length}."
    elif source_of(info, options.chat_format):
        holds = f"A conversation {length}; {people}."
    else:
        holds = f"A text with its continuation {length}; {people}."
    return f"{_where(info.placement, info.metadata)} {holds}" if info.placement else holds


def _where(placement: Placement, metadata: Mapping[str, str]) -> str:
    n_all, n_card = placement.n_layers, min(placement.n_gpu_layers, placement.n_layers)
    n_rest, n_split = n_all - n_card, min(placement.n_cpu_ffn, n_card - 1)  # the output layer cannot be split
    if n_card <= 0:
        return "Everything runs on the processor."
    run = f"{n_card} of {n_all} layers {'run' if n_card > 1 else 'runs'}" if n_rest else f"All {n_all} layers run"
    if n_split <= 0:
        return f"{run} on the card, the rest on the processor." if n_rest else f"{run} on the card."
    n_expert = next((n for key, n in metadata.items() if key.endswith(".expert_count")), "0")
    inner = "feed-forward weights" if n_expert == "0" else "experts"
    rest = f"; the other {n_rest} run on the processor" if n_rest else ""
    return f"{run} on the card, but the {inner} of {n_split} of them stay in RAM{rest}."


def _rounded(n_words: float) -> int:
    """Two figures: more would claim to know."""
    return int(round(n_words, 2 - len(str(int(n_words)))))
