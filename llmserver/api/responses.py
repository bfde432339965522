"""POST /v1/responses: OpenAI's newer protocol over the same prompts and answers as chats. Nothing is stored."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from fastapi import APIRouter, Depends
from fastapi import Request as HttpRequest
from starlette.types import Send

from llmserver.api.body import StrictRoute
from llmserver.api.chat_fields import ChatBody
from llmserver.api.chat_prompt import prepare
from llmserver.api.exchange import send_whole, submitted
from llmserver.api.keys import require_key
from llmserver.api.kinds import require_kind
from llmserver.api.response_chat import as_chat, renamed
from llmserver.api.response_fields import ResponseBody
from llmserver.api.response_writer import ResponseWriter
from llmserver.api.sampling import owner_of, sampling_of
from llmserver.api.sse import EventStream, WatchedResponse
from llmserver.engine.request import Failed, Finished, Reading, Request, Waiting
from llmserver.errors import EngineFailed, LlmServerError, RequestError

if TYPE_CHECKING:
    from llmserver.engine.pool import Pool
    from llmserver.engine.service import Service, Stream

log = logging.getLogger("llmserver")
router = APIRouter(route_class=StrictRoute, dependencies=[Depends(require_key)])


@router.post("/v1/responses", summary="Response", tags=["OpenAI V1"], response_model=None)
async def respond(request: HttpRequest, body: ResponseBody) -> WatchedResponse:
    """Answer a text or a list of items."""
    chat = as_chat(body)
    return WatchedResponse(partial(_respond, request.app.state.pool, body, chat, owner_of(request)))


async def _respond(pool: Pool, body: ResponseBody, chat: ChatBody, owner: str, send: Send) -> None:
    async with pool.use(body.model, "chat") as use:
        require_kind(use, "chat", pool.known())
        try:
            prompt = await prepare(chat, use)
        except RequestError as why:
            raise renamed(why) from why
        asked = Request(
            tokens=prompt.tokens,
            max_tokens=chat.most_tokens,
            sampling=sampling_of(chat, use, prompt.grammar),
            adapter=use.adapter,
            owner=owner,
            preserved=prompt.preserved,
        )
        writer = ResponseWriter(body, use.name, prompt.parser())
        if body.stream:
            await _send_stream(send, use.service, asked, writer)
        else:
            await send_whole(send, use.service, [asked], writer)


async def _send_stream(send: Send, service: Service, asked: Request, writer: ResponseWriter) -> None:
    """Answer with typed events; what fails after the first one ends as response.failed."""
    with submitted(service, [asked], writer.prompt_field) as (stream,):
        async with EventStream(send) as out:
            try:
                await _pour(stream, out, writer)
            except Exception as why:
                if not out.has_started:
                    raise
                await out.write(writer.failed(_told(why)).encode(), is_last=True)


async def _pour(stream: Stream, out: EventStream, writer: ResponseWriter) -> None:
    has_ended = False
    async for events in stream:
        chunks = []
        for event in events:
            if isinstance(event, Failed):
                raise event.error
            if not isinstance(event, (Waiting, Reading)):
                chunks.append(writer.render(0, event))
                has_ended = has_ended or isinstance(event, Finished)
        if any(chunks):
            await out.write("".join(chunks).encode(), is_last=has_ended)
    if not has_ended:
        raise EngineFailed("the answer broke off: the server's log has the details")


def _told(why: Exception) -> LlmServerError:
    if isinstance(why, LlmServerError):
        return why
    log.error("a stream failed", exc_info=why)
    return LlmServerError("the server failed amid this answer: its log has the details")
