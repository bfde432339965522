"""The list of chats: its order, search, names, pins, tags, deleting with a way back, export and import."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.chat.browser import Browser as Sockets
from tests.chat.kept import CHATS, DAY_S, seed
from tests.chat.page import Tab, Tabs
from tests.fakes import FakeServer, Finish, Gate
from tests.processes import Process, chatbot, running

pytestmark = pytest.mark.browser


@pytest.fixture
def kept(model: FakeServer, tmp_path: Path) -> Iterator[Process]:
    """A chat server that holds CHATS."""
    seed(tmp_path, CHATS)
    with running(chatbot(model.url, tmp_path)) as process:
        yield process


def titles(tab: Tab) -> Locator:
    return tab.find("#chats a")


def listed(tab: Tab, *expected: str) -> None:
    """Wait until these are the chats of the list, in this order."""
    expect(titles(tab)).to_have_text(list(expected))


def row(tab: Tab, title: str) -> Locator:
    return tab.find("#chats li").filter(has=tab.page.get_by_role("link", name=title, exact=True))


def choose(tab: Tab, title: str, action: str) -> None:
    """Take an action from a chat's menu."""
    row(tab, title).hover()
    tab.button(f"Actions for {title}").click()
    tab.page.get_by_role("menuitem", name=action, exact=True).click()


def test_chats_stand_under_their_days_and_a_pinned_one_before_all(kept: Process, tabs: Tabs) -> None:
    tab = tabs.open(kept)
    month = time.strftime("%B %Y", time.localtime(time.time() - 70 * DAY_S))
    expect(tab.find("#chats h2")).to_have_text(["Today", "Yesterday", "Last 7 days", month])
    listed(tab, *(title for title, *_ in CHATS))
    choose(tab, "Kites", "Pin")
    expect(tab.find("#chats h2")).to_have_text(["Pinned", "Today", "Yesterday", month])
    listed(tab, "Kites", "Bread with rye", "Tides", "Old lighthouse")
    tab.page.reload()
    listed(tab, "Kites", "Bread with rye", "Tides", "Old lighthouse")
    choose(tab, "Kites", "Unpin")
    listed(tab, *(title for title, *_ in CHATS))
    assert tab.errors == []


def test_today_becomes_yesterday_on_a_page_that_stays_open(kept: Process, tabs: Tabs) -> None:
    tab = tabs.open(kept, "/worker.js")
    tab.page.clock.install()
    tab.page.goto(kept.url)
    expect(tab.find("#chats section").first).to_have_text(re.compile("^TodayBread"))
    tab.page.clock.fast_forward(DAY_S * 1000)
    expect(tab.find("#chats section").first).to_have_text(re.compile("^YesterdayBread"))


def test_chat_is_renamed_in_its_place_by_keyboard_and_every_page_shows_it(kept: Process, tabs: Tabs) -> None:
    tab, other = tabs.open(kept), tabs.open(kept)
    titles(tab).filter(has_text="Tides").click()
    titles(tab).filter(has_text="Tides").press("F2")
    field = tab.page.get_by_label("Title of the chat")
    expect(field).to_be_focused()
    field.fill("Something else")
    field.press("Escape")
    listed(tab, *(title for title, *_ in CHATS))
    titles(tab).filter(has_text="Tides").press("F2")
    field.fill("<b>Moon</b> & sea")
    composing = {"key": "Enter", "isComposing": True, "bubbles": True}
    field.evaluate("(e, init) => e.dispatchEvent(new KeyboardEvent('keydown', init))", composing)
    expect(field).to_be_visible()
    field.press("Enter")
    expect(titles(tab).nth(1)).to_be_focused()
    for page in (tab, other):
        expect(titles(page).nth(1)).to_have_text("<b>Moon</b> & sea")
    expect(tab.page).to_have_title("<b>Moon</b> & sea")
    tab.page.reload()
    expect(titles(tab).nth(1)).to_have_text("<b>Moon</b> & sea")
    assert tab.errors == []


def test_arrows_walk_the_list_and_tab_leaves_it_after_one_chat(kept: Process, tabs: Tabs) -> None:
    tab = tabs.open(kept)
    listed(tab, *(title for title, *_ in CHATS))
    titles(tab).first.focus()
    for key, at in (("ArrowDown", 1), ("ArrowDown", 2), ("ArrowUp", 1), ("End", 3), ("ArrowDown", 3), ("Home", 0)):
        tab.page.keyboard.press(key)
        expect(titles(tab).nth(at)).to_be_focused()
    tab.page.keyboard.press("Tab")
    expect(tab.button("Actions for Bread with rye")).to_be_focused()
    tab.page.keyboard.press("Enter")
    expect(tab.page.get_by_role("menuitem", name="Rename")).to_be_focused()
    tab.page.keyboard.press("ArrowUp")
    expect(tab.page.get_by_role("menuitem", name="Delete")).to_be_focused()
    tab.page.keyboard.press("e")
    expect(tab.page.get_by_role("menuitem", name="Export as Markdown")).to_be_focused()
    tab.page.keyboard.press("Escape")
    expect(tab.find("#choices")).to_be_hidden()
    expect(tab.button("Actions for Bread with rye")).to_be_focused()
    tab.page.keyboard.press("Tab")
    expect(tab.button("More")).to_be_focused()


def test_tags_are_written_shown_offered_and_narrow_the_list(kept: Process, tabs: Tabs) -> None:
    tab = tabs.open(kept)
    attack = "<img src=x onerror=window.ran=1>"
    choose(tab, "Tides", "Add tags")
    field = tab.page.get_by_label("Tags, with commas between them")
    expect(field).to_be_focused()
    field.fill(f"sea, #work , {attack}, sea")
    field.press("Enter")
    expect(tab.find("dialog")).to_have_count(0)
    expect(row(tab, "Tides").locator(".tags span")).to_have_text([attack, "sea", "work"])
    choose(tab, "Kites", "Add tags")
    tab.page.get_by_role("dialog").get_by_role("button", name="work").click()
    expect(field).to_have_value("work")
    tab.button("Save").click()
    expect(row(tab, "Kites").locator(".tags")).to_have_text("work")

    chips = tab.page.get_by_role("group", name="Show only chats with the tag")
    chips.get_by_role("button", name="work").click()
    listed(tab, "Tides", "Kites")
    chips.get_by_role("button", name="sea").click()
    listed(tab, "Tides")
    tab.page.reload()
    listed(tab, *(title for title, *_ in CHATS))
    choose(tab, "Tides", "Change tags")
    field.fill("x" * 60)
    field.press("Enter")
    expect(tab.page.get_by_role("alert").filter(has_text="40")).to_be_visible()
    field.fill("")
    field.press("Enter")
    expect(row(tab, "Tides").locator(".tags")).to_be_hidden()
    expect(chips.get_by_role("button")).to_have_text(["work"])
    assert tab.page.evaluate("window.ran") is None
    assert tab.errors == []


def test_deleted_chats_come_back_with_one_undo_and_the_open_one_is_open_again(kept: Process, tabs: Tabs) -> None:
    tab, other = tabs.open(kept), tabs.open(kept)
    titles(tab).filter(has_text="Tides").click()
    tab.reads(CHATS[1][3])
    tab.page.get_by_role("link", name="Tides", exact=True).press("Delete")
    listed(tab, "Bread with rye", "Kites", "Old lighthouse")
    expect(titles(tab).filter(has_text="Kites")).to_be_focused()
    expect(tab.find("#empty")).to_be_visible()
    toast = tab.find("#toast")
    expect(toast).to_contain_text("“Tides” was deleted.")
    tab.page.keyboard.press("Delete")
    expect(toast).to_contain_text("2 chats were deleted.")
    for page in (tab, other):
        listed(page, "Bread with rye", "Old lighthouse")
    tab.page.keyboard.press("Control+z")
    for page in (tab, other):
        listed(page, *(title for title, *_ in CHATS))
    tab.reads(CHATS[1][3])
    expect(toast).to_contain_text("2 chats are back.")
    assert tab.errors == []


def test_offer_to_undo_ends_after_ten_seconds_but_not_under_the_hand(kept: Process, tabs: Tabs) -> None:
    tab = tabs.open(kept)
    listed(tab, *(title for title, *_ in CHATS))
    tab.page.clock.install()
    choose(tab, "Kites", "Delete")
    undo = tab.button("Undo")
    expect(undo).to_be_visible()
    tab.page.clock.run_for(9_000)
    expect(undo).to_be_visible()
    undo.focus()
    tab.page.clock.run_for(60_000)
    expect(undo).to_be_visible()
    tab.button("More").focus()
    tab.page.clock.run_for(11_000)
    expect(undo).to_be_hidden()
    choose(tab, "Tides", "Delete")
    expect(tab.find("#toast")).to_contain_text("“Tides” was deleted.")
    undo.click()
    listed(tab, "Bread with rye", "Tides", "Old lighthouse")


def test_what_is_deleted_meanwhile_does_not_take_the_offer_from_under_the_pointer(kept: Process, tabs: Tabs) -> None:
    tab = tabs.open(kept)
    listed(tab, *(title for title, *_ in CHATS))
    tab.page.clock.install()
    choose(tab, "Kites", "Delete")
    tab.button("Undo").hover()
    row(tab, "Tides").get_by_role("link").press("Delete")
    expect(tab.find("#toast")).to_contain_text("2 chats were deleted.")
    tab.page.clock.run_for(60_000)
    expect(tab.button("Undo")).to_be_visible()
    tab.page.mouse.move(0, 0)
    tab.page.clock.run_for(11_000)
    expect(tab.button("Undo")).to_be_hidden()
    assert tab.errors == []


def test_tags_for_several_chats_are_added_to_those_that_came_meanwhile(kept: Process, tabs: Tabs) -> None:
    tab = tabs.open(kept)
    choose(tab, "Tides", "Select")
    titles(tab).filter(has_text="Kites").click()
    expect(tab.find(".selection p")).to_have_text("2 selected")
    bar = tab.page.get_by_role("group", name="Selected chats")
    bar.get_by_role("button", name="Tag", exact=True).click()
    tab.page.get_by_label("Tags, with commas between them").fill("sky")
    elsewhere = Sockets(kept.url)
    tides = next(chat for chat in elsewhere.call("chats")["chats"] if chat["title"] == "Tides")
    elsewhere.call("tag", {"chat_id": tides["id"], "tags": ["sea"]})
    elsewhere.client.disconnect()
    expect(tab.find("#chats .tags:visible")).to_have_text(["sea"])
    tab.button("Save").click()
    expect(tab.find("#chats .tags:visible")).to_have_count(2)
    expect(row(tab, "Tides").locator(".tags > *")).to_have_text(["sea", "sky"])
    assert tab.errors == []


def test_several_chats_are_tagged_exported_and_deleted_at_once(kept: Process, tabs: Tabs) -> None:
    tab = tabs.open(kept)
    choose(tab, "Tides", "Select")
    expect(tab.find(".selection p")).to_have_text("1 selected")
    titles(tab).filter(has_text="Kites").click()
    expect(tab.find(".selection p")).to_have_text("2 selected")
    bar = tab.page.get_by_role("group", name="Selected chats")
    bar.get_by_role("button", name="Tag", exact=True).click()
    tab.page.get_by_label("Tags, with commas between them").fill("sky")
    tab.button("Save").click()
    expect(tab.find("#chats .tags:visible")).to_have_text(["sky", "sky"])
    with tab.page.expect_download() as downloaded:
        bar.get_by_role("button", name="Export").click()
    assert [chat["title"] for chat in json.loads(downloaded.value.path().read_text())] == ["Tides", "Kites"]
    bar.get_by_role("button", name="All").click()
    expect(tab.find(".selection p")).to_have_text("4 selected")
    tab.page.get_by_label("Select Bread with rye").uncheck()
    bar.get_by_role("button", name="Delete").click()
    listed(tab, "Bread with rye")
    expect(tab.find(".selection p")).to_have_text("0 selected")
    expect(bar.get_by_role("button", name="Delete")).to_be_disabled()
    tab.button("Undo").click()
    expect(titles(tab)).to_have_count(4)
    bar.get_by_role("button", name="Done").click()
    expect(tab.find("#chats input")).to_have_count(0)
    assert tab.errors == []


def test_search_marks_the_place_and_opens_the_chat_there(kept: Process, tabs: Tabs) -> None:
    tab = tabs.open(kept)
    listed(tab, *(title for title, *_ in CHATS))
    tab.page.keyboard.press("Control+k")
    field = tab.page.get_by_role("combobox", name="Search chats")
    expect(field).to_be_focused()
    field.press_sequentially("fifty min")
    options = tab.page.get_by_role("option")
    expect(options).to_have_count(1)
    expect(options.locator("mark")).to_have_text("fifty min")
    expect(tab.find(".count")).to_have_text("One place found")
    expect(tab.find("#chats")).to_be_hidden()
    field.press("Enter")
    tab.reads(CHATS[0][3])
    titles_found = options.locator(".title")

    field.fill("heron")
    expect(titles_found).to_have_text(["Old lighthouse"])
    field.press("Enter")
    expect(tab.answer()).to_contain_text("Paragraph 199.")
    expect(tab.find(".user")).to_be_in_viewport()  # far above the end, where a chat opens otherwise
    field.fill("k")
    expect(titles_found).to_contain_text(["Kites"])
    field.press("ArrowDown")
    expect(options.nth(1)).to_have_attribute("aria-selected", "true")
    field.press("ArrowUp")
    field.press("ArrowUp")
    expect(options.last).to_have_attribute("aria-selected", "true")
    field.fill('"no such AND (thing')
    expect(tab.find(".count")).to_contain_text("Nothing found")
    field.press("Escape")
    expect(field).to_have_value("")
    listed(tab, *(title for title, *_ in CHATS))
    assert tab.errors == []


def test_answer_that_ends_elsewhere_leaves_a_mark_until_its_chat_is_read(
    model: FakeServer, kept: Process, tabs: Tabs
) -> None:
    hold = Gate()
    model.scripts = [["begun", hold, " ended", Finish()]]
    tab = tabs.open(kept)
    tab.say("a slow question")
    tab.reads("begun")
    slow = row(tab, "a slow question")
    expect(slow).to_have_class(re.compile("running"))
    titles(tab).filter(has_text="Kites").click()
    tab.reads(CHATS[2][3])
    expect(slow).to_have_class(re.compile("running"))
    expect(slow).to_contain_text("Is being answered")
    hold.open()
    expect(slow).to_have_class("unread")
    expect(slow).to_contain_text("New answer")
    tab.page.reload()
    expect(slow).to_have_class("unread")
    titles(tab).filter(has_text="a slow question").click()
    expect(slow).to_have_class("")
    tab.reads("begun ended")


def test_chat_leaves_as_json_or_markdown_and_json_comes_back_by_button_and_by_drop(
    kept: Process, tabs: Tabs, tmp_path: Path
) -> None:
    tab = tabs.open(kept)
    with tab.page.expect_download() as markdown:
        choose(tab, "Kites", "Export as Markdown")
    assert "A delta kite." in markdown.value.path().read_text()
    assert markdown.value.suggested_filename.endswith(".md")
    with tab.page.expect_download() as downloaded:
        choose(tab, "Kites", "Export as JSON")
    file = tmp_path / "kites.json"
    downloaded.value.save_as(file)
    with tab.page.expect_download() as everything:
        tab.button("More").click()
        tab.page.get_by_role("menuitem", name="Export all chats").click()
    whole = everything.value.path().read_text()
    assert all(title in whole for title, *_ in CHATS)

    choose(tab, "Kites", "Delete")
    expect(titles(tab)).to_have_count(3)
    with tab.page.expect_file_chooser() as chooser:
        tab.button("More").click()
        tab.page.get_by_role("menuitem", name="Import chats").click()
    chooser.value.set_files(file)
    expect(tab.find("#toast")).to_contain_text("Imported 1 chat with 2 messages.")
    titles(tab).filter(has_text="Kites").click()
    tab.reads("A delta kite.")
    expect(tab.page).to_have_title("Kites")

    drop(tab, "broken.json", "this is no export")
    expect(tab.find("dialog")).to_contain_text("No chat was imported.")
    expect(tab.find("dialog li")).to_contain_text("broken.json")
    tab.page.keyboard.press("Escape")
    drop(tab, "everything.json", whole)
    expect(tab.find("dialog li")).to_have_text("4 chats left out: here already.")
    expect(titles(tab)).to_have_count(4)
    assert [error for error in tab.errors if "400" not in error] == []


def drop(tab: Tab, name: str, text: str) -> None:
    """Drop a file on the sidebar."""
    tab.find("#side").evaluate(
        """(side, [name, text]) => {
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File([text], name, { type: "application/json" }));
            for (const type of ["dragenter", "dragover", "drop"]) {
                side.dispatchEvent(new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true }));
            }
        }""",
        [name, text],
    )


def test_failed_change_is_told_and_taken_back(kept: Process, tabs: Tabs) -> None:
    tab = tabs.open(kept)
    choose(tab, "Kites", "Rename")
    field = tab.page.get_by_label("Title of the chat")
    field.evaluate("e => e.removeAttribute('maxlength')")
    field.fill("x" * 201)
    field.press("Enter")
    expect(tab.find("#toast")).to_contain_text("1 to 200 characters")
    listed(tab, *(title for title, *_ in CHATS))


def test_thousand_chats_are_drawn_quickly_and_do_not_slow_the_typing(
    model: FakeServer, tabs: Tabs, tmp_path: Path
) -> None:
    seed(tmp_path, [(f"Chat number {n}", n / 10, "why?", "because") for n in range(1000)])
    with running(chatbot(model.url, tmp_path)) as process:
        tab = tabs.open(process)
        expect(titles(tab)).to_have_count(1000)
        tab.input.fill("a line\n" * 5)
        typing = """() => {
            const took = [];
            for (let n = 0; n < 30; n++) {
                const start = performance.now();
                document.execCommand("insertText", false, "x");
                document.getElementById("input").getBoundingClientRect();
                took.push(performance.now() - start);
            }
            return took.sort((a, b) => a - b)[15];
        }"""
        key_ms = tab.page.evaluate(typing)
        tab.page.evaluate("document.getElementById('side').remove()")
        key_alone_ms = tab.page.evaluate(typing)
        assert key_ms < key_alone_ms + 4, f"a key took {key_ms:.1f} ms, without the list {key_alone_ms:.1f} ms"
        tab.page.reload()
        expect(titles(tab)).to_have_count(1000)
        opening = """(at) => new Promise((rest) => {
            const start = performance.now();
            document.querySelectorAll("#chats a")[at].click();
            requestAnimationFrame(() => requestAnimationFrame(() => rest(performance.now() - start)));
        })"""
        opened_ms = [tab.page.evaluate(opening, at) for at in (500, 20, 700)]
        tab.reads("because")
        assert min(opened_ms) < 200, f"opening took {opened_ms}"
        titles(tab).nth(999).scroll_into_view_if_needed()
        expect(titles(tab).nth(999)).to_have_text("Chat number 999")
