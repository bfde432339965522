"""GET /v1/models from what is known without asking an engine, so that it never waits behind a generation."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Depends, Request

from llmserver.api.chat_prompt import compiled
from llmserver.api.keys import require_key
from llmserver.api.readiness import ModelCard, Readiness
from llmserver.errors import LlmServerError, UnknownModel
from llmserver.settings import ServeSettings

if TYPE_CHECKING:
    from llmserver.engine.pool import Known, Pool

router = APIRouter(dependencies=[Depends(require_key)])


@router.get("/v1/models", summary="Models", tags=["OpenAI V1"])
async def list_models(request: Request) -> dict[str, Any]:
    """List the models by the names that requests may use; the first is the default."""
    return {"object": "list", "data": _entries(request)}


@router.get("/v1/models/{name:path}", summary="Model", tags=["OpenAI V1"])
async def get_model(request: Request, name: str) -> dict[str, Any]:
    """Tell about one model. Raises UnknownModel with the names that are known."""
    entries = {entry["id"]: entry for entry in _entries(request)}
    if name not in entries:
        raise UnknownModel(f"no model is called {name!r} here; known: {', '.join(entries)}", param="model")
    return dict(entries[name])


def _entries(request: Request) -> list[dict[str, Any]]:
    """One entry a name: the models, each followed by its adapters."""
    readiness: Readiness = request.app.state.readiness
    pool: Pool | None = request.app.state.pool
    if pool is None:
        settings: ServeSettings = request.app.state.settings
        return [_stock_entry(str(model.model_alias), readiness) for model in settings.models]
    return [entry for known in pool.known() for entry in _pool_entries(known, readiness.card)]


def _stock_entry(name: str, readiness: Readiness) -> dict[str, Any]:
    entry = _entry(name)
    if name == readiness.card.id:
        entry["meta"] = {"n_ctx": readiness.card.n_ctx, "state": readiness.state.value, "demo": readiness.card.demo}
    return entry


def _pool_entries(known: Known, card: ModelCard) -> list[dict[str, Any]]:
    meta: dict[str, Any] = {"state": known.state, "kind": known.kind, "capabilities": _capabilities(known)}
    meta["demo"] = card.demo and known.name == card.id
    if known.info is not None:
        info = known.info
        meta |= {"n_ctx": info.n_ctx, "n_ctx_train": info.n_ctx_train, "n_vocab": info.n_vocab}
        meta |= {"n_embd": info.n_embd, "size_bytes": info.size_bytes}
    adapted = [_entry(f"{known.name}:{name}") | {"parent": known.name, "meta": meta} for name in known.adapters]
    return [_entry(known.name) | {"meta": meta}, *adapted]


def _capabilities(known: Known) -> list[str]:
    """What requests a model answers; what only its file tells is left out until it is loaded."""
    if known.kind != "chat":
        return [known.kind]
    can = ["chat", "completion"]
    if known.info is not None and known.info.fim is not None:
        can.append("fill_in_the_middle")
    if known.info is not None and known.info.chat_template:
        with suppress(LlmServerError):  # a template that cannot be read is told to who asks for a chat
            template = compiled(known.info.chat_template, known.info.bos, known.info.eos).capabilities
            can += ["tools"] * template.tools + ["reasoning"] * template.thinking
    return can


def _entry(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "me"}
