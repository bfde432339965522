"""What a person sees before the first word: the place in the queue, how far the model has read, a refusal."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.chat.page import Tab, Tabs, stored
from tests.fakes import FakeServer, Finish, Gate, Refuse, Step, prompt_progress, queue_position
from tests.processes import Process, chatbot, running

pytestmark = pytest.mark.browser

BUSY = Refuse(429, "queue_full", "the model is busy with 8 other requests; try again in 12 seconds", 12)


def tells(tab: Tab, words: str, percent: int | None = None) -> None:
    """Wait until these words, and a bar at this percentage or none, stand in the place of the answer."""
    expect(tab.answer().locator(".stage")).to_have_text(words)
    bar = tab.answer().locator(".bar")
    if percent is None:
        expect(bar).to_be_hidden()
    else:
        expect(bar).to_be_visible()
        expect(bar).to_have_js_property("value", percent)


def tells_nothing(tab: Tab) -> None:
    expect(tab.answer().locator(".stage, .bar").filter(visible=True)).to_have_count(0)


def test_queue_and_reading_are_shown_where_the_answer_will_be_and_go_with_its_first_word(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    gates = [Gate() for _ in range(5)]
    script: list[Step] = [gates[0], queue_position(2), gates[1], queue_position(1), gates[2]]
    model.scripts = [[*script, prompt_progress(516, 1200, cache=256), gates[3], "Hello", gates[4], " there", Finish()]]
    tab = tabs.open(chat)
    tab.say("a long question")
    tells(tab, "Reading")
    gates[0].open()
    tells(tab, "Waiting, 2 before you")
    gates[1].open()
    tells(tab, "Waiting, 1 before you")
    gates[2].open()
    tells(tab, "Reading your message 43 %", 43)
    gates[3].open()
    tab.reads("Hello")
    tells_nothing(tab)
    gates[4].open()
    tab.reads("Hello there")
    tab.is_at("done")
    tells_nothing(tab)
    assert tab.errors == []


def test_who_comes_back_or_joins_sees_the_present_state_and_loses_no_text(
    model: FakeServer, tabs: Tabs, chat: Process
) -> None:
    gates = [Gate() for _ in range(5)]
    script: list[Step] = [queue_position(2), gates[0], prompt_progress(1, 10), gates[1]]
    script += [prompt_progress(5, 10), gates[2], prompt_progress(9, 10), gates[3]]
    model.scripts = [[*script, "w0", gates[4], " w1", Finish()]]
    first = tabs.open(chat)
    first.say("a long question")
    tells(first, "Waiting, 2 before you")
    first.page.reload()
    tells(first, "Waiting, 2 before you")
    second = tabs.open(chat, f"/c/{first.chat_id()}")
    tells(second, "Waiting, 2 before you")

    first.find("#new").click()
    gates[0].open()
    gates[1].open()
    tells(second, "Reading your message 50 %", 50)
    first.page.go_back()
    tells(first, "Reading your message 50 %", 50)
    gates[2].open()
    for tab in (first, second):
        tells(tab, "Reading your message 90 %", 90)
    gates[3].open()
    for tab in (first, second):
        tab.reads("w0")
        tells_nothing(tab)
    gates[4].open()
    for tab in (first, second):
        tab.reads("w0 w1")
        assert tab.errors == []


def test_page_without_a_network_while_the_model_reads_catches_up(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    gates = [Gate() for _ in range(4)]
    script: list[Step] = [prompt_progress(1, 10), gates[0], prompt_progress(5, 10), gates[1], "w0", gates[2], " w1"]
    model.scripts = [[*script, gates[3], Finish()]]
    tab = tabs.open(chat)
    tab.say("a long question")
    tells(tab, "Reading your message 10 %", 10)
    for gate, following in pairwise(gates):
        tab.context.set_offline(True)
        expect(tab.strip).to_be_visible()
        gate.open()
        following.wait_until_reached()
        tab.context.set_offline(False)
        if gate is gates[0]:
            tells(tab, "Reading your message 50 %", 50)
        else:
            tab.reads("w0" if gate is gates[1] else "w0 w1")
            tells_nothing(tab)
    gates[3].open()
    tab.is_at("done")
    tab.reads("w0 w1")


def test_screen_reader_hears_the_progress_seldom_and_then_the_answer(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    hold = Gate()
    reading = [prompt_progress(n, 100) for n in range(101)]
    model.scripts = [[queue_position(3), *reading, hold, "Hello", Finish()]]
    tab = tabs.open(chat)
    tab.page.clock.install()
    tab.page.reload()
    live = tab.find("#live")
    expect(live).to_have_attribute("aria-live", "polite")
    live.evaluate(
        """region => {
            window.spoken = [];
            new MutationObserver(() => spoken.push([region.textContent, performance.now()]))
                .observe(region, { childList: true });
        }"""
    )
    tab.say("a long question")
    tells(tab, "Reading your message 100 %", 100)
    expect(live).to_have_text("Reading your message 100 %")
    progress = [at for text, at in tab.page.evaluate("spoken") if text.startswith(("Waiting", "Reading"))]
    assert len(progress) <= 4  # 102 were sent
    assert all(later - earlier > 900 for earlier, later in pairwise(progress))
    expect(tab.answer().locator(".bar")).to_have_attribute("aria-hidden", "true")
    hold.open()
    expect(live).to_have_text("Hello")
    tab.page.clock.fast_forward(2_000)  # nothing that was held back comes after the answer
    expect(live).to_have_text("Hello")


def test_stop_in_the_queue_leaves_it_and_the_words_go(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    model.scripts = [[queue_position(2), Gate(), Finish()]]
    tab = tabs.open(chat)
    tab.say("go")
    tells(tab, "Waiting, 2 before you")
    tab.button("Stop").click()
    tab.is_at("stopped")
    assert model.client_left.wait(5)
    tells_nothing(tab)


def test_full_queue_is_said_in_the_servers_words_and_retry_works(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    model.scripts = [[queue_position(2), BUSY], ["Here I am", Finish()]]
    tab = tabs.open(chat)
    tab.say("anybody there?")
    tab.is_at("error")
    problem = tab.answer().locator(".problem")
    expect(problem).to_have_text("The model is busy with 8 other requests; try again in 12 seconds.")
    tells_nothing(tab)
    expect(tab.strip).to_be_hidden()
    tab.page.reload()
    expect(problem).to_be_visible()
    tab.button("Retry").click()
    tab.reads("Here I am")
    tab.is_at("done")
    expect(tab.find(".problem").filter(visible=True)).to_have_count(0)
    expect(tab.find(".message")).to_have_count(2)


def test_message_waits_for_a_server_that_says_when_it_has_room(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    model.scripts = [[replace(BUSY, retry_after_s=1)], ["Here I am", Finish()]]
    tab = tabs.open(chat)
    tab.say("anybody there?")
    tells(tab, "Waiting for the model")
    tab.reads("Here I am")
    tab.is_at("done")
    assert len(model.requests) == 2


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_words_and_bar_fit_the_narrowest_window_in_both_themes(
    model: FakeServer, chat: Process, tabs: Tabs, theme: str
) -> None:
    hold = Gate()
    model.scripts = [[prompt_progress(43, 100), hold, "Hello", Finish()]]
    tab = tabs.open(chat, viewport={"width": 320, "height": 640}, color_scheme=theme)
    tab.say("a long question")
    tells(tab, "Reading your message 43 %", 43)
    assert tab.sideways_px() <= 0
    box = tab.answer().locator(".bar").bounding_box()
    assert box and box["width"] > 100 and box["x"] + box["width"] <= 320
    hold.open()
    tab.is_at("done")


def test_nothing_of_the_progress_is_stored(model: FakeServer, tabs: Tabs, tmp_path: Path) -> None:
    hold = Gate()
    model.scripts = [[queue_position(2), prompt_progress(43, 100), hold, "Hello", Finish()]]
    with running(chatbot(model.url, tmp_path)) as chat:
        tab = tabs.open(chat)
        tab.say("a long question")
        tells(tab, "Reading your message 43 %", 43)
        hold.open()
        tab.is_at("done")
        chat_id = tab.chat_id()
        assert chat.terminate() == 0
    assert stored(tmp_path, chat_id) == [("user", "a long question", "done"), ("assistant", "Hello", "done")]
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and b"percent" in path.read_bytes()]
