"""What stands below an answer from documents: footnotes with their style, or that there are none."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.chat.page import Tabs
from tests.chat.shelves import QUESTION
from tests.fakes import FakeServer, Finish
from tests.processes import Process

pytestmark = pytest.mark.browser


def test_an_answer_that_names_no_passage_says_so(
    library_model: FakeServer, library_chat: Process, cellar: str, tabs: Tabs
) -> None:
    library_model.scripts = [["Four minutes.", Finish()], ["Four minutes [1].", Finish()]]
    tab = tabs.open(library_chat)
    told = tab.page.get_by_text("The answer names none of the passages it was given.")
    tab.say(f"#{cellar} {QUESTION}")
    tab.is_at("done")
    expect(told).to_have_count(1)
    tab.say(f"#{cellar} {QUESTION}")
    expect(tab.find(".cite")).to_have_count(1)
    tab.is_at("done")
    tab.page.reload()
    expect(tab.find(".cite")).to_have_count(1)
    expect(told).to_have_count(1)
    assert tab.errors == []


def test_the_style_of_footnotes_that_did_not_come_is_fetched_with_the_next_answer(
    library_model: FakeServer, library_chat: Process, cellar: str, tabs: Tabs
) -> None:
    library_model.scripts = [["Four minutes [1].", Finish()], ["Four [1].", Finish()]]
    tab = tabs.open(library_chat, service_workers="block")
    tab.page.route("**/grounds.css*", lambda route: route.abort())
    tab.say(f"#{cellar} {QUESTION}")
    tab.is_at("done")
    cite = tab.find(".cite").first
    expect(cite).to_be_visible()
    expect(cite).not_to_have_css("font-weight", "600")
    tab.page.unroute("**/grounds.css*")
    tab.say(f"#{cellar} {QUESTION}")
    expect(cite).to_have_css("font-weight", "600")
    tab.is_at("done")
    expect(tab.find("link[href*='grounds.css']")).to_have_count(1)
