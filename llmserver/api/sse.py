"""Send answers: beside every one runs a watch on the client, and a stream is written in as few steps as it can be.

Knows bytes and comments, nothing of chats or completions.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from llmserver.errors import LlmServerError

HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]
DONE = b"data: [DONE]\n\n"
FIRST_SIGN_S = 1.0
SIGN_EVERY_S = 10.0
STALLED_S = 120.0
quote: Callable[[Any], str] = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_LINE_ENDS = {0x85: "\\u0085", 0x2028: "\\u2028", 0x2029: "\\u2029"}


def quote_text(text: str) -> str:
    """A text as JSON. Characters that some clients take for line ends are escaped."""
    return quote(text) if text.isascii() else quote(text).translate(_LINE_ENDS)


def data(value: Any) -> bytes:
    """One event that holds a JSON value."""
    return f"data: {quote(value).translate(_LINE_ENDS)}\n\n".encode()


class WatchedResponse(Response):
    """A response that computes and sends itself, and stops computing when the client goes away.

    What respond raises before its first byte becomes a plain HTTP error.
    """

    def __init__(self, respond: Callable[[Send], Awaitable[None]]) -> None:
        self.background = None
        self.status_code = 200
        self._respond = respond

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        work = asyncio.ensure_future(self._respond(send))
        watch = asyncio.ensure_future(_until_gone(receive))
        try:
            await asyncio.wait({work, watch}, return_when=asyncio.FIRST_COMPLETED)
        finally:  # also when the server cancels this request at its deadline
            watch.cancel()
            if not work.done():
                work.cancel()
                await asyncio.wait({work})
        if not work.cancelled():
            work.result()


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def send_json(send: Send, value: Any) -> None:
    """Send a whole answer."""
    body = quote(value).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class EventStream:
    """The writing end of one stream: headers as late as an error may still need them, a sign of life in silence.

    note: what the comment of a sign of life says.
    """

    def __init__(self, send: Send) -> None:
        self._send, self._lock, self._clock = send, asyncio.Lock(), asyncio.get_running_loop().time
        self.note = "waiting"
        self.has_started = self._has_ended = False
        self._last = self._clock()

    async def __aenter__(self) -> EventStream:
        self._signs = asyncio.ensure_future(self._give_signs(asyncio.current_task()))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._signs.cancel()

    async def write(self, events: bytes, *, is_last: bool = False) -> None:
        """Send finished events, with the headers before the first ones."""
        message: Message = {"type": "http.response.body", "body": events, "more_body": not is_last}
        async with self._lock:
            if self._has_ended:
                return
            self._has_ended = is_last
            if not self.has_started:
                self.has_started = True
                await self._send({"type": "http.response.start", "status": 200, "headers": HEADERS})
            await self._send(message)
        self._last = self._clock()

    async def fail(self, error: LlmServerError) -> None:
        """End the stream with an error: as an event, or as the whole response when nothing was sent."""
        if not self.has_started:
            raise error
        await self.write(data(error.envelope()), is_last=True)

    async def _give_signs(self, writer: asyncio.Task[Any] | None) -> None:
        """Write a comment after each silence, which proxies cut; give up on a client that reads nothing at all."""
        await asyncio.sleep(FIRST_SIGN_S)
        with contextlib.suppress(asyncio.TimeoutError):
            while not self._is_stalled():
                if not self._lock.locked() and (not self.has_started or self._silent_s() >= SIGN_EVERY_S):
                    await asyncio.wait_for(self.write(f": {self.note}\n\n".encode()), STALLED_S)
                await asyncio.sleep(max(FIRST_SIGN_S, SIGN_EVERY_S - self._silent_s()))
        if writer is not None:
            writer.cancel()

    def _silent_s(self) -> float:
        return self._clock() - self._last

    def _is_stalled(self) -> bool:
        """Whether something waits to be written since long: what waits for the engine does not count."""
        return self._lock.locked() and self._silent_s() >= STALLED_S
