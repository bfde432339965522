"""A proxy on loopback that leads to one checked host, for programs that speak for themselves, such as git.

It connects to the addresses that were checked, so no look-up of that program can change where it gets to.
"""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress

from chatbot.core.sources.address import Target
from chatbot.core.sources.fetch import Net, reached
from chatbot.core.sources.wire import Deadline
from chatbot.errors import FetchFailed

_HEAD_BYTES = 8_192
_PIECE = 65_536
_CONNECT_S = 10.0
_IDLE_S = 60.0


class Tunnel:
    """Open from its making until close. is_too_large: it was shut since more came than n_bytes; problem: why its host
    was not reached, or empty."""

    def __init__(self, target: Target, addresses: Sequence[str], net: Net, n_bytes: int) -> None:
        self._target, self._addresses, self._net, self._n_left = target, addresses, net, n_bytes
        self.is_too_large, self.problem = False, ""
        self._is_closed = threading.Event()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.2)
        threading.Thread(target=self._listen, name="tunnel", daemon=True).start()

    @property
    def url(self) -> str:
        """The proxy's address."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        """End it, and what flows through it."""
        self._is_closed.set()

    def _listen(self) -> None:
        with self._listener:
            while not self._is_closed.is_set():
                with suppress(TimeoutError):
                    sock, _ = self._listener.accept()
                    threading.Thread(target=self._serve, args=(sock,), name="tunnel", daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        with near, suppress(OSError):
            near.settimeout(_CONNECT_S)
            head = b""
            while b"\r\n\r\n" not in head:
                piece = near.recv(_HEAD_BYTES)
                head += piece
                if not piece or len(head) > _HEAD_BYTES:
                    return
            wanted = f"CONNECT {self._target.host}:{self._target.port} ".lower()
            if not head.decode("latin-1").lower().startswith(wanted):
                near.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                return
            try:
                far = reached(self._target, self._addresses, self._net, Deadline(_CONNECT_S))
            except (FetchFailed, TimeoutError) as why:
                self.problem = why.message if isinstance(why, FetchFailed) else f"{self._target.host} did not answer"
                near.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
                return
            with far:
                near.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                self._pump(near, far)

    def _pump(self, near: socket.socket, far: socket.socket) -> None:
        """Carry bytes both ways until one side is silent for long, leaves, or has sent too much."""
        ways = {near: far, far: near}
        idle = 0.0
        with selectors.DefaultSelector() as selector:
            for sock in ways:
                sock.settimeout(_IDLE_S)
                selector.register(sock, selectors.EVENT_READ)
            while not self._is_closed.is_set() and idle < _IDLE_S:
                ready = selector.select(0.2)
                idle = 0.0 if ready else idle + 0.2
                for key, _ in ready:
                    sock = near if key.fileobj is near else far
                    piece = sock.recv(_PIECE)
                    if not piece or (sock is far and not self._may_pass(len(piece))):
                        return
                    ways[sock].sendall(piece)

    def _may_pass(self, n_bytes: int) -> bool:
        with self._lock:
            self._n_left -= n_bytes
            self.is_too_large = self.is_too_large or self._n_left < 0
            return not self.is_too_large
