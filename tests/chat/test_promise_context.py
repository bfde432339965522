"""What the model is sent: a message that is too long is refused or cut, after an error nothing is resent larger."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chat.browser import Browser
from tests.fakes import Cut, FakeServer, Finish, Refuse, Step
from tests.processes import Process, chatbot, running

FAILURES: dict[str, list[Step]] = {
    "too long after all": [Refuse(400, "context_length_exceeded", "this prompt has 501 tokens, the model holds 500")],
    "busy, then broken": [Refuse(429, "queue_full", "busy", 0)],
    "broken server": [Refuse(500, "internal_error")],
    "gone in the middle": ["half an ", "answer", Cut()],
    "refused in the middle": ["half", Refuse(500, "internal_error")],
}


@pytest.fixture
def small(fake_server: FakeServer) -> FakeServer:
    """A model that holds 500 tokens, one a word."""
    fake_server.n_ctx = 500
    return fake_server


@pytest.fixture
def web(small: FakeServer, tmp_path: Path) -> Iterator[Process]:
    with running(chatbot(small.url, tmp_path, "--max_tokens", "50")) as process:
        yield process


def ask(page: Browser, text: str, chat_id: str | None = None) -> dict[str, Any]:
    """Send a message and wait for the end of its answer."""
    turn = page.call("send", {"text": text, "chat_id": chat_id})
    return turn | {"end": page.end_of(turn["answer"]["id"])}


def sizes(server: FakeServer) -> list[int]:
    """How large the messages of each request were."""
    return [len(json.dumps(request["messages"])) for request in server.requests]


@pytest.mark.parametrize("kind", FAILURES)
def test_nothing_is_resent_larger_after_an_error(page: Browser, small: FakeServer, kind: str) -> None:
    small.scripts = [["a short answer", Finish()]]
    chat_id = ask(page, "word " * 100)["chat"]["id"]
    small.requests.clear()
    busy_ends = [[Refuse(500, "internal_error")]] if kind.startswith("busy") else []
    small.scripts = [FAILURES[kind], *busy_ends, FAILURES["broken server"], ["at last", Finish()]]
    failed = ask(page, "word " * 200, chat_id)
    assert failed["end"]["status"] == "error"
    assert len(small.requests) == 1 + len(busy_ends)  # a refusal is told and not tried again on its own account
    answer = failed["answer"]
    for status in ("error", "done"):
        page.heard.clear()  # an answer without a word is given in its place
        answer = page.call("retry", {"answer_id": answer["id"]})["answer"]
        assert page.end_of(answer["id"])["status"] == status
    assert len(small.requests) == 3 + len(busy_ends)
    assert max(sizes(small)) == sizes(small)[0]
    assert "half" not in json.dumps(small.requests)


def test_message_that_the_model_cannot_hold_is_refused_with_both_numbers_and_asks_nothing(
    page: Browser, small: FakeServer
) -> None:
    end = ask(page, "word " * 600)["end"]
    assert end["error"]["code"] == "context_full"
    assert "600" in end["error"]["message"] and "500" in end["error"]["message"], end
    assert small.requests == []


def test_message_that_the_model_cannot_hold_is_cut_where_the_setting_says_so(small: FakeServer, tmp_path: Path) -> None:
    small.scripts = [["read", Finish()]]
    with running(chatbot(small.url, tmp_path, "--long_message", "cut", "--max_tokens", "50")) as web:
        page = Browser(web.url)
        turn = ask(page, f"first {'word ' * 600}last")
        shown = page.call("open", {"chat_id": turn["chat"]["id"]})["messages"]
        page.client.disconnect()
    sent = small.requests[0]["messages"][-1]["content"]
    assert sent.startswith("first") and sent.endswith("last") and len(sent.split()) < 450
    assert any("were not sent" in notice for notice in shown[1]["meta"]["notices"])
    assert shown[0]["content"].count("word") == 600  # what was said is kept whole
