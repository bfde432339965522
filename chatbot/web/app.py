"""The web application: the page, /health, security headers, errors in one shape. Nothing is created at import."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Response, jsonify, render_template, request
from flask_socketio import SocketIO
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as AnyResponse

from chatbot import __version__
from chatbot.core.llm import ModelClient
from chatbot.errors import BadRequest, ChatError, OriginRefused, TooManyTries
from chatbot.settings import WebSettings, is_loopback
from chatbot.web.auth import add_auth, to_login
from chatbot.web.hosts import HostCheck, Strangers, TrustedProxy
from chatbot.web.library import add_library
from chatbot.web.library_wire import as_chat_error
from chatbot.web.packing import add_packing
from chatbot.web.service import ChatService
from chatbot.web.shell import add_shell
from chatbot.web.sockets import attach
from chatbot.web.transfer import add_transfer
from chatbot.web.uploads import add_uploads
from rag.errors import RagError

log = logging.getLogger("chatbot")

# Scripts and styles come from this server alone and never from inside the page, so that a model's words cannot
# become code even if the sanitiser had a hole.
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
# A message of two million characters may take four bytes each; what is larger than that is cut off by the server.
_MAX_PACKET_BYTES = 9_000_000


def create_app(settings: WebSettings, model: ModelClient) -> Flask:
    """Open the database and build the application with its background threads."""
    app = Flask(__name__)
    socketio = SocketIO(
        app, async_mode="threading", max_http_buffer_size=_MAX_PACKET_BYTES, ping_interval=20, ping_timeout=20
    )
    service = ChatService(settings, model, socketio)
    app.extensions["chat"] = service
    _add_routes(app, service)
    add_packing(app)
    add_shell(app)
    add_auth(app, service.auth)
    add_uploads(app, service)
    add_transfer(app, service)
    add_library(app, service)
    attach(socketio, service)
    if service.auth.in_force:
        app.wsgi_app = Strangers(app.wsgi_app, service.auth.is_known)  # type: ignore[method-assign,assignment]
    app.wsgi_app = HostCheck(app.wsgi_app, settings)  # type: ignore[method-assign,assignment]
    app.wsgi_app = TrustedProxy(app.wsgi_app, settings.proxies())  # type: ignore[method-assign,assignment]
    return app


def _add_routes(app: Flask, service: ChatService) -> None:
    @app.get("/")
    @app.get("/c/<chat_id>")
    @app.get("/library")
    @app.get("/library/<int:shelf_id>")
    @app.get("/library/document/<int:document_id>")
    def page(**_: object) -> AnyResponse:
        if not service.auth.is_known():
            return to_login()
        is_local = is_loopback(urlsplit(service.settings.url).hostname or "")
        limit, where = service.settings.max_message_chars, "server" if service.auth.in_force else "machine"
        text = render_template("chat.html", version=__version__, max_chars=limit, is_local=is_local, where=where)
        return service.auth.keep_cookie(Response(text))

    @app.get("/health")
    def health() -> Response:
        model = {"model": asdict(service.model_health())} if service.auth.is_known() else {}
        return jsonify(status="ok", version=__version__, **model)

    @app.after_request
    def protect(response: Response) -> Response:
        response.headers.update(_HEADERS)
        return response

    app.register_error_handler(Exception, answer_error)


def answer_error(why: Exception) -> Response:
    """Turn any exception into output: a page for a browser, the envelope for programs. The only place that does."""
    error = _as_error(why)
    wanted = request.accept_mimetypes
    if wanted["text/html"] > wanted["application/json"]:
        answer = Response(render_template("error.html", error=error))
    else:
        answer = jsonify(error=error.wire())
    if isinstance(error, TooManyTries):
        answer.headers["Retry-After"] = str(error.wait_s)
    answer.status_code = error.status
    return answer


def _as_error(why: Exception) -> ChatError:
    if isinstance(why, ChatError):
        return why
    if isinstance(why, RagError):
        return as_chat_error(why)
    if isinstance(why, HTTPException) and (why.code or 500) < 500:
        error = BadRequest({404: "There is no such page."}.get(why.code or 0, str(why.description)))
        error.status = why.code or 400
        error.code = why.name.lower().replace(" ", "_")
        return error
    log.error("a page failed", exc_info=why)
    return ChatError("The chat server failed at this page: its log has the details.")


def same_origin() -> None:
    """Let only this server's own page pass. Raises OriginRefused.

    A page from elsewhere can send a form here, but neither the header X-Paddock nor another Origin than its own.
    """
    origin = request.headers.get("Origin")
    if request.headers.get("X-Paddock") != "1" or (origin is not None and urlsplit(origin).netloc != request.host):
        raise OriginRefused("This is for the chat's own page: programs send the header X-Paddock: 1 and no Origin.")


def service_of(app: Flask) -> Any:
    """The chat service of an application, for the process that runs it."""
    return app.extensions["chat"]
