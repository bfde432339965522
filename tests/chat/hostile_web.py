"""A web server on loopback that does what it is told, however rude, and a net that leads to it under any name."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from chatbot.core.sources.fetch import Net

OUTSIDE = "93.184.216.34"
Rude = Callable[[socket.socket], None]


def page(body: bytes = b"", status: str = "200 OK", **headers: str) -> bytes:
    """A whole answer with a length; underscores in the headers' names are hyphens."""
    told = {"Content_Type": "text/html", "Content_Length": str(len(body)), **headers}
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in told.items())
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode("latin-1") + body


def to(location: str, **headers: str) -> bytes:
    """A redirect."""
    return page(b"", "302 Found", Location=location, **headers)


def dripping(beginning: bytes, gone: threading.Event) -> Rude:
    """Sends the beginning at once and then a byte now and then, for ever; gone is set when the other side leaves."""

    def drip(sock: socket.socket) -> None:
        sock.sendall(beginning)
        with contextlib.suppress(OSError):
            while not gone.wait(0.05):
                sock.sendall(b"x")
        gone.set()

    return drip


def endless(beginning: bytes, piece: bytes) -> Rude:
    """Sends the piece until the other side leaves."""

    def send(sock: socket.socket) -> None:
        sock.sendall(beginning)
        with contextlib.suppress(OSError):
            while True:
                sock.sendall(piece)

    return send


class Web:
    """Answers by path; keeps the heads of the requests, the names that were looked up, the addresses connected to."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.answers: dict[str, bytes | Rude] = {}
        self.heads: list[str] = []
        self.looked_up: list[str] = []
        self.connected: list[tuple[str, int]] = []
        # What each look-up of a name answers; the last one stays.
        self.names: dict[str, list[list[str]]] = {}
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._serving = threading.Thread(target=self._serve, daemon=True)
        self._serving.start()

    def net(self, tls: Callable[[], ssl.SSLContext] = ssl.create_default_context) -> Net:
        """A net in which every address is this server."""
        return Net(self._look_up, self._connect, tls)

    def close(self) -> None:
        stop_listening(self._listener, self._serving)

    def _look_up(self, name: str, port: int, timeout_s: float) -> Sequence[str]:
        self.looked_up.append(name)
        known = self.names.setdefault(name, [[OUTSIDE]])
        return known[0] if len(known) == 1 else known.pop(0)

    def _connect(self, address: str, port: int, timeout_s: float) -> socket.socket:
        self.connected.append((address, port))
        return socket.create_connection(self._listener.getsockname(), timeout_s)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                threading.Thread(target=self._answer, args=(sock,), daemon=True).start()

    def _answer(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError), sock:
            talk = self._tls.wrap_socket(sock, server_side=True) if self._tls else sock
            with talk:
                head = b""
                while b"\r\n\r\n" not in head:
                    if not (more := talk.recv(4096)):
                        return
                    head += more
                self.heads.append(head.decode("latin-1"))
                answer = self.answers.get(head.split(b" ")[1].decode("latin-1"), page(b"none", "404 Not Found"))
                if callable(answer):
                    answer(talk)
                else:
                    talk.sendall(answer)


def stop_listening(listener: socket.socket, serving: threading.Thread) -> None:
    """End a thread that accepts. Merely closed, it could go on with the next socket that gets the same number."""
    with contextlib.suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)
    serving.join(1.0)
    listener.close()


@contextlib.contextmanager
def web(tls: ssl.SSLContext | None = None) -> Iterator[Web]:
    """The server for the time of the block."""
    made = Web(tls)
    try:
        yield made
    finally:
        made.close()


def certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """(server's, client's): TLS with a certificate for this name, trusted by that client alone."""
    import subprocess

    key, cert = folder / "key.pem", folder / "cert.pem"
    words = f"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN={name} -addext"
    made = ["openssl", *words.split(), f"subjectAltName=DNS:{name}", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(made, check=True, capture_output=True)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(cert, key)
    return server, ssl.create_default_context(cafile=str(cert))
