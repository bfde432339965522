"""With the keys alone: what test_browser_access.py does not do yet. No mouse is used, and the focus is always seen."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.chat.keys import press, reach, reach_element
from tests.chat.page import Tab, Tabs
from tests.fakes import FakeServer, Finish
from tests.processes import Process

pytestmark = pytest.mark.browser

# The element with the focus can be told from the others: by a ring of its own or of what holds it, or by its caret.
SEEN = """() => {
    const at = document.activeElement;
    const holders = [at, at.parentElement, at.closest("form, li, label, section")].filter(Boolean);
    const ringed = ({ outlineStyle, boxShadow }) => outlineStyle !== "none" || boxShadow !== "none";
    return at !== document.body && (at.matches("input, textarea") || holders.some((e) => ringed(getComputedStyle(e))));
}"""


def test_files_options_presets_tags_and_themes_are_reached_with_the_keys_alone(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    model.scripts = [["fine", Finish()]]
    tab = tabs.open(chat, color_scheme="light")
    expect(tab.find("#gauge")).to_be_visible()
    attach_by_keys(tab)
    choose_options_by_keys(tab)
    tab.page.keyboard.type("by keys")
    press(tab, "Enter")
    tab.is_at("done")
    assert model.requests[-1]["temperature"] == 0.3
    assert "heron" in model.requests[-1]["messages"][-1]["content"]
    look_by_keys(tab)
    tag_by_keys(tab)
    change_theme_by_keys(tab)
    assert tab.errors == []


def attach_by_keys(tab: Tab) -> None:
    """A file, and one more that is taken away again."""
    tab.page.on("filechooser", lambda _: None)  # the browser goes on leaving them to this test
    for name in ("notes.txt", "other.txt"):
        reach(tab, "Attach files")
        with tab.page.expect_file_chooser() as chooser:
            press(tab, "Enter")
        chooser.value.set_files([{"name": name, "mimeType": "text/plain", "buffer": b"heron"}])
        expect(tab.find(".chip .name").last).to_have_text(name)
        expect(tab.find(".chip .size").last).to_contain_text("token")
        expect(tab.input).to_be_focused()
    reach(tab, "Remove other.txt")
    press(tab, "Enter")
    expect(tab.find(".chip")).to_have_count(1)


def choose_options_by_keys(tab: Tab) -> None:
    """A control, a preset of it, and back to the message."""
    options = tab.find("#options")
    reach_element(tab, "#options")
    assert tab.page.evaluate(SEEN)
    press(tab, "Enter")
    box = tab.page.get_by_role("dialog", name="Options of this chat")
    temperature = box.get_by_label("Temperature", exact=True)
    expect(box).to_be_visible()
    temperature_id = temperature.evaluate("e => e.id")
    reach_element(tab, f"[id='{temperature_id}']")
    tab.page.keyboard.type("0.3")
    press(tab, "Tab")
    name_id = box.get_by_label("Name of a new preset").evaluate("e => (e.id ||= 'new-preset-name')")
    reach_element(tab, f"[id='{name_id}']")
    tab.page.keyboard.type("calm")
    press(tab, "Enter")
    expect(box.get_by_label("Preset", exact=True)).to_have_value("calm")
    press(tab, "Escape")
    expect(box).to_be_hidden()
    expect(options).to_be_focused()
    reach_element(tab, "#input")


def look_by_keys(tab: Tab) -> None:
    """What the model sees, what is told of it, and the sheet of keys."""
    reach_element(tab, "#gauge")
    press(tab, "Enter")
    drawer = tab.page.get_by_role("dialog", name="What the model sees")
    expect(drawer.locator(".part").first).to_be_visible()
    reach_element(tab, ".part summary")
    press(tab, "Enter")
    expect(drawer.locator(".part pre").first).to_be_visible()
    press(tab, "Escape")
    expect(tab.find("#gauge")).to_be_focused()
    reach_element(tab, "#model")
    press(tab, "Enter")
    expect(tab.find("#about")).to_be_visible()
    press(tab, "Escape")
    expect(tab.find("#model")).to_be_focused()
    press(tab, "?")
    sheet = tab.page.get_by_role("dialog", name="Keyboard shortcuts")
    expect(sheet).to_be_visible()
    press(tab, "Escape")
    expect(tab.find("#model")).to_be_focused()


def tag_by_keys(tab: Tab) -> None:
    reach_element(tab, "#chats a[aria-current]")
    press(tab, "Tab", "Enter", "a", "Enter")
    expect(tab.page.get_by_label("Tags, with commas between them")).to_be_focused()
    tab.page.keyboard.type("keys")
    press(tab, "Enter")
    expect(tab.find("#chats .tags:visible")).to_have_text("keys")


def change_theme_by_keys(tab: Tab) -> None:
    theme = "() => document.documentElement.dataset.theme ?? ''"
    seen = [tab.page.evaluate(theme)]
    for _ in range(3):
        press(tab, "Control+Shift+L")
        seen.append(tab.page.evaluate(theme))
    assert seen == ["", "light", "dark", ""]
