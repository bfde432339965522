"""What the sockets talk to: the store, the jobs and the watch over the model server, bound to rooms."""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any

from flask_socketio import SocketIO

from chatbot.core import turn
from chatbot.core.events import ChatRequest, Numbered
from chatbot.core.jobs import Jobs
from chatbot.core.llm import ModelClient
from chatbot.core.model import Health, ModelInfo
from chatbot.core.store import Store, Stored
from chatbot.errors import ChatError
from chatbot.settings import WebSettings

log = logging.getLogger("chatbot")

_LOOK_EVERY_S = 2.0


class ChatService:
    """One server's chats. Its methods may be called from any thread."""

    def __init__(self, settings: WebSettings, model: ModelClient, socketio: SocketIO) -> None:
        self.settings = settings
        self._model, self._socketio = model, socketio
        self._store = Store(settings.database())
        left = self._store.interrupt_unfinished()
        if left:
            log.warning("%d answers were cut off when the server last ended; they are marked", left)
        self._jobs = Jobs(self._store, lambda turns, cancel: turn.run(turns, model, settings, cancel), self._tell)
        self._health = Health("loading")
        self._closing = threading.Event()
        self._pages_lock, self._n_pages = threading.Lock(), 0
        self._announcing = threading.Lock()  # turns are announced in the order in which they are stored
        threading.Thread(target=self._look_after_model, name="model", daemon=True).start()

    def close(self) -> None:
        """End all answers, saved and marked, and close the database."""
        self._closing.set()
        self._jobs.close()
        self._store.close()

    def admit(self) -> bool:
        """Count one more open page, unless there are too many: each holds a thread of the server."""
        with self._pages_lock:
            if self._n_pages >= self.settings.max_browsers:
                return False
            self._n_pages += 1
            return True

    def leave(self, *_: object) -> None:
        """A page was closed or lost."""
        with self._pages_lock:
            self._n_pages -= 1

    def model_health(self) -> Health:
        """How the model server was at the last look."""
        return self._health

    def about(self) -> dict[str, Any]:
        """What a person may want to know of the model. Takes some seconds at most. Raises ModelError."""
        return asdict(self._model.about(self.settings.model))

    def chats(self) -> list[dict[str, Any]]:
        """All chats for the list, newest first."""
        return [asdict(chat) for chat in self._store.chats()]

    def open(self, chat_id: str, after: dict[str, int]) -> dict[str, Any]:
        """A chat with its messages. For each answer in after that is still in memory, only the events it lacks."""
        messages = [self._message(m, after) for m in self._store.messages(chat_id)]
        return {"chat": asdict(self._store.chat(chat_id)), "messages": messages}

    def _message(self, stored: Stored, after: dict[str, int]) -> dict[str, Any]:
        if stored.id in after:
            missed = self._jobs.missed(stored.id, after[stored.id])
            if missed is not None:
                return {"id": stored.id, "missed": [event.wire() for event in missed]}
        return self._jobs.snapshot(stored).wire()

    def send(self, asked: ChatRequest) -> dict[str, Any]:
        """Take a message; everybody in the chat sees it, the sender gets it as the answer to this call."""
        with self._announcing:
            user, answer = self._jobs.start(asked)
            return self._turn(user, answer)

    def retry(self, answer_id: str) -> dict[str, Any]:
        """Answer the same question again."""
        with self._announcing:
            answer = self._jobs.retry(answer_id)
            return self._turn(None, answer, replaces=answer_id)

    def stop(self, answer_id: str) -> bool:
        """End an answer that is running or waiting."""
        return self._jobs.stop(answer_id)

    def _turn(self, user: Stored | None, answer: Stored, replaces: str | None = None) -> dict[str, Any]:
        body = {
            "chat": asdict(self._store.chat(answer.chat_id)),
            "user": user.wire() if user else None,
            "answer": self._jobs.snapshot(answer).wire(),
            "replaces": replaces,
        }
        self._socketio.emit("turn", body, to=answer.chat_id)
        self._socketio.emit("chat", body["chat"])
        return body

    def _tell(self, chat_id: str, answer_id: str, event: Numbered) -> None:
        self._socketio.emit("event", {"chat_id": chat_id, "answer_id": answer_id, **event.wire()}, to=chat_id)

    def check_chat(self, chat_id: str) -> None:
        """Raise UnknownChat unless there is such a chat."""
        self._store.chat(chat_id)

    def _look(self) -> None:
        now, wanted = self._model.health(), self.settings.model
        if now.state == "ready" and (now.model is None or wanted not in {"", now.model.name}):
            now = replace(now, model=self._listed(), notice="")  # /health tells of no model, or of another one
        if now != self._health:
            log.info("model server: %s", now.state)
            self._health = now
            self._socketio.emit("model", asdict(now))

    def _listed(self) -> ModelInfo | None:
        with suppress(ChatError):
            return self._model.info(self.settings.model)
        return None

    def _look_after_model(self) -> None:
        """Tell every page when the model server goes away or comes back."""
        while True:
            try:
                self._look()
            except Exception:
                log.exception("looking at the model server failed; it is tried again")
            if self._closing.wait(_LOOK_EVERY_S):
                return
