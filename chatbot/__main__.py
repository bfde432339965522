"""The web server process: check, take the port, run gunicorn with one threaded worker; or manage its accounts."""

from __future__ import annotations

import argparse
import errno
import logging
import os
import socket
import sys
from collections.abc import Sequence
from typing import Any

from flask import Flask
from gunicorn import systemd
from gunicorn.app.base import BaseApplication

from chatbot import __version__, household
from chatbot.core.llm import ModelClient
from chatbot.core.store import Store
from chatbot.errors import AddressInUse, BadSettings, ChatError
from chatbot.settings import WebSettings, from_command_line
from chatbot.web.app import create_app, service_of

log = logging.getLogger("chatbot")

# Threads beyond those that open pages hold, so that a page can always be loaded and told that it is one too many.
_SPARE_THREADS = 8
# How long open pages may keep the worker when it is told to stop; their answers are saved before.
_GRACE_S = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until a signal ends it; the exit status: 0 stopped, 2 cannot start."""
    given = sys.argv[1:] if argv is None else argv
    if given[:1] == ["accounts"]:
        return household.main(given[1:])
    parser = argparse.ArgumentParser(
        prog="python -m chatbot",
        description="The web chat. `python -m chatbot accounts --help` tells how to manage who may come in.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=__version__)
    try:
        settings, _ = from_command_line(WebSettings, parser, argv)
        start_logging(settings.log_level)
        check(settings)
        listener = listen(settings)
    except ChatError as why:
        sys.stderr.write(f"chatbot: {why.message}\n")
        return why.exit_code
    Server(settings, listener).run()
    return 0


def check(settings: WebSettings) -> None:
    """Refuse what cannot work before anything is started: a door without a key, a database that cannot be opened."""
    store = Store(settings.database(), claim=True)
    try:
        if settings.has_accounts():
            household.need_owner(store, settings)
    finally:
        store.close()


def listen(settings: WebSettings) -> socket.socket:
    """Take the port. Raises AddressInUse with what to do."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((settings.host, settings.port))
    except OSError as why:
        sock.close()
        if why.errno != errno.EADDRINUSE:
            raise BadSettings(f"cannot listen on {settings.host} port {settings.port}: {why.strerror}") from why
        is_airplay = sys.platform == "darwin" and settings.port == 5000
        airplay = " (on macOS, AirPlay Receiver uses 5000)" if is_airplay else ""
        raise AddressInUse(
            f"cannot listen on {settings.host} port {settings.port} ({why.strerror}){airplay}: "
            f"stop what uses it, or choose another with --port {settings.port + 1}"
        ) from why
    sock.listen(128)
    sock.set_inheritable(True)
    return sock


def start_logging(level: str) -> None:
    """One log on stderr."""
    shape = "%(asctime)s %(levelname)-7s %(message)s"
    logging.basicConfig(level=level.upper(), format=shape, datefmt="%H:%M:%S", force=True)
    if level != "debug":
        for noisy in ("httpx2", "httpcore2", "openai", "engineio", "socketio", "werkzeug"):
            logging.getLogger(noisy).setLevel(logging.WARNING)


class Server(BaseApplication):  # type: ignore[misc]
    """gunicorn, set up from here instead of from its own files and flags."""

    def __init__(self, settings: WebSettings, listener: socket.socket) -> None:
        self._settings = settings
        self._fd = listener.detach()  # gunicorn owns and closes it from now on
        self._notify_socket = os.environ.pop("NOTIFY_SOCKET", "")  # gunicorn would say READY before the worker is
        super().__init__()

    def load_config(self) -> None:
        """Give gunicorn its settings; one worker, since jobs and rooms live in one process."""
        for name, value in {
            "bind": f"fd://{self._fd}",
            "workers": 1,
            "worker_class": "gthread",
            "threads": self._settings.max_browsers + _SPARE_THREADS,
            "graceful_timeout": _GRACE_S,
            "control_socket_disable": True,
            "logger_class": "chatbot.web.log.QuietLogger",
            "forwarded_allow_ips": _believed(self._settings),
            "post_worker_init": self._ready,
            "worker_exit": _save_all,
        }.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """Build the application, in the worker."""
        settings = self._settings
        return create_app(settings, ModelClient(settings.url, settings.api_key, settings.answer_timeout_s))

    def _ready(self, worker: Any) -> None:
        """The worker can answer: say so to the log and to systemd."""
        own = socket.gethostname()
        known = {"127.0.0.1": "localhost", "::1": "[::1]", "0.0.0.0": own, "::": own}  # noqa: S104 - only named here
        host = known.get(self._settings.host, self._settings.host)
        log.info("ready: chat at http://%s:%d", host, self._settings.port)
        if self._notify_socket:
            os.environ["NOTIFY_SOCKET"] = self._notify_socket
            systemd.sd_notify("READY=1\nSTATUS=serving the chat", worker.log)


def _believed(settings: WebSettings) -> str:
    """Whose word on https gunicorn takes: where nobody logs in, any proxy's on this machine."""
    return ",".join(settings.proxies()) if settings.has_accounts() else "127.0.0.1,::1"


def _save_all(_: Any, worker: Any) -> None:
    """The worker leaves: no answer may stay half saved."""
    if isinstance(worker.wsgi, Flask):
        service_of(worker.wsgi).close()


if __name__ == "__main__":
    sys.exit(main())
