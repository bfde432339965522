"""POST /v1/chat/completions: from messages to a prompt, and from its answer to OpenAI's shape."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from fastapi import APIRouter, Depends
from fastapi import Request as HttpRequest
from starlette.types import Send

from llmserver.api.answers import new_head
from llmserver.api.body import StrictRoute
from llmserver.api.chat_fields import ChatBody
from llmserver.api.chat_prompt import Prompt, prepare
from llmserver.api.chat_writer import ChatWriter
from llmserver.api.exchange import send_stream, send_whole, wants_progress
from llmserver.api.keys import require_key
from llmserver.api.kinds import require_kind
from llmserver.api.sampling import owner_of, sampling_of, variants
from llmserver.api.sse import WatchedResponse
from llmserver.engine.request import Request

if TYPE_CHECKING:
    from llmserver.engine.pool import Pool, Use

router = APIRouter(route_class=StrictRoute, dependencies=[Depends(require_key)])


@router.post("/v1/chat/completions", summary="Chat", tags=["OpenAI V1"], response_model=None)
async def chat(request: HttpRequest, body: ChatBody) -> WatchedResponse:
    """Answer a conversation."""
    progress = wants_progress(request, body)
    return WatchedResponse(partial(_respond, request.app.state.pool, body, owner_of(request), progress))


async def _respond(pool: Pool, body: ChatBody, owner: str, progress: bool, send: Send) -> None:
    async with pool.use(body.model, "chat") as use:
        require_kind(use, "chat", pool.known())
        prompt = await prepare(body, use)
        requests = _requests(body, use, prompt, owner)
        writer = ChatWriter(
            new_head("chatcmpl", "chat.completion.chunk" if body.stream else "chat.completion", use.name),
            [prompt.parser() for _ in requests],
            use.service.pieces(),
            has_logprobs=bool(body.logprobs),
            include_usage=body.wants_usage,
        )
        if body.stream:
            await send_stream(send, use.service, requests, writer, progress=progress)
        else:
            await send_whole(send, use.service, requests, writer)


def _requests(body: ChatBody, use: Use, prompt: Prompt, owner: str) -> list[Request]:
    """One request a choice."""
    sampling = sampling_of(body, use, prompt.grammar)
    return [
        Request(
            tokens=prompt.tokens,
            max_tokens=body.most_tokens,
            sampling=variant,
            stop=body.stops,
            n_logprobs=body.n_logprobs,
            adapter=use.adapter,
            owner=owner,
            preserved=prompt.preserved,
        )
        for variant in variants(sampling, body.n or 1)
    ]
