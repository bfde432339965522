"""For everybody: who listens, who has only keys or fingers, who is on plain http, who has no JavaScript."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.chat.axe import violations
from tests.chat.page import Tab, Tabs
from tests.fakes import Cut, FakeServer, Finish, Gate, Reason, Refuse
from tests.processes import Process, chatbot, running

pytestmark = pytest.mark.browser

LISTEN = """region => {
    window.spoken = [];
    new MutationObserver(() => region.textContent && spoken.push(region.textContent))
        .observe(region, { childList: true, characterData: true, subtree: true });
}"""


def test_screen_reader_hears_that_an_answer_comes_and_then_all_of_it_once(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    hold = Gate()
    pieces = [f"word{n} " for n in range(30)]
    model.scripts = [["first", Finish()], [*pieces[:15], hold, *pieces[15:], Finish()]]
    tab = tabs.open(chat)
    tab.say("begin")
    tab.is_at("done")
    log = tab.page.get_by_role("log", name="Conversation")
    expect(log).to_have_attribute("aria-live", "off")  # else each token would be read out
    live = tab.find("#live")
    expect(live).to_have_attribute("aria-live", "polite")
    expect(live).to_have_text("first")
    live.evaluate(LISTEN)
    tab.say("say many words")
    expect(tab.answer()).to_contain_text("word14")
    expect(tab.answer()).to_have_attribute("aria-busy", "true")
    expect(log.locator(tab.answer().locator("xpath=."))).to_have_count(1)
    hold.open()
    tab.is_at("done")
    expect(tab.answer()).to_have_attribute("aria-busy", "false")
    whole = "".join(pieces)
    tab.page.wait_for_function("whole => spoken.at(-1) === whole", arg=whole)
    assert tab.page.evaluate("spoken") == ["Answering…", whole]


def test_first_answer_of_a_new_chat_is_heard_however_quick_it_is(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    for script, heard in (
        (["quick", Finish()], "quick"),
        ([Refuse(400, "bad", "this is refused")], "this is refused"),
    ):
        model.scripts = [script]
        tab = tabs.open(chat)
        tab.say("first of a new chat")
        tab.page.wait_for_function("text => document.getElementById('live').textContent.includes(text)", arg=heard)


def test_copy_and_send_work_on_plain_http_of_the_home_network(model: FakeServer, tabs: Tabs, tmp_path: Path) -> None:
    text = "first line\n\n```python\nprint('é')\n```\n"
    model.scripts = [[text, Finish()]]
    with running(chatbot(model.url, tmp_path, "--allowed_hosts", "paddock.test")) as chat:
        tab = tabs.open(chat, f"http://paddock.test:{chat.port}/")
        assert tab.page.evaluate("[isSecureContext, navigator.clipboard ?? null]") == [False, None]
        tab.say("something to copy")
        tab.is_at("done")
        copies = {"Copy the answer": text, "Copy the code": "print('é')\n"}
        buttons = (tab.answer().locator(".foot button", has_text="Cop"), tab.answer().locator(".copy"))
        for button, copied in zip(buttons, copies.values(), strict=True):
            button.click()
            expect(button).to_have_text("Copied")
            tab.input.fill("")
            tab.input.press("Control+v")
            expect(tab.input).to_have_value(copied)
        # The browser itself says of such pages that it heeds one of the headers on https alone.
        assert [error for error in tab.errors if "Cross-Origin-Opener-Policy" not in error] == []


def test_enter_makes_a_line_under_fingers_and_the_button_sends(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    model.scripts = [["ok", Finish()]]
    tab = tabs.open(chat, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    tab.input.tap()
    tab.page.keyboard.type("one")
    tab.page.keyboard.press("Enter")
    tab.page.keyboard.type("two")
    expect(tab.input).to_have_value("one\ntwo")
    expect(tab.find(".user")).to_have_count(0)
    tab.button("Send").tap()
    expect(tab.find(".user")).to_have_text("one\ntwo")
    tab.is_at("done")


def test_nothing_moves_for_who_wants_no_motion(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    moving = "() => document.getAnimations().filter((each) => each.effect.getComputedTiming().duration > 1).length"
    for motion, moves in (("no-preference", True), ("reduce", False)):
        gates = [Gate(), Gate()]
        model.scripts = [[gates[0], Reason("thinking"), gates[1], "Hello", Finish()]]
        tab = tabs.open(chat, reduced_motion=motion, viewport={"width": 390, "height": 844})
        tab.page.evaluate(
            f"""() => {{
                window.most = 0;
                const look = () => {{ most = Math.max(most, ({moving})()); requestAnimationFrame(look); }};
                look();
            }}"""
        )
        tab.say("go")
        gates[0].wait_until_reached()
        tab.is_at("reading")
        gates[0].open()
        expect(tab.answer().locator(".reasoning")).to_be_visible()
        gates[1].open()
        tab.is_at("done")
        tab.button("Chats").click()
        expect(tab.find("#chats")).to_be_visible()
        tab.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        assert (tab.page.evaluate("most") > 0) is moves, motion


def test_page_without_javascript_says_what_it_needs_and_what_works_without(chat: Process, tabs: Tabs) -> None:
    tab = tabs.open(chat, java_script_enabled=False)
    said = tab.find("noscript p")
    expect(said).to_be_visible()
    expect(said).to_contain_text("This page needs JavaScript. The terminal chat works without")
    expect(tabs.open(chat).find("noscript p")).to_have_count(0)


STATES: dict[str, Any] = {
    "thinking": [Reason("first I think"), Gate()],
    "stopped": ["half an answer", Gate()],
    "broken off": ["half an answer", Cut()],
    "cut at its length": ["as long as it may be", Finish("length")],
}


@pytest.mark.parametrize(("scheme", "width"), [("light", 320), ("dark", 1280)])
def test_axe_finds_nothing_however_an_answer_stands(
    model: FakeServer, chat: Process, tabs: Tabs, scheme: str, width: int
) -> None:
    window = {"width": width, "height": 640}
    tab = tabs.open(chat, color_scheme=scheme, reduced_motion="reduce", viewport=window)
    for state, script in STATES.items():
        model.scripts = [script]
        tab.page.goto("/")
        tab.input.fill(state)
        tab.button("Send").click()
        stand_at(tab, state)
        clean(tab, state)
    model.scripts = [["better", Finish()]]
    tab.button("Answer again").click()
    expect(tab.find(".answer .place")).to_have_text("2/2")
    tab.is_at("done")
    clean(tab, "versions")
    tab.find(".said").get_by_role("button", name="Edit").click()
    clean(tab, "editor")
    tab.page.get_by_label("Your message").press("Escape")
    tab.find("#picker").set_input_files([{"name": "notes.md", "mimeType": "text/markdown", "buffer": b"# Notes"}])
    expect(tab.find(".chip .size")).to_contain_text("tokens")
    clean(tab, "a file")
    tab.input.press_sequentially("/")
    expect(tab.find("#commands [role=option]").first).to_be_visible()
    clean(tab, "commands")
    tab.input.fill("/stats")
    tab.input.press("Enter")
    expect(tab.find("#note")).to_be_visible()
    clean(tab, "a note")
    tab.context.set_offline(True)
    expect(tab.strip).to_be_visible()
    clean(tab, "without a network")
    assert tab.sideways_px() <= 0


def stand_at(tab: Tab, state: str) -> None:
    """Bring the answer to a state and wait until it is drawn."""
    if state == "thinking":
        expect(tab.answer().locator(".reasoning summary")).to_be_visible()
        tab.answer().locator(".reasoning summary").click()
    elif state == "stopped":
        tab.reads("half an answer")
        tab.button("Stop").click()
        tab.is_at("stopped")
    else:
        expect(tab.answer().get_by_role("button", name="Continue")).to_be_visible()


def clean(tab: Tab, state: str) -> None:
    assert violations(tab) == [], state
