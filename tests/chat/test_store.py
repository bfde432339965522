"""What is kept, and what a broken disk or a second server does to it."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from chatbot.core import migrations
from chatbot.core.events import Status
from chatbot.core.store import Store, title
from chatbot.errors import DatabaseInUse, StartupError, StorageError, UnknownAnswer, UnknownChat


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "chat.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    opened = Store(path)
    yield opened
    opened.close()


def finish(store: Store, answer_id: str, text: str) -> None:
    store.save(answer_id, text, Status.DONE, {})


def test_a_turn_makes_a_chat_with_a_title_and_two_messages(store: Store) -> None:
    user, answer = store.add_turn(None, "What is a paddock?\nTell me.", None)
    assert [(m.role, m.content, m.status) for m in store.messages(user.chat_id)] == [
        ("user", "What is a paddock?\nTell me.", Status.DONE),
        ("assistant", "", Status.QUEUED),
    ]
    assert answer.parent_id == user.id
    assert [chat.title for chat in store.chats()] == ["What is a paddock? Tell me."]


def test_a_shelf_that_is_named_first_is_not_in_the_title(store: Store) -> None:
    user, _ = store.add_turn(None, "#cooking How long do eggs take?", None)
    assert store.chat(user.chat_id).title == "How long do eggs take?"
    assert user.content == "#cooking How long do eggs take?"


def test_everything_is_there_after_a_restart(store: Store, path: Path) -> None:
    user, answer = store.add_turn(None, "hello", "key")
    store.save(answer.id, "hi 👋 你好", Status.DONE, {"finish_reason": "stop"})
    before = store.messages(user.chat_id)
    store.close()
    again = Store(path)
    assert again.messages(user.chat_id) == before
    assert again.messages(user.chat_id)[1].content == "hi 👋 你好"
    again.close()


def test_the_file_and_its_folder_are_for_their_owner_alone(store: Store, path: Path) -> None:
    assert path.parent.stat().st_mode & 0o077 == 0


def test_each_write_of_an_answer_raises_its_version(store: Store) -> None:
    _, answer = store.add_turn(None, "hello", None)
    assert store.save(answer.id, "a", Status.STREAMING, {}) == 2
    assert store.save(answer.id, "ab", Status.DONE, {}) == 3
    assert store.message(answer.id).version == 3


def test_another_answer_is_a_branch_and_the_first_one_stays_stored(store: Store) -> None:
    user, first = store.add_turn(None, "hello", None)
    finish(store, first.id, "one")
    second = store.add_answer(user.id)
    finish(store, second.id, "two")
    assert [m.content for m in store.messages(user.chat_id)] == ["hello", "two"]
    assert store.message(first.id).content == "one"
    assert store.answer_of(user.id).id == second.id


def test_the_list_shows_the_chat_that_changed_last_first(store: Store) -> None:
    older, answer = store.add_turn(None, "older", None)
    store.add_turn(None, "newer", None)
    assert [chat.title for chat in store.chats()] == ["newer", "older"]
    finish(store, answer.id, "x")
    assert [chat.title for chat in store.chats()] == ["older", "newer"]
    assert store.chat(older.chat_id).title == "older"


def test_a_key_finds_the_message_that_was_sent_with_it(store: Store) -> None:
    user, _ = store.add_turn(None, "hello", "abc")
    assert store.by_key("abc") == user
    assert store.by_key("abd") is None


def test_unknown_ids_are_errors_that_say_so(store: Store) -> None:
    with pytest.raises(UnknownChat):
        store.messages("nope")
    with pytest.raises(UnknownChat):
        store.add_turn("nope", "hello", None)
    with pytest.raises(UnknownAnswer):
        store.save("nope", "x", Status.DONE, {})
    with pytest.raises(UnknownAnswer):
        store.message("nope")


def test_a_refused_turn_leaves_nothing_behind(store: Store) -> None:
    user, _ = store.add_turn(None, "hello", "same")
    with pytest.raises(StorageError):
        store.add_turn(None, "other", "same")
    assert len(store.chats()) == 1
    assert len(store.messages(user.chat_id)) == 2


def test_answers_of_a_killed_process_are_marked_interrupted_and_those_of_a_living_one_are_not(
    store: Store, path: Path
) -> None:
    killed = Store(path)
    killed._owner = "4000000:gone"
    user, answer = killed.add_turn(None, "hello", None)
    killed.save(answer.id, "half an ans", Status.STREAMING, {}, seq=7)
    killed.close()
    _, running = store.add_turn(None, "other", None)
    assert store.interrupt_unfinished() == 1
    marked = store.messages(user.chat_id)[1]
    assert (marked.status, marked.content) == (Status.INTERRUPTED, "half an ans")
    assert marked.seq > 7, "a page that heard more than was saved must notice"
    assert store.message(running.id).status is Status.QUEUED
    assert store.interrupt_unfinished() == 0


def test_a_full_disk_is_told_with_the_space_left_and_corrupts_nothing(store: Store, path: Path) -> None:
    user, answer = store.add_turn(None, "hello", None)
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StorageError, match=r"could not be saved: .*full.*MB are free in"):
        store.save(answer.id, "x" * 1_000_000, Status.STREAMING, {})
    assert store.messages(user.chat_id)[1].content == ""
    store._db.execute(f"PRAGMA max_page_count = {pages + 1000}")
    store.save(answer.id, "x" * 1_000_000, Status.DONE, {})
    assert len(store.messages(user.chat_id)[1].content) == 1_000_000
    assert store._db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


def test_a_second_server_on_the_same_database_is_refused_with_the_first_ones_process(store: Store, path: Path) -> None:
    import os

    server = Store(path, claim=True)
    with pytest.raises(DatabaseInUse, match=rf"process {os.getpid()}.*--data_dir"):
        Store(path, claim=True)
    store.add_turn(None, "a terminal needs no claim", None)
    server.close()
    Store(path, claim=True).close()


def test_a_folder_that_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartupError, match=r"cannot open the chat database .*--data_dir"):
        Store(tmp_path / "file" / "chat.db")


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "chat.db"
    file.write_bytes(b"my diary, " * 1000)
    with pytest.raises(StartupError, match="cannot open the chat database"):
        Store(file)
    assert file.read_bytes() == b"my diary, " * 1000


def test_migrations_run_twice_without_a_change(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    migrations.migrate(db)
    shape = db.execute("SELECT sql FROM sqlite_master ORDER BY name").fetchall()
    migrations.migrate(db)
    assert db.execute("SELECT sql FROM sqlite_master ORDER BY name").fetchall() == shape
    assert db.execute("PRAGMA user_version").fetchone()[0] == len(migrations.STEPS)


def test_a_migration_that_fails_half_way_is_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    db = sqlite3.connect(tmp_path / "x.db", isolation_level=None)

    def m002_breaks(it: sqlite3.Connection) -> None:
        it.execute("CREATE TABLE half (x)")
        it.execute("not sql")

    monkeypatch.setattr(migrations, "STEPS", (migrations.m001_initial, m002_breaks))
    with pytest.raises(sqlite3.Error):
        migrations.migrate(db)
    assert db.execute("PRAGMA user_version").fetchone()[0] == 1
    assert not db.execute("SELECT * FROM sqlite_master WHERE name = 'half'").fetchall()


def test_a_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    db.execute("PRAGMA user_version = 99")
    with pytest.raises(StartupError, match=r"version 99.*update"):
        migrations.migrate(db)


def test_many_threads_write_and_none_is_lost(store: Store) -> None:
    def work(n: int) -> None:
        for i in range(20):
            user, answer = store.add_turn(None, f"chat {n} {i}", None)
            finish(store, answer.id, "x")
            assert len(store.messages(user.chat_id)) == 2

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.chats()) == 120


def test_a_long_first_message_makes_a_title_cut_at_a_word() -> None:
    made = title("word " * 40)
    assert len(made) <= 61
    assert made.endswith("word…")


def test_half_a_character_from_a_model_is_kept_as_far_as_it_goes(store: Store) -> None:
    _, answer = store.add_turn(None, "hello", None)
    store.save(answer.id, "a \ud83d\ude00 b \ud83d", Status.DONE, {}, reasoning="\udc00")
    assert store.message(answer.id).content == "a \U0001f600 b \ufffd"
    assert store.message(answer.id).reasoning == "\ufffd"


def test_reasoning_and_the_number_of_the_last_event_are_kept_beside_the_text(store: Store) -> None:
    _, answer = store.add_turn(None, "hello", None)
    store.save(answer.id, "so", Status.STREAMING, {}, reasoning="first I think", seq=4)
    store.save(answer.id, "so it is", Status.DONE, {"thought_s": 1.5})
    kept = store.message(answer.id)
    assert (kept.content, kept.reasoning, kept.seq, kept.meta) == ("so it is", "first I think", 4, {"thought_s": 1.5})
