"""POST /extras/tokenize, /extras/tokenize/count and /extras/detokenize, as in llama_cpp.server."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from fastapi import APIRouter, Depends, Request
from pydantic import Field

from llmserver.api.body import StrictRoute
from llmserver.api.fields import Body, NonEmpty, TokenId
from llmserver.api.generation import aside
from llmserver.api.keys import require_key
from llmserver.errors import RequestError

if TYPE_CHECKING:
    from llmserver.engine.pool import Pool

router = APIRouter(route_class=StrictRoute, dependencies=[Depends(require_key)], tags=["Extras"])


class TextBody(Body):
    """A text for a model to split into tokens."""

    model: NonEmpty | None = None
    input: str


class TokensBody(Body):
    """Tokens for a model to join to a text."""

    model: NonEmpty | None = None
    tokens: list[TokenId] = Field(description="Token ids of the model.")


@router.post("/extras/tokenize", summary="Tokenize")
async def tokenize(request: Request, body: TextBody) -> dict[str, list[int]]:
    """The tokens of a text, with the model's begin token if it has one; special tokens in the text count as such."""
    return {"tokens": await _tokens(request, body)}


@router.post("/extras/tokenize/count", summary="Count tokens")
async def count(request: Request, body: TextBody) -> dict[str, int]:
    """How many tokens /extras/tokenize would give."""
    return {"count": len(await _tokens(request, body))}


async def _tokens(request: Request, body: TextBody) -> list[int]:
    pool: Pool = request.app.state.pool
    async with pool.use(body.model) as use:
        service = use.service
        work = partial(service.tokenize, body.input, bos=service.info.add_bos, special=True)
        return await aside(work, n_chars=len(body.input))


@router.post("/extras/detokenize", summary="Detokenize")
async def detokenize(request: Request, body: TokensBody) -> dict[str, str]:
    """The text of tokens; half a character becomes U+FFFD."""
    pool: Pool = request.app.state.pool
    async with pool.use(body.model) as use:
        last = use.service.info.n_vocab - 1
        for i, token in enumerate(body.tokens):
            if token > last:
                raise RequestError(f"tokens.{i}: {token} is no token of this model: 0 to {last}", param=f"tokens.{i}")
        work = partial(use.service.detokenize, body.tokens, special=False)
        return {"text": (await aside(work, n_chars=len(body.tokens))).decode("utf-8", "replace")}
