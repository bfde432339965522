"""A chat server that answers late: what was said of its silence goes with it, and what it has taken counts as taken."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.chat.held import Held
from tests.chat.page import Tab, Tabs
from tests.chat.test_browser_options import fill, panel
from tests.fakes import FakeServer, Finish, Gate
from tests.processes import Process

pytestmark = pytest.mark.browser

SILENT = "The chat server does not answer."
OVER_MS = 10_500  # longer than a page waits for an answer


def answered(model: FakeServer, chat: Process, tabs: Tabs) -> Tab:
    """A page with an answer, whose clock can be put forward."""
    model.scripts = [["ok", Finish()]]
    tab = tabs.open(chat)
    tab.say("hello")
    tab.is_at("done")
    tab.chat_id()
    tab.page.clock.install()
    return tab


def goes_unanswered(tab: Tab, held: Held) -> None:
    held.until_asked()
    tab.page.clock.run_for(OVER_MS)


def test_a_late_answer_takes_the_complaint_back(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    tab = answered(model, chat, tabs)
    model.scripts = [["half", Gate(), " never", Finish()]]
    held = Held(tab)
    tab.say("go on")
    tab.reads("half")
    held.hold("stop")
    tab.button("Stop").click()
    goes_unanswered(tab, held)
    expect(tab.problem).to_have_text(SILENT)
    held.release()
    tab.is_at("stopped")
    expect(tab.problem).to_be_hidden()
    assert tab.errors == []


def test_the_editor_of_an_answer_closes_when_the_server_has_its_text_after_all(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    tab = answered(model, chat, tabs)
    held = Held(tab)
    editor = tab.page.get_by_label("Text of the answer")
    for text, typed_on in (("my words", ""), ("better words", " and more")):
        tab.button("Edit answer").click()
        editor.fill(text)
        held.hold("edit")
        tab.button("Save").click()
        goes_unanswered(tab, held)
        expect(tab.problem).to_have_text(f"{SILENT} Your text is kept here.")
        editor.press_sequentially(typed_on)
        held.release()
        tab.reads(text)
        expect(tab.problem).to_be_hidden()
        if not typed_on:
            expect(editor).to_have_count(0)
    expect(editor).to_have_value("better words and more")
    assert tab.errors == []


def test_an_option_that_the_server_has_after_all_is_not_said_to_be_lost(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    tab = answered(model, chat, tabs)
    held = Held(tab)
    box = panel(tab)
    told = box.locator(".options > .problem")
    held.hold("options")
    fill(box, "Temperature", "0.1")
    goes_unanswered(tab, held)
    expect(told).to_have_text(f"Not saved: {SILENT}")
    expect(box.get_by_label("Temperature", exact=True)).to_have_value("")
    held.release()
    expect(box.get_by_label("Temperature", exact=True)).to_have_value("0.1")
    expect(told).to_be_empty()
    assert tab.errors == []
