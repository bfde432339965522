"""The door: logging in, joining with a code, the own account, and what becomes of a page that is logged out."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Request, expect

from tests.chat.axe import violations
from tests.chat.browser import Browser
from tests.chat.household import PASSWORD, logged_in
from tests.chat.page import Tab, Tabs
from tests.chat.residents import with_users
from tests.fakes import FakeServer
from tests.processes import Process, chatbot, running

pytestmark = pytest.mark.browser

OTHER = "another good password"
NAMES = ("admin", "Carol", "Dan", "Draft", "First", "Second", "Limited")
SMALL = {"width": 320, "height": 640}


@pytest.fixture(scope="module")
def house(_shared_model: FakeServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A chat server with accounts; its first administrator is called admin."""
    folder = with_users(tmp_path_factory.mktemp("house"), *NAMES)
    with running(chatbot(_shared_model.url, folder, "--accounts", "always")) as process:
        yield process


@pytest.fixture(scope="module")
def admin(house: Process) -> Browser:
    """The administrator's socket."""
    return Browser(house.url, Cookie=logged_in(house, "admin"))


def log_in(tab: Tab, name: str, password: str = PASSWORD) -> None:
    tab.page.get_by_label("Name").fill(name)
    tab.page.get_by_label("Password", exact=True).fill(password)
    tab.page.keyboard.press("Enter")


def open_account(tab: Tab, name: str) -> None:
    tab.button(name).click()
    tab.page.get_by_role("menuitem", name="Account", exact=True).click()
    expect(tab.page.get_by_role("heading", name="Where you are logged in")).to_be_visible()


def test_nobody_gets_past_the_door_and_it_leads_back_to_where_one_was_going(
    house: Process, admin: Browser, model: FakeServer, tabs: Tabs
) -> None:
    chat_id = admin.call("send", {"text": "hello"})["chat"]["id"]
    tab = tabs.open(house, f"/c/{chat_id}")
    expect(tab.page).to_have_title("Log in · Paddock")
    expect(tab.page.get_by_label("Name")).to_be_focused()
    log_in(tab, "admin", "wrong password")
    expect(tab.page.get_by_role("alert")).to_have_text("The name or the password is wrong: try again.")
    expect(tab.page.get_by_label("Password", exact=True)).to_be_focused()
    assert tab.page.url.endswith(f"/login?next=%2Fc%2F{chat_id}")
    log_in(tab, "admin")
    expect(tab.page).to_have_url(f"{house.url}/c/{chat_id}")
    expect(tab.find(".said, .user").first).to_contain_text("hello")
    expect(tab.button("admin")).to_be_visible()
    assert {error for error in tab.errors if "401" not in error} == set()


@pytest.mark.parametrize(
    "wanted",
    [
        "/library/document/5?at=10-90&begins=Ein+weiches+Ei%2C+4+%E2%80%93+5+Minuten&digest=ab12",
        "/library?q=soft+egg%3F&in=kitchen",
        "/library/3?q=100+%25",
    ],
)
def test_the_door_leads_back_to_a_passage_and_to_a_search(house: Process, tabs: Tabs, wanted: str) -> None:
    tab = tabs.open(house, wanted)
    log_in(tab, "admin")
    expect(tab.page).to_have_url(f"{house.url}{wanted}")
    expect(tab.find("#library h1")).to_be_visible()
    headers = {"X-Paddock": "1", "Content-Type": "application/json"}
    tab.page.evaluate("(headers) => fetch('/logout', { method: 'POST', headers, body: '{}' })", headers)
    expect(tab.page).to_have_title("Log in · Paddock")
    log_in(tab, "admin")
    expect(tab.page).to_have_url(f"{house.url}{wanted}")


@pytest.mark.parametrize("elsewhere", ["https://evil.test/", "//evil.test", "/\\evil.test", "javascript:alert(1)"])
def test_the_door_leads_to_no_other_server(house: Process, tabs: Tabs, elsewhere: str) -> None:
    tab = tabs.open(house, f"/login?next={elsewhere}")
    tab.page.route(
        "**/login", lambda route: route.fulfill(json={}) if route.request.method == "POST" else route.continue_()
    )
    log_in(tab, "admin")
    expect(tab.page).to_have_url(f"{house.url}/login")  # the page, which sends back whoever is not in
    assert tab.hosts == {"127.0.0.1"}


def test_a_password_manager_finds_what_it_looks_for(house: Process, tabs: Tabs) -> None:
    tab = tabs.open(house, "/login")
    fields = "[...document.querySelectorAll('form input')].map((f) => [f.name, f.type, f.autocomplete])"
    assert tab.page.evaluate(fields) == [["name", "text", "username"], ["password", "password", "current-password"]]
    show = tab.button("Show the password")
    show.click()
    expect(tab.find("#password")).to_have_attribute("type", "text")
    expect(show).to_have_attribute("aria-pressed", "true")
    tab.page.goto("/join")
    assert tab.page.evaluate(fields) == [
        ["code", "text", "off"],
        ["name", "text", "username"],
        ["password", "password", "new-password"],
    ]


def test_too_many_wrong_tries_are_told_with_the_seconds_and_the_button_counts_them(house: Process, tabs: Tabs) -> None:
    tab = tabs.open(house, "/login")
    answer = {
        "error": {"message": "that was wrong too often: wait 2 seconds, then try again", "code": "too_many_tries"}
    }
    sent: list[Request] = []
    tab.page.on("request", lambda request: request.method == "POST" and sent.append(request))
    tab.page.route("**/login", lambda route: route.fulfill(status=429, headers={"Retry-After": "2"}, json=answer))
    log_in(tab, "admin", "x")
    expect(tab.page.get_by_role("alert")).to_have_text("That was wrong too often: wait 2 seconds, then try again.")
    button = tab.find("[type=submit]")
    tab.page.keyboard.press("Enter")
    expect(button).to_have_text("Log in")
    expect(button).to_have_attribute("aria-disabled", "false")
    assert len(sent) == 1
    tab.page.unroute("**/login")
    log_in(tab, "admin")
    expect(tab.page).to_have_url(f"{house.url}/")


def test_an_invitation_lets_somebody_join_once(house: Process, admin: Browser, tabs: Tabs) -> None:
    code = admin.call("invite", {"is_admin": False, "note": "for Ada"})["code"]
    tab = tabs.open(house, "/login")
    tab.page.get_by_role("link", name="Join, or choose a new password").click()
    expect(tab.page.get_by_role("heading", name="Join with a code")).to_be_visible()
    tab.page.get_by_label("Code").fill("AAAA-BBBB-CCCC")
    tab.page.get_by_label("Name").fill("Ada")
    tab.page.get_by_label("New password", exact=True).fill(OTHER)
    tab.button("Join").click()
    expect(tab.page.get_by_role("alert")).to_contain_text("This code is wrong")
    expect(tab.page.get_by_label("Code")).to_be_focused()
    tab.page.get_by_label("Code").fill(code.lower().replace("-", " "))
    tab.button("Join").click()
    expect(tab.page).to_have_url(f"{house.url}/")
    expect(tab.button("Ada")).to_be_visible()
    expect(tab.find("#empty")).to_contain_text("Everything you write stays on this server.")
    tab.button("Ada").click()
    expect(tab.page.get_by_role("menuitem")).to_have_text(["Account", "Log out"])
    again = tabs.open(house, "/join")
    again.page.get_by_label("Code").fill(code)
    again.page.get_by_label("Name").fill("Eve")
    again.page.get_by_label("New password", exact=True).fill(OTHER)
    again.button("Join").click()
    expect(again.page.get_by_role("alert")).to_contain_text("This code is wrong, was used")
    assert code not in "".join(request.url for request in tab.requests)


def test_a_page_that_is_logged_out_goes_to_the_door_and_keeps_the_draft(house: Process, tabs: Tabs) -> None:
    tab = tabs.open(house, "/login")
    log_in(tab, "Draft")
    tab.input.fill("half a thought")
    elsewhere = Browser(house.url, Cookie=logged_in(house, "Draft"))
    assert elsewhere.call("end_other_sessions")["ok"]
    expect(tab.page).to_have_title("Log in · Paddock")
    log_in(tab, "Draft")
    expect(tab.input).to_have_value("half a thought")


def test_another_person_at_the_same_browser_finds_nothing_of_the_first(house: Process, tabs: Tabs) -> None:
    tab = tabs.open(house, "/login")
    log_in(tab, "First")
    tab.input.fill("a private thought")
    tab.context.clear_cookies()  # nobody logged out: the session has ended somehow
    tab.page.goto("/")
    log_in(tab, "Second")
    expect(tab.button("Second")).to_be_visible()
    expect(tab.input).to_have_value("")
    tab.input.fill("mine")
    tab.button("Second").click()
    tab.page.get_by_role("menuitem", name="Log out").click()
    expect(tab.page).to_have_title("Log in · Paddock")
    assert "mine" not in tab.page.evaluate("JSON.stringify({ ...localStorage })")
    tab.page.goto("/")
    expect(tab.page).to_have_title("Log in · Paddock")


def test_the_own_account_shows_where_one_is_logged_in_and_ends_it(house: Process, tabs: Tabs) -> None:
    logged_in(house, "Carol")
    tab = tabs.open(house, "/", logged_in(house, "Carol"))
    open_account(tab, "Carol")
    rows = tab.find(".account .people li")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("this browser")
    expect(tab.find(".account dl")).to_contain_text("Messages in 24 hours")
    rows.nth(1).get_by_role("button").click()
    expect(rows).to_have_count(1)
    expect(tab.find(".account [role=status]")).to_have_text("Logged out there.")
    assert tab.errors == []


def test_a_password_is_changed_by_who_knows_the_old_one(house: Process, tabs: Tabs) -> None:
    tab = tabs.open(house, "/", logged_in(house, "Dan"))
    open_account(tab, "Dan")
    tab.find(".account summary").press("Enter")
    tab.page.get_by_label("Current password").fill("no")
    tab.page.get_by_label("New password").fill(OTHER)
    tab.button("Change password").click()
    expect(tab.find(".account").get_by_role("alert")).to_have_text("The old password is wrong: try again.")
    tab.page.get_by_label("Current password").fill(PASSWORD)
    tab.button("Change password").click()
    expect(tab.find(".account [role=status]")).to_have_text("Your password is changed.")
    assert logged_in(house, "Dan", OTHER)


def test_limits_stand_in_the_own_account(house: Process, admin: Browser, tabs: Tabs) -> None:
    user = next(each for each in admin.call("admin")["users"] if each["name"] == "Limited")
    limits = {"messages_per_day": 5, "answers_at_once": 1, "storage_mb": 3}
    assert admin.call("limits", {"user_id": user["id"], "limits": limits})["ok"]
    tab = tabs.open(house, "/", logged_in(house, "Limited"))
    open_account(tab, "Limited")
    expect(tab.find(".account dd")).to_have_text(["0 of 5", "0 of 1", "0 bytes of 3 MB"])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_door_and_the_account_are_fit_for_all(house: Process, tabs: Tabs, scheme: str) -> None:
    tab = tabs.open(house, "/join", viewport=SMALL, color_scheme=scheme)
    assert (violations(tab), tab.sideways_px()) == ([], 0)
    tab.page.goto("/login")
    log_in(tab, "admin", "wrong password")
    expect(tab.page.get_by_role("alert")).to_be_visible()
    assert (violations(tab), tab.sideways_px()) == ([], 0)
    log_in(tab, "admin")
    tab.button("Chats").click()
    open_account(tab, "admin")
    tab.find(".account summary").click()
    assert (violations(tab), tab.sideways_px()) == ([], 0)


def test_without_accounts_there_is_no_door(chat: Process, tabs: Tabs) -> None:
    tab = tabs.open(chat)
    expect(tab.input).to_be_visible()
    tab.page.wait_for_function(
        "() => localStorage.getItem('user') === 'owner'"
    )  # the server has said who uses the page
    tab.button("More").click()
    expect(tab.page.get_by_role("menuitem", name="Administration")).to_be_visible()
    expect(tab.find("#me")).to_be_hidden()
