"""What is deleted comes back by Undo: also when the first try fails, and never more than the line says.
A change that is refused takes back no other."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.chat.browser import Browser as Sockets
from tests.chat.held import Held
from tests.chat.page import Tab, Tabs
from tests.chat.shelves import filled_shelf, heading, titles
from tests.fakes import FakeServer
from tests.processes import Process

pytestmark = pytest.mark.browser


def begun(chat: Process, *texts: str) -> list[str]:
    """Chats that begin with these words; their ids."""
    page = Sockets(chat.url)
    ids = [str(page.call("send", {"text": text})["chat"]["id"]) for text in texts]
    page.client.disconnect()
    return ids


def row(tab: Tab, chat_id: str) -> Locator:
    return tab.find(f'#chats a[href="/c/{chat_id}"]')


def delete(tab: Tab, chat_id: str) -> None:
    row(tab, chat_id).focus()
    tab.page.keyboard.press("Delete")


def undo(tab: Tab) -> Locator:
    return tab.find("#toast").get_by_role("button", name="Undo")


def test_undo_brings_back_what_its_line_names_and_nothing_older(
    library_model: FakeServer, library_chat: Process, tabs: Tabs, tmp_path: Path
) -> None:
    tab = filled_shelf(tabs, library_chat, "attic", tmp_path / "attic")
    ants, bees = begun(library_chat, "ants", "bees")
    delete(tab, ants)
    expect(tab.find("#toast")).to_contain_text("“ants” was deleted.")
    tab.button("Delete Bread").click()
    expect(tab.find("#toast")).to_contain_text("“Bread” was taken off the shelf.")
    delete(tab, bees)
    expect(tab.find("#toast")).to_contain_text("“bees” was deleted.")
    undo(tab).click()
    expect(tab.find("#toast")).to_contain_text("The chat is back.")
    expect(row(tab, bees)).to_be_visible()
    expect(row(tab, ants)).to_have_count(0)
    expect(titles(tab)).to_have_text(["Eggs", "pea soup.txt"])
    assert tab.errors == []


def fails_then_works(tab: Tab, held: Held, event: str) -> None:
    """Undo while the server refuses it, and again."""
    held.hold(event)
    undo(tab).click()
    held.until_asked()
    held.refuse("the disk is full")
    expect(tab.find("#toast")).to_contain_text("The disk is full.")
    undo(tab).click()


def test_undo_that_fails_is_offered_again(chat: Process, model: FakeServer, tabs: Tabs) -> None:
    cats, dogs = begun(chat, "cats", "dogs")
    tab = tabs.open(chat)
    held = Held(tab)
    delete(tab, cats)
    expect(tab.find("#toast")).to_contain_text("“cats” was deleted.")
    held.hold("restore")
    undo(tab).click()
    held.until_asked()
    delete(tab, dogs)  # meanwhile: it joins the offer
    expect(tab.find("#toast")).to_contain_text("“dogs” was deleted.")
    held.refuse("the disk is full")
    expect(tab.find("#toast")).to_contain_text("The disk is full.")
    expect(tab.find("#toast")).to_contain_text("2 chats were deleted.")
    undo(tab).click()
    for chat_id in (cats, dogs):
        expect(row(tab, chat_id)).to_be_visible()
    assert tab.errors == []


def test_undo_in_the_library_that_fails_is_offered_again(
    library_model: FakeServer, library_chat: Process, tabs: Tabs, tmp_path: Path
) -> None:
    tab = filled_shelf(tabs, library_chat, "barn", tmp_path / "barn")
    held = Held(tab)
    everything = ["Bread", "Eggs", "pea soup.txt"]
    tab.button("Delete Bread").click()
    fails_then_works(tab, held, "document_restore")
    expect(titles(tab)).to_have_text(everything)

    tab.button(f"Actions for {tmp_path / 'barn'}").click()
    tab.page.get_by_role("menuitem", name="Remove with its documents").click()
    fails_then_works(tab, held, "source_add")
    expect(titles(tab)).to_have_text(everything)

    tab.button("Actions for this shelf").click()
    tab.page.get_by_role("menuitem", name="Rename").click()
    box = tab.page.get_by_role("dialog", name="Rename the shelf")
    box.get_by_label("Name", exact=True).fill("loft")
    box.get_by_role("button", name="Rename").click()
    expect(heading(tab, "loft")).to_be_visible()
    fails_then_works(tab, held, "shelf_change")
    expect(heading(tab, "barn")).to_be_visible()

    tab.button("Actions for this shelf").click()
    tab.page.get_by_role("menuitem", name="Delete").click()
    fails_then_works(tab, held, "shelf_restore")
    expect(tab.find(".shelves").get_by_role("link", name="barn", exact=True)).to_be_visible()
    assert tab.errors == []


def test_undo_that_fails_late_leaves_a_newer_offer_alone(
    library_model: FakeServer, library_chat: Process, tabs: Tabs, tmp_path: Path
) -> None:
    tab = filled_shelf(tabs, library_chat, "shed", tmp_path / "shed")
    (wasps,) = begun(library_chat, "wasps")
    held = Held(tab)
    tab.button("Delete Bread").click()
    held.hold("document_restore")
    undo(tab).click()
    held.until_asked()
    delete(tab, wasps)
    expect(tab.find("#toast")).to_contain_text("“wasps” was deleted.")
    held.refuse("the disk is full")
    expect(tab.find("#toast")).to_contain_text("The disk is full.")
    undo(tab).click()
    expect(row(tab, wasps)).to_be_visible()
    assert tab.errors == []


def test_undo_in_the_library_brings_a_chat_back_and_leaves_the_library_open(
    library_model: FakeServer, library_chat: Process, tabs: Tabs
) -> None:
    (moths,) = begun(library_chat, "moths")
    tab = tabs.open(library_chat)
    row(tab, moths).click()
    expect(tab.find(".user")).to_have_text("moths")
    delete(tab, moths)
    tab.page.get_by_role("link", name="Library", exact=True).click()
    expect(heading(tab, "Library")).to_be_visible()
    undo(tab).click()
    expect(tab.find("#toast")).to_contain_text("The chat is back.")
    expect(heading(tab, "Library")).to_be_visible()
    assert tab.page.url.endswith("/library")
    assert tab.errors == []


def test_delete_pressed_twice_deletes_once(chat: Process, model: FakeServer, tabs: Tabs) -> None:
    eels, fish = begun(chat, "eels", "fish")
    tab = tabs.open(chat)
    held = Held(tab)
    row(tab, eels).focus()
    held.hold("delete")
    tab.page.keyboard.press("Delete")
    held.until_asked()
    tab.page.keyboard.press("Delete")
    held.release()
    expect(row(tab, eels)).to_have_count(0)
    expect(tab.find("#toast")).to_contain_text("“eels” was deleted.")
    delete(tab, fish)
    expect(tab.find("#toast")).to_contain_text("2 chats were deleted.")


def test_a_document_whose_delete_is_pressed_twice_goes_alone(
    library_model: FakeServer, library_chat: Process, tabs: Tabs, tmp_path: Path
) -> None:
    tab = filled_shelf(tabs, library_chat, "cabin", tmp_path / "cabin")
    held = Held(tab)
    held.hold("document_delete")
    tab.button("Delete Bread").click()
    held.until_asked()
    tab.button("Delete Bread").click()
    held.release()
    expect(tab.find("#toast")).to_contain_text("“Bread” was taken off the shelf.")
    expect(titles(tab)).to_have_text(["Eggs", "pea soup.txt"])
    expect(tab.find("#toast .toast:visible")).to_have_count(1)  # nothing was refused
    tab.button("Delete Eggs").click()
    expect(tab.find("#toast")).to_contain_text("2 documents were taken off the shelf.")
    assert tab.errors == []


def test_a_change_that_is_refused_takes_back_itself_alone(chat: Process, model: FakeServer, tabs: Tabs) -> None:
    (gulls,) = begun(chat, "gulls")
    tab = tabs.open(chat)
    held = Held(tab)
    line = row(tab, gulls)
    line.hover()
    tab.button("Actions for gulls").click()
    held.hold("pin")
    tab.page.get_by_role("menuitem", name="Pin", exact=True).click()
    held.until_asked()
    expect(tab.find("#chats h2").first).to_have_text("Pinned")
    page = Sockets(chat.url)
    assert page.call("rename", {"chat_id": gulls, "title": "gulls and terns"})["ok"]
    page.client.disconnect()
    expect(line).to_have_text("gulls and terns")
    held.refuse("the disk is full")
    expect(tab.find("#toast")).to_contain_text("The disk is full.")
    expect(tab.find("#chats h2").first).to_have_text("Today")
    expect(line).to_have_text("gulls and terns")
    assert tab.errors == []


def test_undo_that_is_not_answered_stays_and_no_text_is_said_to_be_kept(
    chat: Process, model: FakeServer, tabs: Tabs
) -> None:
    (hawks,) = begun(chat, "hawks")
    tab = tabs.open(chat)
    tab.page.clock.install()
    held = Held(tab)
    delete(tab, hawks)
    expect(tab.find("#toast")).to_contain_text("“hawks” was deleted.")
    held.hold("restore")
    undo(tab).click()
    held.until_asked()
    tab.page.clock.run_for(10_500)
    expect(tab.find("#toast span").first).to_have_text("The chat server does not answer.")
    expect(undo(tab)).to_be_visible()
    held.release()
    expect(row(tab, hawks)).to_be_visible()
