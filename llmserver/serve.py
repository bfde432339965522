"""Run the server: check the model file, take the port, answer /health at once, load, drain on SIGTERM."""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType

import uvicorn

from llmserver import compat
from llmserver.api.app import Engine, create_app
from llmserver.api.health import DEMO_NOTICE
from llmserver.api.readiness import ModelCard, Readiness, State
from llmserver.errors import AddressInUse, BadSettings, StartupError
from llmserver.library import catalog, companion, modelfile
from llmserver.notify import notify
from llmserver.settings import MODELS_DIR, ServerOptions, ServeSettings

log = logging.getLogger("llmserver")


def serve(settings: ServeSettings) -> int:
    """Serve until a signal ends it; the exit status. Raises StartupError before anything is listening."""
    start_logging(settings.server.log_level)
    path, known = modelfile.check(Path(settings.models[0].model)), catalog.load()
    settings = companion.add(settings, known, MODELS_DIR)
    listener = listen(settings.server)
    card = ModelCard(
        id=str(settings.models[0].model_alias),
        n_ctx=settings.models[0].n_ctx,
        size_bytes=path.stat().st_size,
        demo=known.demo_for(path) is not None,
    )
    engine, readiness = make_engine(settings), Readiness(card)
    loader = Loader(engine, readiness, path)
    app = create_app(settings, engine, readiness, on_start=loader.start)
    server = Server(_uvicorn_config(app, settings.server))
    loader.on_failure = lambda: setattr(server, "should_exit", True)
    loader.on_ready = lambda: _announce(settings.server, listener, readiness, settings.companions)
    server.on_stop = engine.drain
    engine.on_crash = lambda: _crashed(server, readiness)
    server.status_now = lambda: server.status or (2 if readiness.state is State.FAILED else 0)
    with contextlib.redirect_stdout(LineLog()):  # the library prints to stdout; here that is one log line more
        server.run(sockets=[listener])
    return 0


def _crashed(server: Server, readiness: Readiness) -> None:
    """An engine's loop failed: say so in /health and leave, so that whoever watches starts the process anew."""
    readiness.failed()
    server.status = 1
    server.stop_soon()


def make_engine(settings: ServeSettings) -> Engine:
    """The engine that the settings ask for; the other one is not even imported."""
    if settings.server.engine == "stock":
        from llmserver.api.stock import StockEngine

        return StockEngine(settings)
    from llmserver.again import begin_anew
    from llmserver.api.batched import BatchedEngine
    from llmserver.engine.llama.abort import on_abort

    for needless in compat.check(settings):
        log.warning("%s", needless)
    engine = BatchedEngine(settings)
    on_abort(lambda reason: begin_anew(reason, engine.pool.lose, leave))
    return engine


class Server(uvicorn.Server):
    """Stops at SIGTERM and SIGINT as uvicorn does, but ends with a status of our choice instead of the signal."""

    _is_stopping = False
    status = 0
    on_stop: Callable[[float], None] = staticmethod(lambda _: None)
    status_now: Callable[[], int] = staticmethod(lambda: 0)

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve, then leave from here: asyncio would wait for threads that still load a model or read a text."""
        await super().serve(sockets)
        log.info("stopped")
        leave(self.status_now())

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.handle_exit)
        yield

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """First signal: no new requests, answers in flight may end. Second: leave at once."""
        if self._is_stopping:
            leave(0)
        self._is_stopping = True
        notify("STOPPING=1")
        log.info("stopping: answers in flight may take up to %s s", self.config.timeout_graceful_shutdown)
        self.stop_soon()
        super().handle_exit(sig, frame)

    def stop_soon(self) -> None:
        """No new requests; answers in flight may end within the deadline. From any thread."""
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # a stream cut at the deadline is no fault
        self.on_stop(float(self.config.timeout_graceful_shutdown or 0))
        self.should_exit = True


class Loader:
    """Loads the model in a thread of its own, so that /health answers meanwhile."""

    def __init__(self, engine: Engine, readiness: Readiness, path: Path) -> None:
        self._engine, self._readiness, self._path = engine, readiness, path
        self.on_ready: Callable[[], None] = lambda: None
        self.on_failure: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Begin; returns at once."""
        threading.Thread(target=self._run, name="load", daemon=True).start()

    def _run(self) -> None:
        began = time.monotonic()
        log.info("loading %s (%.0f MB)", self._path, self._readiness.card.size_bytes / 1e6)
        notify(f"STATUS=loading {self._path.name}")
        try:
            self._engine.load()
        except StartupError as why:
            log.error("%s", why.message)
            return self._fail()
        except Exception as why:  # a thread's edge: without it the server would load for ever
            log.error("cannot load %s: %s", self._path, why, exc_info=why)
            return self._fail()
        card = self._readiness.card
        n_ctx = self._engine.n_ctx()
        self._readiness.loaded(ModelCard(card.id, n_ctx, card.size_bytes, card.demo))
        log.info("loaded in %.1f s, context of %d tokens", time.monotonic() - began, n_ctx)
        self.on_ready()

    def _fail(self) -> None:
        self._readiness.failed()
        self.on_failure()


def _announce(
    server: ServerOptions, listener: socket.socket, readiness: Readiness, companions: Sequence[str] = ()
) -> None:
    """Say that requests are welcome: to systemd, and to the person at the log."""
    if readiness.card.demo:
        log.warning("%s", DEMO_NOTICE)
    if companions:
        log.info("for the library, loaded when asked: %s", ", ".join(companions))
    scheme = "https" if server.ssl_certfile else "http"
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    log.info("ready: %s at %s://%s:%d/v1", readiness.card.id, scheme, shown, port)
    notify(f"READY=1\nSTATUS=serving {readiness.card.id}")


def listen(server: ServerOptions) -> socket.socket:
    """Take the port now, while failing is still cheap. Raises AddressInUse or BadSettings with what to do."""
    try:
        family, _, _, _, address = socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror as why:
        raise BadSettings(f"--host {server.host} is no address of this machine: {why.strerror}") from why
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(address)
        sock.listen(128)
    except OSError as why:
        sock.close()
        if why.errno != errno.EADDRINUSE:
            raise BadSettings(f"cannot listen on {server.host} port {server.port}: {why.strerror}") from why
        raise AddressInUse(
            f"cannot listen on {server.host} port {server.port} ({why.strerror}): "
            f"stop what uses it, or choose another with --port {server.port + 1}"
        ) from why
    return sock


def _uvicorn_config(app: object, server: ServerOptions) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        log_config=None,
        access_log=server.log_level == "debug",
        timeout_graceful_shutdown=server.drain_timeout_s,
        ssl_keyfile=server.ssl_keyfile,
        ssl_certfile=server.ssl_certfile,
        root_path=server.root_path,
        server_header=False,
    )


def start_logging(level: str) -> None:
    """One log on stderr, on a descriptor of its own: the library points 1 and 2 at /dev/null while it loads."""
    stream = os.fdopen(os.dup(2), "w", encoding="utf-8", buffering=1)
    shape = "%(asctime)s %(levelname)-7s %(message)s"
    logging.basicConfig(level=level.upper(), stream=stream, format=shape, datefmt="%H:%M:%S", force=True)
    logging.captureWarnings(capture=True)
    if level == "info":
        for noisy in ("uvicorn", "uvicorn.error", "asyncio"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.getLogger("sse_starlette").setLevel(logging.INFO)  # its debug lines are the answers themselves


class LineLog(io.TextIOBase):
    """A stdout whose lines become debug lines of the log."""

    def __init__(self) -> None:
        self._rest = ""

    def writable(self) -> bool:
        """It can be written to."""
        return True

    def write(self, text: str) -> int:
        """Log each finished line."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in filter(None, lines):
            log.debug("%s", line)
        return len(text)


def leave(status: int) -> None:
    """Leave without waiting for a thread that is still inside llama.cpp: its request has had its deadline."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
