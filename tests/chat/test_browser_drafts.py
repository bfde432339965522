"""What is being written belongs to its tab: two of them in one browser take nothing from each other."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.chat.page import Tab, Tabs
from tests.fakes import FakeServer, Finish
from tests.processes import Process

pytestmark = pytest.mark.browser

LONG = "a long draft, half an hour of work"


def beside(tab: Tab, path: str = "/") -> Tab:
    """Another tab of the same browser."""
    other = Tab(tab.context, tab.context.new_page())
    other.page.goto(path)
    expect(other.find("#model")).to_be_visible()
    return other


def duplicated(tab: Tab) -> Tab:
    """A tab made as the copy of another, with all that the session of that one holds."""
    with tab.context.expect_page() as opened:
        tab.page.evaluate("() => { open(location.pathname); }")
    copy = Tab(tab.context, opened.value)
    expect(copy.find("#model")).to_be_visible()
    return copy


def attach(tab: Tab, name: str) -> None:
    tab.find("#picker").set_input_files({"name": name, "mimeType": "text/plain", "buffer": b"some words"})
    expect(tab.find(".chip .size")).to_contain_text("token")


def test_what_one_tab_sends_takes_nothing_of_what_another_is_writing(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    model.scripts = [["ok", Finish()]]
    first = tabs.open(chat)
    first.say("begin")
    first.is_at("done")
    second = beside(first, f"/c/{first.chat_id()}")
    first.input.fill(LONG)
    attach(first, "notes.txt")
    second.say("b")
    second.is_at("done")
    expect(second.find(".chip")).to_have_count(0)
    first.page.reload()
    expect(first.input).to_have_value(LONG)
    expect(first.find(".chip .name")).to_have_text("notes.txt")
    assert first.errors == second.errors == []


def test_two_new_chats_side_by_side_keep_their_own_words_and_options(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    model.scripts = [["ok", Finish()]]
    first = tabs.open(chat)
    second = beside(first)
    first.say("/set temperature 0.5")
    expect(first.find("#options")).to_have_text("Options · 1")
    first.input.fill(LONG)
    second.say("b")
    second.is_at("done")
    assert model.requests[-1]["temperature"] != 0.5
    first.page.reload()
    expect(first.input).to_have_value(LONG)
    expect(first.find("#options")).to_have_text("Options · 1")
    first.input.press("Enter")
    first.is_at("done")
    assert model.requests[-1]["temperature"] == 0.5


def test_a_tab_that_is_closed_leaves_its_words_to_the_next_one(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    first = tabs.open(chat)
    second = beside(first)
    first.input.fill(LONG)
    second.say("/set temperature 0.5")
    expect(second.find("#options")).to_have_text("Options · 1")
    second.input.fill("the other one")
    second.page.close()
    third = beside(first)
    expect(third.input).to_have_value("the other one")
    expect(third.find("#options")).to_have_text("Options · 1")
    first.page.close()
    fourth = beside(third)
    expect(fourth.input).to_have_value(LONG)
    expect(fourth.find("#options")).to_have_text("Options")
    for tab, text in ((third, "the other one"), (fourth, LONG)):
        tab.page.reload()
        expect(tab.input).to_have_value(text)
        assert tab.errors == []


def test_a_tab_made_as_the_copy_of_another_writes_for_itself(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    first = tabs.open(chat)
    first.input.fill(LONG)
    copy = duplicated(first)
    expect(copy.input).to_have_value(LONG)
    copy.input.fill("b")
    first.page.reload()
    expect(first.input).to_have_value(LONG)
    copy.page.reload()
    expect(copy.input).to_have_value("b")


@pytest.mark.parametrize("sends_in_the_copy", [False, True])
def test_a_file_that_is_removed_in_one_of_two_tabs_is_there_for_the_other(
    model: FakeServer, chat: Process, tabs: Tabs, sends_in_the_copy: bool
) -> None:
    model.scripts = [["ok", Finish()]]
    first = tabs.open(chat)
    attach(first, "notes.txt")
    copy = duplicated(first)
    sending, other = (copy, first) if sends_in_the_copy else (first, copy)
    expect(copy.find(".chip .name")).to_have_text("notes.txt")
    other.button("Remove notes.txt").click()
    expect(other.find(".chip")).to_have_count(0)
    sending.say("what is in it?")
    sending.is_at("done")
    assert "some words" in str(model.requests[-1]["messages"][-1]["content"])
    assert first.errors == copy.errors == []


def test_words_that_an_earlier_version_kept_are_there(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    tab = tabs.open(chat)
    tab.page.evaluate("text => localStorage.setItem('draft:new', text)", LONG)
    tab.page.reload()
    expect(tab.input).to_have_value(LONG)
    tab.input.fill("")
    tab.page.reload()
    expect(tab.find("#model")).to_be_visible()
    expect(tab.input).to_have_value("")


def change(tab: Tab, text: str) -> None:
    """Begin to change the only answer, and do not save it."""
    tab.button("Edit answer").click()
    tab.page.get_by_label("Text of the answer").fill(text)


def test_the_change_of_a_message_belongs_to_its_tab_until_that_is_closed(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    model.scripts = [["an answer", Finish()]]
    first = tabs.open(chat)
    first.say("begin")
    first.is_at("done")
    path = f"/c/{first.chat_id()}"
    change(first, LONG)
    second = beside(first, path)
    second.reads("an answer")
    expect(second.page.get_by_label("Text of the answer")).to_have_count(0)
    change(second, "the other one")
    for tab, text in ((first, LONG), (second, "the other one")):
        tab.page.reload()
        expect(tab.page.get_by_label("Text of the answer")).to_have_value(text)
    second.page.get_by_label("Text of the answer").press("Escape")
    second.page.reload()
    second.reads("an answer")
    expect(second.page.get_by_label("Text of the answer")).to_have_count(0)
    first.page.close()
    third = beside(second, path)
    expect(third.page.get_by_label("Text of the answer")).to_have_value(LONG)
    third.button("Save").click()
    third.reads(LONG)
    assert second.errors == third.errors == []
