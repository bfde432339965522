"""The web server and a terminal on one database: each sees what the other wrote, and they never answer in one chat."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.chat.browser import Browser
from tests.fakes import FakeServer, Finish, Gate
from tests.processes import Process, chatbot, environment, running

# A terminal, as far as the database sees one: it begins a turn, and goes on when it is told to.
TERMINAL = """
import sys
from pathlib import Path
from chatbot.core.events import Status
from chatbot.core.store import Notes, Store
from chatbot.errors import ChatError
store = Store(Path(sys.argv[1]))
try:
    user, answer = store.add_turn(sys.argv[2] or None, "from a terminal", None)
except ChatError as why:
    sys.exit(why.message)
store.save(answer.id, "half", Status.STREAMING, {}, seq=2)
print(user.chat_id, answer.id, flush=True)
sys.stdin.readline()
store.save(answer.id, "half and half", Status.DONE, {}, seq=4)
store.set_notes(user.chat_id, [Notes("what was said", user.id, 1)], was=())
store.delete(sys.stdin.readline().split())
"""


class Terminal:
    """The other process."""

    def __init__(self, data_dir: Path, chat_id: str = "") -> None:
        command = [sys.executable, "-c", TERMINAL, str(data_dir / "chat.db"), chat_id]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen(command, text=True, env=environment(), **pipes)

    def begun(self) -> tuple[str, str]:
        chat_id, answer_id = self.process.stdout.readline().split()  # type: ignore[union-attr]
        return chat_id, answer_id

    def say(self, line: str = "") -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()


@contextmanager
def terminal(data_dir: Path, chat_id: str = "") -> Iterator[Terminal]:
    made = Terminal(data_dir, chat_id)
    try:
        yield made
    finally:
        made.process.kill()
        made.process.communicate()


@pytest.fixture
def web(tmp_path: Path, fake_server: FakeServer) -> Iterator[Process]:
    with running(chatbot(fake_server.url, tmp_path)) as process:
        yield process


def heard(page: Browser, name: str, **wanted: Any) -> Any:
    """Wait for an event of a message in this state, and return it."""

    def found() -> list[dict[str, Any]]:
        bodies = [body["message"] if name == "message" else body for each, body in page.heard if each == name]
        return [body for body in bodies if all(body.get(key) == value for key, value in wanted.items())]

    page.until(found)
    return found()[-1]


def test_what_a_terminal_writes_appears_on_the_page_and_both_take_turns(
    page: Browser, tmp_path: Path, fake_server: FakeServer
) -> None:
    fake_server.scripts = [["hello", Finish()]]
    turn = page.call("send", {"text": "hi"})
    chat = turn["chat"]["id"]
    page.end_of(turn["answer"]["id"])
    with terminal(tmp_path, chat) as other:
        chat_id, answer = other.begun()
        assert chat_id == chat
        page.until(lambda: any(n == "turn" and b["answer"]["id"] == answer for n, b in page.heard))
        (begun,) = [b for n, b in page.heard if n == "turn" and b["answer"]["id"] == answer]
        assert (begun["user"]["content"], begun["user"]["parent_id"]) == ("from a terminal", turn["answer"]["id"])
        refused = page.call("send", {"text": "me too", "chat_id": chat})["error"]
        assert (refused["code"], "in a terminal: wait or stop it" in refused["message"]) == ("chat_busy", True)
        assert page.call("retry", {"answer_id": turn["answer"]["id"]})["error"]["code"] == "chat_busy"
        other.say()
        now = heard(page, "message", id=answer, status="done")
        assert (now["content"], now["seq"]) == ("half and half", 4)
        page.until(lambda: ("notes", {"chat_id": chat, "n_folded": 1}) in page.heard)
        again = page.call("send", {"text": "my turn", "chat_id": chat})
        page.end_of(again["answer"]["id"])
        asked = [message["content"] for message in fake_server.requests[-1]["messages"]]
        assert asked[0].endswith("what was said")
        assert asked[1:] == ["half and half", "my turn"]
        other.say(chat)
        page.until(lambda: ("gone", {"chat_ids": [chat]}) in page.heard)


def test_a_new_chat_of_a_terminal_comes_into_the_list(page: Browser, tmp_path: Path) -> None:
    with terminal(tmp_path) as other:
        chat_id, answer = other.begun()
        assert heard(page, "chat", id=chat_id)["title"] == "from a terminal"
        assert heard(page, "chat", id=chat_id)["running"]
        assert [chat["running"] for chat in page.call("chats")["chats"]] == [True]
        opened = page.call("open", {"chat_id": chat_id})["messages"]
        assert [(m["content"], m["status"]) for m in opened] == [("from a terminal", "done"), ("half", "streaming")]
        other.say()
        assert heard(page, "message", id=answer, status="done")["content"] == "half and half"
        assert not heard(page, "chat", id=chat_id, running=False)["running"]


def test_the_answer_of_a_killed_terminal_is_marked_and_can_go_on_here(
    page: Browser, tmp_path: Path, fake_server: FakeServer
) -> None:
    fake_server.scripts = [[" and the rest", Finish()]]
    with terminal(tmp_path) as other:
        chat_id, answer = other.begun()
        assert page.call("open", {"chat_id": chat_id})["ok"]
        page.until(lambda: any(n == "turn" and b["answer"]["id"] == answer for n, b in page.heard))
    cut = heard(page, "message", id=answer, status="interrupted")
    assert cut["content"] == "half"
    assert page.call("continue", {"answer_id": answer})["ok"]
    page.end_of(answer)
    assert page.call("open", {"chat_id": chat_id})["messages"][1]["content"] == "half and the rest"


def test_a_terminal_is_refused_in_a_chat_that_is_being_answered_on_the_page(
    page: Browser, tmp_path: Path, fake_server: FakeServer
) -> None:
    gate = Gate()
    fake_server.scripts = [["some", gate, Finish()]]
    turn = page.call("send", {"text": "hi"})
    gate.wait_until_reached()
    with terminal(tmp_path, turn["chat"]["id"]) as other:
        _, said = other.process.communicate(timeout=30)
    assert "elsewhere: wait, or stop it there or with /stop" in said
    gate.open()
    page.end_of(turn["answer"]["id"])
    assert len(page.call("open", {"chat_id": turn["chat"]["id"]})["messages"]) == 2
