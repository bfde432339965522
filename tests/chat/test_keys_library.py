"""With the keys alone: a shelf is made, filled from everywhere, read anew, renamed, searched and read."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.chat.keys import choose, press, push, reach_element, write
from tests.chat.page import Tab, Tabs
from tests.chat.shelves import QUESTION, READ_MS, folder, heading, titles
from tests.chat.test_browser_sources import git
from tests.processes import Process

pytestmark = pytest.mark.browser


def source(tab: Tab, place: object, state: str) -> None:
    """Wait until a source has come to a state."""
    line = tab.find(".sources-of li").filter(has_text=str(place))
    expect(line).to_have_attribute("data-state", state, timeout=READ_MS)


def test_a_shelf_is_made_filled_refreshed_renamed_searched_and_read(
    library_chat: Process, tabs: Tabs, tmp_path: Path
) -> None:
    kitchen = folder(tmp_path / "kitchen")
    tab = tabs.open(library_chat, "/library")
    expect(heading(tab, "Library")).to_be_focused()
    fill_by_keys(tab, kitchen, library_chat.url)

    (kitchen / "salad.md").write_text("# Salad\n\nWash the leaves.\n")
    push(tab, f"Refresh: {kitchen}")
    expect(titles(tab)).to_have_text(["Bread", "Eggs", "pea soup.txt", "Salad"], timeout=READ_MS)
    choose(tab, "Actions for this shelf")
    expect(tab.page.get_by_role("dialog", name="Rename the shelf").get_by_label("Name", exact=True)).to_be_focused()
    write(tab, "renamed by keys")
    press(tab, "Enter")
    expect(heading(tab, "renamed by keys")).to_be_visible()

    reach_element(tab, "#trial")
    tab.page.keyboard.type(QUESTION)
    press(tab, "Enter")
    expect(tab.find(".passages a").first).to_be_visible()
    reach_element(tab, ".passages a")
    press(tab, "Enter")
    expect(tab.find("#library mark")).to_be_focused()
    push(tab, "← renamed by keys")
    expect(heading(tab, "renamed by keys")).to_be_visible()
    choose(tab, "Actions for this shelf", "d")
    push(tab, "Undo")
    expect(tab.find(".shelves").get_by_role("link", name="renamed by keys", exact=True)).to_be_visible()
    assert tab.errors == []


def fill_by_keys(tab: Tab, kitchen: Path, address: str) -> None:
    """A new shelf, a folder that is not watched, an address and a repository that cannot be read; these are removed."""
    expect(tab.button("Make the first shelf")).to_be_visible()
    push(tab, "Make the first shelf")
    tab.page.keyboard.type("by keys")
    press(tab, "Enter")
    expect(heading(tab, "by keys")).to_be_visible()

    push(tab, "Add a folder of this machine")
    tab.page.keyboard.type(str(kitchen))
    reach_element(tab, "input[name=watch]")
    press(tab, "Space")
    push(tab, "Add it")
    source(tab, kitchen, "ok")
    expect(titles(tab)).to_have_count(3)

    push(tab, "Add a web address")
    tab.page.keyboard.type(f"{address}/secret")
    reach_element(tab, "input[name=kind]")
    press(tab, "ArrowDown", "ArrowDown")
    reach_element(tab, "input[name=depth]")
    write(tab, "2")
    press(tab, "Enter")
    line = tab.find(".sources-of li").filter(has_text="/secret")
    expect(line.locator(".facts").first).to_contain_text("2 links deep")

    git(kitchen.parent, "init", "--quiet", "bare")
    push(tab, "Add a git repository")
    tab.page.keyboard.type(f"{kitchen.parent}/bare")
    press(tab, "Enter")
    expect(tab.find(".sources-of li")).to_have_count(3)
    for place in (f"{address}/secret", f"{kitchen.parent}/bare"):
        expect(tab.find(".sources-of li").filter(has_text=place).locator(".failed")).to_be_visible(timeout=READ_MS)
        choose(tab, f"Actions for {place}", "r")
        expect(tab.find(".sources-of li").filter(has_text=place)).to_have_count(0)
