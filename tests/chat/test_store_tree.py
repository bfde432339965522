"""Branches, corrections, deleting with a way back, imports: nothing that was written is ever lost."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chatbot.core.events import Status
from chatbot.core.store import NewFile, NewMessage, Notes, Preset, Prompt, Store, Stored
from chatbot.core.store_import import parents_first
from chatbot.errors import BadRequest, ChatBusy, UnknownAnswer, UnknownChat, UnknownFile
from rag import process


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "chat.db", claim=True)
    yield opened
    opened.close()


def say(store: Store, chat_id: str | None, text: str, answer: str, **more: Any) -> tuple[Stored, Stored]:
    """A whole turn."""
    user, made = store.add_turn(chat_id, text, None, **more)
    store.save(made.id, answer, Status.DONE, {})
    return user, store.message(made.id)


def shown(store: Store, chat_id: str) -> list[str]:
    return [message.content for message in store.messages(chat_id)]


def test_a_message_that_is_edited_and_sent_again_is_a_branch_beside_the_first(store: Store) -> None:
    one, first = say(store, None, "one", "first")
    two, _ = say(store, one.chat_id, "two", "second")
    other, _ = say(store, one.chat_id, "two, but better", "third", parent=two.parent_id)
    assert other.parent_id == first.id
    assert shown(store, one.chat_id) == ["one", "first", "two, but better", "third"]
    assert store.children(first.id, one.chat_id) == [two.id, other.id]
    assert [m.content for m in store.tree(one.chat_id)] == ["one", "first", "two", "second", "two, but better", "third"]


def test_the_first_message_can_be_edited_too(store: Store) -> None:
    one, _ = say(store, None, "one", "first")
    again, _ = say(store, one.chat_id, "one again", "second", parent=None)
    assert shown(store, one.chat_id) == ["one again", "second"]
    assert store.children(None, one.chat_id) == [one.id, again.id]
    assert store.families(one.chat_id)[None] == [one.id, again.id]


def test_a_message_cannot_follow_one_of_another_chat(store: Store) -> None:
    one, _ = say(store, None, "one", "first")
    stranger, _ = say(store, None, "elsewhere", "x")
    with pytest.raises(UnknownAnswer):
        store.add_turn(one.chat_id, "two", None, parent=stranger.id)
    assert len(store.tree(one.chat_id)) == 2


def test_a_branch_is_shown_down_to_its_newest_leaf_and_stays_shown_after_a_restart(
    store: Store, tmp_path: Path
) -> None:
    one, first = say(store, None, "one", "first")
    _, deep = say(store, one.chat_id, "two", "second")
    say(store, one.chat_id, "two again", "third", parent=first.id)
    store.show_branch(one.chat_id, deep.parent_id or "")
    assert shown(store, one.chat_id) == ["one", "first", "two", "second"]
    store.close()
    again = Store(tmp_path / "chat.db")
    assert shown(again, one.chat_id) == ["one", "first", "two", "second"]
    with pytest.raises(UnknownAnswer):
        again.show_branch(one.chat_id, "nope")
    again.close()


def test_the_last_turn_is_taken_back_and_stays_in_the_tree(store: Store) -> None:
    one, first = say(store, None, "one", "first")
    two, second = say(store, one.chat_id, "two", "second")
    assert [m.id for m in store.remove_last_turn(one.chat_id)] == [two.id, second.id]
    assert shown(store, one.chat_id) == ["one", "first"]
    assert [m.id for m in store.remove_last_turn(one.chat_id)] == [one.id, first.id]
    assert store.remove_last_turn(one.chat_id) == ()
    assert shown(store, one.chat_id) == []
    store.show_branch(one.chat_id, second.id)
    assert shown(store, one.chat_id) == ["one", "first", "two", "second"]


def test_an_answer_that_a_person_corrects_is_marked_and_counts_as_an_event(store: Store) -> None:
    user, answer = say(store, None, "one", "frist")
    edited = store.edit_answer(answer.id, "first")
    assert (edited.content, edited.meta["edited"], edited.seq) == ("first", True, answer.seq + 1)
    assert edited.version > answer.version
    with pytest.raises(BadRequest):
        store.edit_answer(user.id, "not an answer")
    _, running = store.add_turn(user.chat_id, "two", None)
    with pytest.raises(BadRequest, match="stop it first"):
        store.edit_answer(running.id, "too early")


def test_another_process_can_ask_for_the_end_of_an_answer_that_is_on_its_way(store: Store, tmp_path: Path) -> None:
    user, answer = store.add_turn(None, "one", None)
    other = Store(tmp_path / "chat.db")
    other._owner = "another process"
    for of in (answer.id, user.chat_id):
        assert not store.want_stop(of) and store.stop_wanted() == [], "its own"
        assert other.want_stop(of)
        assert (store.stop_wanted(), other.stop_wanted()) == ([answer.id], [])
        store.save(answer.id, "half", Status.STOPPED, {})
        assert store.stop_wanted() == [] and not other.want_stop(of), "it has ended"
        store.reopen(answer.id)
        assert store.stop_wanted() == [], "a wish of before"
    other.close()


def test_a_deleted_chat_is_gone_from_everywhere_and_comes_back_whole(store: Store) -> None:
    one, _ = say(store, None, "a paddock", "first")
    kept, _ = say(store, None, "another", "second")
    store.delete([one.chat_id, "never existed"])
    assert [chat.id for chat in store.chats()] == [kept.chat_id]
    assert store.search("paddock") == []
    for use in (store.chat, store.messages, store.tree, store.options, store.remove_last_turn):
        with pytest.raises(UnknownChat):
            use(one.chat_id)
    with pytest.raises(UnknownChat):
        store.add_turn(one.chat_id, "more", None)
    assert [chat.id for chat in store.restore([one.chat_id])] == [one.chat_id]
    assert shown(store, one.chat_id) == ["a paddock", "first"]
    assert len(store.search("paddock")) == 2


def test_an_answer_that_runs_while_its_chat_is_deleted_is_not_lost(store: Store) -> None:
    user, answer = store.add_turn(None, "one", None)
    store.delete([user.chat_id])
    store.save(answer.id, "the end", Status.DONE, {})
    store.restore([user.chat_id])
    assert shown(store, user.chat_id) == ["one", "the end"]


def test_what_was_deleted_a_day_ago_is_purged_with_all_that_belongs_to_it(store: Store) -> None:
    old, _ = say(store, None, "old secret", "first", files=[store.add_file(None, "a.txt", "text", "inside").id])
    say(store, old.chat_id, "deeper", "second", parent=None)
    store.set_tags(old.chat_id, ["x"])
    fresh, _ = say(store, None, "fresh", "third")
    unsent = store.add_file(None, "b.txt", "text", "never sent")
    store.delete([old.chat_id])
    assert store.purge_deleted(time.time() - 100) == 0
    assert store.purge_deleted(time.time() + 1) == 1
    with pytest.raises(UnknownChat, match="for good"):
        store.restore([old.chat_id])
    with pytest.raises(UnknownFile):
        store.file(unsent.id)
    assert shown(store, fresh.chat_id) == ["fresh", "third"]
    for table, n in {"messages": 2, "files": 0, "chat_tags": 0}.items():
        assert store._db.execute(f"SELECT count(*) FROM {table}").fetchone() == (n,), table  # noqa: S608
    assert store.search("secret") == []
    store._db.execute("INSERT INTO message_index (message_index, rank) VALUES ('integrity-check', 1)")


def test_pinned_chats_come_first_and_names_and_tags_are_kept_clean(store: Store) -> None:
    one, _ = say(store, None, "one", "x")
    two, _ = say(store, None, "two", "x")
    store.set_pinned(one.chat_id, True)
    assert [chat.id for chat in store.chats()] == [one.chat_id, two.chat_id]
    assert store.rename(one.chat_id, "  a \n name ").title == "a name"
    assert store.set_tags(one.chat_id, ["#work", " Work ", "home  page", ""]).tags == ("Work", "home page")
    for wrong in ("", " \n", "x" * 201):
        with pytest.raises(BadRequest, match="1 to 200"):
            store.rename(one.chat_id, wrong)
    with pytest.raises(BadRequest, match="20 tags"):
        store.set_tags(one.chat_id, [str(n) for n in range(21)])
    assert [(chat.title, chat.tags) for chat in store.chats()] == [("a name", ("Work", "home page")), ("two", ())]


def test_options_and_notes_belong_to_a_chat_and_a_new_one_begins_with_options(store: Store) -> None:
    one, _ = store.add_turn(None, "one", None, options={"temperature": 0.1})
    assert store.options(one.chat_id) == {"temperature": 0.1}
    store.set_options(one.chat_id, {})
    assert store.options(one.chat_id) == {}
    assert store.notes(one.chat_id) == ()
    notes = (Notes("we spoke", one.id, 1), Notes("and went on", "other", 2))
    assert store.set_notes(one.chat_id, notes, was=())
    assert store.notes(one.chat_id) == notes
    assert not store.set_notes(one.chat_id, (), was=())
    assert store.set_notes(one.chat_id, (), was=notes)
    assert store.notes(one.chat_id) == ()


def test_the_one_notes_of_an_earlier_version_are_read(store: Store) -> None:
    one, _ = store.add_turn(None, "one", None)
    store._db.execute("UPDATE chats SET notes = ?", ('{"text": "we spoke", "through": "m", "n_folded": 1}',))
    assert store.notes(one.chat_id) == (Notes("we spoke", "m", 1),)


def test_presets_and_prompts_are_kept_by_name(store: Store) -> None:
    store.save_preset("zeal", {"temperature": 1.5})
    store.save_preset("Calm", {"temperature": 0})
    store.save_preset("zeal", {"temperature": 2})
    assert store.presets() == [Preset("Calm", {"temperature": 0}), Preset("zeal", {"temperature": 2})]
    store.delete_preset("Calm")
    store.delete_preset("never there")
    assert [preset.name for preset in store.presets()] == ["zeal"]
    store.save_prompt("sum up", "Say it in one sentence:")
    assert store.prompts() == [Prompt("sum up", "Say it in one sentence:")]
    store.delete_prompt("sum up")
    assert store.prompts() == []
    with pytest.raises(BadRequest, match="1 to 80"):
        store.save_prompt(" ", "x")


def test_files_go_with_a_message_in_order_and_stay_with_it(store: Store) -> None:
    first, second = (store.add_file(None, name, "text", name * 3) for name in ("b.txt", "a.txt"))
    user, answer = store.add_turn(None, "read these", None, files=[first.id, second.id])
    found = store.files_of([user.id, answer.id])
    assert [(file.name, file.text, file.n_chars) for file in found[user.id]] == [
        ("b.txt", "b.txt" * 3, 15),
        ("a.txt", "a.txt" * 3, 15),
    ]
    assert answer.id not in found
    listed = store.files_of([user.id], with_text=False)[user.id]
    assert [(file.name, file.text, file.n_chars) for file in listed] == [("b.txt", "", 15), ("a.txt", "", 15)]
    assert store.file(first.id).chat_id == user.chat_id
    with pytest.raises(BadRequest, match="stays with its message"):
        store.drop_file(first.id)
    store.save(answer.id, "read", Status.DONE, {})
    again, _ = store.add_turn(user.chat_id, "read better", None, parent=None, files=[second.id])
    assert [file.name for file in store.files_of([again.id])[again.id]] == ["a.txt"]
    assert len(store.files_of([user.id])[user.id]) == 2


def test_a_message_with_a_file_that_is_gone_is_refused_whole(store: Store) -> None:
    dropped = store.add_file(None, "a.txt", "text", "x")
    store.drop_file(dropped.id)
    with pytest.raises(UnknownFile, match="add it again"):
        store.add_turn(None, "read it", "key", files=[dropped.id])
    assert store.chats() == []
    assert store.by_key("key") is None


def test_an_imported_chat_keeps_its_branches_times_and_files(store: Store) -> None:
    messages = [
        NewMessage("c", "b", "user", "two", 30.0),
        NewMessage("a", None, "user", "one", 10.0, files=(NewFile("x.txt", "text", "inside"),)),
        NewMessage("b2", "a", "assistant", "other", 25.0),
        NewMessage("b", "a", "assistant", "first", 20.0, "thought", {"model": "m"}),
    ]
    chat_id = store.add_chat("A title", 10.0, 40.0, messages, {"seed": 1}, leaf_key="c", tags=["old"], pinned=True)
    chat = store.chat(chat_id)
    assert (chat.title, chat.created_at, chat.updated_at, chat.tags, chat.pinned) == (
        "A title",
        10.0,
        40.0,
        ("old",),
        True,
    )
    assert shown(store, chat_id) == ["one", "first", "two"]
    kept = store.messages(chat_id)
    assert (kept[1].reasoning, kept[1].meta, kept[1].created_at) == ("thought", {"model": "m"}, 20.0)
    assert [m.content for m in store.tree(chat_id)] == ["one", "other", "first", "two"]
    assert store.files_of([kept[0].id])[kept[0].id][0].text == "inside"
    assert store.options(chat_id) == {"seed": 1}
    assert [hit.message_id for hit in store.search("other")] == [store.children(kept[0].id, chat_id)[0]]


@pytest.mark.parametrize(
    "messages",
    [
        [NewMessage("a", "a", "user", "its own parent")],
        [NewMessage("a", "b", "user", "x"), NewMessage("b", "a", "user", "a ring")],
        [NewMessage("a", None, "user", "x"), NewMessage("b", "nobody", "user", "an orphan")],
        [NewMessage("a", None, "user", "x"), NewMessage("a", None, "user", "twice")],
    ],
)
def test_an_import_that_is_no_tree_leaves_nothing_behind(store: Store, messages: list[NewMessage]) -> None:
    with pytest.raises(BadRequest):
        store.add_chat("t", 1.0, 1.0, messages)
    assert store.chats() == []


def test_a_long_imported_chat_in_the_wrong_order_takes_no_time() -> None:
    messages = [NewMessage(str(n), str(n - 1) if n else None, "user", "x", 1.0) for n in reversed(range(30_000))]
    began = time.process_time()
    assert [each.key for each in parents_first(messages)] == [str(n) for n in range(30_000)]
    assert time.process_time() - began < 5


def test_a_chat_that_another_process_answers_is_refused_until_that_one_ends(store: Store, tmp_path: Path) -> None:
    terminal = Store(tmp_path / "chat.db")
    terminal._owner = process.own().replace(":", "0:", 1)  # no such process
    user, running = terminal.add_turn(None, "from a terminal", None)
    terminal.save(running.id, "half", Status.STREAMING, {})
    terminal._owner = "1:" + process.start_of(1)  # one that lives
    terminal.save(running.id, "half", Status.STREAMING, {})
    for start in (
        lambda: store.add_turn(user.chat_id, "from the page", None),
        lambda: store.add_answer(user.id),
        lambda: store.remove_last_turn(user.chat_id),
    ):
        with pytest.raises(ChatBusy, match="in a terminal"):
            start()
    assert store.interrupt_unfinished() == 0
    terminal._owner = "4000000:gone"
    terminal.save(running.id, "half", Status.STREAMING, {})
    store.add_turn(user.chat_id, "from the page", None)
    assert [m.status for m in store.messages(user.chat_id)][1] is Status.INTERRUPTED
    terminal.close()


def test_what_another_process_wrote_is_told_once_and_in_order(store: Store, tmp_path: Path) -> None:
    own, _ = say(store, None, "written here", "x")
    terminal = Store(tmp_path / "chat.db")
    assert store.changed_since(0).chats == ()
    user, answer = terminal.add_turn(None, "from a terminal", None)
    first = store.changed_since(0)
    assert [m.id for m in first.new] == [user.id, answer.id]
    assert [chat.id for chat in first.chats] == [user.chat_id]
    terminal.save(answer.id, "text", Status.DONE, {})
    second = store.changed_since(first.token)
    assert [(m.id, m.content) for m in second.changed] == [(answer.id, "text")]
    assert second.new == ()
    terminal.delete([own.chat_id])
    third = store.changed_since(second.token)
    assert (third.gone, third.changed) == ((own.chat_id,), ())
    assert store.changed_since(third.token).token == third.token
    terminal.close()


def test_the_index_of_texts_matches_the_texts_after_all_that_can_happen(store: Store) -> None:
    one, first = say(store, None, "alpha", "beta")
    store.edit_answer(first.id, "gamma")
    store.reopen(first.id)
    assert store.search("gamma") == []
    store.save(first.id, "gamma delta", Status.DONE, {})
    assert [hit.message_id for hit in store.search("delta")] == [first.id]
    assert store.search("beta") == []
    store._db.execute("INSERT INTO message_index (message_index, rank) VALUES ('integrity-check', 1)")
    with pytest.raises(sqlite3.Error):
        store._db.execute("SELECT * FROM message_index WHERE message_index MATCH '\"'")
    assert shown(store, one.chat_id) == ["alpha", "gamma delta"]
