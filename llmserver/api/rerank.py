"""POST /v1/rerank: order documents by how well they answer a query, in the shape of Jina, Cohere and llama-server."""

from __future__ import annotations

import secrets
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends
from fastapi import Request as HttpRequest
from pydantic import Discriminator, Field, Tag
from starlette.types import Send

from llmserver.api.body import StrictRoute
from llmserver.api.fields import Body, NonEmpty
from llmserver.api.generation import aside
from llmserver.api.keys import require_key
from llmserver.api.kinds import require_kind
from llmserver.api.refusals import TAG
from llmserver.api.sampling import owner_of
from llmserver.api.sse import WatchedResponse, send_json

if TYPE_CHECKING:
    from llmserver.engine.embed_service import EmbedService
    from llmserver.engine.pool import Pool

MAX_DOCUMENTS = 1000
router = APIRouter(route_class=StrictRoute, dependencies=[Depends(require_key)], tags=["Rerank"])


class TextDocument(Body):
    """A document as an object."""

    text: str


def _form(value: Any) -> str:
    return f"{TAG}object" if isinstance(value, dict) else f"{TAG}text"


Document = Annotated[
    Annotated[str, Tag(f"{TAG}text")] | Annotated[TextDocument, Tag(f"{TAG}object")], Discriminator(_form)
]


class RerankBody(Body):
    """POST /v1/rerank."""

    model: NonEmpty | None = Field(None, description="A name from GET /v1/models; null is the first one that ranks.")
    query: NonEmpty
    documents: Annotated[list[Document], Field(min_length=1, max_length=MAX_DOCUMENTS)]
    top_n: Annotated[int, Field(ge=1)] | None = Field(None, description="How many of the best to return. Default: all.")
    return_documents: bool | None = Field(None, description="Send the documents' texts back too. Default false.")

    @property
    def texts(self) -> list[str]:
        """The documents as texts."""
        return [document if isinstance(document, str) else document.text for document in self.documents]


@router.post("/v1/rerank", summary="Rerank", response_model=None)
@router.post("/rerank", summary="Rerank", response_model=None, include_in_schema=False)
async def rerank(request: HttpRequest, body: RerankBody) -> WatchedResponse:
    """Score each document against the query."""
    return WatchedResponse(partial(_respond, request.app.state.pool, body, owner_of(request)))


async def _respond(pool: Pool, body: RerankBody, owner: str, send: Send) -> None:
    async with pool.use(body.model, "rerank") as use:
        require_kind(use, "rerank", pool.known())
        service: EmbedService = use.service
        texts = body.texts
        n_chars = sum(map(len, texts)) + len(texts) * len(body.query)
        prompts = await aside(lambda: [service.pair(body.query, text) for text in texts], n_chars=n_chars)
        vectors = await service.embed(prompts, owner, param="documents")
        scores = [float(vector[0]) for vector in vectors]
        n_tokens = sum(map(len, prompts))
        await send_json(
            send,
            {
                "id": f"rerank-{secrets.token_hex(12)}",
                "object": "list",
                "model": use.name,
                "results": _results(body, scores),
                "usage": {"prompt_tokens": n_tokens, "total_tokens": n_tokens},
            },
        )


def _results(body: RerankBody, scores: list[float]) -> list[dict[str, Any]]:
    """The best first; of equal ones the first."""
    order = sorted(range(len(scores)), key=lambda i: -scores[i])[: body.top_n]
    texts = body.texts
    shown = [{"document": {"text": texts[i]}} if body.return_documents else {} for i in order]
    return [{"index": i, "relevance_score": scores[i], **extra} for i, extra in zip(order, shown, strict=True)]
