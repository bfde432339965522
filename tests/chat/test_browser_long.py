"""A chat of four hundred messages: its end is there first, all of it in a moment, and nothing moves what is read."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from chatbot.core.events import Status
from chatbot.core.store import NewMessage, Store
from tests.chat.page import Tab, Tabs
from tests.fakes import FakeServer, Finish, Gate
from tests.processes import Process, chatbot, running

pytestmark = pytest.mark.browser

N_MESSAGES = 400
ALL_MS = 60_000  # on a machine that has other things to do
AT_END = """() => {
    const s = document.getElementById("scroller");
    return s.scrollHeight > 20 * s.clientHeight && s.scrollHeight - s.scrollTop - s.clientHeight <= 1;
}"""
IN_SIGHT = """(element) => {
    const { top, bottom } = element.getBoundingClientRect();
    const frame = document.getElementById("scroller").getBoundingClientRect();
    return top < frame.bottom && bottom > frame.top;
}"""
# How far each of some steps up moved what stood in the middle, beside the step itself.
STEPS_UP = """async (n) => {
    const scroller = document.getElementById("scroller");
    const frame = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    const jumps = [];
    for (let step = 0; step < n; step += 1) {
        const seen = document.elementFromPoint(600, 300);
        const before = seen.getBoundingClientRect().top;
        scroller.scrollTop -= 200;
        await frame();
        jumps.push(Math.round(seen.getBoundingClientRect().top - before - 200));
    }
    return jumps;
}"""


@pytest.fixture(scope="module")
def long(_shared_model: FakeServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A chat server that keeps one long chat, its answers of different heights."""
    folder, now = tmp_path_factory.mktemp("long"), time.time()
    write(folder, now)
    with running(chatbot(_shared_model.url, folder)) as process:
        yield process


def write(folder: Path, now: float) -> None:
    """400 messages, each naming its place."""
    store = Store(folder / "chat.db")
    made = []
    for n in range(N_MESSAGES):
        role, text = (
            ("user", f"question-{n}") if n % 2 == 0 else ("assistant", f"answer-{n}\n\n" + "Some words.\n\n" * (n % 23))
        )
        made.append(NewMessage(f"m{n}", f"m{n - 1}" if n else None, role, text, now, "", {}, Status.DONE))
    store.add_chat("A long chat", now, now, made, {})
    store.close()


def all_drawn(tab: Tab) -> None:
    expect(tab.find(".message")).to_have_count(N_MESSAGES, timeout=ALL_MS)


def test_long_chat_opens_at_its_end_with_every_message_in_its_order(
    model: FakeServer, long: Process, tabs: Tabs
) -> None:
    tab = tabs.open(long)
    tab.page.get_by_role("link", name="A long chat").click()
    expect(tab.answer()).to_contain_text("answer-399")
    all_drawn(tab)
    tab.page.wait_for_function(AT_END)
    names = tab.page.evaluate(
        "() => [...document.querySelectorAll('.message')].map((e) => e.textContent.match(/[a-z]+-\\d+/)[0])"
    )
    assert names == [f"{'answer' if n % 2 else 'question'}-{n}" for n in range(N_MESSAGES)]
    assert tab.answer().evaluate(IN_SIGHT)
    assert tab.errors == []


def test_what_is_read_stays_in_its_place_while_what_stands_above_is_laid_out(
    model: FakeServer, long: Process, tabs: Tabs
) -> None:
    tab = tabs.open(long)
    tab.page.get_by_role("link", name="A long chat").click()
    all_drawn(tab)
    tab.page.wait_for_function(AT_END)
    assert max(map(abs, tab.page.evaluate(STEPS_UP, 25))) <= 2


def test_search_leads_to_an_early_message_of_a_long_chat(model: FakeServer, long: Process, tabs: Tabs) -> None:
    tab = tabs.open(long)
    tab.page.get_by_role("combobox", name="Search chats").fill("answer-21")
    tab.page.get_by_role("option").filter(has_text="answer-21").first.click()
    found = tab.find(".message.answer").filter(has_text="answer-21").first
    expect(found).to_be_visible()
    all_drawn(tab)
    expect(tab.find(".message").nth(21)).to_be_in_viewport()


def test_other_chat_is_opened_while_the_long_one_is_still_being_drawn(
    model: FakeServer, long: Process, tabs: Tabs
) -> None:
    hold = Gate()
    model.scripts = [["short", hold, Finish()]]
    tab = tabs.open(long)
    tab.say("another chat")
    tab.reads("short")
    tab.page.get_by_role("link", name="A long chat").click()
    expect(tab.answer()).to_contain_text("answer-399")
    tab.page.get_by_role("link", name="another chat").click()
    expect(tab.find(".message")).to_have_count(2)
    hold.open()
    tab.is_at("done")
    expect(tab.find(".message")).to_have_count(2)
    assert tab.errors == []
