"""The terminal chat on a terminal that cannot draw: plain lines, Ctrl-C, commands, a window that closes."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from tests.chat.terminal import Terminal, screen
from tests.fakes import WAIT_S, FakeServer, Finish, Gate, Refuse, prompt_progress, queue_position

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer(["Hello", " you", Finish()]) as fake:
        yield fake


def test_a_conversation_remembers_and_survives_a_stopped_answer(server: FakeServer) -> None:
    gate = Gate()
    server.scripts = [["first answer", Finish()], ["half", gate, Finish()], ["third", Finish()]]
    terminal = Terminal(server.url)
    terminal.until("fake-model")
    terminal.until("> ")
    terminal.type("one\r")
    terminal.until("first answer\n")
    terminal.until("> ")
    terminal.type("two\r")
    terminal.until("half")
    terminal.interrupt()
    terminal.until("stopped")
    assert server.client_left.wait(WAIT_S)
    gate.open()
    terminal.until("> ")
    terminal.type("three\r")
    terminal.until("third\n")
    sent = [m["content"] for m in server.requests[2]["messages"]]
    assert sent[1:] == ["one", "first answer", "two", "half", "three"]
    terminal.until("> ")
    terminal.type("/exit\r")
    assert terminal.status() == 0


def test_a_terminal_shows_the_queue_and_the_reading_on_one_line_and_then_the_answer_alone(server: FakeServer) -> None:
    gates = [Gate(), Gate(), Gate()]
    steps = [queue_position(2), gates[0], prompt_progress(43, 100), gates[1], prompt_progress(100, 100), gates[2]]
    server.scripts = [[*steps, "Hello", Finish()]]
    terminal = Terminal(server.url, "hi", n_columns=60)
    for gate, words in zip(gates, ["[waiting, 2 before you]", "message 43 %]", "message 100 %]"], strict=True):
        terminal.until(words)
        gate.open()
    assert terminal.status() == 0
    assert screen(terminal.all) == ["Hello"]
    assert "\x1b" not in terminal.all


def test_a_line_of_progress_never_wraps_in_a_narrow_terminal(server: FakeServer) -> None:
    server.scripts = [[queue_position(2), prompt_progress(43, 100), "Hello", Finish()]]
    terminal = Terminal(server.url, "hi", n_columns=12)
    assert terminal.status() == 0
    written = [part for line in terminal.all.split("\n") for part in line.split("\r")]
    assert "[waiting, 2" in written and max(map(len, written)) < 12
    assert screen(terminal.all) == ["Hello"]


def test_ctrl_c_in_the_queue_stops_the_answer_and_leaves_a_clean_line(server: FakeServer) -> None:
    gate = Gate()
    server.scripts = [[queue_position(2), gate, Finish()], ["Hello", Finish()]]
    terminal = Terminal(server.url, n_columns=60)
    terminal.until("> ")
    terminal.type("one\r")
    terminal.until("[waiting, 2 before you]")
    terminal.interrupt()
    terminal.until("stopped")
    assert server.client_left.wait(WAIT_S)
    gate.open()
    terminal.until("> ")
    terminal.type("two\r")
    terminal.until("Hello\n")
    assert terminal.leave() == 0
    shown = screen(terminal.all)
    assert "[stopped; what was written is kept]" in shown
    assert not any("before you" in line or "^C" in line for line in shown)


def test_an_error_does_not_end_the_conversation(server: FakeServer) -> None:
    server.scripts = [[Refuse(500, "x", "it broke")], ["fine", Finish()]]
    terminal = Terminal(server.url)
    terminal.until("> ")
    terminal.type("one\r")
    terminal.until("[it broke]")
    terminal.until("> ")
    terminal.type("two\r")
    terminal.until("fine")
    assert terminal.leave() == 0


def test_two_ctrl_c_at_an_empty_prompt_leave_with_130(server: FakeServer) -> None:
    terminal = Terminal(server.url)
    terminal.until("> ")
    terminal.interrupt()
    terminal.until("Ctrl-C again leaves")
    terminal.until("> ")
    terminal.interrupt()
    assert terminal.status() == 130


def test_commands_and_lines_that_only_look_like_one(server: FakeServer) -> None:
    terminal = Terminal(server.url)
    terminal.until("> ")
    terminal.type("/help\r")
    terminal.until("begin another")
    terminal.until("> ")
    terminal.type("/frob\r")
    terminal.until("no command /frob")
    terminal.until("> ")
    terminal.type("/etc/hosts is what?\r")
    terminal.until("Hello you")
    assert server.requests[0]["messages"][-1]["content"] == "/etc/hosts is what?"
    terminal.until("> ")
    terminal.type("line one\\\rline two\r")
    terminal.until("Hello you")
    assert server.requests[1]["messages"][-1]["content"] == "line one\nline two"
    terminal.until("> ")
    terminal.type("/new\r")
    terminal.until("a new conversation")
    terminal.until("> ")
    terminal.type("fresh\r")
    terminal.until("Hello you")
    assert [m["content"] for m in server.requests[2]["messages"]][1:] == ["fresh"]
    assert terminal.leave() == 0


def test_a_base_model_is_announced_and_continues_what_was_typed(server: FakeServer) -> None:
    server.capabilities = ["completion"]
    server.scripts = [[" upon a time.", Finish()], [" was a fox.", Finish()]]
    terminal = Terminal(server.url)
    terminal.until("[fake-model; a base model, it continues your text instead of answering. /help for help]\n")
    terminal.until("> ")
    terminal.type("Once\r")
    terminal.until(" upon a time.")
    terminal.until("> ")
    terminal.type("There\r")
    terminal.until(" was a fox.")
    assert terminal.leave() == 0
    assert server.paths == ["/v1/completions"] * 2
    assert [sent["prompt"] for sent in server.requests] == ["Once", "Once upon a time.\nThere"]


def test_model_tells_what_is_known_in_two_lines(server: FakeServer) -> None:
    terminal = Terminal(server.url)
    terminal.until("> ")
    terminal.type("/model\r")
    terminal.until("[fake-model]\n[A conversation may be 4,096 tokens long.]\n> ")
    server.capabilities = ["chat", "tools"]
    server.plan = {"models": [{"name": "fake-model", "summary": "It runs.", "file_bytes": 98_362_432}]}
    terminal.type("/model\r")
    terminal.until("[fake-model. It can chat and call tools. Its file takes 98 MB.]\n[It runs.]\n> ")
    server.state = "loading"
    terminal.type("/model\r")
    terminal.until("[the model is still being loaded]\n> ")
    assert terminal.leave() == 0
    assert server.requests == []


def test_nothing_waits_for_ever_on_a_terminal_that_closes(server: FakeServer) -> None:
    terminal = Terminal(server.url)
    terminal.until("> ")
    terminal.hang_up()
    ended = threading.Event()
    threading.Thread(target=lambda: (os.waitpid(terminal.pid, 0), ended.set()), daemon=True).start()
    assert ended.wait(WAIT_S)
