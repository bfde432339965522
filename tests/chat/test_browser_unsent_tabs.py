"""Messages that were not sent belong to the tab that they were written in, until it is closed or does not answer."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, expect

from tests.chat.held import Answers, Held
from tests.chat.page import Tab, Tabs
from tests.chat.test_browser_drafts import beside
from tests.chat.test_browser_unsent import asked
from tests.fakes import FakeServer, Finish
from tests.processes import Process

pytestmark = pytest.mark.browser


def begun(tabs: Tabs, chat: Process) -> tuple[Tab, Held, Tab]:
    """Two tabs of one browser on one chat, the first with a way to refuse what it asks."""
    first = tabs.open(chat)
    held = Held(first)
    first.say("begin")
    first.is_at("done")
    second = beside(first, f"/c/{first.chat_id()}")
    second.is_at("done")
    return first, held, second


def refuse(tab: Tab, held: Held, text: str, typed: str = "typed on") -> None:
    """Have the server refuse a message while something else is typed."""
    held.hold("send")
    tab.say(text)
    tab.input.fill(typed)
    held.until_asked()
    held.refuse("this chat is being answered elsewhere")
    expect(refused(tab)).to_have_text([text])


def refused(tab: Tab) -> Locator:
    return tab.find(".said").filter(has_text="Not sent.").locator(".user")


def test_two_tabs_that_begin_chats_while_the_server_is_slow_keep_them_apart_over_a_reload(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    model.scripts = [["ok", Finish()]]
    first = tabs.open(chat)
    pair = {"A": first, "B": beside(first)}
    slow = {name: Held(tab) for name, tab in pair.items()}
    for name, tab in pair.items():
        slow[name].hold("send")
        for n in (1, 2):
            tab.say(f"{name}{n}")
        tab.input.fill(f"draft {name}")
        slow[name].until_asked()
    for name, tab in pair.items():
        tab.page.reload()
        slow[name].until_asked(2)
        expect(tab.find(".user")).to_have_text([f"{name}1", f"{name}2"])
    for name, tab in pair.items():
        slow[name].release()
        expect(tab.find(".answer[data-status=done]")).to_have_count(2)
        expect(tab.input).to_have_value(f"draft {name}")
        tab.input.press("Enter")
        expect(tab.find(".answer[data-status=done]")).to_have_count(3)
        expect(tab.find(".user")).to_have_text([f"{name}1", f"{name}2", f"draft {name}"])
    assert asked(model) == ["A1", "A2", "draft A", "B1", "B2", "draft B"]


def test_words_for_a_new_chat_stay_out_of_one_that_a_closed_tab_began(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    model.scripts = [["ok", Finish()]]
    first = tabs.open(chat)
    held = Held(first)
    second = beside(first)
    second.input.fill("quite another thing")
    held.hold("send")
    first.say("begun in a tab that is closed")
    held.until_asked()
    first.page.close()
    second.page.reload()
    expect(second.find("#chats a").filter(has_text="begun in a tab")).to_have_count(1)  # it is sent all the same
    expect(second.input).to_have_value("quite another thing")
    second.input.press("Enter")
    second.is_at("done")
    expect(second.find(".user")).to_have_text(["quite another thing"])


def test_refused_message_is_shown_in_its_tab_alone_and_by_the_next_one_when_that_is_closed(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    model.scripts = [["ok", Finish()]]
    first, held, second = begun(tabs, chat)
    refuse(first, held, "said in A")
    second.page.reload()
    second.is_at("done")
    first.button("Send again").click()
    for tab in (first, second):
        expect(tab.find(".answer[data-status=done]")).to_have_count(2)
        expect(tab.find(".user")).to_have_text(["begin", "said in A"])
        expect(refused(tab)).to_have_count(0)

    refuse(first, held, "said once more")
    first.page.close()
    second.page.reload()
    expect(refused(second)).to_have_text("said once more")
    third = beside(second, f"/c/{second.chat_id()}")
    second.button("Send again").click()
    for tab in (second, third):
        expect(tab.find(".answer[data-status=done]")).to_have_count(3)
        expect(refused(tab)).to_have_count(0)
    assert asked(model) == ["begin", "said in A", "said once more"]


def test_refused_message_that_another_tab_has_sent_is_not_offered_again(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    model.scripts = [["ok", Finish()]]
    first, held, second = begun(tabs, chat)
    refuse(first, held, "said in A")
    first.page.evaluate("() => { BroadcastChannel.prototype.postMessage = () => {}; }")  # a sleeping tab says nothing
    second.page.reload()
    expect(refused(second)).to_have_text("said in A")
    second.button("Send again").click()
    for tab in (first, second):
        expect(tab.find(".answer[data-status=done]")).to_have_count(2)
        expect(tab.find(".user")).to_have_text(["begin", "said in A"])
        expect(refused(tab)).to_have_count(0)
    expect(first.input).to_have_value("typed on")


def test_message_of_a_tab_that_was_closed_after_this_one_was_opened_is_sent_here(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    model.scripts = [["ok", Finish()]]
    second = tabs.open(chat)
    first = beside(second)
    held = Held(first)
    answers = Answers(second, "hello")
    answers.came()
    held.hold("send")
    first.say("left by a tab that is closed")
    held.until_asked()
    first.page.close()
    answers.let_go()
    second.is_at("done")
    expect(second.find(".user")).to_have_text("left by a tab that is closed")
    second.say("and then")
    expect(second.find(".answer[data-status=done]")).to_have_count(2)
    assert asked(model) == ["left by a tab that is closed", "and then"]
