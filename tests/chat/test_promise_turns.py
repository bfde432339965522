"""Never lose a token: what a person says arrives once, a draft stays, an old page deletes nothing new."""

from __future__ import annotations

import os
import signal

import pytest
from playwright.sync_api import expect

from tests.chat.network import wire
from tests.chat.page import Tab, Tabs, renderers
from tests.fakes import FakeServer, Finish, Gate
from tests.processes import Process

pytestmark = pytest.mark.browser


def asked(model: FakeServer) -> list[str]:
    """What the model was asked, one text for each request."""
    return [str(request["messages"][-1]["content"]) for request in model.requests]


def test_double_click_and_two_returns_in_one_moment_make_one_turn(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    model.scripts = [["answer", Finish()]]
    tab = tabs.open(chat)
    tab.input.fill("by the mouse")
    tab.button("Send").dblclick()
    tab.is_at("done")
    tab.input.fill("by the keys")
    enter = {"key": "Enter", "bubbles": True, "cancelable": True}
    twice = "(e, init) => { for (let n = 0; n < 2; n++) e.dispatchEvent(new KeyboardEvent('keydown', init)); }"
    tab.input.evaluate(twice, enter)
    expect(tab.find(".answer[data-status=done]")).to_have_count(2)
    tab.button("Answer again").last.dblclick()
    expect(tab.find(".answer .place")).to_have_text("2/2")
    tab.is_at("done")
    tab.page.reload()
    expect(tab.find(".answer .place")).to_have_text("2/2")
    expect(tab.find(".user")).to_have_text(["by the mouse", "by the keys"])
    assert asked(model) == ["by the mouse", "by the keys", "by the keys"]


def test_message_whose_receipt_was_lost_is_sent_again_and_makes_one_turn(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    hold = Gate()
    model.scripts = [["once", hold, " and whole", Finish()]]
    with wire(chat) as line:
        tab = tabs.open(chat, line.url)
        expect(tab.find("#model")).to_be_visible()
        sent: list[str] = []
        tab.page.on("websocket", lambda socket: socket.on("framesent", lambda frame: sent.append(str(frame))))
        line.swallow()
        tab.say("say it once")
        hold.wait_until_reached()  # the server has the message, and this page will never hear of it
        line.cut()
        line.mend()
        tab.reads("once")
        expect(tab.find(".user")).to_have_text(["say it once"])
        hold.open()
        tab.is_at("done")
        tab.reads("once and whole")
        assert [frame for frame in sent if '"send"' in frame]  # it was sent again, over the second connection
        tab.page.reload()
        expect(tab.find(".message")).to_have_count(2)
    assert asked(model) == ["say it once"]


def test_page_that_missed_the_newest_turns_cannot_delete_them(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    model.scripts = [[answer, Finish()] for answer in ("A1", "B1", "C1", "A2")]
    with wire(chat) as line:
        stale = tabs.open(chat, line.url)
        stale.say("first")
        stale.is_at("done")
        line.cut()
        expect(stale.strip).to_be_visible()
        fresh = tabs.open(chat, f"/c/{stale.chat_id()}")
        for question, answer in (("second", "B1"), ("third", "C1")):
            fresh.say(question)
            fresh.reads(answer)
            fresh.is_at("done")

        said = stale.find(".said").first
        said.get_by_role("button", name="Edit").click()
        said.get_by_label("Your message").fill("first, changed")
        said.get_by_label("Your message").press("Enter")
        line.mend()
        stale.reads("A2")
        stale.is_at("done")
    expect(fresh.find(".user")).to_have_text(["first, changed"])
    fresh.button("Earlier version").click()
    expect(fresh.find(".user")).to_have_text(["first", "second", "third"])
    expect(fresh.find(".answer .body")).to_have_text(["A1", "B1", "C1"])


def test_draft_of_each_chat_survives_a_reload_and_a_tab_that_crashes(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    model.scripts = [["fine", Finish()]]
    tab = tabs.open(chat)
    chats = []
    for title in ("one chat", "other chat"):
        tab.page.get_by_role("link", name="New chat").click()
        tab.say(title)
        tab.is_at("done")
        chats.append(tab.chat_id())
        tab.input.fill(f"draft in {title}\n  with  spaces ")
    tab.page.get_by_role("link", name="New chat").click()
    tab.input.fill("draft of a new chat")
    drafts = {
        "/": "draft of a new chat",
        f"/c/{chats[0]}": "draft in one chat\n  with  spaces ",
        f"/c/{chats[1]}": "draft in other chat\n  with  spaces ",
    }
    tab.page.reload()
    has_drafts(tab, drafts)

    tab.input.fill("the last word before the crash")
    crash(tab)
    drafts[f"/c/{chats[1]}"] = "the last word before the crash"
    has_drafts(Tab(tab.context, tab.context.new_page()), drafts)
    assert len(model.requests) == 2


def has_drafts(tab: Tab, drafts: dict[str, str]) -> None:
    """See each draft at its address; the last one stays open."""
    for path, text in drafts.items():
        tab.page.goto(path)
        expect(tab.input).to_have_value(text)


def crash(tab: Tab) -> None:
    """End the tab's process as a fault in the browser would."""
    with tab.page.expect_event("crash"):
        for pid in renderers(tab):
            os.kill(pid, signal.SIGKILL)
