"""A chat that is shown again in a terminal, goes on, or went on elsewhere meanwhile, inside tmux."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from chatbot.core.events import Status
from chatbot.core.store import Store
from tests.chat.terminal import Tmux, chat, said, stored
from tests.fakes import FakeServer, Finish
from tests.processes import until

pytestmark = [
    pytest.mark.skipif(not shutil.which("tmux"), reason="tmux is not installed"),
    pytest.mark.usefixtures("home"),
]


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer(["Hello", " you", Finish()]) as fake:
        yield fake


def test_the_last_chat_is_shown_and_goes_on(server: FakeServer) -> None:
    chat(server.url, "one")
    with Tmux(server.url, "-c") as tmux:
        seen = tmux.until_prompt()
        assert "> one" in seen and "Hello you" in seen
        tmux.keys("two", "Enter")
        until(lambda: len(server.requests) == 2, "the second message")
    assert said(server) == ["one", "Hello you", "two"]


def test_a_long_line_of_code_is_seen_to_its_end_when_it_comes_and_when_it_is_shown_again(server: FakeServer) -> None:
    line = f"x = [{'1234567,' * 30}]  # to its end"
    server.scripts = [[f"Look:\n\n```sh\n{line}\n```\n\nThat is all.\n", Finish()]]
    with Tmux(server.url) as tmux:
        tmux.until_prompt()
        tmux.keys("code?", "Enter")
        tmux.until("That is all.")
        assert line in tmux.until_prompt().replace("\n", "")
    with Tmux(server.url, "-c") as tmux:
        assert line in tmux.until_prompt().replace("\n", "")


def test_an_answer_that_goes_on_in_the_middle_of_code_is_still_code(server: FakeServer, home: Path) -> None:
    server.scripts = [["Look:\n\n```python\nx = 1\ny =", Finish("length")], [" 2\n```\n\nThat **is** all.", Finish()]]
    with Tmux(server.url) as tmux:
        tmux.until_prompt()
        tmux.keys("code?", "Enter")
        tmux.until("reached its length limit")
        tmux.until_prompt()
        tmux.keys("/continue", "Enter")
        tmux.until("That is all.")
        seen = tmux.until_prompt()
    assert "y = 2" in seen and "```" not in seen and seen.count("x = 1") == 1
    assert stored(home) == [("Look:\n\n```python\nx = 1\ny = 2\n```\n\nThat **is** all.", "done")]


def test_a_message_waits_when_the_conversation_went_another_way_elsewhere(server: FakeServer, home: Path) -> None:
    server.scripts = [["answer one", Finish()], ["answer two", Finish()], ["answer three", Finish()]]
    chat(server.url, "one")
    chat(server.url, "-c", "two")
    with Tmux(server.url, "-c") as tmux:
        assert "answer two" in tmux.until_prompt()
        undone(home)
        tmux.keys("/undo", "Enter")
        seen = tmux.until("nothing was done")
        assert "this conversation took another way" in seen and seen.count("answer one") == 1
        tmux.until_prompt()
        undone(home)
        tmux.keys("three", "Enter")
        seen = tmux.until("not sent yet")
        assert "all messages were taken back" in seen and len(server.requests) == 2
        tmux.until("> three")
        tmux.keys("Enter")
        tmux.until("answer three")
    assert said(server) == ["three"]


def undone(home: Path) -> None:
    """The last turn is taken back by another window."""
    store = Store(home / "paddock" / "chat.db")
    assert store.remove_last_turn(store.chats()[0].id)
    store.close()


def test_an_edited_message_that_is_refused_keeps_its_place(server: FakeServer, home: Path) -> None:
    server.scripts = [["answer one", Finish()], ["answer two", Finish()]]
    with Tmux(server.url) as tmux:
        tmux.until_prompt()
        tmux.keys("one", "Enter")
        tmux.until("answer one")
        tmux.until_prompt()
        store = Store(home / "paddock" / "chat.db")
        chat_id = store.chats()[0].id
        _, answer = store.add_turn(chat_id, "from elsewhere", "key")
        tmux.keys("/edit", "Enter")
        tmux.until("give the command again")
        tmux.until_prompt()
        tmux.keys("/edit", "Enter")
        tmux.until("> from elsewhere")
        tmux.keys(", changed", "Enter")
        tmux.until("is being answered elsewhere")
        store.save(answer.id, "", Status.STOPPED, {})
        store.close()
        tmux.keys("Enter")
        tmux.until("answer two")
    assert said(server) == ["one", "answer one", "from elsewhere, changed"]
