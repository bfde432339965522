"""What a conversation survives when a server goes away or is killed; and one with the real model."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.chat.axe import violations
from tests.chat.page import Tab, Tabs, stored
from tests.fakes import Cut, FakeServer, Finish, Gate
from tests.processes import Process, chatbot, free_port, running, until

pytestmark = pytest.mark.browser

CHAT_SERVER_AWAY = re.compile("The chat server does not answer")
MODEL_AWAY = re.compile("The model is away")


@pytest.fixture
def killable(tmp_path: Path) -> Iterator[list[Process]]:
    """A list for chat servers that a test starts; they all end with it."""
    started: list[Process] = []
    yield started
    for process in started:
        process.kill()


def test_model_server_that_is_away_is_said_plainly_and_its_return_heals_the_page(tabs: Tabs, tmp_path: Path) -> None:
    port = free_port()
    with running(chatbot(f"http://127.0.0.1:{port}/v1", tmp_path)) as chat:
        tab = tabs.open(chat)
        expect(tab.strip).to_have_text(MODEL_AWAY)
        tab.say("anybody there?")
        tab.is_at("error")
        expect(tab.answer().locator(".problem")).to_contain_text(f"Nobody answers at http://127.0.0.1:{port}")
        with FakeServer(["Half an", Cut()], ["Here I am", Finish()], port=port) as server:
            expect(tab.strip).to_be_hidden()
            tab.button("Retry").click()
            tab.reads("Half an")
            tab.is_at("error")
            expect(tab.answer().locator(".problem")).to_contain_text("went away in the middle")
            tab.page.reload()
            tab.reads("Half an")
            tab.button("Retry").click()
            tab.reads("Here I am")
            tab.is_at("done")
            expect(tab.find(".problem")).to_have_count(0)
            expect(tab.find(".message")).to_have_count(2)
            assert [request["messages"][1:] for request in server.requests] == [
                [{"role": "user", "content": "anybody there?"}]
            ] * 2
        expect(tab.strip).to_have_text(MODEL_AWAY)


def test_killed_chat_server_keeps_the_text_marks_it_and_the_page_goes_on_after_its_restart(
    model: FakeServer, tabs: Tabs, tmp_path: Path, killable: list[Process]
) -> None:
    begin, hold = Gate(), Gate()
    model.scripts = [["Saved", begin, " words", hold, " lost", Finish()], ["Answered again", Finish()]]
    port = free_port()
    killable.append(chatbot(model.url, tmp_path, port=port))
    killable[0].until_healthy()
    tab = tabs.open(killable[0])
    tab.say("go")
    begin.open()
    tab.reads("Saved words")
    chat_id = tab.chat_id()
    until(lambda: stored(tmp_path, chat_id)[-1][1] == "Saved words", "the text in the database", timeout_s=10)
    tab.input.fill("a draft\nof two lines")
    killable[0].kill()
    expect(tab.strip).to_have_text(CHAT_SERVER_AWAY)

    killable.append(chatbot(model.url, tmp_path, port=port))
    killable[1].until_healthy()
    expect(tab.strip).to_be_hidden()
    assert_cut_off(tab)
    tab.page.reload()
    assert_cut_off(tab)
    tab.button("Retry").click()
    tab.reads("Answered again")
    tab.is_at("done")
    expect(tab.input).to_have_value("a draft\nof two lines")
    assert [row[1:] for row in stored(tmp_path, chat_id)][1] == ("Saved words", "interrupted")


def test_a_chat_server_that_hangs_is_told_and_the_message_arrives_once_when_it_goes_on(
    model: FakeServer, tabs: Tabs, tmp_path: Path, killable: list[Process]
) -> None:
    model.scripts = [["ok", Finish()]]
    killable.append(chatbot(model.url, tmp_path))
    killable[0].until_healthy()
    tab = tabs.open(killable[0])
    tab.say("before")
    tab.is_at("done")
    sending = tab.page.get_by_text("Sending…")
    expect(sending).to_have_count(0)
    os.killpg(killable[0].process.pid, signal.SIGSTOP)
    tab.say("while it hangs")
    expect(sending).to_be_visible()
    expect(tab.problem).to_have_text("The chat server does not answer. Your text is kept here.")
    assert violations(tab) == []
    os.killpg(killable[0].process.pid, signal.SIGCONT)
    expect(tab.find(".answer[data-status=done]")).to_have_count(2)
    expect(tab.problem).to_be_hidden()
    expect(sending).to_have_count(0)
    expect(tab.find(".user")).to_have_text(["before", "while it hangs"])
    assert len(model.requests) == 2


def assert_cut_off(tab: Tab) -> None:
    tab.is_at("interrupted")
    tab.reads("Saved words")
    expect(tab.answer()).to_contain_text("Cut off")
    expect(tab.input).to_have_value("a draft\nof two lines")
    expect(tab.button("Stop")).to_be_hidden()


def test_chats_survive_a_restart_and_open_by_their_address(
    model: FakeServer, tabs: Tabs, tmp_path: Path, killable: list[Process]
) -> None:
    model.scripts = [["first answer", Finish()], ["second answer", Finish()]]
    killable.append(chatbot(model.url, tmp_path))
    killable[0].until_healthy()
    tab = tabs.open(killable[0])
    tab.say("an old question")
    tab.is_at("done")
    old = tab.chat_id()
    tab.page.get_by_role("link", name="New chat").click()
    tab.say("a newer question")
    tab.is_at("done")
    assert killable[0].terminate() == 0

    killable.append(chatbot(model.url, tmp_path))
    killable[1].until_healthy()
    tab = tabs.open(killable[1], f"/c/{old}")
    expect(tab.find("#chats li")).to_have_text(["a newer question", "an old question"])
    expect(tab.find(".user")).to_have_text("an old question")
    tab.reads("first answer")
    expect(tab.page).to_have_title("an old question")
    tab.page.get_by_text("a newer question").click()
    tab.reads("second answer")
    tab.page.go_back()
    tab.reads("first answer")


@pytest.mark.model
def test_conversation_with_the_real_model_grows_survives_a_reload_and_is_stored_as_shown(
    real_server: Process, tabs: Tabs, tmp_path: Path
) -> None:
    flags = ("--temperature", "0", "--max_tokens", "160")
    with running(chatbot(f"{real_server.url}/v1", tmp_path, *flags)) as chat:
        tab = tabs.open(chat)
        tab.page.evaluate(
            """() => {
                window.lengths = new Set();
                const look = () => window.lengths.add(document.querySelector(".answer .body")?.innerText.length ?? 0);
                new MutationObserver(look).observe(document.body, { subtree: true, childList: true });
            }"""
        )
        tab.say("Write a story about a dog and a lighthouse.")
        tab.page.wait_for_function("() => window.lengths.size >= 4")  # nothing, and three lengths
        tab.is_at("streaming")
        tab.page.reload()
        tab.is_at("done")
        (_, question, _), (_, answer, status) = stored(tmp_path, tab.chat_id())
        assert (question, status) == ("Write a story about a dog and a lighthouse.", "done")
        shown = tab.answer().locator(".body").inner_text()
        assert letters(shown) == letters(answer)
        assert len(letters(shown)) > 20
        assert tab.errors == []
        assert tab.hosts == {"127.0.0.1"}


def letters(text: str) -> str:
    """The words of a text, without what Markdown adds or takes."""
    return " ".join(re.findall(r"[^\W\d_]+", text))


def test_a_page_too_many_is_told_so_and_connects_once_another_is_closed(tabs: Tabs, tmp_path: Path) -> None:
    with FakeServer() as server, running(chatbot(server.url, tmp_path, "--max_browsers", "2")) as chat:
        first, second = tabs.open(chat), tabs.open(chat)
        for tab in (first, second):
            expect(tab.strip).to_be_hidden()
            expect(tab.find("#model")).to_contain_text("fake-model")
        third = tabs.open(chat)
        expect(third.strip).to_contain_text("2 pages are open")
        second.context.close()
        expect(third.strip).to_be_hidden()
