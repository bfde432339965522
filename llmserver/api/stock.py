"""The stock engine: llama_cpp.server's own routes and model proxy, with our errors instead of its mixed ones.

The library keeps its settings and its one model in module globals, so a process holds one such engine.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
from fastapi import APIRouter, Depends, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from llama_cpp.server import app as library
from llama_cpp.server.errors import RouteErrorHandler
from sse_starlette.sse import AppStatus, EventSourceResponse

from llmserver.api import checks
from llmserver.api.keys import require_key
from llmserver.engine.llama.log import LlamaLog
from llmserver.errors import ContextExceeded, LlmServerError, ModelFileBroken, RequestError
from llmserver.library.modelfile import GET_ONE
from llmserver.settings import ModelOptions, ServeSettings

log = logging.getLogger("llmserver")
_LOAD_FAILURES = (ValueError, RuntimeError, AssertionError, MemoryError, OSError)


class StockEngine:
    """Loads the first model and answers with the library's own code, one request at a time."""

    def __init__(self, settings: ServeSettings) -> None:
        self._settings = settings
        self.on_crash: Callable[[], None] = lambda: None
        self.router = _routes()
        library.set_server_settings(settings.server)
        library.prepare_request_resources = checks.prepare  # ours calls the library's
        AppStatus.enable_automatic_graceful_drain = False  # it cuts streams at the first signal; uvicorn drains them

    def drain(self, timeout_s: float) -> None:
        """The library's streams end by themselves, or are cut at the deadline."""

    def load(self) -> None:
        """Bring the default model into memory; a GPU that cannot hold it is given up for the CPU.

        Raises ModelFileBroken with llama.cpp's own reason.
        """
        first = self._settings.models[0]
        try:
            self._try(first)
        except ModelFileBroken as why:
            if first.n_gpu_layers == 0 or "n_gpu_layers" in first.model_fields_set:
                raise
            log.warning("%s; trying again on the CPU alone", why.message)
            self._try(first.model_copy(update={"n_gpu_layers": 0}))

    def _try(self, first: ModelOptions) -> None:
        with LlamaLog(verbose=first.verbose) as heard:
            try:
                library.set_llama_proxy([first, *self._settings.models[1:]])
            except _LOAD_FAILURES as why:
                reason = heard.reason() or str(why)
                raise ModelFileBroken(f"cannot load {first.model}: {reason}; get a model with `{GET_ONE}`") from why

        self._llama().model_path = first.model_alias  # what answers name when the request named no model

    def n_ctx(self) -> int:
        """Context size in tokens of the loaded model."""
        return int(self._llama().n_ctx())

    def _llama(self) -> Any:
        proxy: Any = library._llama_proxy
        return proxy()


def _routes() -> APIRouter:
    """The library's routes over our route class, without the ones that this server answers itself."""
    router = APIRouter(route_class=_Route)
    for route in library.router.routes:
        if isinstance(route, APIRoute) and route.path != "/v1/models":
            router.add_api_route(
                route.path,
                checks.ENDPOINTS.get(route.endpoint, route.endpoint),
                methods=sorted(route.methods or ()),
                summary=route.summary,
                tags=route.tags,
                dependencies=[Depends(require_key)] if route.dependencies else [],  # the library knows one key
                response_model=route.response_model,
                responses=route.responses,
                include_in_schema=route.include_in_schema,
            )
    return router


class _Route(APIRoute):
    """A route whose failures leave as errors of our tree, before the first byte or in the middle of a stream."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        inner = super().get_route_handler()

        async def handle(request: Request) -> Response:
            async with _translated():
                response = await inner(request)
            if isinstance(response, EventSourceResponse) and response.data_sender_callable:
                _end_with_error_event(response, response.data_sender_callable)
            return response

        return handle


def _end_with_error_event(response: EventSourceResponse, sender: Callable[[], Awaitable[None]]) -> None:
    """Make a stream that fails after its headers end with an event that holds the error envelope.

    The openai SDK raises APIError for such an event; a cut connection would tell it nothing.
    """
    chunks = response.body_iterator
    failures: list[LlmServerError] = []
    sent = anyio.Event()

    async def send() -> None:
        try:
            async with _translated():
                await sender()
        except LlmServerError as why:
            failures.append(why)
        except Exception as why:
            log.error("a stream failed", exc_info=why)
            failures.append(LlmServerError("the server failed in the middle of this answer: its log has the details"))
        finally:
            if isinstance(sender, partial):  # the library leaves it open when it fails before the first chunk
                sender.keywords["inner_send_chan"].close()
            sent.set()

    async def receive() -> AsyncIterator[Any]:
        async for chunk in chunks:
            yield chunk
        await sent.wait()
        for failure in failures:
            yield {"data": json.dumps(failure.envelope())}

    response.data_sender_callable, response.body_iterator = send, receive()


@asynccontextmanager
async def _translated() -> AsyncIterator[None]:
    try:
        yield
    except (RequestValidationError, HTTPException, LlmServerError):
        raise
    except UnicodeEncodeError as why:
        raise RequestError("the text holds half of a surrogate pair, which is no character") from why
    except Exception as why:
        known = _as_context_error(why)
        if known is None:
            raise
        raise known from why


def _as_context_error(why: BaseException) -> ContextExceeded | None:
    """Recognise a prompt that does not fit: the library raises a bare ValueError and ships the pattern to tell."""
    for pattern in RouteErrorHandler.pattern_and_formatters:
        found = pattern.search(str(why)) if isinstance(why, ValueError) else None
        if found and found.re.groups == 2:
            asked, held = found.groups()
            return ContextExceeded(
                f"the prompt has {asked} tokens, this model holds {held}: "
                f"shorten it or start the server with --n_ctx {_next_context(int(asked))}",
                param="messages",
            )
    return None


def _next_context(n_tokens: int) -> int:
    """A context size that holds the prompt and an answer, in steps of 1,024 tokens."""
    return -(-(n_tokens + 1024) // 1024) * 1024
