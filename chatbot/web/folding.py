"""Notes of long chats, made after an answer in a thread of their own, one at a time in a chat."""

from __future__ import annotations

import logging
import threading

from flask_socketio import SocketIO

from chatbot.core import fold
from chatbot.core.cancel import Cancel
from chatbot.core.llm import ModelClient
from chatbot.core.store import Store
from chatbot.settings import WebSettings

log = logging.getLogger("chatbot")


class Folding:
    """Which chats are being folded."""

    def __init__(self, store: Store, model: ModelClient, settings: WebSettings, socketio: SocketIO) -> None:
        self._store, self._model, self._settings, self._socketio = store, model, settings, socketio
        self._lock = threading.Lock()
        self._running: dict[str, Cancel] = {}
        self._closed = False

    def after(self, chat_id: str) -> None:
        """An answer of this chat has ended: see whether it has become long, unless that is being done already."""
        with self._lock:
            if self._closed or chat_id in self._running:
                return
            self._running[chat_id] = Cancel()
        threading.Thread(target=self._fold, args=(chat_id,), name="fold", daemon=True).start()

    def close(self) -> None:
        """Give up what is being done and begin nothing more."""
        with self._lock:
            self._closed = True
            running = list(self._running.values())
        for cancel in running:
            cancel.set()

    def _fold(self, chat_id: str) -> None:
        try:
            made = fold.after(self._store, self._model, self._settings, chat_id, self._running[chat_id])
            if made:
                self._socketio.emit("notes", {"chat_id": chat_id, "n_folded": made.n_folded}, to=chat_id)
        except Exception:
            log.exception("folding a chat failed; it stays as it is")
        finally:
            with self._lock:
                del self._running[chat_id]
