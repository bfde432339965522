"""For everybody: axe-core finds nothing in any state, and all of it works with the keys alone."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.chat.axe import violations
from tests.chat.keys import reach, reach_element
from tests.chat.page import Tab, Tabs
from tests.fakes import FakeServer, Finish, Gate
from tests.processes import Process

pytestmark = pytest.mark.browser

RICH = "# Title\n\nSome *text* with `code`.\n\n- one\n\n```python\nprint(1)\n```\n\n| a | b |\n|---|--:|\n| 1 | 2 |\n"
# 200 % zoom of a 1280 px wide screen leaves 640 px; 320 px is the narrowest that WCAG asks for.
WINDOWS = {"wide": (1280, 800), "zoomed": (640, 400), "narrow": (320, 640)}


def wide_or_drawer(tab: Tab) -> None:
    """Have the sidebar in sight."""
    if tab.button("Chats").is_visible():
        tab.button("Chats").click()
    expect(tab.find("#chats")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("window", WINDOWS)
def test_axe_finds_nothing_in_the_states_of_the_sidebar(
    model: FakeServer, chat: Process, tabs: Tabs, scheme: str, window: str
) -> None:
    width, height = WINDOWS[window]
    model.scripts = [[RICH, Finish()]]
    options: dict[str, Any] = {"viewport": {"width": width, "height": height}, "reduced_motion": "reduce"}
    tab = tabs.open(chat, color_scheme=scheme, **options)
    title = f"a question in {scheme} and {window}"
    clean(tab, "new chat")
    tab.say(title)
    tab.is_at("done")
    clean(tab, "conversation")
    wide_or_drawer(tab)
    clean(tab, "list")

    more = tab.button(f"Actions for {title}")
    more.focus()
    more.press("Enter")
    expect(tab.find("#choices")).to_be_visible()
    clean(tab, "menu")
    tab.page.get_by_role("menuitem", name="Add tags").press("Enter")
    clean(tab, "dialog")
    tab.page.get_by_label("Tags, with commas between them").fill(f"{scheme}, {window}")
    tab.button("Save").click()
    expect(tab.find("#chats .tags:visible").first).to_be_visible()
    clean(tab, "tags")

    more.focus()
    more.press("Enter")
    tab.page.get_by_role("menuitem", name="Select").press("Enter")
    clean(tab, "selection")
    tab.button("Done").click()
    tab.find("#search").fill("question")
    expect(tab.page.get_by_role("option").first).to_be_visible()
    clean(tab, "search")
    tab.find("#search").fill("")
    tab.button("Shortcuts").click()
    clean(tab, "shortcuts")
    tab.page.keyboard.press("Escape")
    more.focus()
    more.press("Enter")
    tab.page.get_by_role("menuitem", name="Delete").press("Enter")
    expect(tab.button("Undo")).to_be_visible()
    clean(tab, "toast")
    assert tab.sideways_px() <= 0


def clean(tab: Tab, state: str) -> None:
    assert violations(tab) == [], state


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_while_an_answer_flows_and_on_an_error_page(
    model: FakeServer, chat: Process, tabs: Tabs, scheme: str
) -> None:
    hold = Gate()
    model.scripts = [[RICH, hold, Finish()]]
    tab = tabs.open(chat, color_scheme=scheme, reduced_motion="reduce")
    tab.say("go")
    expect(tab.answer()).to_contain_text("Title")
    clean(tab, "streaming")
    hold.open()
    tab.is_at("done")
    for name in ("Options", "fake-model"):
        tab.button(name).click()
        clean(tab, name)
        tab.page.keyboard.press("Escape")
    tab.find("#gauge").click()
    clean(tab, "what the model sees")
    tab.page.goto("/no-such-page")
    clean(tab, "error page")


def test_axe_would_find_a_button_without_a_name_and_a_colour_that_is_too_faint(chat: Process, tabs: Tabs) -> None:
    tab = tabs.open(chat)
    tab.page.evaluate("document.querySelector('#hide').removeAttribute('aria-label')")
    tab.page.evaluate("document.querySelector('#hide').removeAttribute('title')")
    tab.page.evaluate("document.querySelector('#welcome').style.color = '#ddd'")
    assert [found.split(":")[0] for found in violations(tab)] == ["button-name", "color-contrast"]


def test_everything_is_done_with_the_keys_alone(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    tab = tabs.open(chat)
    converse_by_keys(tab, model)
    tidy_up_by_keys(tab)
    assert tab.errors == []


def converse_by_keys(tab: Tab, model: FakeServer) -> None:
    """New chat, send, stop, try again, answer again, edit, switch branches."""
    hold = Gate()
    answers = ("first answer", "another answer", "answer to the edit")
    model.scripts = [["held", hold, Finish()], *([text, Finish()] for text in answers)]
    keys = tab.page.keyboard
    keys.press("Control+Shift+O")
    expect(tab.input).to_be_focused()
    keys.type("a question of the keys")
    keys.press("Enter")
    tab.reads("held")
    keys.press("Escape")
    tab.is_at("stopped")

    reach(tab, "Retry")
    keys.press("Enter")
    tab.reads("first answer")
    tab.is_at("done")

    reach(tab, "Answer again")
    keys.press("Enter")
    tab.reads("another answer")
    tab.is_at("done")
    reach_element(tab, "#input")
    keys.press("Alt+ArrowLeft")
    tab.reads("first answer")
    reach_element(tab, "#input")
    keys.press("ArrowUp")
    expect(tab.find(".editor textarea")).to_be_focused()
    keys.press("Control+a")
    keys.type("an edited question of the keys")
    keys.press("Enter")
    tab.reads("answer to the edit")
    tab.is_at("done")
    expect(tab.find(".user")).to_have_text("an edited question of the keys")
    reach_element(tab, "#input")
    keys.press("Alt+ArrowLeft")
    tab.reads("another answer")
    expect(tab.find(".user")).to_have_text("a question of the keys")


def tidy_up_by_keys(tab: Tab) -> None:
    """Search, rename, pin, export, delete, undo."""
    keys = tab.page.keyboard
    keys.press("Control+k")
    keys.type("question of the k")
    expect(tab.page.get_by_role("option").first).to_contain_text("a question of the keys")
    keys.press("Escape")

    link = tab.page.get_by_role("link", name="a question of the keys", exact=True)
    reach_element(tab, "#chats a[aria-current]")
    keys.press("F2")
    keys.press("Control+a")
    keys.type("renamed by keys")
    keys.press("Enter")
    expect(link).to_have_count(0)
    expect(tab.find("#chats a[aria-current]")).to_have_text("renamed by keys")

    keys.press("Tab")  # from the link to its actions
    keys.press("Enter")
    keys.press("p")
    keys.press("Enter")
    expect(tab.find("#chats h2").first).to_have_text("Pinned")

    keys.press("Enter")
    keys.press("e")
    with tab.page.expect_download() as downloaded:
        keys.press("Enter")
    assert "another answer" in downloaded.value.path().read_text()

    keys.press("Shift+Tab")
    keys.press("Delete")
    expect(tab.find("#chats").get_by_text("renamed by keys")).to_have_count(0)
    reach(tab, "Undo")
    keys.press("Enter")
    expect(tab.find("#chats a").first).to_have_text("renamed by keys")
    tab.reads("another answer")
