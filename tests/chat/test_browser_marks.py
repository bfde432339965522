"""Footnotes on the page: those that the server checked and no others, each with what was found for its own sentence."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.chat.page import Tab, Tabs
from tests.chat.shelves import QUESTION, filled_shelf
from tests.fakes import FakeServer, Finish
from tests.mark_cases import CASES, Case
from tests.processes import Process

pytestmark = pytest.mark.browser

MOON = "The moon is made of cheese and butter [1]."


@pytest.fixture(scope="module")
def asked(library_chat: Process, browser: object, tmp_path_factory: pytest.TempPathFactory) -> object:
    """A page of a chat that asks the shelf."""
    tabs = Tabs(browser)  # type: ignore[arg-type]
    filled_shelf(tabs, library_chat, "kitchen", tmp_path_factory.mktemp("documents") / "kitchen")
    tab = tabs.open(library_chat)
    yield tab
    tabs.close()


def ask(tab: Tab, model: FakeServer, answer: str) -> None:
    """Ask anew, with this answer."""
    model.scripts = [[*(answer[at : at + 7] for at in range(0, len(answer), 7)), Finish()]]
    tab.say("/new")
    expect(tab.find(".message")).to_have_count(0)
    tab.say(f"#kitchen {QUESTION}")
    tab.is_at("done")


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_page_draws_the_marks_that_the_server_knows_and_each_has_its_own_state(
    library_model: FakeServer, asked: Tab, case: Case
) -> None:
    ask(asked, library_model, f"{MOON}\n\n{case.answer}\n\n# So\n\nA soft egg takes four minutes [1]. {MOON}")
    cites = asked.answer().locator(".cite")
    expect(cites).to_have_count(case.n_marks + 3)
    expect(cites.first).to_have_attribute("data-state", "no")
    expect(cites.nth(-2)).to_have_attribute("data-state", "yes")
    expect(cites.last).to_have_attribute("data-state", "no")
    assert all("/library/" in each.get_attribute("href") for each in cites.all())
    assert asked.answer().locator("a", has_text=re.compile(r"^\W*\d\W*$")).count() == case.n_marks + 3
    if case.code:
        assert asked.answer().locator("code").inner_text().rstrip("\n") == case.code
    assert "\ue000" not in asked.answer().inner_html()
    assert asked.errors == []
