"""With the keys alone: what is done with answers, with several chats, with notes and with what was not sent."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.chat.browser import Browser as Sockets
from tests.chat.keys import choose, press, push, reach, reach_element, write
from tests.chat.network import wire
from tests.chat.page import Tab, Tabs
from tests.fakes import FakeServer, Finish, Gate
from tests.processes import Process

pytestmark = pytest.mark.browser


def ask(tab: Tab, text: str) -> None:
    """Write a message and send it."""
    reach_element(tab, "#input")
    tab.page.keyboard.type(text)
    press(tab, "Enter")


def test_an_answer_is_continued_corrected_and_copied_and_a_waiting_message_taken_back(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    hold = Gate()
    model.scripts = [["as long", Finish("length")], [" as it may be", Finish()], ["held", hold, Finish()]]
    tab = tabs.open(chat)
    tab.context.grant_permissions(["clipboard-read", "clipboard-write"])
    ask(tab, "go")
    tab.is_at("done")
    push(tab, "Continue")
    tab.reads("as long as it may be")
    tab.is_at("done")

    push(tab, "Edit answer")
    expect(tab.page.get_by_label("Text of the answer")).to_be_focused()
    write(tab, "in better words")
    push(tab, "Save")
    tab.reads("in better words")
    expect(tab.answer()).to_contain_text("edited")
    push(tab, "Copy")
    expect(tab.answer().get_by_role("button", name="Copied")).to_be_visible()
    reach_element(tab, "#input")
    press(tab, "Control+v")
    expect(tab.input).to_have_value("in better words")

    press(tab, "Enter")
    tab.reads("held")
    ask(tab, "too early")
    tab.is_at("queued")
    push(tab, "Take it back: this message is not sent")
    expect(tab.find(".user")).to_have_text(["go", "in better words"])
    expect(tab.input).to_have_value("too early")
    hold.open()
    tab.is_at("done")
    assert tab.errors == []


def test_several_chats_are_deleted_brought_back_and_imported(
    model: FakeServer, chat: Process, tabs: Tabs, tmp_path: Path
) -> None:
    model.scripts = [["ok", Finish()]]
    tab = tabs.open(chat)
    titles = ("one of several", "another of several")
    for title in titles:
        press(tab, "Control+Shift+O")
        ask(tab, title)
        tab.is_at("done")
    links = tab.find("#chats a").filter(has_text="of several")
    expect(links).to_have_count(2)
    choose(tab, "More")
    reach_element(tab, f"input[aria-label='Select {titles[1]}']")
    press(tab, "Space", "Tab", "ArrowDown", "Shift+Tab", "Space")
    expect(tab.page.get_by_role("group", name="Selected chats")).to_contain_text("2 selected")
    reach(tab, "Export")
    with tab.page.expect_download() as downloaded:
        press(tab, "Enter")
    file = tmp_path / "several.json"
    downloaded.value.save_as(file)
    push(tab, "Delete")
    expect(links).to_have_count(0)
    push(tab, "Undo")
    expect(links).to_have_count(2)
    tab.page.on("filechooser", lambda _: None)  # the browser goes on leaving them to this test
    with tab.page.expect_file_chooser() as chooser:
        choose(tab, "More", "i")
    chooser.value.set_files(file)
    expect(tab.page.get_by_role("dialog", name="Imported")).to_contain_text("2 chats left out: here already.")
    press(tab, "Escape")
    expect(tab.page.get_by_role("dialog")).to_have_count(0)
    assert tab.errors == []


def test_notes_are_changed_and_removed_and_a_prompt_is_kept_and_used(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    model.n_ctx = 500
    try:
        model.scripts = [["- The name is Ada. " + "word " * 90, Finish()]]  # also what is noted
        tab = tabs.open(chat)
        for n in range(5):
            ask(tab, f"question {n}")
            expect(tab.find(".answer[data-status=done]")).to_have_count(n + 1)
        push(tab, "Older messages are folded into notes")
        box = tab.page.get_by_role("dialog", name="What the model sees")
        expect(box.get_by_label("Notes")).to_be_visible()
        reach_element(tab, "#notes")
        write(tab, "- The name is Grace.")
        push(tab, "Save notes")
        expect(box.locator(".part pre").filter(has_text="Grace")).to_have_count(1)
        push(tab, "Remove notes")
        expect(box.get_by_label("Notes")).to_have_count(0)
        press(tab, "Escape")
        expect(box).to_have_count(0)
    finally:
        model.n_ctx = 4_096
    reach_element(tab, "#options")
    press(tab, "Enter")
    reach_element(tab, "#prompt-text")
    tab.page.keyboard.type("Sum this up: ")
    reach_element(tab, "#prompt-name")
    tab.page.keyboard.type("sum")
    press(tab, "Enter")
    expect(tab.button("Delete prompt sum")).to_be_visible()
    press(tab, "Escape")
    reach_element(tab, "#input")
    tab.page.keyboard.type("/sum")
    expect(tab.page.get_by_role("option", name=re.compile("sum")).first).to_be_visible()
    press(tab, "Enter")
    expect(tab.input).to_have_value("Sum this up: ")
    assert tab.errors == []


def test_a_message_that_was_not_sent_is_tried_again_taken_up_and_discarded(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    model.scripts = [["ok", Finish()]]
    with wire(chat) as line:
        tab = tabs.open(chat, line.url)
        ask(tab, "begin")
        tab.is_at("done")
        chat_id = tab.chat_id()
        line.cut()
        expect(tab.strip).to_be_visible()
        for text in ("into the void", "never mind", "after all"):
            ask(tab, text)
        tab.page.keyboard.type("typed on")
        other = Sockets(chat.url)
        assert other.call("delete", {"chat_ids": [chat_id]})["ok"]
        other.client.disconnect()
        line.mend()
        refused = tab.find(".said").filter(has_text="Not sent.")
        expect(refused.locator(".user")).to_have_text(["into the void", "never mind", "after all"])
        push(tab, "Edit: put it back into the message box")
        expect(tab.input).to_have_value("into the void\n\ntyped on")
        expect(refused).to_have_count(2)
        push(tab, "Discard this message")
        expect(refused.locator(".user")).to_have_text("after all")
        push(tab, "Send again")
        expect(refused).to_have_count(0)
        tab.is_at("done")
        expect(tab.find(".user")).to_have_text("after all")
