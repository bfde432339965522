"""GET /plan: what memory the models take and may take, as far as it is known now."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Depends, Request

from llmserver import ram
from llmserver.api.keys import require_key
from llmserver.engine.pool import file_size
from llmserver.settings import ServeSettings

if TYPE_CHECKING:
    from llmserver.engine.pool import Held, Pool

router = APIRouter(dependencies=[Depends(require_key)], tags=["Server"])
_MIB = 1024 * 1024


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
