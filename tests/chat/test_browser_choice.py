"""A value that is refused: the others that were chosen stay in force, and it alone is marked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.chat.browser import Browser
from tests.chat.household import PASSWORD, logged_in
from tests.chat.page import Tab, Tabs
from tests.chat.test_browser_options import fill, panel
from tests.fakes import FakeServer, Finish
from tests.processes import Process, chatbot, running

pytestmark = pytest.mark.browser

STREAM = '{"stream": false}'
REFUSED = "Not saved: Extra may not hold stream: the chat itself sets"


def marked(box: Locator) -> Locator:
    """The fields that are marked as wrong."""
    return box.locator("[aria-invalid=true]")


def asked(tab: Tab, text: str) -> None:
    n_before = tab.find(".answer").count()
    tab.say(text)
    expect(tab.find(".answer[data-status=done]")).to_have_count(n_before + 1)


def test_a_refused_value_leaves_the_other_options_of_a_chat_as_they_were(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    model.scripts = [["ok", Finish()]]
    tab = tabs.open(chat)
    asked(tab, "one")
    tab.say("/set temperature 0.5")
    expect(tab.find("#options")).to_have_text("Options · 1")
    tab.say(f"/set extra {STREAM}")
    expect(tab.problem).to_contain_text("Extra may not hold stream")
    expect(tab.find("#options")).to_have_text("Options · 1")
    tab.say("/set top_k 5")
    expect(tab.find("#options")).to_have_text("Options · 2")
    expect(tab.problem).to_be_hidden()

    box = panel(tab)
    fill(box, "Stop at", "END")
    expect(tab.find("#options")).to_have_text("Options · 3")
    fill(box, "Stop at", "\n".join(f"stop {n}" for n in range(20)))
    stops = box.locator(".control.stop .problem")
    expect(stops).to_contain_text("Not saved: Stop must be a list of at most 16 texts")
    expect(stops).to_contain_text('In force: ["END"].')
    expect(box.get_by_label("Stop at", exact=True)).to_have_value(re.compile("stop 19$"))  # to be put right
    fill(box, "Temperature", "1.5")
    expect(box.locator(".control.temperature .custom")).to_be_visible()
    expect(marked(box)).to_have_count(1)
    expect(box.locator(".options > .problem")).to_have_text("")
    box.get_by_role("button", name="Reset Stop at").click()
    expect(marked(box)).to_have_count(0)
    expect(box.get_by_label("Stop at", exact=True)).to_have_value("")
    tab.page.keyboard.press("Escape")
    asked(tab, "two")
    sent = model.requests[-1]
    assert (sent["temperature"], sent["top_k"], sent["stream"], "stop" in sent) == (1.5, 5, True, False)
    tab.page.reload()
    expect(tab.find("#options")).to_have_text("Options · 2")


def test_the_options_of_a_new_chat_are_looked_at_before_it_begins(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    model.scripts = [["ok", Finish()]]
    tab = tabs.open(chat)
    tab.say("/set temperature 0.5")
    expect(tab.find("#options")).to_have_text("Options · 1")
    tab.say(f"/set extra {STREAM}")
    expect(tab.problem).to_contain_text("Extra may not hold stream")
    expect(tab.find("#options")).to_have_text("Options · 1")
    tab.input.fill("")
    box = panel(tab)
    fill(box, "More fields (JSON)", STREAM)
    expect(box.locator(".control.extra .problem")).to_contain_text(REFUSED)
    expect(box.locator(".custom").filter(visible=True)).to_have_count(1)
    expect(marked(box)).to_have_count(1)
    tab.page.keyboard.press("Escape")
    tab.page.reload()
    expect(tab.find("#options")).to_have_text("Options · 1")
    asked(tab, "go")
    assert (model.requests[-1]["temperature"], model.requests[-1]["stream"]) == (0.5, True)


def test_what_another_version_kept_for_a_new_chat_is_left_out_with_the_reason(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    model.scripts = [["ok", Finish()]]
    tab = tabs.open(chat)
    kept = '{"extra": {"stream": false}, "temperature": 0.5, "gone": 1}'
    tab.page.evaluate("kept => localStorage.setItem('options:new', kept)", kept)
    tab.page.reload()
    expect(tab.find("#options")).to_have_text("Options · 1")
    box = panel(tab)
    expect(box.locator(".options > .problem")).to_contain_text("Left out of what was chosen here: ")
    tab.page.keyboard.press("Escape")
    asked(tab, "go")
    assert model.requests[-1]["temperature"] == 0.5


def test_what_is_left_out_of_a_choice_is_told_once_and_all_of_it(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    tab = tabs.open(chat)
    tab.page.evaluate('localStorage.setItem(\'options:new\', \'{"extra": {"stream": false}, "top_k": -5}\')')
    tab.page.reload()
    expect(tab.find("#options")).to_have_text("Options")
    box = panel(tab)
    told = box.locator(".options > .problem")
    expect(told).to_contain_text("Left out of what was chosen here: ")
    assert "may not hold stream" in told.inner_text() and "Top_k must be" in told.inner_text()
    assert told.inner_text().count("Left out") == 1
    tab.page.keyboard.press("Escape")
    tab.page.reload()
    expect(tab.find("#options")).to_have_text("Options")
    expect(panel(tab).locator(".options > .problem")).to_be_empty()
    assert tab.errors == []


def test_changes_that_follow_each_other_closely_are_all_kept(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    model.scripts = [["ok", Finish()]]
    tab = tabs.open(chat)
    asked(tab, "one")
    box = panel(tab)
    fill(box, "Temperature", "0.5")
    fill(box, "More fields (JSON)", STREAM)
    fill(box, "Top K", "5")
    fill(box, "Seed", "7")
    expect(box.locator(".control.extra .problem")).to_contain_text(REFUSED)
    expect(tab.find("#options")).to_have_text("Options · 3")
    tab.page.reload()
    expect(tab.find("#options")).to_have_text("Options · 3")


@pytest.fixture(scope="module")
def house(_shared_model: FakeServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A chat server with accounts; its first administrator is called admin."""
    folder: Path = tmp_path_factory.mktemp("house")
    made = chatbot(_shared_model.url, folder, "--accounts", "always", CHATBOT_ADMIN_PASSWORD=PASSWORD)
    with running(made) as process:
        yield process


def test_a_refused_default_is_not_shown_as_in_force(house: Process, tabs: Tabs) -> None:
    cookie = logged_in(house, "admin")
    tab = tabs.open(house, "/admin", cookie)
    expect(tab.find("#house")).to_contain_text("Nothing is set here")
    tab.button("Change the defaults").click()
    box = tab.page.get_by_role("dialog", name="Defaults of a chat")
    fill(box, "More fields (JSON)", STREAM)
    expect(box.locator(".control.extra .problem")).to_contain_text(REFUSED)
    expect(tab.find("#house")).to_contain_text("Nothing is set here")
    fill(box, "Temperature", "1")
    expect(tab.find("#house dl")).to_have_text("Temperature1")
    expect(marked(box)).to_have_count(1)
    assert Browser(house.url, Cookie=cookie).call("admin")["house"]["options"] == {"temperature": 1}
