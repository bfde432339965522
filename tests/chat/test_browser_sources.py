"""Where documents come from, as the page asks it: repositories, addresses; names; and which chats ask a shelf."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.chat.axe import violations
from tests.chat.browser import Browser as Sockets
from tests.chat.page import Tabs
from tests.chat.shelves import (
    BREAD,
    QUESTION,
    READ_MS,
    UNKNOWN,
    add_folder,
    drop,
    filled_shelf,
    folder,
    heading,
    make_shelf,
    search,
    titles,
)
from tests.fakes import FakeServer, Finish, Refuse
from tests.processes import Process, chatbot, running

pytestmark = pytest.mark.browser

NO_EMBEDDINGS = re.compile(r"The server at \S+ has no model that makes embeddings")


def git(place: Path, *said: str) -> None:
    who = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.org")
    subprocess.run(["git", "-C", str(place), *who, *said], check=True, capture_output=True)


def test_repository_is_read_at_a_branch_and_only_what_is_asked_for(
    library_model: FakeServer, library_chat: Process, tabs: Tabs, tmp_path: Path
) -> None:
    git(tmp_path, "init", "-q", "-b", "main")
    (tmp_path / "bread.md").write_text("# Bread of yesterday\n\nIt is stale.\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "bread")
    git(tmp_path, "checkout", "-qb", "fresh")
    (tmp_path / "bread.md").write_text(BREAD)
    (tmp_path / "oven.txt").write_text("The oven is hot.\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "oven")
    git(tmp_path, "checkout", "-q", "main")

    tab = tabs.open(library_chat, "/library")
    make_shelf(tab, "bakery")
    tab.button("Add a git repository").click()
    box = tab.page.get_by_role("dialog", name="Add a git repository")
    assert violations(tab) == []
    box.get_by_label("Repository").fill(str(tmp_path))
    box.get_by_label("Branch or tag").fill("fresh")
    box.get_by_label("Only files like").fill("*.md, docs/*")
    box.get_by_role("button", name="Add it").click()
    source = tab.find(".sources-of li")
    expect(source).to_have_attribute("data-state", "ok", timeout=READ_MS)
    expect(source.locator(".facts").first).to_have_text(
        re.compile(r"^1 document · read .* · only \*\.md, docs/\* · at fresh$")
    )
    expect(titles(tab)).to_have_text(["Bread"])
    search(tab, "How much water does the flour need?")
    expect(tab.find(".passages p").first).to_contain_text("330 g of water")
    assert tab.errors == []


def test_address_that_must_not_be_read_says_so_and_a_crawl_asks_how_far(
    library_model: FakeServer, library_chat: Process, tabs: Tabs
) -> None:
    tab = tabs.open(library_chat, "/library")
    make_shelf(tab, "sites")
    tab.button("Add a web address").click()
    box = tab.page.get_by_role("dialog", name="Add a web address")
    expect(box.get_by_label("How many links deep")).to_be_hidden()
    expect(box.get_by_label("At most so many pages")).to_be_hidden()
    box.get_by_label("All pages that its sitemap lists").check()
    expect(box.get_by_label("How many links deep")).to_be_hidden()
    box.get_by_label("The whole site, from link to link").check()
    assert violations(tab) == []
    box.get_by_label("Address").fill(f"{library_chat.url}/secret")
    box.get_by_label("How many links deep").fill("2")
    box.get_by_label("At most so many pages").fill("7")
    box.get_by_role("button", name="Add it").click()
    source = tab.find(".sources-of li")
    expect(source.locator(".facts").first).to_contain_text("2 links deep · at most 7 pages", timeout=READ_MS)
    expect(source.locator(".failed, .failures").first).to_be_visible(timeout=READ_MS)
    tab.button(f"Actions for {library_chat.url}/secret").click()
    tab.page.get_by_role("menuitem", name="Remove with its documents").click()
    expect(source).to_have_count(0)
    assert tab.errors == []


def test_shelf_is_renamed_with_a_way_back_and_a_name_that_is_taken_is_refused(
    library_model: FakeServer, library_chat: Process, tabs: Tabs
) -> None:
    tab = tabs.open(library_chat, "/library")
    make_shelf(tab, "pantry")
    tab.page.goto(f"{library_chat.url}/library")
    make_shelf(tab, "shed")
    tab.button("Actions for this shelf").click()
    tab.page.get_by_role("menuitem", name="Rename").click()
    box = tab.page.get_by_role("dialog", name="Rename the shelf")
    box.get_by_label("Name", exact=True).fill("Pantry")
    box.get_by_role("button", name="Rename").click()
    expect(box).to_contain_text(re.compile("there is .* shelf", re.IGNORECASE))
    box.get_by_label("Name", exact=True).fill("garage")
    box.get_by_role("button", name="Rename").click()
    expect(heading(tab, "garage")).to_be_visible()
    tab.find("#toast").get_by_role("button", name="Undo").click()
    expect(heading(tab, "shed")).to_be_visible()
    assert tab.errors == []


def test_chat_asks_no_shelf_where_the_house_has_one_for_all(
    library_model: FakeServer, library_chat: Process, tabs: Tabs, tmp_path: Path
) -> None:
    tab = filled_shelf(tabs, library_chat, "hens", tmp_path / "hens")
    chief = Sockets(library_chat.url)
    chief.call("house_options", {"options": {"library": "hens"}})
    try:
        tab.page.goto(library_chat.url)
        expect(tab.find("#asks")).to_contain_text("Answers come from hens")
        tab.button("Options").click()
        group = tab.page.get_by_role("group", name="Library")
        expect(group.get_by_label("hens")).to_be_checked()
        group.get_by_label("hens").uncheck()
        expect(group.get_by_label("hens")).not_to_be_checked()
        tab.page.keyboard.press("Escape")
        expect(tab.find("#asks")).to_be_hidden()
        library_model.scripts = [["Four minutes, I believe.", Finish()]]
        tab.say(QUESTION)
        tab.is_at("done")
        assert library_model.requests[-1]["messages"][-1]["content"] == QUESTION
        expect(tab.find(".steps")).to_have_count(0)
        tab.page.reload()
        tab.button("Options, 1 custom").click()
        expect(group.get_by_label("hens")).not_to_be_checked()
        tab.button("Reset Library").click()
        expect(group.get_by_label("hens")).to_be_checked()
        expect(tab.find("#asks")).to_contain_text("Answers come from hens")
    finally:
        chief.call("house_options", {"options": {}})
        chief.client.disconnect()
    assert tab.errors == []


@pytest.mark.parametrize("own", [False, True])
def test_ask_without_documents_asks_none_where_the_house_has_a_shelf_for_all(
    library_model: FakeServer, library_chat: Process, tabs: Tabs, tmp_path: Path, own: bool
) -> None:
    name = f"attic{own:d}"
    tab = filled_shelf(tabs, library_chat, name, tmp_path / name)
    chief = Sockets(library_chat.url)
    chief.call("house_options", {"options": {"library": name}})
    try:
        tab.page.goto(library_chat.url)
        if own:  # the same shelf, chosen for this chat
            tab.say(f"/set library {name}")
            expect(tab.find("#options")).to_have_text("Options · 1")
        tab.say(UNKNOWN)
        expect(tab.answer()).to_have_class(re.compile("refused"))
        expect(tab.find("#asks")).to_contain_text(f"Answers come from {name}")
        tab.button("Ask without documents").click()
        expect(tab.input).to_have_value(UNKNOWN)
        expect(tab.find("#asks")).to_be_hidden()
        library_model.scripts = [["The Graf Zeppelin, I believe.", Finish()]]
        tab.input.press("Enter")
        tab.reads("The Graf Zeppelin, I believe.")
        assert library_model.requests[-1]["messages"][-1]["content"] == UNKNOWN
    finally:
        chief.call("house_options", {"options": {}})
        chief.client.disconnect()
    assert tab.errors == []


def test_library_without_embeddings_says_what_to_do_and_finds_by_words(
    library_model: FakeServer, library_chat: Process, tabs: Tabs, tmp_path: Path
) -> None:
    tab = filled_shelf(tabs, library_chat, "words", tmp_path / "words")
    library_model.embed_refusal = Refuse(500, "broken")
    search(tab, QUESTION)
    expect(tab.find(".trial .facts").first).to_contain_text("found by words alone")
    expect(tab.find(".passages li").first).to_contain_text("Boiling")
    with FakeServer() as plain, running(chatbot(plain.url, tmp_path / "plain")) as other:
        plain.models = [{"id": "fake-model", "object": "model", "meta": {"kind": "chat"}}]
        bare = tabs.open(other, "/library")
        make_shelf(bare, "bare")
        expect(bare.find("#library")).to_contain_text(NO_EMBEDDINGS)
        add_folder(bare, folder(tmp_path / "bare"))
        search(bare, QUESTION)
        expect(bare.find(".passages li").first).to_contain_text("Boiling")
        assert violations(bare) == []


def test_what_is_being_written_stays_when_a_question_or_the_name_of_a_shelf_comes_into_the_box(
    library_model: FakeServer, library_chat: Process, tabs: Tabs
) -> None:
    tab = tabs.open(library_chat, "/library")
    make_shelf(tab, "larder")
    drop(tab.find("#library"), {"bread.md": BREAD})
    expect(titles(tab)).to_have_count(1)
    tab.button("Ask this shelf").click()
    expect(tab.input).to_have_value("#larder ")
    tab.say(f"#larder {UNKNOWN}")
    tab.is_at("done")
    tab.input.fill("half a message")
    tab.button("Ask without documents").click()
    expect(tab.input).to_have_value(f"{UNKNOWN}\n\nhalf a message")
    expect(tab.input).to_be_focused()
    tab.input.fill("half a message")
    for _ in range(2):  # the name is written once
        tab.page.get_by_role("link", name="Library", exact=True).click()
        tab.find(".shelves").get_by_role("link", name="larder", exact=True).click()
        tab.button("Ask this shelf").click()
        expect(tab.input).to_have_value("#larder half a message")
    tab.page.reload()
    expect(tab.input).to_have_value("#larder half a message")
    assert tab.errors == []
