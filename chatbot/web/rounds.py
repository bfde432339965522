"""What the server does by the clock: tell its pages what a terminal wrote, mark answers whose process has ended,
purge what was deleted a day ago, and cut off pages whose session was ended from the command line."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from chatbot.core.store import OWNER, Changes, Notes, Stored
from chatbot.errors import StorageError, UnknownAnswer, UnknownChat

if TYPE_CHECKING:
    from chatbot.web.service import ChatService

log = logging.getLogger("chatbot")

_LOOK_EVERY_S = 0.3
_INTERRUPT_EVERY_S = 3.0
_PURGE_EVERY_S = 3600.0
_KEEP_DELETED_S = 86_400.0
_GONE = (UnknownChat, UnknownAnswer)  # since it was looked up: of the others pages still hear


class Rounds:
    """The thread that looks at the database for what this process did not write itself."""

    def __init__(self, service: ChatService) -> None:
        self._service, self._store = service, service.store
        self._token = 0
        self._notes: dict[str, tuple[Notes, ...]] = {}
        self._interrupt_at = self._purge_at = time.monotonic()
        self._closing = threading.Event()
        threading.Thread(target=self._go_round, name="rounds", daemon=True).start()

    def close(self) -> None:
        """Look no more."""
        self._closing.set()

    def _go_round(self) -> None:
        while not self._closing.wait(_LOOK_EVERY_S):
            try:
                self._service.auth.close_ended()
                self._stop_locked()
                self._purge()
                self._look()
            except StorageError as why:
                if not self._closing.is_set():
                    log.error("%s", why.message)
            except Exception:
                if not self._closing.is_set():
                    log.exception("looking after the database failed; it is tried again")

    def _look(self) -> None:
        if time.monotonic() >= self._interrupt_at:
            self._interrupt_at = time.monotonic() + _INTERRUPT_EVERY_S
            self._store.interrupt_unfinished()
        changes = self._store.changed_since(self._token)
        if changes.token != self._token:
            self._token = changes.token
            self._tell(changes)

    def _stop_locked(self) -> None:
        """A user who is locked, here or from a terminal, has no answers made any more."""
        running = list(self._service.jobs.running()) if self._service.auth.in_force else []
        if running:
            for user in self._store.users():
                if user.is_locked:
                    self._service.jobs.stop_chats(self._store.owned(user.id, "chats", running))

    def _purge(self) -> None:
        if time.monotonic() >= self._purge_at:
            self._purge_at = time.monotonic() + _PURGE_EVERY_S
            self._store.purge_deleted(time.time() - _KEEP_DELETED_S)

    def _tell(self, changes: Changes) -> None:
        service = self._service
        for message in (*changes.new, *changes.changed):
            service.jobs.forget(message.id)
        users = {message.id: message for message in changes.new if message.role == "user"}
        for message in changes.new:
            if message.role == "assistant":
                with suppress(*_GONE):
                    self._tell_turn(message, users.pop(message.parent_id or "", None))
        for message in (*users.values(), *changes.changed):
            with suppress(*_GONE):
                service.announce_message(message)
        for chat in changes.chats:
            with suppress(*_GONE):
                service.announce_chat(chat.id)
                self._tell_notes(chat.id)
        for chat_id in changes.gone:
            self._notes.pop(chat_id, None)
        if changes.gone:
            service.lists.announce_gone(changes.gone, OWNER)  # whom terminals write for

    def _tell_notes(self, chat_id: str) -> None:
        notes = self._store.notes(chat_id)
        if notes != self._notes.get(chat_id):
            self._notes[chat_id] = notes
            self._service.lists.announce_notes(chat_id, notes[-1].n_folded if notes else 0)

    def _tell_turn(self, answer: Stored, user: Stored | None) -> None:
        siblings = self._store.children(answer.parent_id, answer.chat_id)
        older = siblings[: siblings.index(answer.id)] if answer.id in siblings else []
        self._service.announce_turn(user, answer, replaces=older[-1] if older and user is None else None)
