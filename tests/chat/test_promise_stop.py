"""Stop closes the request and the model really stops, on whatever branch it answers."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.chat.page import Tab, Tabs
from tests.chat.terminal import Terminal, converse
from tests.fakes import WAIT_S, FakeServer, Finish, Gate
from tests.processes import Process, chatbot, running

pytestmark = pytest.mark.browser


def change(tab: Tab, text: str) -> None:
    """Change the first message and send it again."""
    said = tab.find(".said").first
    said.get_by_role("button", name="Edit").click()
    said.get_by_label("Your message").fill(text)
    said.get_by_label("Your message").press("Enter")


def hidden_answer(model: FakeServer, chat: Process, tabs: Tabs, hold: Gate, rest: str) -> Tab:
    """A page that shows the first branch, with a message that waits, while the answer of a second one streams."""
    model.scripts = [["first", Finish()], ["second", hold, rest, Finish()]]
    tab = tabs.open(chat)
    tab.say("one")
    tab.is_at("done")
    change(tab, "one, changed")
    tab.reads("second")
    tab.button("Earlier version").click()
    tab.reads("first")
    tab.say("two")
    return tab


def test_stop_ends_an_answer_that_streams_on_a_branch_that_is_not_shown(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    tab = hidden_answer(model, chat, tabs, Gate(), " never")
    tab.is_at("queued")
    tab.button("Stop").click()
    tab.is_at("stopped")
    expect(tab.button("Stop")).to_be_hidden()
    assert model.client_left.wait(WAIT_S)
    assert len(model.requests) == 2, "what waited was never asked"
    tab.button("Later version").click()
    tab.is_at("stopped")
    tab.reads("second")


@pytest.mark.parametrize("how", ["by its button", "by its key, after a reload"])
def test_what_streams_on_a_branch_that_is_not_shown_alone_is_stopped_from_the_one_that_is(
    model: FakeServer, chat: Process, tabs: Tabs, how: str
) -> None:
    hold = Gate()
    model.scripts = [["first", Finish()], ["second", hold, " never", Finish()]]
    tab = tabs.open(chat)
    tab.say("one")
    tab.is_at("done")
    change(tab, "one, changed")
    tab.reads("second")
    tab.button("Earlier version").click()
    tab.reads("first")
    expect(tab.button("Stop")).to_be_visible()
    if how == "by its button":
        expect(tab.button("Stop")).to_have_accessible_description("Another version of this chat is being answered")
        tab.button("Stop").click()
    else:
        tab.page.reload()
        expect(tab.button("Stop")).to_be_visible()
        tab.page.keyboard.press("Escape")
    expect(tab.button("Stop")).to_be_hidden()
    assert model.client_left.wait(WAIT_S)
    tab.button("Later version").click()
    tab.is_at("stopped")
    tab.reads("second")
    assert tab.errors == []


def test_stop_is_there_no_more_when_an_answer_on_another_branch_has_come_to_its_end(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    hold = Gate()
    model.scripts = [["first", Finish()], ["second", hold, " and whole", Finish()]]
    tab = tabs.open(chat)
    tab.say("one")
    tab.is_at("done")
    change(tab, "one, changed")
    tab.reads("second")
    tab.button("Earlier version").click()
    tab.reads("first")
    expect(tab.button("Stop")).to_be_visible()
    hold.open()
    expect(tab.button("Stop")).to_be_hidden()
    tab.button("Later version").click()
    tab.reads("second and whole")


def test_changed_question_stops_its_first_answer_and_is_answered_at_once(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    hold = Gate()
    model.scripts = [["half", hold, " never", Finish()], ["better", Finish()]]
    tab = tabs.open(chat)
    tab.say("one")
    tab.reads("half")
    change(tab, "one, changed")
    tab.reads("better")
    tab.is_at("done")
    assert model.client_left.wait(WAIT_S)
    tab.button("Earlier version").click()
    tab.is_at("stopped")
    tab.reads("half")


def test_an_earlier_answer_given_again_stops_the_one_below_it(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    hold = Gate()
    model.scripts = [["first", Finish()], ["half", hold, " never", Finish()], ["other", Finish()]]
    tab = tabs.open(chat)
    tab.say("one")
    tab.is_at("done")
    tab.say("two")
    tab.reads("half")
    tab.button("Answer again").first.click()
    tab.reads("other")
    tab.is_at("done")
    assert model.client_left.wait(WAIT_S)
    tab.button("Earlier version").click()
    tab.is_at("stopped")
    tab.reads("half")


def test_taking_back_a_message_that_waits_leaves_the_hidden_answer_alone(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    hold = Gate()
    tab = hidden_answer(model, chat, tabs, hold, " and whole")
    tab.button("Take it back: this message is not sent").click()
    expect(tab.find(".user")).to_have_text(["one"])
    hold.open()
    tab.button("Later version").click()
    tab.reads("second and whole")


def watched_terminal(model: FakeServer, tab: Tab, data_dir: Path) -> tuple[Terminal, Tab]:
    """A terminal in the middle of an answer, and a page that shows its chat."""
    terminal = Terminal(model.url, "--data_dir", str(data_dir))
    terminal.until("> ")
    terminal.type("say it\r")
    tab.find("#chats a").click()
    tab.reads("half")
    return terminal, tab


def test_a_deleted_chat_is_answered_by_no_terminal_either(model: FakeServer, tabs: Tabs, tmp_path: Path) -> None:
    model.scripts = [["half", Gate(), " never", Finish()]]
    with running(chatbot(model.url, tmp_path)) as web:
        terminal, tab = watched_terminal(model, tabs.open(web), tmp_path)
        tab.find("#chats a").press("Delete")
        terminal.until("[stopped; what was written is kept]")
        assert model.client_left.wait(WAIT_S)
        assert terminal.leave() == 0


def test_stop_on_the_page_ends_what_a_terminal_is_answering(model: FakeServer, tabs: Tabs, tmp_path: Path) -> None:
    hold = Gate()
    model.scripts = [["half", hold, " never", Finish()], ["again", hold, Finish()]]
    with running(chatbot(model.url, tmp_path)) as web:
        terminal, tab = watched_terminal(model, tabs.open(web), tmp_path)
        tab.button("Stop").click()
        tab.is_at("stopped")
        expect(tab.button("Stop")).to_be_hidden()
        assert model.client_left.wait(WAIT_S)
        terminal.until("[stopped; what was written is kept]")
        terminal.type("/regen\r")
        tab.reads("again")
        tab.page.keyboard.press("Escape")
        terminal.until("[stopped; what was written is kept]")
        terminal.type("/continue\r")  # what was asked before is no wish of now
        hold.open()
        tab.is_at("done")
        assert terminal.leave() == 0
        assert tab.errors == []


def test_stop_in_a_terminal_ends_what_the_page_is_answering(model: FakeServer, tabs: Tabs, tmp_path: Path) -> None:
    model.scripts = [["half", Gate(), " never", Finish()]]
    with running(chatbot(model.url, tmp_path)) as web:
        tab = tabs.open(web)
        tab.say("say it")
        tab.reads("half")
        told = converse(model.url, "me too", "/stop", args=("--data_dir", str(tmp_path), "-c")).stderr.decode()
        assert "being answered elsewhere: wait, or stop it there or with /stop" in told and "told to stop" in told
        tab.is_at("stopped")
        tab.reads("half")
        assert model.client_left.wait(WAIT_S)
        told = converse(model.url, "/stop", args=("--data_dir", str(tmp_path), "-c")).stderr.decode()
        assert "nothing is being answered elsewhere" in told
