"""The options of a chat that is still to begin, while its first message is on its way to the server."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.chat.held import Held
from tests.chat.page import Tab, Tabs
from tests.fakes import FakeServer, Finish
from tests.processes import Process

pytestmark = pytest.mark.browser


@pytest.fixture
def tab(model: FakeServer, chat: Process, tabs: Tabs) -> Tab:
    """A new chat."""
    model.scripts = [["ok", Finish()]]
    return tabs.open(chat)


def has_options(tab: Tab, n: int) -> None:
    expect(tab.find("#options")).to_have_text(f"Options · {n}" if n else "Options")


def choose(tab: Tab, *choices: str) -> None:
    for choice in choices:
        tab.say(f"/set {choice}")
        expect(tab.input).to_have_value("")


def sent(tab: Tab, text: str) -> Held:
    """Say something in a new chat with one option; it is held on its way."""
    held = Held(tab)
    choose(tab, "temperature 0.3")
    has_options(tab, 1)
    held.hold("send")
    tab.say(text)
    held.until_asked()
    return held


def test_the_next_new_chat_has_options_of_its_own(tab: Tab, model: FakeServer) -> None:
    held = sent(tab, "first")
    tab.find("#new").click()
    has_options(tab, 0)
    choose(tab, "seed 7", "top_k 5")
    has_options(tab, 2)
    held.release()
    expect(tab.find("#chats li")).to_contain_text(["first"])
    has_options(tab, 2)
    tab.page.reload()
    has_options(tab, 2)
    tab.find("#chats a").filter(has_text="first").first.click()
    tab.reads("ok")
    has_options(tab, 1)
    assert model.requests[-1]["temperature"] == 0.3
    assert tab.errors == []


def test_options_chosen_while_the_first_message_is_on_its_way_are_of_its_chat(tab: Tab, model: FakeServer) -> None:
    held = sent(tab, "second")
    choose(tab, "seed 7")
    has_options(tab, 2)
    held.release()
    tab.is_at("done")
    has_options(tab, 2)
    tab.say("and then")
    expect(tab.find(".answer[data-status=done]")).to_have_count(2)
    assert (model.requests[-1]["temperature"], model.requests[-1]["seed"]) == (0.3, 7)
    tab.page.reload()
    has_options(tab, 2)
    tab.find("#new").click()
    has_options(tab, 0)
    assert tab.errors == []


def test_options_of_a_first_message_survive_a_reload_and_its_refusal(tab: Tab, model: FakeServer) -> None:
    held = sent(tab, "third")
    held.hold("send")
    tab.page.reload()
    expect(tab.find(".user")).to_have_text("third")
    has_options(tab, 1)
    held.until_asked(2)
    held.refuse("not now")
    expect(tab.input).to_have_value("third")
    has_options(tab, 1)
    tab.page.reload()
    expect(tab.input).to_have_value("third")
    has_options(tab, 1)
    tab.input.press("Enter")
    tab.is_at("done")
    assert model.requests[-1]["temperature"] == 0.3
    tab.find("#new").click()
    has_options(tab, 0)


def test_a_refused_first_message_goes_out_again_with_what_the_panel_shows(tab: Tab, model: FakeServer) -> None:
    held = sent(tab, "fourth")
    tab.input.fill("more words")
    held.refuse("not now")
    expect(tab.button("Send again")).to_be_visible()
    tab.page.reload()
    has_options(tab, 1)
    choose(tab, "temperature 0.9")
    tab.button("Send again").click()
    tab.is_at("done")
    assert model.requests[-1]["temperature"] == 0.9
    has_options(tab, 1)
    tab.find("#new").click()
    has_options(tab, 0)


def test_a_refused_first_message_is_in_sight_in_the_new_chat_that_is_open_by_then(tab: Tab, model: FakeServer) -> None:
    held = sent(tab, "fifth")
    tab.find("#new").click()
    expect(tab.find(".user")).to_have_count(0)
    held.refuse("not now")
    expect(tab.input).to_have_value("fifth")
    has_options(tab, 1)
    tab.page.reload()
    expect(tab.input).to_have_value("fifth")
    has_options(tab, 1)
    held.hold("send")
    tab.input.press("Enter")
    held.until_asked()
    tab.find("#new").click()
    choose(tab, "seed 7")
    tab.input.fill("other words")
    held.refuse("not now either")
    expect(tab.find(".said .refusal")).to_have_text("Not sent. Not now either.")
    expect(tab.input).to_have_value("other words")
    tab.button("Send again").click()
    tab.is_at("done")
    assert (model.requests[-1]["seed"], model.requests[-1]["temperature"]) == (7, 0.7)
    expect(tab.input).to_have_value("other words")
    assert tab.errors == []
