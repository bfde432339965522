"""What a person types while an answer comes: seen below it, queued by Enter, kept by Ctrl-C."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from chatbot.terminal.ahead import Ahead
from chatbot.terminal.prompt import Pastes
from tests.chat.terminal import Tmux, half_answered, said
from tests.fakes import FakeServer, Finish, Gate, Refuse
from tests.processes import until

pytestmark = pytest.mark.usefixtures("home")

needs_tmux = pytest.mark.skipif(not shutil.which("tmux"), reason="tmux is not installed")


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer(["Hello", " you", Finish()]) as fake:
        yield fake


@needs_tmux
def test_a_message_sent_meanwhile_is_shown_as_queued_and_answered_next(server: FakeServer) -> None:
    gates = [Gate(), Gate()]
    server.scripts = [["A first block.\n\nHello", gates[0], " you", gates[1], " all.", Finish()], ["Second.", Finish()]]
    with Tmux(server.url) as tmux:
        tmux.until_prompt()
        tmux.keys("one", "Enter")
        tmux.until("Hello")
        tmux.keys("and two", "Left", "Left", "BSpace", "BSpace", "-")
        tmux.until("> and-wo")
        gates[0].open()
        seen = tmux.until("Hello you")
        assert seen.index("Hello you") < seen.index("> and-wo"), "the draft stays below the answer that grows"
        tmux.keys("Enter", "draft")
        tmux.until("queued: and-wo")
        assert tmux.until("> draft").count("> ") == 2 and len(server.requests) == 1
        gates[1].open()
        tmux.until("Second.")
        seen = tmux.until("> draft")
        until(lambda: tmux.screen().endswith("> draft"), "the draft at the prompt")
        seen = tmux.screen()
    assert said(server) == ["one", "A first block.\n\nHello you all.", "and-wo"]
    assert "queued" not in seen and seen.count("> and-wo") == seen.count("> draft") == seen.count("A first block.") == 1


@needs_tmux
def test_ctrl_c_stops_the_answer_and_keeps_draft_and_queue_unsent(server: FakeServer, home: Path) -> None:
    gate = Gate()
    server.scripts = [["half", gate, Finish()], ["fine", Finish()]]
    with Tmux(server.url) as tmux:
        half_answered(tmux)
        tmux.keys("C-c")
        tmux.until("[stopped; what was written is kept]")
        until(lambda: tmux.screen().endswith("> queued one\n  not sent"), "queue and draft at the prompt")
        gate.open()
        assert len(server.requests) == 1
        tmux.keys("Enter")
        tmux.until("fine")
    assert said(server) == ["one", "half", "queued one\nnot sent"]
    with sqlite3.connect(home / "paddock" / "chat.db") as db:
        found = db.execute("SELECT status FROM messages WHERE role = 'assistant' ORDER BY rowid").fetchall()
    assert found == [("stopped",), ("done",)]


@needs_tmux
def test_commands_are_queued_too_and_nothing_is_sent_after_a_failure(server: FakeServer) -> None:
    gates = [Gate(), Gate()]
    server.scripts = [["one", gates[0], Finish()], ["two", gates[1], Refuse(500, "x", "it broke")], ["3", Finish()]]
    with Tmux(server.url) as tmux:
        tmux.until_prompt()
        tmux.keys("a", "Enter")
        tmux.until("one")
        tmux.keys("/new", "Enter", "b", "Enter")
        tmux.until("queued: b")
        gates[0].open()
        tmux.until("a new conversation")
        tmux.until("two")
        assert said(server) == ["b"]
        tmux.keys("c", "Enter")
        tmux.until("queued: c")
        gates[1].open()
        tmux.until("[it broke]")
        until(lambda: tmux.screen().endswith("> c"), "the message at the prompt")
    assert len(server.requests) == 2


@needs_tmux
def test_a_paste_meanwhile_is_one_message_and_a_long_one_a_few_words(server: FakeServer) -> None:
    gate = Gate()
    server.n_ctx = 1_000_000
    server.scripts = [["Hello", gate, Finish()], ["read", Finish()]]
    text = "".join(f"line {n}\n" for n in range(10_000))
    with Tmux(server.url) as tmux:
        tmux.until_prompt()
        tmux.keys("one", "Enter")
        tmux.until("Hello")
        tmux.paste("first\nsecond")
        tmux.until("  second")
        tmux.keys("M-Enter", "third ")
        tmux.paste(text)
        tmux.until("third [pasted 1: 10,001 lines]")
        gate.open()
        until(lambda: tmux.screen().endswith("third [pasted 1: 10,001 lines]"), "the draft at the prompt")
        tmux.keys("Enter")
        tmux.until("read")
    assert said(server)[-1] == f"first\nsecond\nthird {text}".rstrip()


@needs_tmux
def test_a_draft_outlives_a_narrower_window_and_a_suspension(server: FakeServer) -> None:
    gates = [Gate(), Gate()]
    words = " ".join(f"word{n}" for n in range(12))
    server.scripts = [["First block.\n\n", words, gates[0], " and more", gates[1], " and the end.", Finish()]]
    with Tmux(server.url, columns=70, after='read -r _; fg; echo "status $?"; ') as tmux:
        tmux.until_prompt()
        tmux.keys("go", "Enter")
        tmux.until("word11")
        tmux.keys("a draft of some words that is wider than the window will be")
        tmux.until("will be")
        tmux.resize(30, 24)
        gates[0].open()
        tmux.until("and more")
        tmux.keys("C-z")
        tmux.until("status 148")
        tmux.keys("Enter")
        until(lambda: tmux.screen().count("> a draft of some") == 2, "the draft once more")
        tmux.keys(" indeed")
        tmux.until("indeed")
        gates[1].open()
        tmux.until("first word")
        until(lambda: tmux.screen().endswith("indeed"), "the draft at the prompt")
        seen = " ".join(tmux.screen(history=True).split())
    assert seen.count("First block.") == 1
    assert seen.count(f"{words} and more and the end.") == 1


@needs_tmux
def test_ctrl_d_meanwhile_leaves_when_the_answer_is_there(server: FakeServer) -> None:
    gate = Gate()
    server.scripts = [["Hello", gate, " you", Finish()]]
    with Tmux(server.url) as tmux:
        tmux.until_prompt()
        tmux.keys("one", "Enter")
        tmux.until("Hello")
        tmux.keys("C-d")
        gate.open()
        assert "Hello you" in tmux.until("status 0")


def test_keys_edit_a_draft_as_at_the_prompt() -> None:
    ahead = Ahead(Pastes())
    for keys in ("hello w\x7fworld", "\x1b[D\x1b[D你", "\x17", "\x01ab ", "\x0b\x19", "👋"):
        for byte in keys.encode():
            ahead.feed(bytes([byte]))
    assert ahead.take_draft() == "ab hello ld👋"
    ahead.feed(b'"""one\r\rtwo"""\rthree\\\rfour\x1b\rfive\r  \r')
    assert [ahead.next(), ahead.next(), ahead.next()] == ["one\n\ntwo", "three\nfour\nfive", ""]


def test_what_is_seen_of_a_long_draft_fits_and_holds_the_cursor() -> None:
    ahead = Ahead(Pastes())
    ahead.feed("宽".encode() * 50 + b"\x1b[D" * 3)
    for columns in (7, 12, 20, 80):
        below = ahead.below(columns)
        assert len(below.lines) <= 5 and below.rows_up < len(below.lines) and below.column < columns
    ahead.feed(b"\r" + b"".join(b"message %d\r" % n for n in range(5)))
    told = "".join(ahead.below(80).lines)
    assert told.count("queued: ") == 3 and "and 3 more" in told
