"""The headings of an answer: models begin at any level and skip some; who listens hears one deeper at a time."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.chat.axe import violations
from tests.chat.page import Tab, Tabs
from tests.fakes import FakeServer, Finish, Gate
from tests.processes import Process

pytestmark = pytest.mark.browser

LEVELS = """each => each.map((heading) => [heading.textContent, heading.tagName, Number(heading.ariaLevel)])"""


def levels(tab: Tab) -> list[list[object]]:
    """Words, tag and level of an answer's headings, from its first to its last."""
    found: list[list[object]] = tab.answer().locator(":is(h1, h2, h3, h4, h5, h6)").evaluate_all(LEVELS)
    return found


def test_headings_skip_no_level_wherever_an_answer_begins_and_keep_theirs_while_it_grows(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    hold, more = Gate(), Gate()
    pieces = ["### Hay\n\nA lot.\n\n##", "### Oats", hold, " and barley\n\nLess.\n\n"]
    pieces += ["###### Weights\n\n> ## Quoted\n\n# All", more, " in all\n\n1. #### Listed\n\nLast"]
    model.scripts = [[*pieces, Finish()], ["# One\n\n### Three", Finish()]]
    tab = tabs.open(chat)
    tab.say("go")
    expect(tab.answer().locator("h5")).to_have_text("Oats")
    begun = [["Hay", "H3", 2], ["Oats", "H5", 3]]
    assert levels(tab) == begun
    assert violations(tab) == []
    hold.open()
    expect(tab.answer().locator("h1")).to_have_text("All")
    grown = [["Hay", "H3", 2], ["Oats and barley", "H5", 3], ["Weights", "H6", 4], ["Quoted", "H2", 2]]
    assert levels(tab) == [*grown, ["All", "H1", 2]]
    more.open()
    tab.is_at("done")
    whole = [*grown, ["All in all", "H1", 2], ["Listed", "H4", 3]]
    assert levels(tab) == whole
    tab.page.reload()
    expect(tab.answer().locator("h4")).to_have_text("Listed")
    assert levels(tab) == whole
    tab.say("and another")
    expect(tab.find(".answer[data-status=done]")).to_have_count(2)
    assert levels(tab) == [["One", "H1", 2], ["Three", "H3", 3]]
    assert violations(tab) == []
    assert tab.errors == []


def heard(tab: Tab) -> list[tuple[str, int]]:
    """The headings as the browser hands them to a screen reader."""
    tree = tab.context.new_cdp_session(tab.page).send("Accessibility.getFullAXTree")["nodes"]
    found = [each for each in tree if each.get("role", {}).get("value") == "heading"]
    levels = [{known["name"]: known["value"]["value"] for known in each["properties"]}["level"] for each in found]
    return [(each["name"]["value"], int(level)) for each, level in zip(found, levels, strict=True)]


def test_a_heading_looks_as_the_model_meant_it_and_is_heard_where_it_stands(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    model.scripts = [["### Small\n\n# Large\n\nWords", Finish()]]
    tab = tabs.open(chat)
    tab.say("go")
    tab.is_at("done")
    sizes = tab.answer().get_by_role("heading").evaluate_all("each => each.map((h) => getComputedStyle(h).fontSize)")
    assert sizes == ["17.6px", "20.8px"]
    assert heard(tab)[-2:] == [("Small", 2), ("Large", 2)]
