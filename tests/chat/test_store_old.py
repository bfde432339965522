"""A database of the first version, with what people wrote in it, becomes one of this version."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from chatbot.core import migrations
from chatbot.core.events import Status
from chatbot.core.store import Store
from tests.processes import environment

OPENS = "import sys; from pathlib import Path; from chatbot.core.store import Store; Store(Path(sys.argv[1])).close()"


def old_database(path: Path) -> None:
    """What version 1 left behind: a chat with two answers to one question, another whose answer was cut off."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    migrations.m001_initial(db)
    db.execute("PRAGMA user_version = 1")
    chats = [
        ("c1", "First chat", "m3", 10.0, 30.0),
        ("c2", "Zweites Gespräch", "m5", 20.0, 20.0),
        ("c3", "", None, 1.0, 1.0),
    ]
    db.executemany("INSERT INTO chats VALUES (?, ?, ?, ?, ?)", chats)
    messages = [
        ("m1", "c1", None, "user", "What is a paddock?", "done", 1, "key-1", "{}", 10.0),
        ("m2", "c1", "m1", "assistant", "A small field.", "done", 4, None, '{"finish_reason": "stop"}', 11.0),
        ("m3", "c1", "m1", "assistant", "A field for horses 🐎.", "stopped", 3, None, '{"notices": ["x"]}', 12.0),
        ("m4", "c2", None, "user", "Wo sind die Pferde?", "done", 1, None, "{}", 20.0),
        ("m5", "c2", "m4", "assistant", "Auf der Kop", "streaming", 9, None, "{}", 21.0),
    ]
    db.executemany("INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", messages)
    db.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    old_database(tmp_path / "chat.db")
    return tmp_path / "chat.db"


def test_all_that_an_old_database_holds_is_there(path: Path) -> None:
    store = Store(path, claim=True)
    assert [(chat.id, chat.title, chat.updated_at) for chat in store.chats()] == [
        *(("c1", "First chat", 30.0), ("c2", "Zweites Gespräch", 20.0), ("c3", "", 1.0))
    ]
    assert [m.content for m in store.messages("c1")] == ["What is a paddock?", "A field for horses 🐎."]
    assert [m.id for m in store.tree("c1")] == ["m1", "m2", "m3"]
    assert store.message("m3").meta == {"notices": ["x"]}
    assert store.by_key("key-1") == store.message("m1")
    assert store.answer_of("m1").id == "m3"
    assert store.messages("c3") == []
    assert store.interrupt_unfinished() == 1
    assert (store.message("m5").status, store.message("m5").content) == (Status.INTERRUPTED, "Auf der Kop")
    store.close()


def test_what_was_said_before_can_be_searched_and_goes_on(path: Path) -> None:
    store = Store(path)
    assert [hit.message_id for hit in store.search("horses")] == ["m3"]
    assert [hit.message_id for hit in store.search("Gespräch")] == [None]
    assert store.search("Kop") == []  # cut off: not a text yet
    store.interrupt_unfinished()
    assert [hit.message_id for hit in store.search("Kop")] == ["m5"]
    _, answer = store.add_turn("c1", "And cows?", None)
    store.save(answer.id, "Cows too.", Status.DONE, {})
    assert [hit.message_id for hit in store.search("cows too")] == [answer.id]
    store.delete(["c1"])
    store.purge_deleted(9e9)
    assert [m.id for m in store.tree("c2")] == ["m4", "m5"]
    store.close()


def test_who_was_logged_in_was_seen(path: Path) -> None:
    db = sqlite3.connect(path, isolation_level=None)
    for step in migrations.STEPS[1:4]:
        step(db)
    db.execute("PRAGMA user_version = 4")
    for name, sessions in (("anna", (5.0, 7.0)), ("ben", ())):
        db.execute("INSERT INTO users (id, name, password, created_at) VALUES (?, ?, '', 1)", (name, name))
        for seen_at in sessions:
            values = (f"{name}{seen_at}", str(seen_at), name, "", 1.0, seen_at)
            db.execute(
                "INSERT INTO sessions (id, token_hash, user_id, device, created_at, seen_at) VALUES (?, ?, ?, ?, ?, ?)",
                values,
            )
    db.close()
    store = Store(path)
    assert {owner: use.seen_at for owner, use in store.use_of().items() if use.seen_at} == {"anna": 7.0}
    store.close()


def test_opening_it_twice_and_by_two_processes_at_once_changes_it_once(path: Path) -> None:
    opening = [subprocess.Popen([sys.executable, "-c", OPENS, str(path)], env=environment()) for _ in range(3)]
    assert [process.wait(30) for process in opening] == [0, 0, 0]
    Store(path).close()
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA user_version").fetchone()[0] == len(migrations.STEPS)
    assert db.execute("SELECT count(*), count(DISTINCT n), count(n) FROM messages").fetchone() == (5, 5, 5)
    assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    assert db.execute("PRAGMA foreign_key_check").fetchall() == []
    db.close()
