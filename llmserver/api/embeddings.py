"""POST /v1/embeddings: texts or tokens to vectors of length one."""

from __future__ import annotations

import base64
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Depends
from fastapi import Request as HttpRequest
from pydantic import Discriminator, Field, Tag
from starlette.types import Send

from llmserver.api.body import StrictRoute
from llmserver.api.fields import Body, NonEmpty, TokenId
from llmserver.api.generation import aside
from llmserver.api.keys import require_key
from llmserver.api.kinds import require_kind
from llmserver.api.refusals import TAG
from llmserver.api.sampling import owner_of
from llmserver.api.sse import WatchedResponse, send_json
from llmserver.errors import RequestError

if TYPE_CHECKING:
    from llmserver.engine.embed_service import EmbedService
    from llmserver.engine.pool import Pool

MAX_INPUTS = 2048
router = APIRouter(route_class=StrictRoute, dependencies=[Depends(require_key)])
Vector = np.ndarray[Any, np.dtype[np.float32]]


def _form(value: Any) -> str:
    """Which of its four forms the input has; an empty list is read as one of texts."""
    if not isinstance(value, list):
        return f"{TAG}text"
    first = value[0] if value else ""
    if isinstance(first, list):
        return f"{TAG}token lists"
    return f"{TAG}tokens" if isinstance(first, int) and not isinstance(first, bool) else f"{TAG}texts"


Tokens = Annotated[list[TokenId], Field(min_length=1)]
Input = Annotated[
    Annotated[str, Tag(f"{TAG}text")]
    | Annotated[Annotated[list[str], Field(min_length=1, max_length=MAX_INPUTS)], Tag(f"{TAG}texts")]
    | Annotated[Tokens, Tag(f"{TAG}tokens")]
    | Annotated[Annotated[list[Tokens], Field(min_length=1, max_length=MAX_INPUTS)], Tag(f"{TAG}token lists")],
    Discriminator(_form),
]


class EmbeddingBody(Body):
    """POST /v1/embeddings."""

    model: NonEmpty | None = Field(None, description="A name from GET /v1/models; null is the first one that embeds.")
    input: Input = Field(description=f"One text, up to {MAX_INPUTS} texts, one token list, or a list of those.")
    encoding_format: Literal["float", "base64"] | None = Field(
        None, description="base64 is of little-endian 32-bit floats. Default float."
    )
    dimensions: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Keep so many numbers of each vector, scaled to length one again. Default: all."
    )
    user: str | None = Field(None, description="Accepted, without effect.")

    @property
    def is_one(self) -> bool:
        """Whether the input is a single one outside of a list."""
        return isinstance(self.input, str) or isinstance(self.input[0], int)

    @property
    def inputs(self) -> list[str | list[int]]:
        """The inputs as a list in every form."""
        given: Any = self.input
        return [given] if self.is_one else given


@router.post("/v1/embeddings", summary="Embeddings", tags=["OpenAI V1"], response_model=None)
async def embeddings(request: HttpRequest, body: EmbeddingBody) -> WatchedResponse:
    """Make one vector of each input."""
    return WatchedResponse(partial(_respond, request.app.state.pool, body, owner_of(request)))


async def _respond(pool: Pool, body: EmbeddingBody, owner: str, send: Send) -> None:
    async with pool.use(body.model, "embedding") as use:
        require_kind(use, "embedding", pool.known())
        service: EmbedService = use.service
        n_embd = service.info.n_embd
        if body.dimensions is not None and body.dimensions > n_embd:
            raise RequestError(
                f"dimensions: must be at most {n_embd} with {use.name}, got {body.dimensions}", param="dimensions"
            )
        prompts = await aside(partial(_prompts, body, service), n_chars=sum(map(len, body.inputs)))
        vectors = await service.embed(prompts, owner)
        work = partial(_entries, vectors, body)
        data = await aside(work, n_chars=len(vectors) * n_embd)
        n_tokens = sum(map(len, prompts))
        usage = {"prompt_tokens": n_tokens, "total_tokens": n_tokens}
        await send_json(send, {"object": "list", "data": data, "model": use.name, "usage": usage})


def _prompts(body: EmbeddingBody, service: EmbedService) -> list[list[int]]:
    """The tokens of each input. Raises RequestError for an input without any and for tokens that do not exist."""
    found: list[list[int]] = []
    for i, given in enumerate(body.inputs):
        where = "input" if body.is_one else f"input.{i}"
        tokens = service.tokenize(given, bos=True, special=False) if isinstance(given, str) else given
        if not tokens:
            raise RequestError(f"{where}: must not be empty: this model has no token to begin with", param=where)
        last = service.info.n_vocab - 1
        for at, token in enumerate(tokens):
            if token > last:
                raise RequestError(
                    f"{where}.{at}: {token} is no token of this model: 0 to {last}", param=f"{where}.{at}"
                )
        found.append(tokens)
    return found


def _entries(vectors: Any, body: EmbeddingBody) -> list[dict[str, Any]]:
    write = _as_base64 if body.encoding_format == "base64" else _as_floats
    normal = (unit(vector[: body.dimensions]) for vector in vectors)
    return [{"object": "embedding", "index": i, "embedding": write(vector)} for i, vector in enumerate(normal)]


def unit(vector: Vector) -> Vector:
    """The vector scaled to length one; zeros stay zeros."""
    length = float(np.linalg.norm(vector.astype(np.float64)))
    return vector if length == 0.0 else (vector / length).astype(np.float32)


def _as_floats(vector: Vector) -> list[float]:
    """Nine decimals are as many as a float32 has near one; all of a double's would double the size."""
    floats: list[float] = np.round(vector.astype(np.float64), 9).tolist()
    return floats


def _as_base64(vector: Vector) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()
