"""The HTTP application: routes, the gate that holds requests while the model loads, one shape for every error.

Nothing is created at import. Knows an engine only by its protocol.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llmserver import __version__
from llmserver.api import health, models
from llmserver.api.document import describe_errors
from llmserver.api.guard import HostGuard, LoadingGate
from llmserver.api.readiness import Readiness
from llmserver.api.refusals import wrong_field
from llmserver.errors import InvalidKey, LlmServerError, MethodNotAllowed, RequestError, UnknownRoute
from llmserver.settings import ServeSettings

log = logging.getLogger("llmserver")


class Engine(Protocol):
    """What turns requests into tokens: its routes, and a load that may take minutes."""

    router: APIRouter
    on_crash: Callable[[], None]

    def drain(self, timeout_s: float) -> None:
        """Take no new requests; at the end of the time, answer whoever is left with an error. Returns at once."""

    def load(self) -> None:
        """Bring the model into memory. Raises StartupError when that is impossible."""

    def n_ctx(self) -> int:
        """Context size in tokens of the loaded model."""


def create_app(
    settings: ServeSettings, engine: Engine, readiness: Readiness, on_start: Callable[[], None] = lambda: None
) -> FastAPI:
    """Build the application. on_start runs once the event loop does; it is where loading begins."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if app.state.pool is not None:
            app.state.pool.attach(asyncio.get_running_loop())
        on_start()
        yield

    app = FastAPI(title="Paddock model server", version=__version__, lifespan=lifespan)
    app.state.settings, app.state.readiness = settings, readiness
    app.state.pool = getattr(engine, "pool", None)  # the stock engine has none
    app.include_router(health.router)
    app.include_router(models.router)
    app.include_router(engine.router)
    describe_errors(app)
    app.add_middleware(LastResort)
    app.add_middleware(LoadingGate, readiness=readiness)
    app.add_middleware(HostGuard, server=settings.server)
    for kind in (LlmServerError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, answer_error)
    return app


class LastResort:
    """Answer what no route expected, and log it once.

    Starlette's own handler raises the error again behind its answer: uvicorn then logs it a second time and closes
    the connection, on which the client may already have sent its next request.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_started = False

        async def watch(message: Message) -> None:
            nonlocal has_started
            has_started = True
            await send(message)

        try:
            await self.app(scope, receive, watch)
        except Exception as why:
            if has_started or scope["type"] != "http":
                raise
            await (await answer_error(Request(scope), why))(scope, receive, send)


async def answer_error(request: Request, why: Exception) -> JSONResponse:
    """Turn any exception into the one envelope. The only place that does."""
    error = as_error(why, request.method, request.url.path)
    if error.status >= 500 and not isinstance(why, LlmServerError):
        log.error("unexpected error in %s %s", request.method, request.url.path, exc_info=why)
    return JSONResponse(error.envelope(), status_code=error.status, headers=getattr(why, "headers", None))


def as_error(why: Exception, method: str, path: str) -> LlmServerError:
    """Find the error of our tree that says what happened."""
    if isinstance(why, LlmServerError):
        return why
    if isinstance(why, RequestValidationError):
        return wrong_field(why.errors()[0])
    if isinstance(why, HTTPException):
        if why.status_code == 404:
            return UnknownRoute(f"there is no {method} {path} here: GET /openapi.json lists the routes")
        if why.status_code == 405:
            return MethodNotAllowed(f"{path} does not take {method}: GET /openapi.json lists what it takes")
        if why.status_code == 401:
            return InvalidKey("a valid API key is needed: send it as `Authorization: Bearer KEY`")
        error = RequestError(str(why.detail)) if why.status_code < 500 else LlmServerError(str(why.detail))
        error.status = why.status_code
        return error
    return LlmServerError("the server failed at this request: its log has the details")
