"""With the keys alone: through the door, one's own account, administration, and a shelf that all may read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.chat.household import PASSWORD, logged_in
from tests.chat.keys import choose, press, push, reach_element, write
from tests.chat.page import Tab, Tabs
from tests.chat.residents import with_users
from tests.chat.shelves import heading
from tests.fakes import FakeServer
from tests.processes import Process, chatbot, running

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def house(_shared_model: FakeServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A chat server with accounts."""
    folder = with_users(tmp_path_factory.mktemp("house"), "admin", "Bob")
    with running(chatbot(_shared_model.url, folder, "--accounts", "always")) as process:
        yield process


def enter(tab: Tab, name: str, password: str = PASSWORD) -> None:
    """Log in at the door."""
    expect(tab.page.get_by_label("Name")).to_be_focused()
    tab.page.keyboard.type(name)
    press(tab, "Tab")
    tab.page.keyboard.type(password)
    press(tab, "Enter")
    expect(tab.button(name)).to_be_visible()


def test_a_person_comes_in_changes_the_password_ends_other_sessions_and_leaves(house: Process, tabs: Tabs) -> None:
    logged_in(house, "Bob")
    tab = tabs.open(house, "/login")
    enter(tab, "Bob")
    choose(tab, "Bob", "a")
    box = tab.page.get_by_role("dialog", name="Your account")
    push(tab, "Log out everywhere else")
    expect(box.get_by_role("status")).to_have_text("Logged out there.")
    push(tab, "Change your password")
    for selector, text in (("#old", PASSWORD), ("#new-password", f"{PASSWORD} and more")):
        reach_element(tab, selector)
        tab.page.keyboard.type(text)
    press(tab, "Enter")
    expect(box.get_by_role("status")).to_have_text("Your password is changed.")
    push(tab, "Log out")
    expect(tab.page).to_have_title("Log in · Paddock")
    enter(tab, "Bob", f"{PASSWORD} and more")
    assert tab.errors == []


def test_an_administrator_invites_limits_sets_defaults_and_speaks_to_all(house: Process, tabs: Tabs) -> None:
    tab = tabs.open(house, "/admin", logged_in(house, "admin"))
    users = tab.find("#users")
    expect(users).to_contain_text("Bob")
    push(tab, "Invite somebody")
    tab.page.keyboard.type("for Zoe")
    press(tab, "Enter")
    expect(tab.find(".code-shown")).to_be_visible()
    press(tab, "Escape")
    push(tab, "Withdraw: for Zoe")
    expect(users).not_to_contain_text("for Zoe")

    choose(tab, "Actions for Bob")
    reach_element(tab, "input[name=house]")
    press(tab, "Space")
    reach_element(tab, "#user-storage_mb")
    write(tab, "50")
    press(tab, "Enter")
    expect(users).to_contain_text("own limits: 50 MB")
    choose(tab, "Actions for Bob", "l")
    expect(users).to_contain_text("locked")
    choose(tab, "Actions for Bob", "u")
    expect(users).not_to_contain_text("locked")
    reach_element(tab, "#house-messages_per_day")
    write(tab, "900")
    push(tab, "Save limits")
    expect(tab.find("#house")).to_contain_text("Now: 900 messages a day.")

    push(tab, "Change the defaults")
    seed = tab.page.get_by_role("dialog", name="Defaults of a chat").get_by_label("Seed", exact=True)
    reach_element(tab, f"[id='{seed.get_attribute('id')}']")
    tab.page.keyboard.type("7")
    press(tab, "Tab")
    expect(tab.find("#house dl")).to_have_text("Seed7")
    press(tab, "Escape")
    reach_element(tab, "#said")
    tab.page.keyboard.type("The server restarts at 18:00.")
    push(tab, "Show it")
    reach_element(tab, ".home")
    press(tab, "Enter")
    expect(tab.find(".alert")).to_be_visible()
    push(tab, "Put this message away")
    expect(tab.find(".alert")).to_be_hidden()
    assert tab.errors == []


def test_a_shelf_is_shared_and_kept_to_oneself_again(house: Process, tabs: Tabs) -> None:
    tab = tabs.open(house, "/library", logged_in(house, "admin"))
    expect(tab.button("Make the first shelf")).to_be_visible()
    push(tab, "Make the first shelf")
    tab.page.keyboard.type("common")
    press(tab, "Enter")
    expect(heading(tab, "common")).to_be_visible()
    facts = tab.find("#library .facts").first
    choose(tab, "Actions for this shelf", "s")
    expect(facts).to_contain_text("shared")
    choose(tab, "Actions for this shelf", "k")
    expect(facts).to_contain_text("private")
    assert tab.errors == []
