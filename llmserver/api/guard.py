"""What stands in front of every route: the host check, and the gate while the model loads."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from llmserver.api.health import waiting
from llmserver.api.readiness import Readiness, State
from llmserver.errors import HostRefused
from llmserver.settings import ServerOptions, is_loopback


class HostGuard:
    """Refuse names that this server does not go by, so that a web page cannot reach it by rebinding its own name.

    A server on loopback answers to loopback names; one on a given address answers to that too. Further names
    come from the setting allowed_hosts. A server on all addresses answers to all: there the key protects it.
    """

    def __init__(self, app: ASGIApp, server: ServerOptions) -> None:
        self.app, self.server = app, server
        self._names = {name.lower() for name in (server.host, *server.allowed_hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._knows(Headers(scope=scope).get("host", "")):
            error = HostRefused("this server does not go by that name: add it with --allowed_hosts")
            await JSONResponse(error.envelope(), status_code=error.status)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _knows(self, host: str) -> bool:
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        name = name.strip("[]").lower()
        return (
            self.server.host in {"0.0.0.0", "::"}  # noqa: S104 - compared, not bound
            or name in self._names
            or is_loopback(name)
        )


class LoadingGate:
    """Answer 503 to everything but /health until the model is in memory."""

    def __init__(self, app: ASGIApp, readiness: Readiness) -> None:
        self.app, self.readiness = app, readiness

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = self.readiness.state
        open_paths = {"/health", "/v1/models", "/openapi.json", "/docs"}
        if scope["type"] != "http" or state is State.OK or scope["path"] in open_paths:
            await self.app(scope, receive, send)
            return
        error = waiting(state)
        response = JSONResponse(error.envelope(), status_code=error.status, headers={"Retry-After": "1"})
        await response(scope, receive, send)
