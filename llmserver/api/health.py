"""GET /health: is the model in memory, which one, and what a person should know about it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from llmserver import __version__
from llmserver.api.models import default_capabilities
from llmserver.api.readiness import Readiness, State
from llmserver.errors import ModelFailed, ModelLoading

router = APIRouter()

DEMO_NOTICE = (
    "This is a demonstration model: small enough to ship, too small to know things. "
    "Run ./setup.sh models to see useful ones, and ./setup.sh --model NAME to get one."
)


@router.get("/health", summary="Health", tags=["Server"])
async def health(request: Request) -> JSONResponse:
    """Answer 200 when the model can be asked, 503 with the error envelope before. Never waits, needs no key."""
    readiness: Readiness = request.app.state.readiness
    can = await default_capabilities(request)
    model = asdict(readiness.card) | ({} if can is None else {"capabilities": can})
    body: dict[str, Any] = {"status": readiness.state.value, "version": __version__, "model": model}
    if readiness.card.demo:
        body["notice"] = DEMO_NOTICE
    if readiness.state is State.OK:
        return JSONResponse(body)
    return JSONResponse(body | waiting(readiness.state).envelope(), status_code=503, headers={"Retry-After": "1"})


def waiting(state: State) -> ModelLoading | ModelFailed:
    """The error that a request gets before the model is there."""
    if state is State.FAILED:
        return ModelFailed("the model could not be loaded: the server's log says why")
    return ModelLoading("the model is still being loaded: ask again in a moment")
