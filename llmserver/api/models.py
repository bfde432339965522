"""GET /v1/models from what is known without asking an engine, so that it never waits behind a generation."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Depends, Request

from llmserver.api.capabilities import capabilities_of
from llmserver.api.keys import require_key
from llmserver.api.readiness import ModelCard, Readiness
from llmserver.errors import UnknownModel
from llmserver.settings import ServeSettings

if TYPE_CHECKING:
    from llmserver.engine.pool import Known, Pool

router = APIRouter(dependencies=[Depends(require_key)])


@router.get("/v1/models", summary="Models", tags=["OpenAI V1"])
async def list_models(request: Request) -> dict[str, Any]:
    """List the models by the names that requests may use; the first is the default."""
    return {"object": "list", "data": await _entries(request)}


@router.get("/v1/models/{name:path}", summary="Model", tags=["OpenAI V1"])
async def get_model(request: Request, name: str) -> dict[str, Any]:
    """Tell about one model. Raises UnknownModel with the names that are known."""
    entries = {entry["id"]: entry for entry in await _entries(request)}
    if name not in entries:
        raise UnknownModel(f"no model is called {name!r} here; known: {', '.join(entries)}", param="model")
    return dict(entries[name])


async def _entries(request: Request) -> list[dict[str, Any]]:
    """One entry a name: the models, each followed by its adapters."""
    readiness: Readiness = request.app.state.readiness
    pool: Pool | None = request.app.state.pool
    settings: ServeSettings = request.app.state.settings
    if pool is None:
        return [_stock_entry(str(model.model_alias), readiness) for model in settings.models]
    known = pool.known()
    can = await asyncio.to_thread(_capabilities, known, settings)
    return [entry for one in known for entry in _pool_entries(one, can[one.name], readiness.card)]


async def default_capabilities(request: Request) -> list[str] | None:
    """What the first model can be asked for; None if the engine does not tell."""
    pool: Pool | None = request.app.state.pool
    if pool is None:
        return None
    first = pool.known()[0]
    return (await asyncio.to_thread(_capabilities, [first], request.app.state.settings))[first.name]


def _capabilities(known: Sequence[Known], settings: ServeSettings) -> dict[str, list[str]]:
    options = {str(model.model_alias): model for model in settings.models}
    return {one.name: capabilities_of(one, options.get(one.name)) for one in known}


def _stock_entry(name: str, readiness: Readiness) -> dict[str, Any]:
    entry = _entry(name)
    if name == readiness.card.id:
        entry["meta"] = {"n_ctx": readiness.card.n_ctx, "state": readiness.state.value, "demo": readiness.card.demo}
    return entry


def _pool_entries(known: Known, can: list[str], card: ModelCard) -> list[dict[str, Any]]:
    meta: dict[str, Any] = {"state": known.state, "kind": known.kind, "capabilities": can}
    meta["demo"] = card.demo and known.name == card.id
    if known.info is not None:
        info = known.info
        meta |= {"n_ctx": info.n_ctx, "n_ctx_train": info.n_ctx_train, "n_vocab": info.n_vocab}
        meta |= {"n_embd": info.n_embd, "size_bytes": info.size_bytes}
    adapted = [_entry(f"{known.name}:{name}") | {"parent": known.name, "meta": meta} for name in known.adapters]
    return [_entry(known.name) | {"meta": meta}, *adapted]


def _entry(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "me"}
