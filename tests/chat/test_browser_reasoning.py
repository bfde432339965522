"""Thoughts before an answer, colours in code, formulas."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.chat.page import Tabs
from tests.fakes import FakeServer, Finish, Gate, Reason
from tests.processes import Process

pytestmark = pytest.mark.browser


def test_thoughts_are_folded_live_and_timed_and_stand_above_the_answer(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    gates = [Gate(), Gate()]
    model.scripts = [[Reason("The user "), gates[0], Reason("says **hi**."), gates[1], "Hello!", Finish()]]
    tab = tabs.open(chat)
    tab.say("hi")
    block, thoughts = tab.answer().locator(".reasoning"), tab.answer().locator(".thoughts")
    summary = block.locator("summary")
    expect(summary).to_have_text(re.compile(r"^Thinking… \d+ s$"))
    expect(thoughts).to_be_hidden()
    summary.focus()
    summary.press("Enter")
    expect(thoughts).to_have_text("The user")
    tab.page.reload()  # who comes back in the middle sees the same, and the clock goes on
    expect(summary).to_have_text(re.compile(r"^Thinking… \d+ s$"))
    gates[0].open()
    expect(thoughts).to_have_text("The user says hi.")
    expect(thoughts.locator("strong")).to_have_text("hi")
    expect(tab.answer().locator(".stage")).to_be_hidden()
    expect(tab.find("#live")).not_to_contain_text("user")
    gates[1].open()
    tab.reads("Hello!")
    tab.is_at("done")
    expect(summary).to_have_text(re.compile(r"^Thought for \d+ s$"))
    expect(tab.find("#live")).to_have_text("Hello!")

    tab.page.reload()  # the choice is remembered, and the thoughts are stored
    expect(thoughts).to_have_text("The user says hi.")
    summary.click()
    expect(thoughts).to_be_hidden()
    tab.page.reload()
    expect(summary).to_have_text(re.compile(r"^Thought for \d+ s$"))
    expect(thoughts).to_be_hidden()
    tab.button("Copy").click()
    assert tab.errors == []


def test_thoughts_that_go_on_are_timed_without_the_pause(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    gate = Gate()
    model.scripts = [[Reason("The user "), Gate(), Finish()], [Reason("says hi."), gate, "Hello!", Finish()]]
    tab = tabs.open(chat)
    tab.page.clock.install()
    tab.page.reload()
    tab.say("hi")
    summary = tab.answer().locator(".reasoning summary")
    expect(summary).to_have_text(re.compile(r"^Thinking… \d s$"))
    tab.button("Stop").click()
    expect(summary).to_have_text(re.compile(r"^Thought for \d s$"))
    tab.page.clock.fast_forward(30_000)
    tab.say("/continue")
    gate.wait_until_reached()
    expect(summary).to_have_text(re.compile(r"^Thinking… \d s$"))
    tab.page.clock.fast_forward(20_000)
    expect(summary).to_have_text(re.compile(r"^Thinking… 2\d s$"))
    gate.open()
    tab.is_at("done")
    expect(summary).to_have_text(re.compile(r"^Thought for 2\d s$"))
    assert tab.errors == []


def test_code_gets_its_colours_when_its_fence_closes_and_not_before(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    hold, end = Gate(), Gate()
    model.scripts = [["```python\ndef f():\n    return 'x'\n", hold, "```\n", end, "\nand so on", Finish()]]
    tab = tabs.open(chat)
    tab.say("code")
    code = tab.answer().locator("pre code")
    expect(code).to_contain_text("return 'x'")
    assert code.locator("span").count() == 0
    assert not [r for r in tab.requests if "highlight" in r.url]
    hold.open()
    expect(code.locator(".hljs-keyword").first).to_have_text("def")
    expect(code.locator(".hljs-string")).to_have_text("'x'")
    expect(code).to_have_text("def f():\n    return 'x'\n")
    code.evaluate("e => (e.kept = true)")
    end.open()
    tab.is_at("done")
    expect(tab.answer()).to_contain_text("and so on")
    assert code.evaluate("e => e.kept")  # the block was finished and stayed as it was
    assert tab.errors == []


def test_language_that_is_not_known_or_hostile_stays_plain(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    text = '```"><img/src/onerror=window.ran=1>\na < b\n```\n\n```html\n<img src=x onerror="window.ran=2">\n```\n'
    model.scripts = [[text, Finish()]]
    tab = tabs.open(chat)
    tab.say("code")
    tab.is_at("done")
    expect(tab.answer().locator(".hljs-tag").first).to_be_visible()
    expect(tab.answer().locator("pre").last).to_have_text('<img src=x onerror="window.ran=2">')
    assert tab.answer().locator("img").count() == 0
    assert tab.page.evaluate("window.ran") is None
    assert tab.errors == []


def test_formulas_are_set_as_mathml_and_amounts_of_money_are_left_alone(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    text = (
        "Energy $E = mc^2$ and \\(\\frac{1}{2}\\), it costs $5 or $10, or 20$.\n\n"
        "$$\n\\int_0^1 x \\, dx\n$$\n\nBroken: $\\frac{$ and `$a_b$`\n\n\\[ a_1 + b_2 \\]\n"
    )
    model.scripts = [["no formula", Finish()], [text, Finish()]]
    tab = tabs.open(chat)
    tab.say("one")
    tab.is_at("done")
    assert not [r for r in tab.requests if r.url.endswith("math.js")]
    tab.say("two")
    body = tab.answer().locator(".body")
    expect(body.locator("math")).to_have_count(4)
    expect(body.locator("math[display=block]")).to_have_count(2)
    expect(body.locator("mfrac")).to_have_count(1)
    expect(body).to_contain_text("it costs $5 or $10, or 20$.")
    expect(body).to_contain_text("Broken: $\\frac{$")
    expect(body.locator("code")).to_have_text("$a_b$")
    assert body.locator("[style], annotation, svg").count() == 0
    assert tab.errors == []  # the content policy refused nothing


def test_attack_in_a_formula_and_in_thoughts_runs_nothing(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    attack = "<img src=x onerror=window.ran=1> $\\href{javascript:window.ran=2}{x}$ $\\htmlStyle{color:red}{y}$ "
    attack += "$\\includegraphics{http://evil.example/x.png}$ $\\text{</math><img src=x onerror=window.ran=3>}$"
    model.scripts = [[Reason(attack), attack, Finish()]]
    tab = tabs.open(chat)
    tab.say("attack")
    tab.is_at("done")
    tab.answer().locator("summary").click()
    expect(tab.answer().locator(".thoughts")).to_contain_text("onerror")
    expect(tab.answer().locator("math").first).to_be_visible()
    assert tab.answer().locator("img, a, [style], [href]").count() == 0
    assert tab.page.evaluate("window.ran") is None
    assert tab.hosts == {"127.0.0.1"}
    assert tab.errors == []
