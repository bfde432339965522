"""The wire between a browser and the chat server, which a test can cut: real connections that really break."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator

from tests.chat.hostile_web import stop_listening
from tests.processes import Process


class Wire:
    """A port that leads to the server for as long as nobody cuts it."""

    def __init__(self, server: Process) -> None:
        self._target = server.port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.n_opened = 0
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._is_cut = self._is_deaf = False
        self._serving = threading.Thread(target=self._serve, daemon=True)
        self._serving.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Break every connection at once, as a lost network does; new ones are refused until mend."""
        with self._lock:
            self._is_cut = True
            broken, self._open = self._open, set()
        for sock in broken:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, no goodbye
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def mend(self) -> None:
        """Let connections through again."""
        self._is_cut = self._is_deaf = False

    def swallow(self) -> None:
        """From now on the browser hears nothing, while what it says arrives; until mend."""
        self._is_deaf = True

    def close(self) -> None:
        stop_listening(self._listener, self._serving)
        self.cut()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                threading.Thread(target=self._carry, args=(near,), daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        try:
            far = socket.create_connection(("127.0.0.1", self._target))
        except OSError:
            near.close()
            return
        with self._lock:
            is_cut = self._is_cut
            if not is_cut:
                self._open |= {near, far}
                self.n_opened += 1
        if is_cut:
            near.close()
            far.close()
            return
        threading.Thread(target=self._pump, args=(near, far), daemon=True).start()
        self._pump(far, near)

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if not (self._is_deaf and source.getpeername()[1] == self._target):
                    sink.sendall(data)
        for sock in (source, sink):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def wire(server: Process) -> Iterator[Wire]:
    """The wire for the time of the block."""
    made = Wire(server)
    try:
        yield made
    finally:
        made.close()
