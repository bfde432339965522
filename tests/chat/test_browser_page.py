"""What the page does for its reader: tokens, keys, scrolling, safety, small windows."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.chat.page import Tab, Tabs
from tests.fakes import FakeServer, Finish, Gate, Step
from tests.processes import Process

pytestmark = pytest.mark.browser

ATTACKS = [
    "<img src=x onerror=\"window.ran='img'\">",
    "<script>window.ran='script'</script>",
    "<svg onload=\"window.ran='svg'\"></svg>",
    "<svg><script>window.ran='svg script'</script></svg>",
    "<iframe srcdoc=\"<script>parent.ran='iframe'</script>\"></iframe>",
    "<a href=\"javascript:window.ran='link'\">html link</a>",
    "[markdown link](javascript:window.ran='markdown')",
    "[upper](JaVaScRiPt:window.ran='upper') [data](data:text/html,<script>window.ran='data'</script>)",
    '<b style="background:url(http://evil.example/css)" onmouseover="window.ran=\'hover\'">bold</b>',
    "<style>* { background: url(http://evil.example/style) }</style>",
    "![picture](http://evil.example/markdown.png)",
    '<img src="http://evil.example/html.png">',
    '<form action="http://evil.example/"><input type="image" src="http://evil.example/i.png"></form>',
    '<link rel="stylesheet" href="http://evil.example/l.css"><base href="http://evil.example/">',
    '<math><mtext><table><mglyph><style><img src=x onerror="window.ran=1"></style></mglyph></table></mtext></math>',
    "`<img src=x onerror=window.ran=1>` and &lt;img src=x onerror=window.ran=1&gt;",
    "#include <stdio.h> and H<sub>2</sub>O<br>next",
    "<!-- <img src=x onerror=window.ran=1> -->",
    "[good link](https://example.org/page)",
]
LONG_WORD = "Donaudampfschifffahrtsgesellschaft" * 6
WIDE = f"# {LONG_WORD}\n\n| {' | '.join('abcdefghijkl')} |\n|{'---|' * 12}\n| {' | '.join(['cell text'] * 12)} |\n\n"


def paragraphs(first: int, last: int) -> str:
    return "".join(f"Paragraph {n} of a long answer.\n\n" for n in range(first, last))


def test_tokens_arrive_one_after_another_and_the_final_text_is_right(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    gates = [Gate(), Gate()]
    model.scripts = [["One", gates[0], " two", gates[1], " **three**.", Finish()]]
    tab = tabs.open(chat)
    tab.say("count")
    tab.reads("One")
    gates[0].open()
    tab.reads("One two")
    tab.is_at("streaming")
    gates[1].open()
    tab.reads("One two three.")
    tab.is_at("done")
    expect(tab.answer().locator("strong")).to_have_text("three")
    expect(tab.button("Stop")).to_be_hidden()


def test_conversation_has_no_errors_and_nothing_leaves_this_machine(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    model.scripts = [["Hello **there**\n\n```python\nprint(1)\n```\n", Finish()]]
    tab = tabs.open(chat)
    for question in ("first", "second"):
        tab.say(question)
        tab.is_at("done")
        expect(tab.find(".user").last).to_have_text(question)
    expect(tab.find(".answer")).to_have_count(2)
    expect(tab.find(".user")).to_have_count(2)
    tab.page.reload()
    tab.is_at("done")
    assert tab.hosts == {"127.0.0.1"}
    assert tab.errors == []
    assert model.requests[1]["messages"][1:] == [
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "Hello **there**\n\n```python\nprint(1)\n```\n"},
        {"role": "user", "content": "second"},
    ]


@pytest.mark.parametrize("size", [10_000, 3], ids=["whole", "split"])
def test_attacks_in_an_answer_run_nothing_and_load_nothing(
    model: FakeServer, chat: Process, tabs: Tabs, size: int
) -> None:
    text = "\n\n".join(ATTACKS)
    pieces: list[Step] = [text[at : at + size] for at in range(0, len(text), size)]
    hold = Gate()
    model.scripts = [[*pieces, hold, "\n\nthe end", Finish()]]
    tab = tabs.open(chat)
    tab.say("attack")
    expect(tab.answer()).to_contain_text("good link")
    assert_harmless(tab)
    hold.open()
    tab.is_at("done")
    tab.page.reload()
    expect(tab.answer()).to_contain_text("the end")
    assert_harmless(tab)


def assert_harmless(tab: Tab) -> None:
    body = tab.answer().locator(".body")
    for link in body.locator("a").all():
        link.hover()
    shown = body.inner_text()
    for kept in (
        "<img src=x onerror=\"window.ran='img'\">",
        "<script>window.ran='script'</script>",
        "<stdio.h>",
        "H2O\nnext",
    ):
        assert kept in shown  # markup is shown as what was written, a few plain tags work
    assert (
        body.locator("img, script, svg, iframe, style, form, link, base, math, input, [style], [srcdoc]").count() == 0
    )
    names = body.evaluate("e => [...e.querySelectorAll('*')].flatMap(x => x.getAttributeNames())")
    assert set(names) <= {"class", "href", "target", "rel", "tabindex", "type", "dir", "aria-level"}
    links = body.locator("a[href]").evaluate_all("all => all.map(a => [a.getAttribute('href'), a.rel])")
    assert ["https://example.org/page", "noopener noreferrer"] in links
    assert {rel for _, rel in links} == {"noopener noreferrer"}
    assert all(href.startswith(("https://", "http://")) for href, _ in links)  # pictures are links, and not asked for
    assert tab.page.evaluate("window.ran") is None
    assert tab.hosts == {"127.0.0.1"}
    assert tab.errors == []  # a refusal of the content policy would be one: the sanitiser alone must have done it


def test_words_of_the_person_are_shown_as_text_in_message_list_and_title(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    model.scripts = [["fine", Finish()]]
    tab = tabs.open(chat)
    said = "<img src=x onerror=window.ran=1> <b>**x**</b> &amp;"
    tab.say(said)
    tab.is_at("done")
    expect(tab.find(".user")).to_have_text(said)
    expect(tab.find("#chats a[aria-current]")).to_have_text(said)
    expect(tab.page).to_have_title(said)
    assert tab.find(".user *, #chats a *").count() == 0
    assert tab.page.evaluate("window.ran") is None
    assert tab.errors == []


def test_enter_sends_and_shift_enter_makes_a_line(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    model.scripts = [["ok", Finish()]]
    tab = tabs.open(chat)
    expect(tab.button("Send")).to_be_disabled()
    tab.input.press_sequentially("one")
    tab.input.press("Shift+Enter")
    tab.input.press_sequentially("two")
    expect(tab.input).to_have_value("one\ntwo")
    tab.input.press("Enter")
    expect(tab.find(".user")).to_have_text("one\ntwo")
    expect(tab.input).to_have_value("")
    tab.is_at("done")
    tab.input.fill("   \n ")
    tab.input.press("Enter")
    expect(tab.button("Send")).to_be_disabled()
    assert [request["messages"][-1]["content"] for request in model.requests] == ["one\ntwo"]


def test_enter_and_escape_of_an_input_method_neither_send_nor_stop(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    hold = Gate()
    model.scripts = [["held", hold, Finish()], ["second", Finish()]]
    tab = tabs.open(chat)
    tab.say("first")
    tab.reads("held")
    tab.input.focus()
    devtools = tab.context.new_cdp_session(tab.page)
    devtools.send("Input.imeSetComposition", {"text": "にほん", "selectionStart": 3, "selectionEnd": 3})
    expect(tab.input).to_have_value("にほん")
    for key in ("Enter", "Escape"):
        init = {"key": key, "isComposing": True, "bubbles": True, "cancelable": True}
        was_left_alone = tab.input.evaluate("(e, init) => e.dispatchEvent(new KeyboardEvent('keydown', init))", init)
        assert was_left_alone
    old_chromium = {"key": "Enter", "keyCode": 229, "bubbles": True, "cancelable": True}
    tab.input.evaluate("(e, init) => e.dispatchEvent(new KeyboardEvent('keydown', init))", old_chromium)
    devtools.send("Input.insertText", {"text": "日本"})
    expect(tab.input).to_have_value("日本")
    expect(tab.find(".user")).to_have_count(1)
    tab.is_at("streaming")
    tab.input.press("Enter")
    expect(tab.find(".user").last).to_have_text("日本")
    hold.open()
    tab.reads("second")


def test_reader_who_scrolled_up_is_not_moved_and_newest_brings_back(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    gates = [Gate() for _ in range(4)]
    script: list[Step] = [paragraphs(0, 60)]
    for n, gate in enumerate(gates):
        script += [gate, paragraphs(60 + 20 * n, 80 + 20 * n)]
    model.scripts = [[*script, Finish()]]
    tab = tabs.open(chat)
    tab.say("write much")
    body = tab.answer().locator(".body")
    expect(body).to_contain_text("Paragraph 59 ")
    wait_for_place(tab, "at the end")
    gates[0].open()
    expect(body).to_contain_text("Paragraph 79 ")
    wait_for_place(tab, "at the end")

    tab.find("#scroller").hover()
    tab.page.mouse.wheel(0, -10)  # less than what still counts as the end
    expect(tab.button("↓ Newest")).to_be_visible()
    place = resting_place(tab)
    gates[1].open()
    expect(body).to_contain_text("Paragraph 99 ")
    assert resting_place(tab) == place

    tab.page.mouse.wheel(0, -700)
    tab.page.wait_for_function("before => document.getElementById('scroller').scrollTop < before - 600", arg=place)
    place = resting_place(tab)
    gates[2].open()
    expect(body).to_contain_text("Paragraph 119 ")
    gates[3].open()
    tab.is_at("done")
    assert resting_place(tab) == place
    tab.button("↓ Newest").click()
    wait_for_place(tab, "at the end")
    expect(tab.button("↓ Newest")).to_be_hidden()


def wait_for_place(tab: Tab, what: str) -> None:
    tab.page.wait_for_function(
        "() => { const s = document.getElementById('scroller');"
        " return s.scrollHeight > s.clientHeight && s.scrollHeight - s.scrollTop - s.clientHeight <= 1; }",
    )


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


def test_page_that_paints_late_shows_each_message_once_and_in_its_own_chat(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    hold = Gate()
    model.scripts = [["first", Finish()], ["second", hold, Finish()]]
    tab = tabs.open(chat)
    tab.say("one")
    tab.is_at("done")
    paint_late = "() => { window.late = []; window.requestAnimationFrame = (frame) => late.push(frame); }"
    tab.page.evaluate(paint_late)
    tab.say("two")
    expect(tab.button("Stop")).to_be_visible()  # the server has it, and nothing was painted since
    tab.page.evaluate("() => late.splice(0).forEach((frame) => frame())")
    expect(tab.find(".user")).to_have_text(["one", "two"])
    hold.open()
    expect(tab.button("Stop")).to_be_hidden()
    tab.page.evaluate("() => document.getElementById('new').click()")
    tab.page.evaluate("() => late.splice(0).forEach((frame) => frame())")
    expect(tab.find(".message")).to_have_count(0)


def test_markdown_of_an_answer_keeps_its_numbers_alignment_and_boxes(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    text = (
        "3. three\r\n4. four\r\n\r\n| a | b |\r\n|---|--:|\r\n| 1 | 2 |\r\n\r\n- [x] done\r\n- [ ] open\r\n\r\nthe end"
    )
    hold = Gate()
    model.scripts = [[text[:25], hold, text[25:], Finish()]]
    tab = tabs.open(chat)
    tab.say("lists")
    expect(tab.answer()).to_contain_text("four")
    hold.open()
    tab.is_at("done")
    body = tab.answer().locator(".body")
    expect(body.locator("ol")).to_have_attribute("start", "3")
    expect(body.locator("td").last).to_have_css("text-align", re.compile("right$"))
    assert body.locator("input").evaluate_all("all => all.map(box => [box.type, box.checked, box.disabled])") == [
        ["checkbox", True, True],
        ["checkbox", False, True],
    ]
    expect(body.locator(".block")).to_have_count(4)
    expect(body.locator(".block").last).to_have_text("the end")
    expect(body.locator("li")).to_have_text(["three", "four", "done", "open"])


def test_demonstration_model_is_named_as_such(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    tab = tabs.open(chat)
    expect(tab.find("#model")).to_have_text("fake-model")
    expect(tab.find("#demo")).to_be_hidden()
    model.notice = "This is a demonstration model. Get a better one: ./setup.sh --model NAME"
    expect(tab.find("#demo")).to_have_text(model.notice)
    expect(tab.find("#model")).to_have_text("demonstration · fake-model")
    model.notice = ""
    expect(tab.find("#demo")).to_be_hidden()


def test_narrow_window_never_scrolls_sideways_and_its_drawer_opens_and_closes(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    model.scripts = [[WIDE, f"```\n{'x' * 400}\n```\n\n{LONG_WORD} `{LONG_WORD}`", Finish()]]
    tab = tabs.open(chat, viewport={"width": 360, "height": 740})
    assert tab.sideways_px() <= 0
    tab.say(LONG_WORD)
    tab.is_at("done")
    assert tab.sideways_px() <= 0
    assert tab.answer().evaluate("e => e.getBoundingClientRect().right") <= 360

    entry = tab.find("#chats").get_by_text(LONG_WORD[:20])
    expect(entry.first).to_be_hidden()
    closers = {
        "button": lambda: tab.button("Close").click(),
        "Escape": lambda: tab.page.keyboard.press("Escape"),
        "shade": lambda: tab.page.mouse.click(350, 400),
    }
    for close in closers.values():
        tab.button("Chats").click()
        expect(entry.first).to_be_visible()
        expect(tab.button("Close")).to_be_focused()
        assert tab.sideways_px() <= 0
        close()
        expect(entry.first).to_be_hidden()
        expect(tab.button("Chats")).to_be_focused()

    tab.button("Chats").click()
    tab.page.get_by_role("link", name="New chat").click()
    expect(tab.find("#chats")).to_be_hidden()
    expect(tab.find("#empty")).to_be_visible()
    tab.button("Chats").click()
    tab.page.set_viewport_size({"width": 1000, "height": 740})
    tab.input.click()  # no shade lies over the page of a window that has become wide
    assert tab.errors == []
