"""Before anything else: under which name this server is asked, and what a reverse proxy in front of it may say."""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Callable, Iterable
from typing import Any

from werkzeug.http import parse_cookie

from chatbot.errors import HostRefused
from chatbot.settings import WebSettings, is_loopback

COOKIE = "paddock"
_STRANGERS = 4
_PLAIN = [("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff")]

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class HostCheck:
    """Refuse names that this server does not go by: a page that rebinds its name here gets nothing.

    With accounts it goes by any of its addresses, which no name leads to, and by the machine's own name.
    """

    def __init__(self, inner: Wsgi, settings: WebSettings) -> None:
        self._inner, self._names = inner, settings.names()
        self._has_accounts = settings.has_accounts()
        if self._has_accounts:
            own = socket.gethostname().partition(".")[0].lower()
            self._names |= {own, f"{own}.local", settings.host.lower()}

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if self._knows(str(environ.get("HTTP_HOST", ""))):
            return self._inner(environ, start)
        error = HostRefused("This server does not go by that name: add it with --allowed_hosts.")
        start(f"{error.status} Forbidden", _PLAIN)
        return [error.message.encode()]

    def _knows(self, host: str) -> bool:
        name = host if host.endswith("]") else host.rsplit(":", 1)[0]
        name = name.strip("[]").lower()
        return name in self._names or is_loopback(name) or (self._has_accounts and _is_address(name))


class TrustedProxy:
    """Take from a reverse proxy that is trusted where a request really comes from, and whether it came by https."""

    def __init__(self, inner: Wsgi, addresses: frozenset[str]) -> None:
        self._inner, self._addresses = inner, addresses

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("REMOTE_ADDR") in self._addresses:
            said = _last(environ, "HTTP_X_FORWARDED_FOR")
            scheme = _last(environ, "HTTP_X_FORWARDED_PROTO")
            if _is_address(said):
                environ["REMOTE_ADDR"] = said
            if scheme in {"http", "https"}:
                environ["wsgi.url_scheme"] = scheme
        return self._inner(environ, start)


class Strangers:
    """Let few sockets of those who are not logged in wait for their refusal: each holds a thread of the server."""

    def __init__(self, inner: Wsgi, is_known: Callable[[str], bool]) -> None:
        self._inner, self._is_known = inner, is_known
        self._turns = threading.BoundedSemaphore(_STRANGERS)

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        is_socket = str(environ.get("PATH_INFO", "")).startswith("/socket.io")
        if not is_socket or self._is_known(parse_cookie(environ).get(COOKIE, "")):
            return self._inner(environ, start)
        if not self._turns.acquire(blocking=False):
            start("401 Unauthorized", _PLAIN)
            return [b"log in first"]
        try:
            return self._inner(environ, start)  # of a WebSocket this is the whole of its life
        finally:
            self._turns.release()


def _last(environ: dict[str, Any], name: str) -> str:
    """What the nearest proxy has added; what stands before it came from anywhere."""
    return str(environ.get(name, "")).rpartition(",")[2].strip()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
