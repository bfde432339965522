"""What other processes wrote is told to the pages, whatever of it is gone by then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chatbot.core.store import Changes, Store, Stored
from chatbot.web.rounds import Rounds


class Racing(Store):
    """A store in which a chat that is called gone goes as soon as somebody has looked it up."""

    def changed_since(self, token: int) -> Changes:
        found = super().changed_since(token)
        self.delete([chat.id for chat in found.chats if chat.title == "gone"])
        self.purge_deleted(float("inf"))
        return found


class House:
    """A service that writes down what its pages hear."""

    def __init__(self, store: Store) -> None:
        self.store, self.heard = store, list[tuple[str, str]]()
        self.jobs = self.lists = self

    def forget(self, message_id: str) -> None:
        """Nothing is in memory here."""

    def announce_turn(self, user: Stored | None, answer: Stored, replaces: str | None) -> None:
        self.heard.append(("turn", self.store.chat(answer.chat_id).title))

    def announce_message(self, stored: Stored) -> None:
        self.heard.append(("message", self.store.message(stored.id).content))

    def announce_chat(self, chat_id: str) -> None:
        self.heard.append(("chat", self.store.chat(chat_id).title))

    def announce_notes(self, chat_id: str, n_folded: int) -> None:
        """Nobody asks here."""


def test_what_is_gone_before_it_is_told_keeps_nothing_else_from_being_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Rounds, "_go_round", lambda _: None)
    store = Racing(tmp_path / "chat.db")
    house: Any = House(store)
    looks = Rounds(house)
    for text in ("gone", "kept"):
        store.add_turn(None, text, None)
    looks._look()
    assert house.heard == [("turn", "kept"), ("chat", "kept")]
    store.close()
