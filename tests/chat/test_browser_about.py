"""The panel under the model's name, and the page before a base model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.chat.page import Tab, Tabs
from tests.fakes import FakeServer, Finish, Gate
from tests.processes import Process, chatbot, running

pytestmark = pytest.mark.browser

SUMMARY = (
    "20 of 31 layers run on the card, the rest on the processor. "
    "A conversation may be 8,192 tokens long, about 6,100 words; up to 8 people are answered at once."
)
BASE = "This is a base model: it continues your text instead of answering."
PLAN: dict[str, Any] = {"models": [{"name": "fake-model", "summary": SUMMARY, "file_bytes": 4_683_074_240}]}
LINES = [SUMMARY, "It can chat, call tools and think before it answers.", "Its file takes 4.7 GB."]
ABILITIES = ["chat", "completion", "tools", "reasoning"]


def open_panel(tab: Tab) -> None:
    tab.button("fake-model").click()
    expect(tab.find("#about")).to_be_visible()


def test_models_name_opens_a_panel_that_says_where_it_runs_and_every_way_closes_it(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    model.plan, model.capabilities = PLAN, ABILITIES
    tab = tabs.open(chat)
    name, panel = tab.button("fake-model"), tab.find("#about")
    closers = {
        "name": lambda: name.click(),
        "Escape": lambda: tab.page.keyboard.press("Escape"),
        "outside": lambda: tab.find("#messages").dispatch_event("pointerdown", {"bubbles": True}),
        "composer": lambda: tab.input.click(),
        "Tab": lambda: tab.page.keyboard.press("Tab"),
    }
    for way, close in closers.items():
        expect(name).to_have_attribute("aria-expanded", "false")
        name.focus()
        name.press("Enter")
        expect(name).to_have_attribute("aria-expanded", "true")
        expect(panel.get_by_role("heading")).to_have_text("fake-model")
        expect(panel.locator("p")).to_have_text(LINES)
        panel.locator("p").first.click()
        expect(panel).to_be_visible()
        if way in {"Escape", "Tab"}:
            name.focus()
        close()
        expect(panel).to_be_hidden()
        if way == "Escape":
            expect(name).to_be_focused()
    assert tab.errors == []


def test_panel_closes_by_escape_before_an_answer_is_stopped(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    hold = Gate()
    model.scripts = [["held", hold, Finish()]]
    tab = tabs.open(chat)
    tab.say("go")
    tab.reads("held")
    open_panel(tab)
    tab.page.keyboard.press("Escape")
    expect(tab.find("#about")).to_be_hidden()
    tab.is_at("streaming")
    tab.page.keyboard.press("Escape")
    tab.is_at("stopped")
    hold.open()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_panel_fits_a_small_window_and_moves_nothing(model: FakeServer, chat: Process, tabs: Tabs, scheme: str) -> None:
    model.plan = {"models": [{**PLAN["models"][0], "summary": f"{SUMMARY} {'Donaudampfschifffahrt' * 9}"}]}
    tab = tabs.open(chat, viewport={"width": 320, "height": 640}, color_scheme=scheme)
    expect(tab.button("fake-model")).to_be_visible()
    places = """() => ["header", "#model", "#scroller", "#composer"].map(
        (each) => document.querySelector(each).getBoundingClientRect().toJSON()
    )"""
    before = tab.page.evaluate(places)
    open_panel(tab)
    expect(tab.find("#about")).to_contain_text("4.7 GB")
    assert tab.page.evaluate(places) == before
    box = tab.find("#about").bounding_box()
    assert box and box["x"] >= 0 and box["x"] + box["width"] <= 320 and box["y"] + box["height"] <= 640
    assert tab.sideways_px() <= 0
    assert tab.find("#about").evaluate("e => e.scrollWidth <= e.clientWidth")
    assert tab.button("fake-model").evaluate("e => e.getBoundingClientRect().height") >= 44
    assert contrast(tab) >= 4.5


def contrast(tab: Tab) -> float:
    """Of the panel's text with its paper, as WCAG counts."""
    return float(
        tab.find("#about").evaluate(
            """e => {
                const light = (colour) => {
                    const parts = colour.match(/[\\d.]+/g).slice(0, 3).map((v) => v / 255);
                    const [r, g, b] = parts.map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
                    return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
                };
                const { color, backgroundColor } = getComputedStyle(e);
                const [a, b] = [light(color), light(backgroundColor)];
                return Math.max(a, b) / Math.min(a, b);
            }"""
        )
    )


def test_server_without_a_plan_tells_what_is_known(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    tab = tabs.open(chat)
    open_panel(tab)
    expect(tab.find("#about p")).to_have_text(["A conversation may be 4,096 tokens long."])


def test_panel_tells_of_the_model_that_the_chat_has_chosen(tabs: Tabs, tmp_path: Path) -> None:
    with FakeServer(["hello", Finish()]) as server, running(chatbot(server.url, tmp_path)) as chat:
        server.models = [{"id": "fake-model", "meta": {"n_ctx": 4_096}}, {"id": "other", "meta": {"n_ctx": 8_192}}]
        server.plan = {"models": [*PLAN["models"], {"name": "other", "summary": "It runs elsewhere."}]}
        tab = tabs.open(chat)
        tab.button("Options").click()
        tab.page.get_by_label("Model", exact=True).select_option("other")
        tab.page.keyboard.press("Escape")
        tab.button("other").click()
        expect(tab.find("#about h2")).to_have_text("other")
        expect(tab.find("#about p")).to_have_text(["It runs elsewhere."])


def test_slow_plan_keeps_nobody_from_chatting(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    model.plan, model.plan_gate, model.capabilities = PLAN, Gate(), ABILITIES
    model.scripts = [["quick", Finish()]]
    tab = tabs.open(chat)
    open_panel(tab)
    expect(tab.find("#about p")).to_have_text(["Asking the model server…"])
    tab.say("hello")
    tab.reads("quick")
    model.plan_gate.open()
    open_panel(tab)
    expect(tab.find("#about p")).to_have_text(LINES)


def test_words_of_a_model_server_are_shown_as_text(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    attack = "<img src=x onerror=window.ran=1> <b>bold</b>"
    model.plan = {"models": [{"name": "fake-model", "summary": attack}]}
    tab = tabs.open(chat)
    open_panel(tab)
    expect(tab.find("#about p").first).to_have_text(attack)
    assert tab.find("#about img, #about b").count() == 0
    assert tab.page.evaluate("window.ran") is None
    assert tab.errors == []


def test_base_model_is_announced_and_continues_the_text(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    model.capabilities = ["completion"]
    hold = Gate()
    model.scripts = [[" upon a time.", Finish()], [" there", hold, " was", Finish()]]
    tab = tabs.open(chat)
    expect(tab.find("#base")).to_have_text(BASE)
    expect(tab.input).to_have_attribute("placeholder", "Text to continue…")
    tab.say("Once")
    tab.is_at("done")
    tab.reads("upon a time.")
    tab.say("Then")
    tab.reads("there")
    tab.page.reload()
    tab.reads("there")
    hold.open()
    tab.is_at("done")
    tab.reads("there was")
    assert [sent["prompt"] for sent in model.requests] == ["Once", "Once upon a time.\nThen"]
    open_panel(tab)
    expect(tab.find("#about")).to_contain_text("It is a base model")
    assert tab.errors == []

    model.capabilities = ["chat", "completion"]
    expect(tab.input).to_have_attribute("placeholder", "Write a message")
    tab.page.get_by_role("link", name="New chat").click()
    expect(tab.find("#base")).to_be_hidden()
    expect(tab.find("#welcome")).to_be_visible()
