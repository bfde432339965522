"""The reader decides what is in sight: an answer that flows is followed at its end and pulls nobody back."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import expect

from tests.chat.page import Tab, Tabs
from tests.fakes import FakeServer, Finish, Gate, Step
from tests.processes import Process

pytestmark = pytest.mark.browser

N_LINES = 60
BELOW = """() => {
    const { scrollHeight, scrollTop, clientHeight } = document.getElementById("scroller");
    return scrollHeight - scrollTop - clientHeight;
}"""


def wheel(tab: Tab) -> None:
    tab.find("#scroller").hover()
    tab.page.mouse.wheel(0, -120)


def swipe(tab: Tab) -> None:
    """A finger that goes down, which brings up what was before."""
    devtools = tab.context.new_cdp_session(tab.page)
    for kind, y in (("touchStart", 200), *(("touchMove", y) for y in range(210, 420, 20)), ("touchEnd", 0)):
        points = [{"x": 700, "y": y}] if y else []
        devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})


def key(name: str) -> Callable[[Tab], None]:
    def press(tab: Tab) -> None:
        tab.find("#scroller").focus()
        tab.page.keyboard.press(name)

    return press


def drag(tab: Tab) -> None:
    """What a hand on the scroll bar does."""
    tab.find("#scroller").evaluate("scroller => { scroller.scrollTop -= 150; }")


WAYS = {"wheel": wheel, "bar": drag, "touch": swipe, "PageUp": key("PageUp"), "ArrowUp": key("ArrowUp")}


@contextlib.contextmanager
def flowing(model: FakeServer, tab: Tab) -> Iterator[threading.Event]:
    """An answer that grows by a line every 20 ms until the event is set, and is long already."""
    gates = [Gate() for _ in range(1000)]
    script: list[Step] = ["".join(f"Line {n} of the beginning.\n\n" for n in range(N_LINES))]
    for number, gate in enumerate(gates):
        script += [gate, f"More {number}.\n\n"]
    model.scripts = [[*script, Finish()]]
    enough = threading.Event()

    def pour() -> None:
        for gate in gates:
            if enough.wait(0.02):
                break
            gate.open()
        for gate in gates:
            gate.open()

    tab.input.fill("write much")
    tab.button("Send").click()
    expect(tab.answer()).to_contain_text(f"Line {N_LINES - 1} of the beginning.")
    pouring = threading.Thread(target=pour)
    pouring.start()
    try:
        yield enough
    finally:
        enough.set()
        pouring.join()


def test_reader_who_goes_up_while_the_answer_flows_is_left_in_peace_to_its_end(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    tab = tabs.open(chat, has_touch=True)
    newest = tab.button("↓ Newest")
    with flowing(model, tab) as enough:
        for way, go_up in WAYS.items():
            grows(tab)
            tab.page.wait_for_function(f"() => ({BELOW})() <= 32")
            go_up(tab)
            expect(newest, way).to_be_visible()
            place = resting_place(tab)
            grows(tab)
            assert resting_place(tab) == place, way
            if way != list(WAYS)[-1]:
                newest.click()
        enough.set()
        tab.is_at("done")
    assert resting_place(tab) == place
    newest.click()
    tab.page.wait_for_function(f"() => ({BELOW})() <= 1")


def grows(tab: Tab) -> None:
    """Wait until the answer is three lines longer."""
    n_lines = tab.answer().locator(".body p").count()
    tab.page.wait_for_function("n => document.querySelectorAll('.answer .body p').length >= n + 3", arg=n_lines)


def test_end_is_taken_hold_of_again_within_32_pixels_and_not_further_away(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    gates = [Gate(), Gate()]
    lines = ["".join(f"{name} {n}.\n\n" for n in range(40)) for name in ("Early", "Middle", "Late")]
    model.scripts = [[lines[0], gates[0], lines[1], gates[1], lines[2], Finish()]]
    tab = tabs.open(chat)
    tab.say("go")
    expect(tab.answer()).to_contain_text("Early 39.")
    for below in (400, 60):
        move_to(tab, below)
    expect(tab.button("↓ Newest")).to_be_visible()
    place = resting_place(tab)
    gates[0].open()
    expect(tab.answer()).to_contain_text("Middle 39.")
    assert resting_place(tab) == place

    move_to(tab, 20)
    expect(tab.button("↓ Newest")).to_be_hidden()
    gates[1].open()
    tab.is_at("done")
    tab.page.wait_for_function(f"() => ({BELOW})() <= 1")


def move_to(tab: Tab, below: int) -> None:
    """Scroll to so many pixels above the end."""
    tab.page.evaluate(
        """(below) => {
            const scroller = document.getElementById("scroller");
            scroller.scrollTop = scroller.scrollHeight - scroller.clientHeight - below;
        }""",
        below,
    )
    resting_place(tab)


def resting_place(tab: Tab) -> float:
    """How far the conversation is scrolled, once it has stood still for ten frames."""
    return float(
        tab.page.evaluate(
            """() => new Promise((rest) => {
                const scroller = document.getElementById("scroller");
                let last = scroller.scrollTop, still = 0;
                const look = () => {
                    still = scroller.scrollTop === last ? still + 1 : 0;
                    last = scroller.scrollTop;
                    still >= 10 ? rest(last) : requestAnimationFrame(look);
                };
                look();
            })"""
        )
    )
