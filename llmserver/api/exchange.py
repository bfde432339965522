"""Carry one HTTP request through the engine: submit, merge its streams, render events, cancel whatever is left.

Which bytes an event becomes is decided by a Writer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from fastapi import Request as HttpRequest
from starlette.types import Send

from llmserver.api.fields import GenerationFields
from llmserver.api.sse import EventStream, send_json
from llmserver.engine.request import Event, Failed, Finished, Reading, Request, Waiting
from llmserver.errors import ContextExceeded, EngineFailed, LlmServerError, RequestError

if TYPE_CHECKING:
    from llmserver.engine.service import Service, Stream

log = logging.getLogger("llmserver")


class Writer(Protocol):
    """Turns the events of one HTTP request into what its client reads; index is that of the engine's request.

    prompt_field: the field that a prompt which does not fit came from.
    """

    prompt_field: str

    def render(self, index: int, event: Event) -> str:
        """The chunks that an event makes, as SSE events."""

    def progress(self, index: int, event: Waiting | Reading) -> str:
        """A chunk that tells how far the prompt is."""

    def end(self) -> str:
        """What ends the stream when all requests have finished."""

    def whole(self, answers: Sequence[Sequence[Event]]) -> dict[str, Any]:
        """The body of an answer that is not streamed."""


@contextmanager
def submitted(service: Service, requests: Sequence[Request], prompt_field: str) -> Iterator[list[Stream]]:
    """The requests' streams; whatever happens, none of them goes on after the block."""
    if len(requests) > service.n_most:
        raise RequestError(f"n: {len(requests)} answers at once, at most {service.n_most} fit the queue", param="n")
    streams: list[Stream] = []
    try:
        for request in requests:
            streams.append(service.submit(request))
        yield streams
    except ContextExceeded as why:
        why.param = why.param or prompt_field
        raise
    finally:
        for stream in streams:
            stream.cancel()


async def merged(streams: Sequence[Stream]) -> AsyncGenerator[tuple[int, Sequence[Event]], None]:
    """The batches of all streams as they come, each with the index of its stream."""
    if len(streams) == 1:
        async for events in streams[0]:
            yield 0, events
        return
    queue: asyncio.Queue[tuple[int, Sequence[Event]] | None] = asyncio.Queue()

    async def pump(index: int, stream: Stream) -> None:
        try:
            async for events in stream:
                queue.put_nowait((index, events))
        finally:
            queue.put_nowait(None)

    pumps = [asyncio.ensure_future(pump(i, stream)) for i, stream in enumerate(streams)]
    try:
        n_open = len(pumps)
        while n_open:
            item = await queue.get()
            if item is None:
                n_open -= 1
            else:
                yield item
        for done in pumps:
            done.result()
    finally:
        for running in pumps:
            running.cancel()


async def send_stream(
    send: Send, service: Service, requests: Sequence[Request], writer: Writer, *, progress: bool
) -> None:
    """Answer with Server-Sent Events."""
    with submitted(service, requests, writer.prompt_field) as streams:
        async with EventStream(send) as out:
            try:
                await _pour(streams, out, writer, progress=progress)
            except LlmServerError as why:
                await out.fail(why)
            except Exception as why:
                if not out.has_started:
                    raise
                log.error("a stream failed", exc_info=why)
                await out.fail(LlmServerError("the server failed amid this answer: its log has the details"))


async def _pour(streams: Sequence[Stream], out: EventStream, writer: Writer, *, progress: bool) -> None:
    n_open = len(streams)
    async with aclosing(merged(streams)) as batches:
        async for index, events in batches:
            chunks: list[str] = []
            failure: LlmServerError | None = None
            for event in events:
                if isinstance(event, (Waiting, Reading)):
                    out.note = _note(event)
                    if progress:
                        chunks.append(writer.progress(index, event))
                elif isinstance(event, Failed):
                    failure = event.error
                else:
                    n_open -= isinstance(event, Finished)
                    chunks.append(writer.render(index, event))
            if not n_open:
                chunks.append(writer.end())
            if any(chunks):
                await out.write("".join(chunks).encode(), is_last=not n_open)
            if failure is not None:
                raise failure
    if n_open:
        raise EngineFailed("the answer broke off: the server's log has the details")


def _note(event: Waiting | Reading) -> str:
    if isinstance(event, Waiting):
        return f"waiting, {event.position} before you"
    return f"reading {100 * event.done // max(1, event.total)} %"


async def send_whole(send: Send, service: Service, requests: Sequence[Request], writer: Writer) -> None:
    """Answer with one JSON body."""
    answers: list[list[Event]] = [[] for _ in requests]
    with submitted(service, requests, writer.prompt_field) as streams:
        async with aclosing(merged(streams)) as batches:
            async for index, events in batches:
                last = events[-1]
                if isinstance(last, Failed):
                    raise last.error
                answers[index].extend(events)
    if not all(answer and isinstance(answer[-1], Finished) for answer in answers):
        raise EngineFailed("the answer broke off: the server's log has the details")
    await send_json(send, writer.whole(answers))


def wants_progress(request: HttpRequest, body: GenerationFields) -> bool:
    """Whether a stream tells queue place and reading progress: by field, or by header for clients that cannot."""
    preferences = ",".join(request.headers.getlist("prefer")).lower().split(",")
    return bool(body.return_progress) or any(p.partition(";")[0].strip() == "return-progress" for p in preferences)
