"""The administrator's page: users and codes, rules of the house, what happens now, a message to all."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, WebSocketRoute, expect

from tests.chat.axe import violations
from tests.chat.browser import Browser
from tests.chat.household import PASSWORD, guest, logged_in
from tests.chat.page import Tab, Tabs
from tests.chat.test_live import PLAN, text
from tests.fakes import FakeServer, Finish, Gate
from tests.processes import Process, chatbot, running

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def house(_shared_model: FakeServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A chat server with accounts; its first administrator is called admin."""
    folder: Path = tmp_path_factory.mktemp("house")
    flags = ("--accounts", "always")
    with running(chatbot(_shared_model.url, folder, *flags, CHATBOT_ADMIN_PASSWORD=PASSWORD)) as process:
        yield process


@pytest.fixture(scope="module")
def cookie(house: Process) -> str:
    """What the administrator's browser keeps."""
    return logged_in(house, "admin")


@pytest.fixture(scope="module")
def admin(house: Process, cookie: str) -> Browser:
    """The administrator's socket."""
    return Browser(house.url, Cookie=cookie)


def row(tab: Tab, name: str) -> Locator:
    return tab.page.locator("#users li", has_text=name)


def act(tab: Tab, name: str, action: str) -> None:
    """Choose an action for a user, by the keyboard."""
    opener = tab.button(f"Actions for {name}")
    opener.focus()
    tab.page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")  # it scrolls
    opener.press("Enter")
    tab.page.get_by_role("menuitem", name=action, exact=True).press("Enter")


def names(admin: Browser) -> dict[str, dict[str, Any]]:
    """All users by name, as the server has them."""
    return {user["name"]: user for user in admin.call("admin")["users"]}


def test_only_administrators_see_the_page(house: Process, admin: Browser, tabs: Tabs) -> None:
    tab = tabs.open(house, "/admin", guest(admin, house, "Curious"))
    expect(tab.page.get_by_role("heading")).to_contain_text("nly an administrator may do this")
    tab.page.context.clear_cookies()
    tab.page.goto("/admin")
    expect(tab.page).to_have_title("Log in · Paddock")
    assert tab.page.url.endswith("?next=%2Fadmin")


def test_a_code_is_made_handed_on_used_and_withdrawn(house: Process, cookie: str, admin: Browser, tabs: Tabs) -> None:
    tab = tabs.open(house, "/admin", cookie)
    tab.button("Invite somebody").click()
    tab.page.get_by_label("For whom").fill("for Zoe")
    tab.page.keyboard.press("Enter")
    code = tab.find(".code-shown").inner_text()
    handed = tab.find(".handed")
    expect(handed).to_contain_text(f"Open {house.url}/join and type this code to join: {code}")
    expect(tab.button("Copy this text")).to_be_focused()
    tab.page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")  # as over plain http
    tab.page.keyboard.press("Enter")
    expect(tab.page.get_by_role("dialog")).to_contain_text("Copied.")
    tab.page.keyboard.press("Escape")
    expect(tab.button("Invite somebody")).to_be_focused()
    expect(tab.page.locator("#users li", has_text="for Zoe")).to_be_visible()
    assert code not in tab.page.content()
    note = tab.page.get_by_label("Message", exact=True)
    note.press("Control+V")
    expect(note).to_have_value(re.compile(code))
    note.fill("")
    tab.button("Withdraw: for Zoe").click()
    expect(tab.page.locator("#users li", has_text="for Zoe")).to_have_count(0)
    assert admin.call("admin")["invitations"] == []
    assert tab.errors == []


def test_a_note_takes_as_much_as_the_server_does(house: Process, cookie: str, admin: Browser, tabs: Tabs) -> None:
    tab = tabs.open(house, "/admin", cookie)
    tab.button("Invite somebody").click()
    note = tab.page.get_by_label("For whom")
    note.press_sequentially("n" * 100)
    note.press("Enter")
    expect(tab.find(".code-shown")).to_be_visible()
    (made,) = admin.call("admin")["invitations"]
    assert made["note"] == "n" * 80
    admin.call("uninvite", {"id": made["id"]})


def test_a_user_is_made_administrator_locked_and_given_a_new_password(
    house: Process, cookie: str, admin: Browser, tabs: Tabs
) -> None:
    bob = Browser(house.url, Cookie=guest(admin, house, "Bob"))
    tab = tabs.open(house, "/admin", cookie)
    expect(row(tab, "Bob")).to_contain_text("0 chats")
    act(tab, "Bob", "Make an administrator")
    expect(row(tab, "Bob")).to_contain_text("administrator")
    expect(tab.button("Actions for Bob")).to_be_focused()
    assert names(admin)["Bob"]["is_admin"]
    act(tab, "Bob", "Make an ordinary user")
    expect(row(tab, "Bob")).not_to_contain_text("administrator")
    act(tab, "Bob", "Lock")
    expect(row(tab, "Bob")).to_contain_text("locked")
    expect(row(tab, "Bob")).to_contain_text("· seen ")
    expect(tab.find("#toast")).to_contain_text("Bob is locked out.")
    assert not bob.client.connected
    act(tab, "Bob", "Unlock")
    expect(row(tab, "Bob")).not_to_contain_text("locked")
    act(tab, "Bob", "Code for a new password")
    expect(tab.find(".handed")).to_contain_text("to choose a new password")
    tab.page.keyboard.press("Escape")
    expect(tab.page.locator("#users li", has_text="New password for Bob")).to_be_visible()


def test_nobody_is_removed_without_being_asked_and_chats_go_too(
    house: Process, cookie: str, admin: Browser, tabs: Tabs
) -> None:
    Browser(house.url, Cookie=guest(admin, house, "Gone")).call("send", {"text": "hello"})
    tab = tabs.open(house, "/admin", cookie)
    expect(row(tab, "Gone")).to_contain_text("1 chat")
    act(tab, "Gone", "Remove")
    box = tab.page.get_by_role("dialog", name="Remove Gone?")
    expect(box).to_contain_text("and 1 chat with all messages and files go for good")
    tab.button("Cancel").click()
    assert "Gone" in names(admin)
    act(tab, "Gone", "Remove")
    tab.button("Remove Gone").click()
    expect(row(tab, "Gone")).to_have_count(0)
    expect(tab.page.get_by_role("heading", name="Users")).to_be_focused()
    assert "Gone" not in names(admin)


def test_the_last_administrator_stays_one_and_the_page_says_why(house: Process, cookie: str, tabs: Tabs) -> None:
    tab = tabs.open(house, "/admin", cookie)
    act(tab, "admin", "Make an ordinary user")
    expect(tab.find("#toast")).to_contain_text("last administrator")
    expect(row(tab, "admin").first).to_contain_text("you · administrator")


def test_limits_of_the_house_and_of_one_user(house: Process, cookie: str, admin: Browser, tabs: Tabs) -> None:
    guest(admin, house, "Max")
    tab = tabs.open(house, "/admin", cookie)
    limits = tab.find("#house form.limits")
    limits.get_by_label("Messages in 24 hours").fill("7")
    limits.get_by_label("Answers at once").fill("2")
    limits.get_by_role("button").click()
    expect(tab.find("#house")).to_contain_text("Now: 7 messages a day, 2 answers at once.")
    house_limits = {"messages_per_day": 7, "answers_at_once": 2, "storage_mb": 0}
    assert admin.call("admin")["house"]["limits"] == house_limits
    act(tab, "Max", "Limits")
    box = tab.page.get_by_role("dialog")
    expect(box.get_by_label("Storage in MB")).to_be_hidden()
    box.get_by_label("The limits of the house").uncheck()
    box.get_by_label("Storage in MB").fill("50")
    box.get_by_role("button", name="Save").click()
    expect(row(tab, "Max")).to_contain_text("own limits: 50 MB")
    expect(tab.button("Actions for Max")).to_be_focused()
    own = {"messages_per_day": 0, "answers_at_once": 0, "storage_mb": 50}
    assert names(admin)["Max"]["limits"] == own
    act(tab, "Max", "Limits")
    box.get_by_label("The limits of the house").check()
    box.get_by_role("button", name="Save").click()
    expect(row(tab, "Max")).not_to_contain_text("own limits")
    assert names(admin)["Max"]["limits"] is None
    assert admin.call("limits", {"user_id": None, "limits": {}})["ok"]


def test_defaults_hold_for_a_chat_that_chooses_nothing(
    house: Process, cookie: str, admin: Browser, model: FakeServer, tabs: Tabs
) -> None:
    admin.call("preset", {"name": "brief", "options": {"system_prompt": "Be brief.", "seed": 4}})
    tab = tabs.open(house, "/admin", cookie)
    expect(tab.find("#house")).to_contain_text("Nothing is set here")
    tab.button("Change the defaults").click()
    tab.page.get_by_label("Preset", exact=True).select_option("brief")
    expect(tab.page.get_by_role("textbox", name="System prompt")).to_have_value("Be brief.")
    tab.page.get_by_role("textbox", name="Temperature").fill("0.25")
    tab.page.get_by_role("textbox", name="Temperature").press("Tab")
    expect(tab.find("#house dl")).to_contain_text("0.25")
    tab.button("Close this box").click()
    model.scripts = [["fine", Finish()]]
    someone = Browser(house.url, Cookie=guest(admin, house, "Someone"))
    someone.end_of(someone.call("send", {"text": "hello"})["answer"]["id"])
    asked = model.requests[-1]
    assert (asked["temperature"], asked["seed"]) == (0.25, 4)
    assert asked["messages"][0] == {"role": "system", "content": "Be brief."}
    assert admin.call("house_options", {"options": {}})["ok"]


def test_the_defaults_can_be_opened_before_it_is_known_what_can_be_chosen(
    house: Process, cookie: str, tabs: Tabs
) -> None:
    tab = tabs.open(house, "/admin", cookie)
    lines: list[WebSocketRoute] = []
    held: list[str | bytes] = []

    def hold(line: WebSocketRoute) -> None:
        server = line.connect_to_server()
        lines.append(server)
        line.on_message(lambda said: held.append(said) if '"hello"' in str(said) else server.send(said))

    tab.page.route_web_socket(re.compile("socket.io"), hold)
    tab.page.reload()
    tab.button("Change the defaults").click()
    box = tab.page.get_by_role("dialog", name="Defaults of a chat")
    expect(box.locator(".stage")).to_have_text("One moment: the chat server is asked what can be chosen.")
    lines[-1].send(held[-1])
    expect(box.get_by_role("textbox", name="Temperature")).to_be_visible()
    expect(box.locator(".stage")).to_have_count(0)
    assert tab.errors == []


def test_numbers_of_now_come_and_follow(house: Process, cookie: str, model: FakeServer, tabs: Tabs) -> None:
    model.metrics, model.plan = text(tokens=100), PLAN
    tab = tabs.open(house, "/admin", cookie)
    figure = tab.page.locator(".figures > div", has_text="Tokens written a second")
    expect(figure.locator(".value")).to_have_text("not known yet")
    expect(tab.page.locator(".figures > div", has_text="Memory on the card")).to_contain_text("3.5 kB")
    expect(tab.find("#now")).to_contain_text("5 requests answered since the model server was started.")
    expect(tab.find("#models li")).to_contain_text("fake-model loaded")
    expect(figure.locator(".value")).to_have_text("0")
    model.metrics = text(tokens=1_000_000)
    expect(figure.locator(".value")).not_to_have_text("0")
    line = re.compile("^Tokens written a second, the last minutes: from 0 to [1-9]")
    expect(figure.get_by_role("img")).to_have_attribute("aria-label", line)
    expect(tab.find("#models li")).to_contain_text("Everything runs on the processor. Its file takes 4.7 GB.")
    model.metrics = ""
    expect(tab.find("#now")).to_contain_text("The model server tells no numbers")
    expect(tab.find(".figures")).to_be_hidden()


def test_nothing_is_asked_while_nobody_looks(house: Process, cookie: str, tabs: Tabs) -> None:
    tab = tabs.open(house, "/", cookie)
    tab.page.clock.install()
    with tab.page.expect_websocket() as opened:
        tab.page.goto("/admin")
    asked: list[str] = []
    opened.value.on("framesent", lambda frame: '"live"' in str(frame) and asked.append(str(frame)))
    expect(tab.find("#models li")).to_be_visible()
    see = """(hidden) => {
        Object.defineProperty(document, "hidden", { get: () => hidden, configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));
    }"""
    tab.page.evaluate(see, True)
    n_before = len(asked)
    for _ in range(3):
        tab.page.clock.fast_forward(3_000)
    assert len(asked) == n_before
    with opened.value.expect_event("framesent", lambda frame: '"live"' in str(frame)):
        tab.page.evaluate(see, False)


def test_who_is_answered_is_named_and_others_chats_are_not(
    house: Process, cookie: str, admin: Browser, model: FakeServer, tabs: Tabs
) -> None:
    hold = Gate()
    model.scripts = [["held", hold, Finish()]]
    Browser(house.url, Cookie=guest(admin, house, "Talker")).call("send", {"text": "between us"})
    hold.wait_until_reached()
    tab = tabs.open(house, "/admin", cookie)
    expect(tab.find("#now .answers li")).to_have_text("Talkerthe answer is being written")
    assert "between us" not in tab.page.content()
    hold.open()
    expect(tab.find("#now .answers")).to_have_text("Nobody, at this moment.")


def test_a_message_reaches_every_page_and_stays_away_once_it_is_put_away(
    house: Process, cookie: str, admin: Browser, tabs: Tabs
) -> None:
    reader = tabs.open(house, "/", guest(admin, house, "Reader"))
    expect(reader.button("Reader")).to_be_visible()
    tab = tabs.open(house, "/admin", cookie)
    attack = "Restart at 18:00 <img src=x onerror=window.ran=1>"
    tab.page.get_by_label("Message", exact=True).fill(attack)
    tab.button("Show it").click()
    said = reader.page.get_by_role("status").filter(has_text="Restart")
    expect(said).to_have_text(f"admin: {attack}")
    assert reader.page.evaluate("window.ran") is None
    assert violations(reader) == []
    reader.page.reload()
    expect(said).to_be_visible()
    reader.button("Put this message away").click()
    expect(said).to_have_count(0)
    reader.page.reload()
    expect(reader.button("Reader")).to_be_visible()
    expect(said).to_have_count(0)
    tab.page.goto("/")
    tab.say("/alert And again")
    expect(reader.find(".alert")).to_contain_text("And again")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_fit_for_all_and_narrow_windows(
    house: Process, cookie: str, admin: Browser, model: FakeServer, tabs: Tabs, scheme: str
) -> None:
    model.metrics, model.plan = text(tokens=100), PLAN
    guest(admin, house, f"A rather long name with many words {scheme[0]}")
    assert admin.call("invite", {"is_admin": True, "note": "somebody"})["ok"]
    tab = tabs.open(house, "/admin", cookie, viewport={"width": 320, "height": 640}, color_scheme=scheme)
    expect(tab.find("#users li").first).to_be_visible()
    expect(tab.find(".figures")).to_be_visible()
    assert (violations(tab), tab.sideways_px()) == ([], 0)
    act(tab, "admin", "Limits")
    assert violations(tab) == []
    tab.page.keyboard.press("Escape")
    tab.button("Change the defaults").click()
    assert (violations(tab), tab.sideways_px()) == ([], 0)
    assert tab.errors == []


def test_without_accounts_the_page_works_and_says_when_they_begin(chat: Process, model: FakeServer, tabs: Tabs) -> None:
    model.metrics = text()
    tab = tabs.open(chat, "/admin")
    expect(tab.find("#users")).to_contain_text("Accounts begin when the chat is started for other machines too")
    expect(tab.find("#storage")).to_contain_text("The database takes")
    expect(tab.find(".figures")).to_be_visible()
    expect(tab.find("#house form")).to_have_count(0)
    tab.page.get_by_role("link", name="Back to the chats").click()
    expect(tab.input).to_be_visible()
    assert tab.errors == []


def test_defaults_that_a_preset_replaces_can_be_taken_again(
    house: Process, cookie: str, admin: Browser, tabs: Tabs
) -> None:
    admin.call("preset", {"name": "mild", "options": {"temperature": 0.1}})
    tab = tabs.open(house, "/admin", cookie)
    tab.button("Change the defaults").click()
    box = tab.page.get_by_role("dialog", name="Defaults of a chat")
    prompt = box.get_by_role("textbox", name="System prompt")
    prompt.fill("An hour of work.")
    prompt.press("Tab")
    expect(tab.find("#house dl")).to_contain_text("An hour of work.")
    box.get_by_label("Preset", exact=True).select_option("mild")
    expect(prompt).to_have_value("")
    line = box.locator(".presets .undo")
    expect(line).to_contain_text("Your own choice was replaced by “mild”.")
    line.get_by_role("button").click()
    expect(prompt).to_have_value("An hour of work.")
    expect(tab.find("#house dl")).to_contain_text("An hour of work.")
    expect(line).to_be_hidden()
    assert admin.call("house_options", {"options": {}})["ok"]
    assert tab.errors == []
