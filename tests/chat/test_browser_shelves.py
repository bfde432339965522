"""Shelves on the page: what is taken off comes back, runs stop, long documents are read on, others read along."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Route, expect

from tests.chat.axe import violations
from tests.chat.browser import Browser as Sockets
from tests.chat.held import Answers
from tests.chat.household import PASSWORD, guest, logged_in
from tests.chat.page import Tabs
from tests.chat.shelves import (
    BREAD,
    EGGS,
    PARTS,
    QUESTION,
    add_folder,
    drop,
    filled_shelf,
    folder,
    heading,
    make_shelf,
    search,
    titles,
)
from tests.fakes import FakeServer, Finish, Gate
from tests.processes import Process, chatbot, running, until

pytestmark = pytest.mark.browser

READ_ON = """([end, line]) => {
    const view = document.getElementById("library");
    view.scrollTop = view[end];
    return view.textContent.includes(line);
}"""


def test_documents_sources_and_shelves_are_deleted_with_a_way_back(
    library_chat: Process, tabs: Tabs, tmp_path: Path
) -> None:
    tab = filled_shelf(tabs, library_chat, "attic", tmp_path / "attic")
    everything = ["Bread", "Eggs", "pea soup.txt"]
    expect(titles(tab)).to_have_text(everything)
    expect(tab.find(".sources-of .facts").first).to_contain_text("3 documents")
    tab.button("1 item could not be read").click()
    box = tab.page.get_by_role("dialog", name="What could not be read")
    expect(box.get_by_role("listitem")).to_contain_text(re.compile("scan.pdf.*PDF", re.DOTALL))
    assert violations(tab) == []
    tab.page.keyboard.press("Escape")

    tab.button("Delete Bread").click()
    tab.button("Delete pea soup.txt").click()
    expect(titles(tab)).to_have_text(["Eggs"])
    expect(tab.find("#toast")).to_contain_text("2 documents were taken off the shelf.")
    tab.button("Undo").click()
    expect(titles(tab)).to_have_text(everything)
    tab.page.get_by_label("Find a document").fill("soup")
    expect(titles(tab)).to_have_text(["pea soup.txt"])
    tab.page.get_by_label("Find a document").fill("")

    tab.button(f"Actions for {tmp_path / 'attic'}").click()
    tab.page.get_by_role("menuitem", name="Remove with its documents").click()
    expect(tab.find(".sources-of li")).to_have_count(0)
    expect(titles(tab).filter(visible=True)).to_have_count(0)
    tab.button("Undo").click()
    expect(titles(tab)).to_have_text(everything)

    tab.button("Actions for this shelf").click()
    tab.page.get_by_role("menuitem", name="Delete").click()
    expect(heading(tab, "Library")).to_be_visible()
    shelf = tab.find(".shelves").get_by_role("link", name="attic", exact=True)
    expect(shelf).to_have_count(0)
    tab.page.keyboard.press("Control+z")
    expect(shelf).to_be_visible()
    shelf.click()
    expect(titles(tab)).to_have_text(everything)
    assert tab.errors == []


def test_bounds_of_a_crawl_are_those_that_the_server_takes_and_none_is_left_blank(
    library_chat: Process, tabs: Tabs
) -> None:
    tab = tabs.open(library_chat, "/library")
    make_shelf(tab, "bounded")
    tab.button("Add a web address").click()
    box = tab.page.get_by_role("dialog", name="Add a web address")
    box.get_by_label("Address").fill("http://127.0.0.1:9/docs/")
    depth, pages = box.get_by_label("How many links deep"), box.get_by_label("At most so many pages")
    box.get_by_label("The whole site, from link to link").check()
    for field, typed in ((depth, ""), (depth, "11"), (pages, ""), (pages, "10001")):
        before = field.input_value()
        field.fill(typed)
        box.get_by_role("button", name="Add it").click()
        expect(box.locator("input:invalid")).to_have_count(1)
        expect(field).to_be_focused()
        field.fill(before)
    depth.fill("")
    box.get_by_label("All pages that its sitemap lists").check()
    pages.fill("")
    box.get_by_label("This page alone").check()
    expect(box.locator("input:invalid")).to_have_count(0)
    expect(tab.find(".sources-of li")).to_have_count(0)
    box.get_by_label("The whole site, from link to link").check()
    depth.fill("10")
    pages.fill("10000")
    box.get_by_role("button", name="Add it").click()
    expect(box).to_be_hidden()
    expect(tab.find(".sources-of li")).to_have_count(1)
    assert tab.errors == []


def test_run_is_stopped_goes_on_and_tells_how_far_it_is(
    library_model: FakeServer, library_chat: Process, tabs: Tabs, tmp_path: Path
) -> None:
    tab = tabs.open(library_chat, "/library")
    make_shelf(tab, "slow")
    library_model.embed_gate = gate = Gate()
    tab.button("Add a folder of this machine").click()
    tab.page.get_by_label("Path on the machine of the chat server").fill(str(folder(tmp_path / "slow")))
    tab.button("Add it").click()
    source = tab.find(".sources-of li")
    expect(source.get_by_role("progressbar")).to_be_visible()
    assert violations(tab) == []
    gate.wait_until_reached()
    source.get_by_role("button", name=re.compile("^Stop")).click()
    expect(source).to_have_attribute("data-state", "stopped")
    gate.open()
    source.get_by_role("button", name=re.compile("^Go on")).click()
    expect(source).to_have_attribute("data-state", "ok")
    expect(titles(tab)).to_have_text(["Bread", "Eggs", "pea soup.txt"])
    assert tab.errors == []


def test_long_document_is_read_on_upwards_and_downwards_from_its_passage(
    library_chat: Process, tabs: Tabs, tmp_path: Path
) -> None:
    tab = tabs.open(library_chat, "/library")
    make_shelf(tab, "long")
    lines = [f"Line {n}: a \U0001f434 walks on." for n in range(3400)]
    lines[1700] = "Here the giraffe swallows a trombone."
    add_folder(tab, folder(tmp_path / "long", **{"walk.txt": "\n".join(lines)}))
    search(tab, "giraffe swallows trombone")
    tab.find(".passages a").first.click()
    mark, shown = tab.find("#library mark"), tab.find(".document-text")
    expect(mark).to_contain_text(lines[1700])
    expect(mark).to_be_in_viewport()
    expect(shown).not_to_contain_text(lines[-1])
    tab.page.wait_for_function(READ_ON, arg=["scrollHeight", lines[-1]])
    tab.page.wait_for_function(READ_ON, arg=["clientTop", lines[0]])
    assert shown.inner_text().split("\n") == lines
    assert tab.errors == []


def test_footnote_opens_its_passage_after_the_document_changed_or_says_that_it_is_gone(
    library_model: FakeServer, library_chat: Process, tabs: Tabs, tmp_path: Path
) -> None:
    library_model.scripts = [["A soft egg takes four minutes [1].", Finish()]]
    tab = filled_shelf(tabs, library_chat, "changing", tmp_path / "changing")
    eggs = tmp_path / "changing/eggs.md"
    tab.button("Ask this shelf").click()
    tab.say(f"#changing {QUESTION}")
    tab.is_at("done")
    tab.answer().locator(".cite").first.click()
    expect(tab.find("#library mark")).to_contain_text(PARTS["Boiling"].strip())
    marked = tab.find("#library mark").inner_text()
    tab.page.go_back()

    def opened_after(change: str, title: str) -> Locator:
        """What the footnote opens, once the shelf has the document as it is written now."""
        eggs.write_text(change.replace("# Eggs", f"# {title}", 1), encoding="utf-8")
        tab.page.get_by_role("link", name="Library", exact=True).click()
        tab.find(".shelves").get_by_role("link", name="changing", exact=True).click()
        tab.button(f"Refresh: {eggs.parent}").click()
        expect(titles(tab).filter(has_text=title)).to_have_count(1)
        tab.page.go_back()
        tab.page.go_back()
        tab.answer().locator(".cite").first.click()
        return tab.find("#library")

    shown = opened_after(EGGS, "Eggs, and a goose \U0001fabf on the nest")
    expect(shown.locator("mark")).to_have_text(marked)
    expect(shown.get_by_role("alert")).to_be_hidden()
    tab.page.go_back()
    shown = opened_after(EGGS.replace("nine minutes", "nineteen minutes"), "Eggs as they are now")
    expect(shown.get_by_role("alert")).to_contain_text("The document is another one by now")
    expect(shown.locator("mark")).to_have_count(0)
    assert tab.errors == []


def test_shared_shelf_is_read_by_others_who_are_offered_no_change_and_login_leads_back_to_it(
    library_model: FakeServer, tabs: Tabs, tmp_path: Path
) -> None:
    flags = ("--accounts", "always")
    with running(chatbot(library_model.url, tmp_path / "chat", *flags, CHATBOT_ADMIN_PASSWORD=PASSWORD)) as house:
        cookie = logged_in(house, "admin")
        bea = guest(Sockets(house.url, Cookie=cookie), house, "Bea")
        owner, other = tabs.open(house, "/library", cookie), tabs.open(house, "/library", bea)
        make_shelf(owner, "common")
        drop(owner.find("#library"), {"bread.md": BREAD})
        expect(titles(owner)).to_have_text(["Bread"])
        expect(other.page.get_by_role("heading", name="No shelves yet")).to_be_visible()
        owner.button("Actions for this shelf").click()
        owner.page.get_by_role("menuitem", name="Share with everybody here").click()

        other.page.get_by_role("link", name="common", exact=True).click()
        expect(other.find("#library .facts").first).to_contain_text("shared by admin")
        expect(titles(other)).to_have_text(["Bread"])
        for name in ("Choose files", "Delete Bread", "Actions for this shelf"):
            expect(other.button(name)).to_be_hidden()
        titles(other).click()
        expect(heading(other, "Bread")).to_be_visible()
        address = other.page.url
        other.context.clear_cookies()
        other.page.goto(address)
        other.page.get_by_label("Name", exact=True).fill("Bea")
        other.page.get_by_label("Password", exact=True).fill(PASSWORD)
        other.button("Log in").click()
        expect(heading(other, "Bread")).to_be_visible()
        assert other.page.url == address

        owner.button("Undo").click()
        expect(owner.find("#library .facts").first).to_contain_text("private")
        other.page.goto("/library")
        expect(other.page.get_by_role("heading", name="No shelves yet")).to_be_visible()


def test_who_reads_far_down_in_a_long_list_stays_there(library_chat: Process, tabs: Tabs, tmp_path: Path) -> None:
    notes = {f"note {n:03}.md": f"# Note {n:03}\n\nWords of note {n}.\n" for n in range(204)}
    tab = tabs.open(library_chat, "/library")
    make_shelf(tab, "notes")
    add_folder(tab, folder(tmp_path / "notes", **notes))
    expect(titles(tab)).to_have_count(200)
    tab.button("Show more").click()
    expect(titles(tab)).to_have_count(207)
    expect(tab.button("Show more")).to_be_hidden()
    tab.button("Delete Note 202").click()
    expect(titles(tab)).to_have_count(206)
    page = Sockets(library_chat.url)
    shelf_id = int(tab.page.url.rsplit("/", 1)[-1])
    assert page.call("shelf_change", {"shelf_id": shelf_id, "name": "old notes"})["ok"]
    page.client.disconnect()
    expect(heading(tab, "old notes")).to_be_visible()
    expect(titles(tab)).to_have_count(206)
    expect(titles(tab).filter(has_text="Note 203")).to_be_focused()
    expect(titles(tab).filter(has_text="Note 203")).to_be_in_viewport()
    tab.button("Undo").click()
    expect(titles(tab)).to_have_count(207)
    tab.page.get_by_label("Find a document").fill("eggs")
    expect(titles(tab)).to_have_text(["Eggs"])
    assert tab.errors == []


def test_files_on_their_way_to_a_shelf_and_what_was_wrong_with_one_are_known_from_anywhere(
    library_chat: Process, tabs: Tabs
) -> None:
    tab = tabs.open(library_chat, "/library")
    make_shelf(tab, "sent")
    held: list[Route] = []
    tab.page.route("**/library/*/files", lambda route: held.append(route))
    drop(tab.find("#library"), {"eggs.md": EGGS, "bread.md": BREAD})
    until(lambda: tab.page.title() and held, "the first file")  # Playwright works within its calls
    tab.page.get_by_role("link", name="← Library").click()
    expect(heading(tab, "Library")).to_be_visible()
    error = {"message": "the file eggs.md is damaged", "code": "bad_file"}
    held[0].fulfill(status=400, json={"ok": False, "error": error})
    expect(tab.find("#toast")).to_contain_text("The file eggs.md is damaged.")
    until(lambda: tab.page.title() and len(held) == 2, "the second file")
    tab.find(".shelves").get_by_role("link", name="sent", exact=True).click()
    rows = tab.find(".sent li")
    expect(rows).to_contain_text(["The file eggs.md is damaged.", "being read…"])
    held[1].continue_()
    expect(titles(tab)).to_have_text(["Bread"])
    expect(rows).to_contain_text(["The file eggs.md is damaged."])
    tab.button("Put away: eggs.md").click()
    expect(rows).to_have_count(0)


def test_a_search_is_offered_when_it_is_known_what_there_is(library_chat: Process, tabs: Tabs) -> None:
    tab = tabs.open(library_chat, "/library")
    make_shelf(tab, "known")
    drop(tab.find("#library"), {"bread.md": BREAD})
    expect(titles(tab)).to_have_count(1)
    tab.page.goto("/")
    answers = Answers(tab, "library")
    tab.page.get_by_role("link", name="Library", exact=True).click()
    answers.came()
    expect(heading(tab, "Library")).to_be_visible()
    expect(tab.page.get_by_label("Try a search")).to_be_hidden()
    answers.let_go()
    expect(tab.page.get_by_label("Try a search")).to_be_visible()
    assert tab.errors == []
