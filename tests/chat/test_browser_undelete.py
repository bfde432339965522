"""Chats that are deleted while something is going on in them: in this window and in another one."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.chat.page import Tab, Tabs
from tests.fakes import FakeServer, Finish, Gate
from tests.processes import Process

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
