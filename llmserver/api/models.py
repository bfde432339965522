"""GET /v1/models from what is known without asking the engine, so that it never waits behind a generation."""

from __future__ import annotations

import hmac
from typing import Any

from fastapi import APIRouter, Depends, Request

from llmserver.api.readiness import Readiness
from llmserver.errors import InvalidKey
from llmserver.settings import ServeSettings


async def require_key(request: Request) -> None:
    """Refuse a request without the API key, where one is set. Raises InvalidKey."""
    settings: ServeSettings = request.app.state.settings
    key = settings.server.api_key
    scheme, _, sent = request.headers.get("authorization", "").partition(" ")
    if key is not None and not (scheme.lower() == "bearer" and hmac.compare_digest(sent.encode(), key.encode())):
        raise InvalidKey("a valid API key is needed: send it as `Authorization: Bearer KEY`")


router = APIRouter(dependencies=[Depends(require_key)])


@router.get("/v1/models", summary="Models", tags=["OpenAI V1"])
async def list_models(request: Request) -> dict[str, Any]:
    """List the models by the names that requests may use; the first is the default."""
    settings: ServeSettings = request.app.state.settings
    readiness: Readiness = request.app.state.readiness
    return {"object": "list", "data": [_entry(str(m.model_alias), readiness) for m in settings.models]}


def _entry(name: str, readiness: Readiness) -> dict[str, Any]:
    entry: dict[str, Any] = {"id": name, "object": "model", "created": 0, "owned_by": "me"}
    if name == readiness.card.id:
        entry["meta"] = {"n_ctx": readiness.card.n_ctx, "state": readiness.state.value, "demo": readiness.card.demo}
    return entry
