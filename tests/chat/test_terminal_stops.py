"""Ctrl-C while nothing comes yet (a model that loads, a busy server, one that says nothing), and at the prompt."""

from __future__ import annotations

import shutil
import socket
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.completion import DummyCompleter
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from chatbot.terminal import prompt
from tests.chat.terminal import Terminal, Tmux, half_answered
from tests.fakes import FakeServer, Finish, Gate, Refuse
from tests.processes import free_port, until

pytestmark = pytest.mark.usefixtures("home")

needs_tmux = pytest.mark.skipif(not shutil.which("tmux"), reason="tmux is not installed")
STOPPED = "[stopped; what was written is kept]"


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer(["Hello", " you", Finish()]) as fake:
        yield fake


def statuses(home: Path) -> list[str]:
    with sqlite3.connect(home / "paddock" / "chat.db") as db:
        found = db.execute("SELECT status FROM messages WHERE role = 'assistant' ORDER BY rowid")
        return [str(status) for (status,) in found]


def test_a_paste_is_known_as_one_also_while_lines_are_written_above(monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[str] = []

    class Recorded(DummyOutput):
        def enable_bracketed_paste(self) -> None:
            modes.append("on")

        def disable_bracketed_paste(self) -> None:
            modes.append("off")

    def greet() -> None:
        line.say_above("hello\n")
        line.when_shown(lambda: (modes.append("drawn again"), keys.send_text("x\r")))

    monkeypatch.setattr(prompt, "_output", Recorded)
    with create_pipe_input() as keys, create_app_session(input=keys):
        line = prompt.Prompt(None, DummyCompleter(), lambda: False, lambda: None)
        line.when_shown(greet)
        assert line.read() == "x"
    assert "off" not in modes[: modes.index("drawn again")] and modes[-1] == "off"


@needs_tmux
def test_ctrl_c_ends_each_wait_for_the_server_and_the_next_message_works(server: FakeServer, home: Path) -> None:
    with Tmux(server.url) as tmux:
        tmux.until_prompt()
        server.state = "loading"
        tmux.keys("one", "Enter")
        tmux.until("waiting for the model to be ready")
        tmux.keys("C-c")
        tmux.until(STOPPED)
        tmux.until_prompt()
        server.state = "ok"
        server.scripts = [[Refuse(429, "queue_full", "busy", 60)], ["Hello you", Finish()]]
        tmux.keys("two", "Enter")
        until(lambda: len(server.requests) == 1, "the refused request")
        tmux.until("waiting for the model to be ready")
        began = time.monotonic()
        tmux.keys("C-c")
        until(lambda: tmux.screen().count(STOPPED) == 2, "the end of the wait")
        assert time.monotonic() - began < 10, "the server asked to be left alone for 60 s"
        tmux.until_prompt()
        tmux.keys("three", "Enter")
        tmux.until("Hello you")
    assert statuses(home) == ["stopped", "stopped", "done"]


@needs_tmux
def test_the_prompt_waits_for_no_server_and_the_greeting_comes_above_what_is_typed(server: FakeServer) -> None:
    with Tmux(f"http://127.0.0.1:{free_port()}/v1") as tmux:
        tmux.until_prompt()
        tmux.keys("a draft")
        tmux.until("nobody answers at")
        until(lambda: tmux.screen().endswith("> a draft"), "the draft below the greeting")
        assert tmux.screen().count("a draft") == 1
        tmux.keys("Enter")
        until(lambda: tmux.screen().count("nobody answers at") == 2, "the failed answer")
    server.notice = "a demonstration"
    with Tmux(server.url) as tmux:
        tmux.until("fake-model; a demonstration model, do not rely on what it says. /help for help\n\n>")


def test_ctrl_c_while_connecting_comes_back_to_the_prompt() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=8) as silent:
        terminal = Terminal(f"http://127.0.0.1:{silent.getsockname()[1]}/v1")
        terminal.until("> ")
        terminal.type("one\r")
        terminal.interrupt()
        terminal.until("[stopped; what was written is kept]\n")
        assert terminal.leave() == 0


def test_ctrl_c_between_two_turns_is_one_at_the_prompt(server: FakeServer) -> None:
    gate = Gate()
    server.scripts = [["Hello", gate, Finish()]]
    terminal = Terminal(server.url)
    terminal.until("> ")
    terminal.type("one\r")
    terminal.until("Hello")
    gate.open()
    terminal.until("> ")
    terminal.interrupt()
    terminal.until("Ctrl-C again leaves")
    terminal.until("> ")
    terminal.type("two\r")
    terminal.until("Hello")
    assert terminal.leave() == 0


@needs_tmux
def test_an_edit_that_ctrl_c_leaves_changes_nothing_and_the_next_message_is_a_new_one(server: FakeServer) -> None:
    with Tmux(server.url) as tmux:
        tmux.until_prompt()
        for n_answers, text in enumerate(("first", "second"), 1):
            tmux.keys(text, "Enter")
            until(lambda n=n_answers: tmux.screen().count("Hello you") == n, "the answer")  # type: ignore[misc]
            tmux.until_prompt()
        tmux.keys("/edit", "Enter")
        until(lambda: tmux.screen().endswith("> second"), "the message to be changed")
        tmux.keys(" thoughts", "C-c")
        tmux.until_prompt()
        tmux.keys("a new message", "Enter")
        until(lambda: len(server.requests) == 3, "the third request")
    said = [each["content"] for each in server.requests[-1]["messages"] if each["role"] != "system"]
    assert said == ["first", "Hello you", "second", "Hello you", "a new message"]


@needs_tmux
def test_what_ctrl_c_takes_from_the_line_comes_back_with_up_also_a_long_paste(server: FakeServer) -> None:
    text = "".join(f"line {n}\n" for n in range(500))
    with Tmux(server.url) as tmux:
        tmux.until("fake-model. /help")
        tmux.until_prompt()
        tmux.keys("long thoughts on ")
        tmux.paste(text)
        tmux.until("[pasted 1: 501 lines]")
        tmux.keys("C-c")
        tmux.until_prompt()
        tmux.keys("C-c")
        tmux.until("Ctrl-C again leaves")
        tmux.until_prompt()
        tmux.keys("Up")
        tmux.until("> long thoughts on [pasted 1: 501 lines]")
        tmux.keys("Enter")
        tmux.until("Hello you")
    assert server.requests[-1]["messages"][-1]["content"] == f"long thoughts on {text}".rstrip()


def test_a_second_ctrl_c_before_the_prompt_is_there_takes_nothing_from_its_draft(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pressed = [True]
    monkeypatch.setattr(prompt, "_output", DummyOutput)
    with create_pipe_input() as keys, create_app_session(input=keys):
        line = prompt.Prompt(None, DummyCompleter(), lambda: bool(pressed and pressed.pop()), lambda: None)
        keys.send_text(", sent\r")
        try:
            assert line.read("queued and typed") == "queued and typed, sent"
        except KeyboardInterrupt:
            pytest.fail("the draft was taken away")
        pressed.append(True)
        with pytest.raises(KeyboardInterrupt):
            line.read()


@needs_tmux
def test_two_quick_ctrl_c_in_an_answer_lose_neither_queue_nor_draft(server: FakeServer) -> None:
    gate = Gate()
    server.scripts = [["half", gate, Finish()], ["fine", Finish()]]
    with Tmux(server.url) as tmux:
        half_answered(tmux)
        tmux.keys("C-c")
        tmux.keys("C-c")
        tmux.until(STOPPED)
        until(lambda: "> " in tmux.screen().rpartition(STOPPED)[2] + " ", "the prompt")  # before it keys may be lost
        tmux.keys("!")
        until(lambda: tmux.screen().endswith("!"), "the key behind both")
        if tmux.screen().endswith("> !"):  # the second one came to the prompt
            tmux.keys("BSpace", "Up")
            until(lambda: tmux.screen().endswith("not sent"), "what Ctrl-C took from the line")
        assert "> queued one\n  not sent" in tmux.screen()
        gate.open()
