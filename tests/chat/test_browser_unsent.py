"""Nothing that is typed is lost: changes, messages sent while the server is away, messages that it refuses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.chat.axe import violations
from tests.chat.browser import Browser as Sockets
from tests.chat.held import Held
from tests.chat.household import PASSWORD, logged_in
from tests.chat.network import Wire, wire
from tests.chat.page import Tab, Tabs
from tests.chat.residents import with_users
from tests.fakes import FakeServer, Finish
from tests.processes import Process, chatbot, running

pytestmark = pytest.mark.browser

CHAT_SERVER_AWAY = re.compile("The chat server does not answer")
LIMIT = re.compile("2 messages in the last 24 hours, and 2 are allowed")


def asked(model: FakeServer) -> list[str]:
    """What the model was asked, one text for each request."""
    return [str(request["messages"][-1]["content"]) for request in model.requests]


def cut(tab: Tab, line: Wire) -> None:
    """Take the server away from a page, and let the page find out."""
    line.cut()
    expect(tab.strip).to_have_text(CHAT_SERVER_AWAY)


def left(tab: Tab, line: Wire) -> Tab:
    """Leave the page while the server is away, and open the same address when it is back, in the same browser."""
    address = tab.page.url
    tab.page.goto("about:blank")
    line.mend()
    tab.page.goto(address)
    return tab


def test_the_change_of_an_answer_survives_a_reload_and_a_save_that_fails(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    model.scripts = [["The capital is Paris.", Finish()]]
    with wire(chat) as line:
        tab = tabs.open(chat, line.url)
        tab.say("capital of Italy?")
        tab.is_at("done")
        area = tab.page.get_by_label("Text of the answer")
        tab.button("Edit answer").click()
        area.fill("The capital is Ro")
        tab.page.reload()
        expect(area).to_have_value("The capital is Ro")
        area.fill("The capital is Rome.")
        cut(tab, line)
        tab.button("Save").click()
        expect(tab.problem).to_be_visible()
        expect(area).to_have_value("The capital is Rome.")
        left(tab, line)
        expect(area).to_have_value("The capital is Rome.")
        tab.button("Save").click()
        tab.reads("The capital is Rome.")
        expect(area).to_have_count(0)
        tab.page.reload()
        tab.reads("The capital is Rome.")
        expect(area).to_have_count(0)

        tab.button("Edit answer").click()
        area.fill("never mind")
        area.press("Escape")
        tab.page.reload()
        tab.reads("The capital is Rome.")
        expect(area).to_have_count(0)


def test_messages_sent_while_the_server_is_away_survive_a_reload_and_arrive_once(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    model.scripts = [["ok", Finish()]]
    with wire(chat) as line:
        tab = tabs.open(chat, line.url)
        expect(tab.find("#model")).to_be_visible()
        cut(tab, line)
        for text in ("offline one", "offline two"):
            tab.say(text)
        tab.input.fill("draft #https://page.invalid/ three")
        left(tab, line)
        expect(tab.find(".user")).to_have_text(["offline one", "offline two"])
        expect(tab.find(".answer[data-status=done]")).to_have_count(2)
        expect(tab.input).to_have_value("draft three")
        tab.chat_id()
        tab.page.reload()  # nothing comes twice, and the draft with its page is where the chat is now
        expect(tab.find(".user")).to_have_text(["offline one", "offline two"])
        expect(tab.input).to_have_value("draft three")
        expect(tab.find(".chip .name")).to_have_text("https://page.invalid/")
        expect(tab.find("#chats a").filter(has_text="offline one")).to_have_count(1)
    assert asked(model) == ["offline one", "offline two"]


def test_message_whose_receipt_was_lost_before_a_reload_makes_one_turn(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    model.scripts = [["first", Finish()], ["once", Finish()]]
    with wire(chat) as line:
        tab = tabs.open(chat, line.url)
        tab.say("begin")
        tab.is_at("done")
        chat_id = tab.chat_id()
        watcher = tabs.open(chat, f"/c/{chat_id}")
        line.swallow()
        tab.say("say it once")
        watcher.reads("once")  # the server has the message, and this page will never hear of it
        line.cut()
        left(tab, line)
        tab.reads("once")
        tab.say("and then")
        expect(tab.find(".user")).to_have_text(["begin", "say it once", "and then"])
        expect(tab.find(".answer[data-status=done]")).to_have_count(3)
    assert asked(model) == ["begin", "say it once", "and then"]


def test_message_on_its_way_is_in_sight_though_an_older_one_says_the_same(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    model.scripts = [["first", Finish()], ["second", Finish()]]
    tab = tabs.open(chat)
    tab.say("go on")
    tab.reads("first")
    tab.chat_id()
    held = Held(tab)
    held.hold("send")
    tab.reads("first")
    tab.say("go on")
    held.until_asked()
    tab.page.reload()
    tab.reads("first")
    expect(tab.find(".user")).to_have_text(["go on", "go on"])
    held.until_asked(2)
    held.release()
    tab.reads("second")
    expect(tab.find(".user")).to_have_text(["go on", "go on"])
    assert asked(model) == ["go on", "go on"]


def test_change_sent_while_the_server_is_away_survives_a_reload(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    model.scripts = [["A1", Finish()], ["A2", Finish()]]
    with wire(chat) as line:
        tab = tabs.open(chat, line.url)
        tab.say("one")
        tab.is_at("done")
        tab.chat_id()
        cut(tab, line)
        tab.input.press("ArrowUp")
        tab.page.get_by_label("Your message").fill("uno")
        tab.page.get_by_label("Your message").press("Enter")
        left(tab, line)
        tab.reads("A2")
        expect(tab.find(".user")).to_have_text("uno")
        expect(tab.find(".said .place")).to_have_text("2/2")
    assert asked(model) == ["one", "uno"]


@pytest.fixture(scope="module")
def house(_shared_model: FakeServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A chat server with accounts."""
    folder = with_users(tmp_path_factory.mktemp("house"), "admin", "First", "Second", "Small")
    with running(chatbot(_shared_model.url, folder, "--accounts", "always")) as process:
        yield process


def become(tab: Tab, house: Process, name: str) -> None:
    """Log in as somebody, in the page of a browser in which nobody is logged in."""
    tab.page.get_by_label("Name").fill(name)
    tab.page.get_by_label("Password", exact=True).fill(PASSWORD)
    tab.page.keyboard.press("Enter")
    expect(tab.button(name)).to_be_visible()


def test_unsent_messages_wait_for_their_person_and_nobody_else_sends_them(
    model: FakeServer, house: Process, tabs: Tabs
) -> None:
    model.scripts = [["ok", Finish()]]
    with wire(house) as line:
        tab = tabs.open(house, f"{line.url}/login")
        become(tab, house, "First")
        cut(tab, line)
        tab.say("a private thought")
        tab.page.goto("about:blank")
        tab.context.clear_cookies()  # nobody logged out: the session has ended somehow
        line.mend()
        tab.page.goto(line.url)
        become(tab, house, "First")
        tab.is_at("done")
        assert asked(model) == ["a private thought"]

        cut(tab, line)
        tab.say("another private thought")
        tab.page.goto("about:blank")
        tab.context.clear_cookies()
        line.mend()
        tab.page.goto(line.url)
        become(tab, house, "Second")
        tab.say("mine")
        tab.is_at("done")
        expect(tab.find(".user")).to_have_text(["mine"])
        assert "private" not in tab.page.evaluate("JSON.stringify({ ...localStorage })")
    assert asked(model) == ["a private thought", "mine"]


def test_refused_message_stays_in_sight_until_it_is_sent_taken_up_or_discarded(
    model: FakeServer, house: Process, tabs: Tabs
) -> None:
    model.scripts = [["ok", Finish()]]
    admin = Sockets(house.url, Cookie=logged_in(house, "admin"))
    small = next(each for each in admin.call("admin")["users"] if each["name"] == "Small")
    limits = {"messages_per_day": 2, "answers_at_once": 0, "storage_mb": 0}
    assert admin.call("limits", {"user_id": small["id"], "limits": limits})["ok"]
    with wire(house) as line:
        tab = tabs.open(house, f"{line.url}/login")
        become(tab, house, "Small")
        for n, text in enumerate(("one", "two"), start=1):
            tab.say(text)
            expect(tab.find(".answer[data-status=done]")).to_have_count(n)
        cut(tab, line)
        for text in ("three", "four"):
            tab.say(text)
        tab.input.fill("the next words")
        line.mend()
        refused = tab.find(".said").filter(has_text="Not sent.")
        expect(refused).to_have_count(2)
        expect(refused.locator(".refusal").first).to_have_text(LIMIT)
        expect(tab.problem).to_be_hidden()  # the reason stands at the message
        expect(tab.find("#live")).to_have_text(LIMIT)
        expect(tab.input).to_have_value("the next words")

        tab.page.reload()  # and it is not sent by itself again
        expect(refused.locator(".user")).to_have_text(["three", "four"])
        expect(tab.input).to_have_value("the next words")
        for scheme in ("dark", "light"):
            tab.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            assert violations(tab) == []
        tab.page.get_by_role("link", name="New chat").click()
        expect(tab.find(".user")).to_have_count(0)
        tab.page.go_back()
        refused.nth(1).get_by_role("button", name="Edit").click()
        expect(tab.input).to_have_value("four\n\nthe next words")
        assert admin.call("limits", {"user_id": small["id"], "limits": {**limits, "messages_per_day": 0}})["ok"]
        refused.get_by_role("button", name="Send again").click()
        expect(tab.find(".answer[data-status=done]")).to_have_count(3)
        expect(refused).to_have_count(0)
        tab.page.reload()
        expect(tab.find(".user")).to_have_text(["one", "two", "three"])
    admin.client.disconnect()
    assert asked(model) == ["one", "two", "three"]


def test_message_to_a_chat_that_was_deleted_meanwhile_is_kept_and_may_begin_another(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    model.scripts = [["ok", Finish()]]
    with wire(chat) as line:
        tab = tabs.open(chat, line.url)
        tab.say("begin")
        tab.is_at("done")
        cut(tab, line)
        tab.say("into the void")
        tab.input.fill("typed on")
        other = Sockets(chat.url)
        assert other.call("delete", {"chat_ids": [tab.chat_id()]})["ok"]
        other.client.disconnect()
        line.mend()
        refused = tab.find(".said").filter(has_text="Not sent. This chat does not exist any more.")
        expect(refused.locator(".user")).to_have_text("into the void")
        expect(tab.input).to_have_value("typed on")
        tab.page.reload()
        expect(refused).to_have_count(1)
        refused.get_by_role("button", name="Discard").click()
        expect(tab.find("#empty")).to_be_visible()
        tab.page.reload()
        expect(tab.input).to_have_value("typed on")
        expect(refused).to_have_count(0)


def test_refused_change_stands_open_again_where_it_was_made(model: FakeServer, house: Process, tabs: Tabs) -> None:
    model.scripts = [["ok", Finish()]]
    admin = Sockets(house.url, Cookie=logged_in(house, "admin"))
    user = next(each for each in admin.call("admin")["users"] if each["name"] == "Second")
    tab = tabs.open(house, "/login")
    become(tab, house, "Second")
    tab.say("one")
    tab.is_at("done")
    limits = {"messages_per_day": 1, "answers_at_once": 0, "storage_mb": 0}
    assert admin.call("limits", {"user_id": user["id"], "limits": limits})["ok"]
    admin.client.disconnect()
    tab.input.press("ArrowUp")
    tab.page.get_by_label("Your message").fill("uno")
    tab.page.get_by_label("Your message").press("Enter")
    expect(tab.problem).to_have_text(re.compile("in the last 24 hours"))
    expect(tab.page.get_by_label("Your message")).to_have_value("uno")
    tab.page.get_by_label("Your message").press("Escape")
    expect(tab.find(".user")).to_have_text("one")
    tab.reads("ok")


def test_change_of_a_message_survives_a_reload_until_it_is_sent_or_given_up(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    model.scripts = [["A1", Finish()], ["A2", Finish()]]
    tab = tabs.open(chat)
    tab.say("one")
    tab.is_at("done")
    tab.chat_id()
    area = tab.page.get_by_label("Your message")
    tab.input.press("ArrowUp")
    area.press_sequentially(" and a half")
    tab.page.reload()
    expect(area).to_have_value("one and a half")
    expect(tab.input).to_be_focused()
    area.press("Escape")
    expect(area).to_have_count(0)
    tab.page.reload()
    expect(tab.find(".user")).to_have_text("one")
    expect(area).to_have_count(0)

    tab.input.press("ArrowUp")
    area.fill("uno")
    tab.page.reload()
    area.press("Enter")
    tab.reads("A2")
    tab.is_at("done")
    tab.page.reload()
    expect(tab.find(".user")).to_have_text("uno")
    tab.button("Earlier version").click()
    expect(tab.find(".user")).to_have_text("one")
    expect(area).to_have_count(0)
    assert tab.errors == []


def test_changed_message_over_the_limit_stays_open_to_be_made_shorter(
    model: FakeServer, tabs: Tabs, tmp_path: Path
) -> None:
    model.scripts = [["A1", Finish()]]
    with running(chatbot(model.url, tmp_path, "--max_message_chars", "100")) as chat:
        tab = tabs.open(chat)
        tab.say("one")
        tab.is_at("done")
        tab.input.press("ArrowUp")
        area = tab.page.get_by_label("Your message")
        area.fill("x" * 101)
        area.press("Enter")
        expect(tab.problem).to_have_text("This message has 101 characters, 100 are allowed.")
        expect(area).to_have_value("x" * 101)
        expect(area).to_be_focused()


def test_message_that_the_server_has_is_not_sent_again_when_the_page_fails_to_show_it(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    model.scripts = [["ok", Finish()]]
    tab = tabs.open(chat)
    expect(tab.find("#model")).to_be_visible()
    tab.page.evaluate("() => { history.replaceState = () => { throw new Error('a fault of the page'); }; }")
    tab.say("said once")
    tab.is_at("done")
    expect(tab.input).to_have_value("")
    tab.say("and then")
    expect(tab.find(".answer[data-status=done]")).to_have_count(2)
    expect(tab.find(".user")).to_have_text(["said once", "and then"])
    assert asked(model) == ["said once", "and then"]
    assert "a fault of the page" in str(tab.errors)
