"""Chats of several days, put into a database before a server opens it."""

from __future__ import annotations

import time
from pathlib import Path

from chatbot.core.events import Status
from chatbot.core.store import NewMessage, Store

DAY_S = 86_400
# (title, days ago, what was asked, what was answered)
CHATS = [
    ("Bread with rye", 0, "How long does rye bread bake?", "About 🥖 fifty minutes, at 220 degrees."),
    ("Tides", 1, "Why two tides a day?", "The moon pulls on both sides of the earth."),
    ("Kites", 3, "Which kite flies in little wind?", "A delta kite."),
    ("Old lighthouse", 70, "Who fed the herons?", "".join(f"Paragraph {n}.\n\n" for n in range(200))),
]


def seed(folder: Path, chats: list[tuple[str, float, str, str]]) -> None:
    """Chats as if they had been held so many days ago."""
    store = Store(folder / "chat.db")
    for title, days, question, answer in chats:
        at = time.time() - days * DAY_S
        asked = NewMessage("q", None, "user", question, at, "", {}, Status.DONE)
        answered = NewMessage("a", "q", "assistant", answer, at, "", {}, Status.DONE)
        store.add_chat(title, at, at, [asked, answered], {})
    store.close()
