"""Whether a model does what a route is for, and which of the served models does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from llmserver.errors import RequestError

if TYPE_CHECKING:
    from llmserver.engine.pool import Known, Use

_DOES = {"chat": "writes text", "embedding": "makes embeddings", "rerank": "ranks documents"}


def require_kind(use: Use, kind: str, known: Sequence[Known]) -> None:
    """Raise RequestError, naming the served models that can, unless the model in use is of the kind."""
    is_of = use.service.info.kind
    if is_of == kind:
        return
    able = [model.name for model in known if model.kind == kind]
    helps = f"ask {' or '.join(able)}" if able else _how_to_serve(kind)
    raise RequestError(
        f"model: {use.name} {_DOES.get(is_of, is_of)}, this route needs one that {_DOES[kind]}: {helps}", param="model"
    )


def _how_to_serve(kind: str) -> str:
    settings = {"embedding": "--embedding true", "rerank": "--pooling rank"}
    served = f" with {settings[kind]}" if kind in settings else ""
    return f"none is served here; the server's owner can add one to the config file{served}"
