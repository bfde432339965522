"""Shelves of one name that several people share, on the page: whose each is, and one of them asked alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.chat.browser import Browser as Sockets
from tests.chat.grounded import EGGS
from tests.chat.household import PASSWORD, guest, logged_in
from tests.chat.page import Tabs
from tests.chat.readers import put_on_shelf
from tests.chat.test_browser_options import panel
from tests.fakes import FakeServer, Finish
from tests.processes import chatbot, running

pytestmark = pytest.mark.browser

GEESE = "# Geese\n\nBoil the eggs of geese for an hour.\n"


def test_owners_are_told_where_shelves_have_one_name_and_one_of_them_is_asked_alone(
    library_model: FakeServer, tabs: Tabs, tmp_path: Path
) -> None:
    library_model.scripts = [["An hour [1].", Finish()]]
    flags = ("--accounts", "always", "--library_min_score", "0.1")
    with running(chatbot(library_model.url, tmp_path, *flags, CHATBOT_ADMIN_PASSWORD=PASSWORD)) as house:
        admin = logged_in(house, "admin")
        shelves: dict[str, tuple[Sockets, int]] = {}
        for who, text in (("Ben", EGGS), ("Cleo", GEESE)):
            cookie = guest(Sockets(house.url, Cookie=admin), house, who)
            page = Sockets(house.url, Cookie=cookie)
            for name in ("recipes", f"of {who}"):
                shelf = page.call("shelf_add", {"name": name, "is_shared": True})["shelf"]["id"]
                shelves[f"{name}@{who}"] = (page, shelf)
                put_on_shelf(house, cookie, "eggs.md", shelf, text)
        tab = tabs.open(house, "/", admin)
        tab.input.press_sequentially("#rec")
        rows = tab.find("#mentions li .name")
        expect(rows).to_have_text(["recipes@Ben", "recipes@Cleo"])
        rows.nth(1).click()
        expect(tab.input).to_have_value("#recipes@Cleo ")
        tab.say("#recipes@Cleo how long do I boil eggs?")
        tab.is_at("done")
        assert "an hour" in str(library_model.requests[-1]) and "nine minutes" not in str(library_model.requests[-1])

        tab.input.fill("")
        choice = panel(tab).locator(".shelf-choice")
        expect(choice.locator(".name")).to_have_text(["of Ben", "of Cleo", "recipes@Ben", "recipes@Cleo"])
        choice.get_by_label("recipes@Ben").check()
        expect(choice.get_by_label("recipes@Cleo")).not_to_be_checked()
        expect(tab.find("#asks")).to_contain_text("recipes@Ben")

        bens, shelf_id = shelves["recipes@Ben"]
        bens.call("shelf_change", {"shelf_id": shelf_id, "name": "kitchen"})
        tab.page.keyboard.press("Escape")
        tab.say("How long do I boil eggs?")
        tab.is_at("done", 1)
        assert "nine minutes" in str(library_model.requests[-1])
        tab.page.reload()
        choice = panel(tab).locator(".shelf-choice")
        expect(choice.locator(".name")).to_have_text(["kitchen", "of Ben", "of Cleo", "recipes"])
        expect(choice.get_by_label("kitchen")).to_be_checked()
        assert tab.errors == []
