"""What a person does with chats in the list: name, pin, tag, delete and bring back, search. Told to every page of the
user."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from flask_socketio import SocketIO

from chatbot.core.jobs import Jobs
from chatbot.core.store import Store


def room_of(owner_id: str) -> str:
    """The room that all pages of a user are in."""
    return f"user:{owner_id}"


class ChatList:
    """The list of chats."""

    def __init__(self, store: Store, jobs: Jobs, socketio: SocketIO) -> None:
        self._store, self._jobs, self._socketio = store, jobs, socketio

    def chats(self, owner_id: str) -> list[dict[str, Any]]:
        """A user's chats, pinned ones first, then the newest."""
        running = self._running()
        return [{**vars(chat), "running": chat.id in running} for chat in self._store.chats(owner_id)]

    def wire(self, chat_id: str) -> dict[str, Any]:
        """A chat with its options and whether an answer is on its way in it, as a page gets it."""
        more = {"options": self._store.options(chat_id), "running": chat_id in self._running()}
        return asdict(self._store.chat(chat_id)) | more

    def _running(self) -> frozenset[str]:
        """The chats that are being answered, here or in a terminal."""
        return self._jobs.running() | self._store.answered_elsewhere()

    def announce(self, chat_id: str) -> dict[str, Any]:
        """Tell every page of a chat's owner how it is now."""
        body = self.wire(chat_id)
        self.tell(body)
        return body

    def tell(self, body: dict[str, Any]) -> None:
        """Tell every page of a chat's owner of the chat, as wire gives it."""
        self._socketio.emit("chat", body, to=room_of(body["owner_id"]))

    def announce_gone(self, chat_ids: Sequence[str], owner_id: str) -> None:
        """Tell every page of a user that chats are no longer there."""
        self._socketio.emit("gone", {"chat_ids": list(chat_ids)}, to=room_of(owner_id))

    def announce_notes(self, chat_id: str, n_folded: int) -> None:
        """Tell a chat's room that its notes have changed."""
        self._socketio.emit("notes", {"chat_id": chat_id, "n_folded": n_folded}, to=chat_id)

    def rename(self, chat_id: str, title: str) -> dict[str, Any]:
        """Give a chat another title."""
        self._store.rename(chat_id, title)
        return self.announce(chat_id)

    def pin(self, chat_id: str, pinned: bool) -> dict[str, Any]:
        """Keep a chat at the head of the list, or no longer."""
        self._store.set_pinned(chat_id, pinned)
        return self.announce(chat_id)

    def tag(self, chat_id: str, tags: Sequence[str]) -> dict[str, Any]:
        """Give a chat these tags."""
        self._store.set_tags(chat_id, tags)
        return self.announce(chat_id)

    def delete(self, chat_ids: Sequence[str], owner_id: str) -> None:
        """Delete chats and end their answers. They can be restored for a day."""
        self._store.delete(chat_ids)
        self._jobs.stop_chats(chat_ids)
        for chat_id in self._store.answered_elsewhere() & set(chat_ids):
            self._store.want_stop(chat_id)
        self.announce_gone(chat_ids, owner_id)

    def restore(self, chat_ids: Sequence[str]) -> list[dict[str, Any]]:
        """Bring deleted chats back."""
        return [self.announce(chat.id) for chat in self._store.restore(chat_ids)]

    def search(self, text: str, owner_id: str) -> list[dict[str, Any]]:
        """Where the words of a text are in a user's chats."""
        return [asdict(hit) for hit in self._store.search(text, owner_id=owner_id)]
