"""Whether the model server is there: looked at every two seconds, told to every page when it changes."""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from dataclasses import asdict, replace

from flask_socketio import SocketIO

from chatbot.core.llm import ModelClient
from chatbot.core.model import Health, ModelInfo
from chatbot.errors import ChatError

log = logging.getLogger("chatbot")

_LOOK_EVERY_S = 2.0


class ModelWatch:
    """The state of the model server at the last look."""

    def __init__(self, model: ModelClient, wanted: str, socketio: SocketIO) -> None:
        self._model, self._wanted, self._socketio = model, wanted, socketio
        self.health = Health("loading")
        self._closing = threading.Event()
        threading.Thread(target=self._look_after_it, name="model", daemon=True).start()

    def close(self) -> None:
        """Look no more."""
        self._closing.set()

    def _look(self) -> None:
        now = self._model.health()
        if now.state == "ready" and (now.model is None or self._wanted not in {"", now.model.name}):
            now = replace(now, model=self._listed(), notice="")  # /health tells of no model, or of another one
        if now != self.health:
            log.info("model server: %s", now.state)
            self.health = now
            self._socketio.emit("model", asdict(now))

    def _listed(self) -> ModelInfo | None:
        with suppress(ChatError):
            return self._model.info(self._wanted)
        return None

    def _look_after_it(self) -> None:
        while True:
            try:
                self._look()
            except Exception:
                log.exception("looking at the model server failed; it is tried again")
            if self._closing.wait(_LOOK_EVERY_S):
                return
