"""What the commands of a conversation at the terminal do, in plain lines."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from chatbot.core.commands import COMMANDS, TERMINAL
from chatbot.core.events import Status
from chatbot.core.store import Store
from chatbot.terminal.obey import _DOES, _FENCED
from tests.chat.terminal import Terminal, chat, converse, program, said
from tests.fakes import FakeServer, Finish, Refuse, Usage

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer(*([f"answer {n}", Finish(), Usage(5, 2)] for n in range(1, 9))) as fake:
        yield fake


def kept(home: Path) -> Store:
    return Store(home / "paddock" / "chat.db")


def test_every_command_of_the_table_does_something_here() -> None:
    assert set(_DOES) == {spec.name for spec in COMMANDS if spec.is_for(TERMINAL)}


def test_regen_answers_the_same_message_in_another_branch(server: FakeServer, home: Path) -> None:
    done = converse(server.url, "one", "/regen")
    assert done.stdout == b"answer 1\nanswer 2\n"
    assert said(server, 0) == said(server, 1) == ["one"]
    store = kept(home)
    tree = store.tree(store.chats()[0].id)
    assert [m.content for m in tree] == ["one", "answer 1", "answer 2"]
    assert tree[1].parent_id == tree[2].parent_id
    store.close()


def test_regen_gives_an_answer_that_failed_without_a_word_where_it_stands(server: FakeServer, home: Path) -> None:
    server.scripts = [[Refuse(500, "x", "it broke")], ["fine", Finish()]]
    assert converse(server.url, "one", "/regen").stdout == b"fine\n"
    store = kept(home)
    assert [m.content for m in store.tree(store.chats()[0].id)] == ["one", "fine"]
    store.close()


def test_edit_sends_a_changed_message_in_place_of_the_last(server: FakeServer, home: Path) -> None:
    done = converse(server.url, "one", "two", "/edit", "two, please", "three")
    assert b"two\n" in done.stderr, "the draft is shown"
    assert said(server, 2) == ["one", "answer 1", "two, please"]
    assert said(server, 3) == ["one", "answer 1", "two, please", "answer 3", "three"]
    store = kept(home)
    assert len(store.tree(store.chats()[0].id)) == 8
    store.close()


def test_another_command_gives_the_edit_up(server: FakeServer) -> None:
    converse(server.url, "one", "/edit", "/stats", "two")
    assert said(server) == ["one", "answer 1", "two"]


def test_continue_goes_on_with_the_same_answer_and_only_where_it_ended_early(server: FakeServer, home: Path) -> None:
    server.scripts = [["one, t", Finish("length")], ["wo, three", Finish()]]
    done = converse(server.url, "/continue", "count", "/continue", "/continue")
    assert done.stdout == b"one, t\nwo, three\n"
    assert b"no answer yet" in done.stderr and b"this answer is complete" in done.stderr
    assert said(server) == ["count", "one, t"]
    store = kept(home)
    assert [(m.content, m.status) for m in store.tree(store.chats()[0].id)[1:]] == [("one, two, three", Status.DONE)]
    store.close()


def test_undo_takes_the_last_turn_out_of_what_is_sent(server: FakeServer) -> None:
    done = converse(server.url, "one", "two", "/undo", "three")
    assert b"[taken back: two]" in done.stderr
    assert said(server) == ["one", "answer 1", "three"]
    assert b"no message that could be taken back" in converse(server.url, "/undo").stderr


def test_set_system_and_think_change_the_request_and_stay_with_the_chat(server: FakeServer) -> None:
    server.capabilities = ["chat", "reasoning"]
    lines = ("/set temperature 0.1", "/system Be a pirate.", "/think off", "one", "/set temperature default", "two")
    done = converse(server.url, *lines)
    assert b"[temperature is 0.1]" in done.stderr
    first, second = server.requests
    assert first["messages"][0]["content"] == "Be a pirate."
    assert (first["temperature"], second["temperature"]) == (0.1, 0.7)
    assert first["reasoning_effort"] == "none"
    chat(server.url, "-c", "three")
    assert server.requests[2]["messages"][0]["content"] == "Be a pirate."


def test_set_wins_over_a_flag_that_was_given_at_the_start(server: FakeServer) -> None:
    converse(server.url, "one", args=("-t", "0.5"))
    converse(server.url, "one", "/set temperature 1", "two", args=("-c", "-t", "0.3"))
    assert [sent["temperature"] for sent in server.requests] == [0.5, 0.3, 1]


def test_set_refuses_with_the_range_and_lists_what_is_in_force(server: FakeServer) -> None:
    done = converse(server.url, "/set temperature 9", "/set tempratur 1", "/set").stderr.decode()
    assert "temperature must be a number from 0 to 2, got 9" in done
    assert "did you mean temperature" in done
    assert re.search(r"top_k +the model server's", done)


def test_a_file_goes_with_the_next_message_alone(server: FakeServer, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("buy leeks")
    done = converse(server.url, f"/file {tmp_path}/notes.txt", "what is in it?", "and now?")
    assert b"[notes.txt: 9 characters go with the next message]" in done.stderr
    assert "buy leeks" in said(server, 0)[0] and said(server, 1)[2] == "and now?"
    terminal = Terminal(server.url, "-f", f"{tmp_path}/notes.txt", "what is in it?")
    terminal.until("[sent whole: notes.txt]")
    assert terminal.status() == 0


def test_what_the_web_refuses_is_said_and_the_conversation_goes_on(server: FakeServer) -> None:
    done = converse(server.url, "/url http://127.0.0.1:9/secret", "one")
    assert b"127.0.0.1" in done.stderr
    assert done.stdout == b"answer 1\n"


def test_list_open_and_search_lead_back_to_another_chat(server: FakeServer) -> None:
    first = json.loads(chat(server.url, "--json", "about leeks").stdout)["chat_id"]
    done = converse(server.url, "other things", "/list", "/search leeks", f"/open {first[:6]}", "more")
    told = done.stderr.decode()
    assert "* " in told and first[:8] in told and "about leeks" in told
    assert said(server) == ["about leeks", "answer 1", "more"]


def test_save_writes_the_conversation_and_never_over_a_file(server: FakeServer, tmp_path: Path) -> None:
    markdown, data = tmp_path / "c.md", tmp_path / "c.json"
    done = converse(server.url, "one", f"/save {markdown}", f"/save {data}", f"/save {data}")
    assert "answer 1" in markdown.read_text()
    assert json.loads(data.read_text())["title"] == "one"
    assert b"exists already" in done.stderr


def test_new_begins_another_chat_with_nothing_of_the_last(server: FakeServer, home: Path) -> None:
    converse(server.url, "one", "/new", "two")
    assert said(server) == ["two"]
    store = kept(home)
    assert len(store.chats()) == 2
    store.close()


def test_model_changes_who_answers_in_this_chat(server: FakeServer) -> None:
    meta = {"n_ctx": 4096, "state": "ok"}
    server.models = [{"id": name, "object": "model", "meta": meta} for name in ("small", "large")]
    done = converse(server.url, "one", "/model large", "two", "/model")
    assert [sent["model"] for sent in server.requests] == ["small", "large"]
    assert b"large answers from now on" in done.stderr and b"* large" in done.stderr


def test_stats_tell_the_last_answer_and_the_chat(server: FakeServer) -> None:
    told = converse(server.url, "one", "/stats").stderr.decode()
    assert "2 tokens" in told and "2 messages" in told and "holds 4,096 tokens" in told


def test_copy_needs_a_terminal_and_finds_the_last_code(server: FakeServer) -> None:
    assert b"only a terminal can copy" in converse(server.url, "one", "/copy").stderr
    text = "a\n```py\nx = 1\n```\nb\n~~~\ny = 2\n~~~\n"
    assert [found[1] for found in _FENCED.findall(text)] == ["x = 1\n", "y = 2\n"]


def test_help_lists_each_command_and_the_keys(server: FakeServer) -> None:
    told = converse(server.url, "/help", "/help regen").stderr.decode()
    assert all(f"/{name}" in told for name in _DOES)
    assert "Alt-Enter" in told and "also /retry" in told


def test_triple_quotes_and_backslashes_make_one_message_of_several_lines(server: FakeServer) -> None:
    converse(server.url, '"""one', "", 'two"""', "three\\", "four")
    assert (said(server, 0), said(server, 1)[2]) == (["one\n\ntwo"], "three\nfour")


def test_a_chat_that_another_process_answers_is_left_alone(server: FakeServer, home: Path) -> None:
    store = kept(home)
    _, answer = store.add_turn(None, "asked on the page", "k")
    done = program(server.url, "-c", "me too")
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"is being answered" in done.stderr
    store.save(answer.id, "done", Status.DONE, {})
    store.close()
    assert server.requests == []


def test_what_was_said_on_the_page_is_sent_along(server: FakeServer, home: Path) -> None:
    chat(server.url, "one")
    store = kept(home)
    chat_id = store.chats()[0].id
    _, answer = store.add_turn(chat_id, "from the page", "k")
    store.save(answer.id, "to the page", Status.DONE, {})
    store.close()
    chat(server.url, "-c", "here again")
    assert said(server) == ["one", "answer 1", "from the page", "to the page", "here again"]
