"""The library on the page: shelves, what is put on them, searches, documents, and answers with their sources."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.chat.axe import violations
from tests.chat.browser import Browser as Sockets
from tests.chat.held import Held
from tests.chat.page import Tabs
from tests.chat.shelves import (
    BREAD,
    EGGS,
    PARTS,
    QUESTION,
    UNKNOWN,
    drop,
    heading,
    make_shelf,
    search,
    titles,
)
from tests.fakes import FakeServer, Finish, Gate
from tests.processes import Process

pytestmark = pytest.mark.browser

CITED = "A soft egg takes four minutes [1]. A hard egg takes 77 minutes [1]. `x[1]` is code [9].\n"


def test_files_are_dropped_found_asked_for_and_every_footnote_opens_its_passage(
    library_model: FakeServer, library_chat: Process, tabs: Tabs
) -> None:
    library_model.scripts = [[CITED[:20], CITED[20:43], CITED[43:], Finish()]]
    tab = tabs.open(library_chat)
    tab.page.get_by_role("link", name="Library", exact=True).click()
    expect(heading(tab, "Library")).to_be_focused()
    make_shelf(tab, "cooking")
    drop(tab.find("#library"), {"eggs.md": EGGS, "bread.md": BREAD})
    expect(titles(tab)).to_have_text(["Bread", "Eggs"])

    search(tab, QUESTION)
    expect(tab.find(".passages .gate")).to_contain_text("too little")
    first = tab.find(".passages li").first
    expect(first.get_by_role("link")).to_have_text("Eggs \u203a Boiling")
    first.get_by_role("link").click()
    mark = tab.find("#library mark")
    expect(mark).to_contain_text(PARTS["Boiling"].strip())
    expect(mark).to_be_in_viewport()
    expect(mark).to_be_focused()
    assert len(mark.inner_text()) < 2000 < len(EGGS) < len(tab.find(".document-text").inner_text()) + 200

    tab.page.get_by_role("link", name="← cooking").click()
    tab.button("Ask this shelf").click()
    expect(tab.input).to_have_value("#cooking ")
    tab.say(f"#cooking {QUESTION}")
    tab.is_at("done")
    sent = library_model.requests[-1]["messages"][-1]["content"]
    assert PARTS["Boiling"].strip() in sent and "#cooking" not in sent
    cites = tab.answer().locator(".cite")
    expect(cites).to_have_count(2)
    expect(tab.answer().locator(".body")).to_contain_text("x[1] is code.")
    expect(cites.nth(0)).to_have_accessible_name(re.compile("^Source 1: Eggs \u203a Boiling, confirmed"))
    expect(cites.nth(1)).to_have_accessible_name(re.compile("not confirmed$"))
    expect(cites.nth(1)).to_have_css("border-style", "dashed")
    cites.nth(1).hover()
    card = tab.find("#cite-card")
    expect(card).to_contain_text("Not confirmed by this passage")
    expect(card.locator("blockquote")).to_contain_text("A soft egg takes four minutes")
    tab.page.keyboard.press("Escape")
    expect(card).to_be_hidden()
    sources = tab.page.get_by_role("region", name="Sources").get_by_role("listitem")
    expect(sources).to_have_count(1)
    assert violations(tab) == []

    cites.nth(0).click()
    expect(mark).to_contain_text(PARTS["Boiling"].strip())
    tab.page.get_by_role("link", name="← Back to the chat").click()
    expect(cites.nth(0)).to_be_focused()
    tab.page.reload()
    expect(cites.nth(1)).to_have_accessible_name(re.compile("not confirmed$"))
    cites.nth(0).click()
    tab.page.go_back()
    expect(cites.nth(0)).to_be_visible()
    assert tab.errors == [] and tab.hosts == {"127.0.0.1"}


def test_question_that_the_shelf_cannot_answer_is_refused_calmly_and_says_what_can_be_done(
    library_model: FakeServer, library_chat: Process, cellar: str, tabs: Tabs
) -> None:
    tab = tabs.open(library_chat)
    tab.say(f"#{cellar} {UNKNOWN}")
    tab.is_at("done")
    assert not any(each.get("stream") for each in library_model.requests)
    expect(tab.answer()).to_have_class(re.compile("refused"))
    expect(tab.answer().locator(".body")).to_contain_text("No answer was found in your documents")
    expect(tab.find(".steps")).to_have_text(f"Looked in {cellar} · nothing fits")
    assert violations(tab) == []
    tab.button("Ask without documents").click()
    expect(tab.input).to_have_value(UNKNOWN)
    tab.page.get_by_role("link", name="Look for it yourself").click()
    expect(tab.page.get_by_label("Try a search")).to_have_value(UNKNOWN)
    expect(tab.find(".trial .facts").first).to_contain_text(re.compile("Too little|Nothing"))
    expect(tab.find(".passages li:not(.too-little, .gate)")).to_have_count(0)
    tab.page.go_back()
    expect(tab.answer().locator(".body")).to_be_visible()
    expect(tab.input).to_have_value(UNKNOWN)
    assert tab.errors == []


def test_question_that_is_asked_without_documents_leaves_the_shelves_of_the_house_too(
    library_model: FakeServer, library_chat: Process, cellar: str, tabs: Tabs
) -> None:
    library_model.scripts = [["The LZ 127 did.", Finish()]]
    page = Sockets(library_chat.url)
    assert page.call("house_options", {"options": {"library": cellar}})["ok"]
    tab = tabs.open(library_chat)
    tab.say(UNKNOWN)
    tab.is_at("done")
    expect(tab.find("#asks")).to_contain_text(f"Answers come from {cellar}")
    tab.button("Ask without documents").click()
    expect(tab.input).to_have_value(UNKNOWN)
    expect(tab.find("#asks")).to_be_hidden()
    tab.input.press("Enter")
    tab.reads("The LZ 127 did.")
    assert page.call("house_options", {"options": {}})["ok"]
    page.client.disconnect()
    assert tab.errors == []


def test_answer_that_is_broken_down_shows_each_question_and_its_numbers_lead_on_while_it_comes(
    library_model: FakeServer, library_chat: Process, cellar: str, tabs: Tabs
) -> None:
    tab = tabs.open(library_chat)
    tab.button("Options").click()
    tab.page.get_by_role("group", name="Library").get_by_label(cellar).check()
    depth = tab.page.get_by_label("Depth", exact=True)
    depth.select_option("break_down")
    assert violations(tab) == []
    tab.page.keyboard.press("Escape")
    expect(tab.find("#asks")).to_contain_text(f"Answers come from {cellar} · Break down")

    split, hold = Gate(), Gate()
    parts = f'{{"questions": ["{QUESTION}", "{UNKNOWN}"]}}'
    library_model.by_words = {
        "Split this question": [split, parts, Finish()],
        "What do you know": ["Four ", "minutes [1", "] it is,", hold, " not more [1].", Finish()],
    }
    tab.say("What do you know of eggs and zeppelins?")
    expect(tab.answer().locator(".stage")).to_have_text(f"Looking in {cellar}")
    split.open()
    cite = tab.answer().locator(".cite")
    expect(cite).to_have_accessible_name(re.compile("^Source 1: Eggs"))
    expect(tab.answer()).to_have_attribute("data-status", "streaming")
    hold.open()
    tab.is_at("done")
    expect(cite).to_have_count(2)
    expect(cite.first).to_have_accessible_name(re.compile("confirmed$"))
    tab.find(".steps summary").click()
    steps = tab.find(".steps li")
    expect(steps).to_have_count(3)
    expect(steps.first).to_contain_text("What do you know of eggs and zeppelins?")
    expect(steps.filter(has_text=QUESTION)).to_contain_text(re.compile("✓.*passage"))
    expect(steps.filter(has_text=UNKNOWN)).to_contain_text(re.compile("\u2013.*no passage near enough"))
    assert violations(tab) == []
    tab.page.reload()
    expect(cite).to_have_count(2)
    expect(tab.find(".steps li")).to_have_count(3)
    assert tab.errors == []


def test_a_document_with_quotes_in_its_title_is_chosen_and_asked(
    library_model: FakeServer, library_chat: Process, tabs: Tabs
) -> None:
    library_model.scripts = [["It says y [1].", Finish()]]
    tab = tabs.open(library_chat, "/library")
    make_shelf(tab, "tools")
    drop(tab.find("#library"), {"yes.md": '# The "yes"  command\n\nIt says y for ever.\n'})
    expect(titles(tab)).to_have_count(1)
    tab = tabs.open(library_chat)
    tab.input.press_sequentially("#command")
    tab.page.get_by_role("option", name='The "yes" command').click()
    expect(tab.input).to_have_value('#"The yes command" ')
    tab.input.press_sequentially("what does it say?")
    tab.page.keyboard.press("Enter")
    tab.is_at("done")
    assert "It says y for ever." in library_model.requests[-1]["messages"][-1]["content"]


def test_a_shelf_with_quotes_in_its_name_is_asked_by_its_button(
    library_model: FakeServer, library_chat: Process, tabs: Tabs
) -> None:
    library_model.scripts = [["In a cool place [1].", Finish()]]
    tab = tabs.open(library_chat, "/library")
    make_shelf(tab, 'my "best" notes')
    drop(tab.find("#library"), {"eggs.md": PARTS["Keeping"]})
    expect(titles(tab)).to_have_count(1)
    tab.button("Ask this shelf").click()
    expect(tab.input).to_have_value('#"my best notes" ')
    tab.input.press_sequentially("how long do eggs keep in a cool place?")
    tab.page.keyboard.press("Enter")
    tab.is_at("done")
    assert PARTS["Keeping"].strip() in library_model.requests[-1]["messages"][-1]["content"]


def test_a_hash_that_is_typed_anew_offers_the_names_again(library_chat: Process, cellar: str, tabs: Tabs) -> None:
    tab = tabs.open(library_chat)
    offered = tab.find("#mentions")
    tab.input.press_sequentially("Eggs #")
    expect(offered.get_by_role("option", name=f"{cellar} Shelf")).to_be_visible()
    tab.input.press("Escape")
    expect(offered).to_be_hidden()
    tab.input.press("Backspace")
    tab.input.press_sequentially("#")
    expect(offered).to_be_visible()
    assert tab.errors == []


def test_everything_can_be_done_by_keys(
    library_model: FakeServer, library_chat: Process, cellar: str, tabs: Tabs
) -> None:
    library_model.scripts = [["Four minutes [1].", Finish()]]
    tab = tabs.open(library_chat)
    keys = tab.page.keyboard
    expect(tab.find("#gauge")).to_be_visible()
    tab.input.press_sequentially("Eggs #cel")
    option = tab.page.get_by_role("option", name=cellar)
    expect(option).to_have_attribute("aria-selected", "true")
    expect(tab.input).to_have_attribute("aria-activedescendant", "mentions-0")
    keys.press("Escape")
    expect(option).to_be_hidden()
    keys.type("l")
    expect(option).to_be_visible()
    keys.press("Enter")
    expect(tab.input).to_have_value(f"Eggs #{cellar} ")
    keys.type(QUESTION)
    keys.press("Enter")
    tab.is_at("done")

    cite = tab.answer().locator(".cite")
    while not cite.evaluate("each => each === document.activeElement"):
        keys.press("Shift+Tab")
    expect(tab.find("#cite-card")).to_contain_text("Confirmed")
    expect(cite).to_have_attribute("aria-describedby", "cite-said")
    keys.press("Enter")
    expect(tab.find("#library mark")).to_be_focused()
    keys.press("Shift+Tab")
    while "Back to the chat" not in tab.page.evaluate("document.activeElement.textContent"):
        keys.press("Shift+Tab")
    keys.press("Enter")
    expect(cite).to_be_focused()

    tab.context.grant_permissions(["clipboard-read", "clipboard-write"])
    tab.answer().get_by_role("button", name="Copy", exact=True).press("Enter")
    expect(tab.answer().get_by_role("button", name="Copied")).to_be_visible()
    copied = tab.page.evaluate("navigator.clipboard.readText()")
    assert re.fullmatch(r"Four minutes \[1\]\.\n\nSources:\n\[1\] Eggs \u203a Boiling \(/.*/eggs\.md\)", copied)

    tab.page.get_by_role("link", name="Library", exact=True).focus()
    keys.press("Enter")
    expect(heading(tab, "Library")).to_be_focused()
    while tab.page.evaluate("document.activeElement.textContent") != cellar:
        keys.press("Tab")
    keys.press("Enter")
    expect(heading(tab, cellar)).to_be_focused()
    expect(titles(tab)).to_have_count(3)
    while tab.page.evaluate("document.activeElement.textContent") != "Eggs":
        keys.press("Tab")
    keys.press("Delete")
    expect(titles(tab)).to_have_count(2)
    expect(titles(tab).nth(1)).to_be_focused()
    keys.press("Control+z")
    expect(titles(tab)).to_have_count(3)
    assert tab.errors == []


NASTY = "<img src=x onerror=window.ran=1>"


def test_what_documents_say_and_are_called_is_text_and_never_code(
    library_model: FakeServer, library_chat: Process, tabs: Tabs
) -> None:
    words = "The zebra wears pyjamas at noon. "
    text = (
        f"# {NASTY}\n\n{words[:-2]} <script>window.ran=2</script> [x](javascript:window.ran=3) {NASTY}. {words * 3}\n"
    )
    library_model.scripts = [[f"The zebra wears pyjamas at noon [1] {NASTY}.", Finish()]]
    tab = tabs.open(library_chat, "/library")
    make_shelf(tab, NASTY[:60])
    drop(tab.find("#library"), {"javascript:window.ran=4;.md": text})
    expect(titles(tab)).to_have_text([NASTY])
    drop(tab.find("#library"), {"scan.pdf": "%PDF-1.4 and no more"})
    expect(tab.find(".sent [data-state=failed]")).to_contain_text(re.compile("scan.pdf.*PDF", re.DOTALL))
    assert [error for error in tab.errors if "415" not in error] == []
    tab.errors.clear()  # the browser's own line about the file that was refused
    search(tab, words)
    tab.find(".passages a").first.click()
    expect(tab.find("#library mark")).to_contain_text("<script>window.ran=2</script>")
    tab.page.goto("/")
    tab.input.press_sequentially("#<im")
    tab.page.get_by_role("option", name=NASTY[:60]).first.click()
    tab.page.keyboard.type(words)
    tab.page.keyboard.press("Enter")
    tab.is_at("done")
    tab.answer().locator(".cite").hover()
    expect(tab.find("#cite-card")).to_contain_text("window.ran=2")
    assert tab.find("main img[src=x], main script, [onerror], a[href^='javascript']").count() == 0
    assert tab.page.evaluate("window.ran ?? null") is None
    assert tab.errors == [] and tab.hosts == {"127.0.0.1"}


def test_library_fits_a_phone_and_a_first_touch_of_a_footnote_shows_its_card(
    library_model: FakeServer, library_chat: Process, cellar: str, tabs: Tabs
) -> None:
    library_model.scripts = [["Four minutes [1].", Finish()]]
    small: dict[str, object] = {"viewport": {"width": 360, "height": 700}, "has_touch": True, "is_mobile": True}
    tab = tabs.open(library_chat, "/library", color_scheme="dark", **small)
    shelf = tab.find(".shelves").get_by_role("link", name=cellar, exact=True)
    expect(shelf).to_be_visible()
    assert violations(tab) == [] and tab.sideways_px() == 0
    shelf.tap()
    expect(titles(tab)).to_have_count(3)
    search(tab, QUESTION)
    assert violations(tab) == [] and tab.sideways_px() == 0
    tab.find(".passages a").first.tap()
    expect(tab.find("#library mark")).to_be_in_viewport()
    assert violations(tab) == [] and tab.sideways_px() == 0
    path = tab.find("#library .facts .uri")
    expect(path).to_contain_text("kitchen/eggs.md")
    assert path.evaluate("(path) => path.getBoundingClientRect().right") <= 360
    tab.page.goto("/")
    tab.input.fill(f"#{cellar} {QUESTION}")
    tab.button("Send").tap()
    tab.is_at("done")
    tab.answer().locator(".cite").tap()
    card = tab.find("#cite-card")
    expect(card).to_contain_text("four minutes")
    assert violations(tab) == [] and tab.sideways_px() == 0
    card.get_by_role("link", name="Open the passage").tap()
    expect(tab.find("#library mark")).to_be_in_viewport()
    assert tab.errors == []


def test_a_name_that_is_chosen_in_the_middle_of_a_text_is_not_offered_again(
    library_chat: Process, cellar: str, tabs: Tabs
) -> None:
    tab = tabs.open(library_chat)
    tab.page.clock.install()
    held = Held(tab)
    tab.input.fill("ask  please")
    tab.input.evaluate("(input) => input.setSelectionRange(4, 4)")
    tab.input.press_sequentially("#cella")
    expect(tab.find("#mentions").get_by_role("option", name=f"{cellar} Shelf")).to_be_visible()
    held.hold("mentions")
    tab.input.press("Enter")
    expect(tab.input).to_have_value(f"ask #{cellar} please")
    tab.page.clock.run_for(1000)
    assert held.n_asked == 0
    tab.input.press("Enter")
    expect(tab.find(".user")).to_have_text(f"ask #{cellar} please")
    assert tab.errors == []
