"""The connection of one answer, which another thread can cut at any moment."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl

    import httpx2


class Connection:
    """Keeps its socket, so that cut() can wake a thread that waits for bytes."""

    def __init__(self, tls: ssl.SSLContext | bool) -> None:
        self._tls = tls
        self._sockets: list[socket.socket] = []
        self._cut = False

    def transport(self) -> httpx2.BaseTransport:
        """An httpx transport that reports its socket here (the trace extension of httpcore)."""
        import httpx2

        outer = self

        class Reporting(httpx2.HTTPTransport):
            def handle_request(self, request: httpx2.Request) -> httpx2.Response:
                request.extensions = {**request.extensions, "trace": outer.hear}
                return super().handle_request(request)

        return Reporting(verify=self._tls, trust_env=False)

    def hear(self, event: str, info: Mapping[str, Any]) -> None:
        """Called by httpcore at each step; keeps the socket of a connection that was made."""
        if event in {"connection.connect_tcp.complete", "connection.start_tls.complete"}:
            self._sockets.append(info["return_value"].get_extra_info("socket"))
            if self._cut:
                self.cut()

    def cut(self) -> None:
        """Shut the socket down; a blocked read in another thread returns at once."""
        self._cut = True
        for sock in self._sockets:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
