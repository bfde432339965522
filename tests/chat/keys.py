"""The page as somebody uses it who has no mouse: Tab to a thing, and press."""

from __future__ import annotations

from tests.chat.page import Tab

MOST_TABS = 80
_IS_NAMED = "name => (document.activeElement.ariaLabel ?? document.activeElement.textContent) === name"
_IS_THERE = "selector => document.activeElement.matches(selector)"


def press(tab: Tab, *keys: str) -> None:
    for key in keys:
        tab.page.keyboard.press(key)


def write(tab: Tab, text: str) -> None:
    """Type in place of what stands where the focus is."""
    press(tab, "Control+a")
    tab.page.keyboard.type(text)


def reach(tab: Tab, name: str) -> None:
    """Press Tab until the button with this name has the focus."""
    _walk(tab, _IS_NAMED, name)


def reach_element(tab: Tab, selector: str) -> None:
    """Press Tab until an element of this selector has the focus."""
    _walk(tab, _IS_THERE, selector)


def push(tab: Tab, name: str) -> None:
    """Go to the button with this name, and press it."""
    reach(tab, name)
    press(tab, "Enter")


def choose(tab: Tab, menu: str, letter: str = "") -> None:
    """Open the menu under a button, and take the next entry that begins with a letter; else its first."""
    push(tab, menu)
    tab.page.get_by_role("menu").wait_for()
    tab.page.keyboard.type(letter)
    press(tab, "Enter")


def _walk(tab: Tab, is_there: str, what: str) -> None:
    for _ in range(MOST_TABS):
        if tab.page.evaluate(is_there, what):
            return
        press(tab, "Tab")
    raise AssertionError(f"Tab never came to {what}")
