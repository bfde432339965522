"""Never lose a token: what a killed web server and a killed model server leave behind, as the page shows it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.chat.page import Tabs, stored
from tests.chat.test_promise_drops import AWKWARD, copied
from tests.fakes import FakeServer, Finish, Gate
from tests.processes import Process, chatbot, free_port, running, until

pytestmark = pytest.mark.browser


@pytest.fixture
def started() -> Iterator[list[Process]]:
    """A list for processes that a test starts; they all end with it."""
    processes: list[Process] = []
    yield processes
    for process in processes:
        process.kill()


def test_answer_of_a_killed_web_server_goes_on_in_the_same_message(
    model: FakeServer, tabs: Tabs, tmp_path: Path, started: list[Process]
) -> None:
    gates = [Gate(), Gate()]
    begun, rest = "".join(AWKWARD) + "two, ", "\tthree. \n\n\nEnd"
    model.scripts = [["".join(AWKWARD), gates[0], "two, ", gates[1], "never seen", Finish()], [rest, Finish()]]
    port = free_port()
    started.append(chatbot(model.url, tmp_path, port=port))
    started[0].until_healthy()
    tab = tabs.open(started[0])
    tab.say("count")
    gates[0].open()
    chat_id = tab.chat_id()
    until(lambda: stored(tmp_path, chat_id)[-1][1] == begun, "what is half a second old", timeout_s=10)
    started[0].kill()

    started.append(chatbot(model.url, tmp_path, port=port))
    started[1].until_healthy()
    tab.is_at("interrupted")
    assert copied(tab) == begun
    expect(tab.answer()).to_contain_text("Cut off")
    tab.button("Continue").click()
    tab.is_at("done")
    assert copied(tab) == begun + rest
    assert model.requests[-1]["messages"][-1] == {"role": "assistant", "content": begun}
    assert stored(tmp_path, chat_id) == [("user", "count", "done"), ("assistant", begun + rest, "done")]
    expect(tab.find(".message")).to_have_count(2)


def test_messages_that_waited_for_a_killed_web_server_are_answered_in_their_places(
    model: FakeServer, tabs: Tabs, tmp_path: Path, started: list[Process]
) -> None:
    port, hold = free_port(), Gate()
    model.scripts = [["hello ", hold, Finish()], *([text, Finish()] for text in ("world", "two", "three"))]
    started.append(chatbot(model.url, tmp_path, port=port))
    started[0].until_healthy()
    tab = tabs.open(started[0])
    tab.say("first")
    tab.reads("hello")
    for nth, text in enumerate(("second", "third"), 1):
        tab.say(text)
        tab.is_at("queued", nth)
    chat_id = tab.chat_id()
    until(lambda: stored(tmp_path, chat_id)[1][1] == "hello ", "what is half a second old", timeout_s=10)
    started[0].kill()

    started.append(chatbot(model.url, tmp_path, port=port))
    started[1].until_healthy()
    other = tabs.open(started[1], f"/c/{chat_id}")
    for nth, told in enumerate(("Cut off", "not answered yet", "not answered yet")):
        tab.is_at("interrupted", nth)
        expect(tab.answer(nth)).to_contain_text(told)
    expect(tab.answer(1)).not_to_contain_text("arrived")
    expect(tab.button("Retry")).to_have_count(2)
    expect(other.button("Continue")).to_be_visible()
    tab.button("Continue").click()
    tab.reads("hello world", 0)
    for nth, text in enumerate(("two", "three"), 1):
        tab.answer(nth).get_by_role("button", name="Retry").click()
        tab.is_at("done", nth)
        tab.reads(text, nth)
    for each in (tab, other):
        expect(each.find(".answer .body")).to_have_text(["hello world", "two", "three"])
        expect(each.button("Continue")).to_have_count(0)
        expect(each.find(".place")).to_have_count(0)
    assert [row[1] for row in stored(tmp_path, chat_id)] == ["first", "hello world", "second", "two", "third", "three"]
    assert [str(each["content"]) for each in model.requests[-1]["messages"]][-4:] == [
        "hello world",
        "second",
        "two",
        "third",
    ]


def test_answer_goes_on_no_more_on_any_page_once_a_message_behind_it_is_answered(
    model: FakeServer, tabs: Tabs, tmp_path: Path, started: list[Process]
) -> None:
    port, hold = free_port(), Gate()
    model.scripts = [["hello ", hold, Finish()], ["two", Finish()]]
    started.append(chatbot(model.url, tmp_path, port=port))
    started[0].until_healthy()
    tab = tabs.open(started[0])
    tab.say("first")
    tab.reads("hello")
    tab.say("second")
    tab.is_at("queued")
    chat_id = tab.chat_id()
    until(lambda: stored(tmp_path, chat_id)[1][1] == "hello ", "what is half a second old", timeout_s=10)
    started[0].kill()

    started.append(chatbot(model.url, tmp_path, port=port))
    started[1].until_healthy()
    other = tabs.open(started[1], f"/c/{chat_id}")
    expect(other.button("Continue")).to_be_visible()
    tab.button("Retry").click()
    tab.reads("two")
    for each in (tab, other):
        each.is_at("done")
        expect(each.button("Continue")).to_have_count(0)


def test_killed_model_server_leaves_the_text_a_plain_error_and_a_way_to_try_again(
    tabs: Tabs, tmp_path: Path, started: list[Process]
) -> None:
    port = free_port()

    def speaks() -> Process:
        started.append(Process("-m", "chatbot.bench.scripted", "--port", str(port), port=port))
        started[-1].until_healthy()
        return started[-1]

    server = speaks()
    with running(chatbot(f"http://127.0.0.1:{port}/v1", tmp_path)) as chat:
        tab = tabs.open(chat)
        tab.say(json.dumps({"n": 40, "per_s": 20}))
        expect(tab.answer().locator(".body")).to_contain_text(re.compile(r"\b5:\d+;"))
        server.kill()
        tab.is_at("error")
        expect(tab.answer().locator(".problem")).to_contain_text("went away in the middle of the answer")
        _, (_, text, status) = stored(tmp_path, tab.chat_id())
        numbers = [int(piece.split(":")[0]) for piece in text.split(";")[:-1]]
        assert status == "error"
        assert numbers == list(range(len(numbers))) and len(numbers) > 5
        assert copied(tab) == text
        speaks()
        tab.button("Retry").click()
        tab.is_at("done")
        expect(tab.answer().locator(".body")).to_contain_text(re.compile(r"\b39:\d+;"))
        assert stored(tmp_path, tab.chat_id())[1][1] == text  # the first text is kept beside the new one
