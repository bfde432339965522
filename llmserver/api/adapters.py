"""GET, POST and DELETE /v1/adapters: LoRA adapters of a served model, added and removed while it answers.

Only where there is an API key, and only files beside the model: the path is a name on the server's disk.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import Field

from llmserver.api.body import StrictRoute
from llmserver.api.fields import Between, Body, NonEmpty
from llmserver.api.keys import require_key
from llmserver.api.kinds import require_kind
from llmserver.engine.adapters import AdapterFile
from llmserver.errors import KeyRequired, RequestError
from llmserver.settings import MODELS_DIR, ServeSettings

if TYPE_CHECKING:
    from llmserver.engine.pool import Pool

_MAGIC = b"GGUF"


async def require_owner(request: Request) -> None:
    """Refuse everybody where no key tells the owner from others. Raises KeyRequired."""
    settings: ServeSettings = request.app.state.settings
    if not settings.api_keys:
        raise KeyRequired("adapters are managed with an API key: start the server with --api_key or --api_key_file")


router = APIRouter(
    route_class=StrictRoute, dependencies=[Depends(require_key), Depends(require_owner)], tags=["Adapters"]
)


class AdapterBody(Body):
    """POST /v1/adapters."""

    model: NonEmpty | None = Field(None, description="A name from GET /v1/models; null is the default model.")
    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_.\-]{1,64}$")] = Field(
        description="Requests ask for model:name from then on."
    )
    path: NonEmpty = Field(description="A GGUF file in the model's folder or in models/; relative to the former.")
    scale: Annotated[float, Between(-10, 10)] | None = Field(None, description="Its strength. Default 1.")


@router.get("/v1/adapters", summary="Adapters")
async def list_adapters(request: Request) -> dict[str, Any]:
    """List the adapters of all models."""
    pool: Pool = request.app.state.pool
    entries = [_entry(held.known.name, file) for held in pool.held() for file in held.adapters]
    return {"object": "list", "data": entries}


@router.post("/v1/adapters", summary="Add adapter", status_code=201)
async def add_adapter(request: Request, body: AdapterBody) -> dict[str, Any]:
    """Load an adapter; requests in flight go on. The model is loaded first if need be."""
    pool: Pool = request.app.state.pool
    async with pool.use(body.model) as use:
        require_kind(use, "chat", pool.known())
        path = await asyncio.to_thread(_checked, body.path, Path(use.settings.model))
        file = AdapterFile(body.name, str(path), 1.0 if body.scale is None else body.scale)
        return _entry((await pool.add_adapter(body.model, file)).rpartition(":")[0], file)


@router.delete("/v1/adapters/{name}", summary="Remove adapter")
async def remove_adapter(request: Request, name: str, model: str | None = None) -> dict[str, Any]:
    """Take an adapter away: new requests do not find it, it is freed when the last one that uses it has ended."""
    pool: Pool = request.app.state.pool
    await pool.remove_adapter(model, name)
    return {"object": "adapter", "name": name, "deleted": True}


def _entry(model: str, file: AdapterFile) -> dict[str, Any]:
    return {
        "id": f"{model}:{file.name}",
        "object": "adapter",
        "model": model,
        "name": file.name,
        "scale": file.scale,
        "file": Path(file.path).name,
    }


def _checked(given: str, model: Path) -> Path:
    """The file's real path. Raises RequestError unless it is a GGUF file in one of the two folders."""
    if "\0" in given:
        raise RequestError("path: holds a character that no path may have", param="path")
    folders = [model.absolute().parent, model.resolve().parent, MODELS_DIR]
    path = (folders[0] / given).resolve()
    if not any(path.is_relative_to(folder.resolve()) for folder in folders):
        raise RequestError("path: must lead into the model's folder or the models folder", param="path")
    try:
        with path.open("rb") as file:
            head = file.read(len(_MAGIC))
    except (OSError, ValueError) as why:
        reason = getattr(why, "strerror", None) or "not a path"
        raise RequestError(f"path: cannot read {given}: {reason}", param="path") from why
    if head != _MAGIC:
        raise RequestError(f"path: {given} is no GGUF file", param="path")
    return path
