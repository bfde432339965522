"""Chats that are deleted while something is going on in them: in this window and in another one."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.chat.browser import Browser as Sockets
from tests.chat.network import wire
from tests.chat.page import Tab, Tabs
from tests.chat.test_browser_drafts import attach
from tests.fakes import FakeServer, Finish, Gate
from tests.processes import Process, chatbot, running

pytestmark = pytest.mark.browser


def delete(tab: Tab) -> None:
    """Delete the only chat of the list."""
    tab.find("#chats li").hover()
    tab.find("#chats .more").click()
    tab.page.get_by_role("menuitem", name="Delete", exact=True).click()


def test_a_chat_that_comes_back_is_not_being_answered_any_more(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    model.scripts = [["It begins", Gate(), "and ends", Finish()]]
    tab = tabs.open(chat)
    tab.say("go")
    tab.reads("It begins")
    expect(tab.find("#chats li.running")).to_have_count(1)
    delete(tab)
    expect(tab.find("#chats li")).to_have_count(0)
    tab.button("Undo").click()
    expect(tab.find("#chats li")).to_have_count(1)
    tab.is_at("stopped")
    expect(tab.find("#chats li.running")).to_have_count(0)
    assert tab.errors == []


DELETED = "This chat was deleted in another window."
KEPT = "What you wrote is kept here for a new one."


def test_a_chat_that_is_deleted_in_another_window_says_so_keeps_the_words_and_comes_back(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    model.scripts = [["one", Finish()], ["two", Finish()]]
    first = tabs.open(chat)
    first.say("begin")
    first.is_at("done")
    chat_id = first.chat_id()
    second = tabs.open(chat)
    second.input.fill("older words")
    second.find(f'#chats a[href="/c/{chat_id}"]').click()
    second.reads("one")
    second.input.fill("half a sent")
    page = Sockets(chat.url)
    assert page.call("delete", {"chat_ids": [chat_id]})["ok"]
    expect(second.problem).to_have_text(f"{DELETED} {KEPT}")
    expect(first.problem).to_have_text(DELETED)
    expect(second.find("#empty")).to_be_visible()
    expect(second.input).to_have_value("half a sent\n\nolder words")
    expect(second.input).to_be_focused()
    second.input.press_sequentially("!")
    assert page.call("restore", {"chat_ids": [chat_id]})["ok"]
    page.client.disconnect()
    for tab in (first, second):
        tab.reads("one")
        expect(tab.find("#toast")).to_contain_text("The chat is back.")
        expect(tab.problem).to_be_hidden()
        expect(tab.page).to_have_url(f"{chat.url}/c/{chat_id}")
    expect(second.input).to_have_value("half a sent\n\nolder words!")
    second.input.press("Enter")
    for tab in (first, second):
        tab.reads("two")
        expect(tab.find(".user")).to_have_count(2)
        assert tab.errors == []


def test_what_was_written_for_a_new_chat_is_not_taken_into_the_one_that_comes_back(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    model.scripts = [["one", Finish()]]
    tab = tabs.open(chat)
    tab.say("begin")
    tab.is_at("done")
    chat_id = tab.chat_id()
    tab.find("#new").click()
    tab.input.fill("for a new one")
    attach(tab, "new.txt")
    tab.find(f'#chats a[href="/c/{chat_id}"]').click()
    tab.reads("one")
    tab.input.fill("for this one")
    attach(tab, "this.txt")
    page = Sockets(chat.url)
    assert page.call("delete", {"chat_ids": [chat_id]})["ok"]
    expect(tab.input).to_have_value("for this one\n\nfor a new one")
    expect(tab.find(".chip .name")).to_have_text(["this.txt", "new.txt"])
    assert page.call("restore", {"chat_ids": [chat_id]})["ok"]
    page.client.disconnect()
    tab.reads("one")
    expect(tab.input).to_have_value("for this one")
    expect(tab.find(".chip .name")).to_have_text("this.txt")
    tab.find("#new").click()
    expect(tab.input).to_have_value("for a new one")
    expect(tab.find(".chip .name")).to_have_text("new.txt")
    assert tab.errors == []


def test_who_has_begun_another_chat_meanwhile_stays_there(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    model.scripts = [["one", Finish()], ["two", Finish()]]
    tab = tabs.open(chat)
    tab.say("begin")
    tab.is_at("done")
    chat_id = tab.chat_id()
    page = Sockets(chat.url)
    assert page.call("delete", {"chat_ids": [chat_id]})["ok"]
    expect(tab.problem).to_have_text(DELETED)
    tab.say("another")
    tab.reads("two")
    expect(tab.problem).to_be_hidden()
    assert page.call("restore", {"chat_ids": [chat_id]})["ok"]
    page.client.disconnect()
    expect(tab.find(f'#chats a[href="/c/{chat_id}"]')).to_be_visible()
    expect(tab.find(".user")).to_have_text("another")
    assert tab.chat_id() != chat_id


def test_deleting_the_open_chat_here_is_no_problem_and_undo_gives_its_draft_back(
    model: FakeServer, tabs: Tabs, tmp_path: Path
) -> None:
    model.scripts = [["one", Finish()]]
    with running(chatbot(model.url, tmp_path)) as chat:
        tab = tabs.open(chat)
        tab.say("begin")
        tab.is_at("done")
        tab.input.fill("half a sent")
        delete(tab)
        expect(tab.find("#empty")).to_be_visible()
        expect(tab.find("#toast")).to_contain_text("was deleted")
        expect(tab.problem).to_be_hidden()
        expect(tab.input).to_have_value("half a sent")
        tab.button("Undo").click()
        tab.reads("one")
        expect(tab.input).to_have_value("half a sent")
        tab.page.get_by_role("link", name="New chat").click()
        expect(tab.input).to_have_value("")


def test_a_chat_that_was_deleted_while_this_page_was_cut_off_keeps_the_words_too(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    model.scripts = [["one", Finish()]]
    with wire(chat) as line:
        tab = tabs.open(chat, line.url)
        tab.say("begin")
        tab.is_at("done")
        chat_id = tab.chat_id()
        line.cut()
        expect(tab.strip).to_be_visible()
        tab.input.fill("half a sent")
        page = Sockets(chat.url)
        assert page.call("delete", {"chat_ids": [chat_id]})["ok"]
        line.mend()
        expect(tab.problem).to_have_text(f"This chat does not exist any more. {KEPT}")
        expect(tab.input).to_have_value("half a sent")
        assert page.call("restore", {"chat_ids": [chat_id]})["ok"]
        page.client.disconnect()
        tab.reads("one")
        expect(tab.input).to_have_value("half a sent")
