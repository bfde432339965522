"""The connection of one answer, which another thread can cut at any moment."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection, IncompleteRead, InvalidURL
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import ssl

_CONNECT_TIMEOUT_S = 5.0
_AT_MOST = 65_536  # bytes a read; what is there comes at once


class Reply:
    """What a server answered: its status at once, its body as it comes."""

    def __init__(self, response: HTTPResponse) -> None:
        self._response = response
        self.status = response.status

    def header(self, name: str) -> str:
        """The value of a header, empty where there is none."""
        return self._response.headers.get(name, "")

    def pieces(self) -> Iterator[bytes]:
        """The body. Raises IncompleteRead, an HTTPException, where it ends early, OSError, and ValueError for one that
        is packed, which nobody asked for."""
        if self.header("content-encoding").strip().lower() not in {"", "identity"}:
            raise ValueError("a packed body")
        while piece := self._response.read1(_AT_MOST):
            yield piece
        if self._response.length:
            raise IncompleteRead(b"", self._response.length)


class Connection:
    """One request on a socket of its own, which is kept, so that cut() can wake a thread that waits for bytes."""

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        self._tls = tls
        self._socket: socket.socket | None = None
        self._cut = False

    @contextmanager
    def ask(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None, *, timeout_s: float
    ) -> Iterator[Reply]:
        """Send a request and give its reply. timeout_s: the longest wait for the next bytes.

        Raises OSError (TimeoutError, ssl.SSLError), HTTPException, and ValueError for what is no address.
        """
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise InvalidURL(url)
        for value in headers.values():
            value.encode("ascii")
        where = (parts.hostname, parts.port)
        http = (
            HTTPSConnection(*where, timeout=_CONNECT_TIMEOUT_S, context=self._tls)
            if parts.scheme == "https"
            else HTTPConnection(*where, timeout=_CONNECT_TIMEOUT_S)
        )
        try:
            http.connect()
            self._socket = http.sock
            self._socket.settimeout(timeout_s)
            if self._cut:
                self.cut()
            http.request(method, f"{parts.path}?{parts.query}" if parts.query else parts.path or "/", body, headers)
            with http.getresponse() as response:
                yield Reply(response)
        finally:
            http.close()

    def cut(self) -> None:
        """Shut the socket down; a blocked read in another thread returns at once."""
        self._cut = True
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
