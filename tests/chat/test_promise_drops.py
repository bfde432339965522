"""Never lose a token: whatever happens to the connection, the answer in the browser is what the model sent, byte for
byte."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.chat.network import wire
from tests.chat.page import Tab, Tabs, renderers, stored
from tests.fakes import FakeServer, Finish, Gate, Step
from tests.processes import Process, until

pytestmark = pytest.mark.browser

# What a text can lose on its way: spaces at the ends of pieces, tabs, returns, signs made of several, empty lines.
AWKWARD = [
    *("  two ", "\tof\u00a0", "\r\n", "\U0001f469\u200d\U0001f52c", "e\u0301", "\u2028", "\u0627\u200f"),
    *("<b>&amp;", "\\n", "\n\n\n", "\"'`", "  \n"),
]


def awkward(n: int) -> tuple[list[Gate], list[Step], str]:
    """Gates, a script that stops at each and ends with a numbered word before it, and all of its text."""
    gates = [Gate() for _ in range(n)]
    steps: list[Step] = ["w0."]
    for number, gate in enumerate(gates, start=1):
        steps += [gate, AWKWARD[number % len(AWKWARD)], f" w{number}."]
    return gates, [*steps, Finish()], "".join(step for step in steps if isinstance(step, str))


def has(tab: Tab, number: int) -> None:
    """Wait until the answer has come to this word."""
    expect(tab.answer().locator(".body")).to_contain_text(f"w{number}.")


def copied(tab: Tab) -> str:
    """The answer as the page has it, by way of its own Copy button."""
    tab.context.grant_permissions(["clipboard-read", "clipboard-write"])
    tab.page.bring_to_front()
    tab.answer().get_by_role("button", name="Copy", exact=True).last.click()
    expect(tab.answer().get_by_role("button", name="Copied")).to_be_visible()
    return str(tab.page.evaluate("navigator.clipboard.readText()"))


def kept(server: Process, chat_id: str) -> str:
    args = list(server.process.args)  # type: ignore[call-overload]
    return stored(Path(args[args.index("--data_dir") + 1]), chat_id)[-1][1]


def test_twenty_broken_connections_in_one_answer_leave_every_byte_in_its_place(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    gates, script, text = awkward(20)
    model.scripts = [script]
    with wire(chat) as line:
        tab = tabs.open(chat, line.url)
        tab.say("go")
        has(tab, 0)
        for number, gate in enumerate(gates, start=1):
            n_opened = line.n_opened
            line.cut()
            gate.open()
            if number < len(gates):
                gates[number].wait_until_reached()  # the model has said the next word, and the page cannot know
            line.mend()
            tab.page.evaluate("dispatchEvent(new Event('online'))")  # as a network that comes back says
            has(tab, number)
            assert line.n_opened > n_opened  # the page has come back over a connection of its own
        tab.is_at("done")
        assert copied(tab) == text
        expect(tab.find(".message")).to_have_count(2)
        tab.page.reload()
        tab.is_at("done")
        assert copied(tab) == text
        assert kept(chat, tab.chat_id()) == text


def test_reloads_in_mid_answer_and_a_second_browser_have_every_byte(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    gates, script, text = awkward(len(AWKWARD))
    model.scripts = [script]
    first = tabs.open(chat)
    first.say("go")
    has(first, 0)
    second = tabs.open(chat, f"/c/{first.chat_id()}")
    for number, gate in enumerate(gates, start=1):
        gate.open()
        if number % 3 == 0:
            first.page.reload()
        for tab in (first, second):
            has(tab, number)
    for tab in (first, second):
        tab.is_at("done")
        assert copied(tab) == text
    assert kept(chat, first.chat_id()) == text


def is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T"


@contextlib.contextmanager
def frozen(tab: Tab) -> Iterator[None]:
    """The tab's process gets no time within the block. (Headless Chromium ignores Page.setWebLifecycleState.)"""
    stopped = renderers(tab)
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        until(lambda: all(map(is_stopped, stopped)), "a browser that stands still")
        yield
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("breaks", [False, True], ids=["connected", "connection broken"])
def test_frozen_tab_that_is_thawed_has_the_whole_answer(
    model: FakeServer, chat: Process, tabs: Tabs, breaks: bool
) -> None:
    gates, script, text = awkward(5)
    model.scripts = [script]
    with wire(chat) as line:
        tab = tabs.open(chat, line.url)
        tab.say("go")
        has(tab, 0)
        with frozen(tab):
            for gate, following in pairwise(gates[:4]):
                gate.open()
                following.wait_until_reached()
            if breaks:
                line.cut()
                line.mend()
        has(tab, 3)
        tab.is_at("streaming")
        for gate in gates:
            gate.open()
        tab.is_at("done")
        assert copied(tab) == text


def test_two_tabs_of_one_browser_on_one_chat_show_the_same_and_take_turns(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    gates, script, text = awkward(3)
    model.scripts = [script, ["second answer", Finish()]]
    first = tabs.open(chat)
    first.say("go")
    has(first, 0)
    second = Tab(first.context, first.context.new_page())
    second.page.goto(f"/c/{first.chat_id()}")
    has(second, 0)
    for number, gate in enumerate(gates, start=1):
        gate.open()
        for tab in (first, second):
            has(tab, number)
    for tab in (first, second):
        tab.is_at("done")
        assert copied(tab) == text
    first.input.fill("begun in the first")
    second.say("and of the second")
    for tab in (first, second):
        tab.reads("second answer")
        expect(tab.find(".message")).to_have_count(4)
    expect(first.input).to_have_value("begun in the first")
    assert first.errors == second.errors == []
