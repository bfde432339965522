"""Each control of the page changes what the model server is asked; a new one without effect fails here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, expect

from chatbot.core.events import Status
from chatbot.core.options import CONTROLS, Control
from chatbot.core.store import NewMessage, Store
from rag.embed import HttpEmbedder
from rag.extract import read
from rag.library import Library
from tests.chat.page import Tab, Tabs
from tests.fakes import FakeServer, Finish
from tests.processes import Process, chatbot, running

pytestmark = pytest.mark.browser

# What is typed or chosen where any value of the control's kind would not do.
TYPED = {"extra": '{"mirostat_mode": 2}', "context_rule": "window", "model": "other-model", "thinking": "low"}
N_TURNS = 6  # more than a window holds


@pytest.fixture
def long_chat(model: FakeServer, tmp_path: Path) -> Iterator[Process]:
    """A server that holds a chat of some turns, before a model that reasons and another one."""
    store = Store(tmp_path / "chat.db")
    said: list[NewMessage] = []
    for n in range(2 * N_TURNS):
        role, parent = ("assistant", "user")[n % 2 == 0], f"m{n - 1}" if n else None
        said.append(NewMessage(f"m{n}", parent, role, f"text {n}", float(n), "", {}, Status.DONE))
    store.add_chat("a long chat", 0.0, 1.0, said, {})
    store.close()
    meta = {"n_ctx": 4096, "state": "ok", "capabilities": ["chat", "reasoning"]}
    model.capabilities = ["chat", "reasoning"]
    model.models = [{"id": name, "object": "model", "meta": meta} for name in ("fake-model", "other-model")]
    model.scripts = [["fine", Finish()]]
    with running(chatbot(model.url, tmp_path)) as process:
        yield process
    model.models = None


def ask_again(tab: Tab, model: FakeServer) -> dict[str, Any]:
    """Have the last message answered once more; what was sent."""
    n_asked = len(model.requests)
    tab.button("Answer again").last.click()
    expect(tab.answer().locator(".place")).to_have_text(f"{n_asked + 2}/{n_asked + 2}")
    tab.is_at("done")
    assert len(model.requests) == n_asked + 1
    return model.requests[-1]


def choose(box: Locator, control: Control) -> None:
    """Move a control away from what is in force."""
    field = box.get_by_label(control.label, exact=True)
    value = TYPED.get(control.name, "END")
    if control.kind == "number":
        value = str(control.high if control.name not in {"max_tokens", "top_k"} else 7)
    if field.evaluate("e => e.tagName") == "SELECT":
        field.select_option(value)
    else:
        field.fill(value)
        field.press("Tab")
    expect(box.locator(f".control.{control.name} .custom")).to_be_visible()


def test_each_control_of_the_page_changes_the_request_and_can_be_taken_back(
    model: FakeServer, long_chat: Process, tabs: Tabs
) -> None:
    tab = tabs.open(long_chat)
    tab.find("#chats a").click()
    expect(tab.find(".message")).to_have_count(2 * N_TURNS)
    usual = ask_again(tab, model)
    for control in (each for each in CONTROLS if each.name not in {"library", "depth"}):
        tab.find("#options").click()
        box = tab.page.get_by_role("dialog", name="Options of this chat")
        choose(box, control)
        tab.page.keyboard.press("Escape")
        assert ask_again(tab, model) != usual, f"{control.label} changes nothing"
        tab.find("#options").click()
        box.get_by_role("button", name=f"Reset {control.label}", exact=True).click()
        tab.page.keyboard.press("Escape")
        expect(tab.find("#options")).to_have_text("Options")
    assert ask_again(tab, model) == usual
    assert tab.errors == []


def test_a_shelf_and_how_deeply_it_is_searched_change_the_request(
    model: FakeServer, long_chat: Process, tabs: Tabs, tmp_path: Path
) -> None:
    library = Library(tmp_path / "library.db", HttpEmbedder(model.url), read=read)
    shelf = library.index.add_shelf("owner", "notes")
    library.add_file("owner", shelf.id, "ten.txt", b"The text 10 is about ten llamas and their wool.")
    library.close()
    tab = tabs.open(long_chat)
    tab.find("#chats a").click()
    assert "ten llamas" not in str(ask_again(tab, model))
    tab.find("#options").click()
    box = tab.page.get_by_role("dialog", name="Options of this chat")
    box.get_by_role("group", name="Library").get_by_label("notes").check()
    tab.page.keyboard.press("Escape")
    assert "ten llamas" in str(ask_again(tab, model))
    n_asked = len(model.requests)
    tab.find("#options").click()
    box.get_by_label("Depth", exact=True).select_option("break_down")
    expect(box.locator(".control.depth .custom")).to_be_visible()
    tab.page.keyboard.press("Escape")
    tab.button("Answer again").last.click()
    expect(tab.answer().locator(".place")).to_have_text("4/4")
    tab.is_at("done")
    assert len(model.requests) > n_asked + 1  # smaller questions first
    for label in ("Depth", "Library"):
        tab.find("#options").click()
        box.get_by_role("button", name=f"Reset {label}", exact=True).click()
        tab.page.keyboard.press("Escape")
    expect(tab.find("#options")).to_have_text("Options")
