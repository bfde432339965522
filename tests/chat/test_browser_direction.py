"""Text runs the way its language does: in answers, messages, titles and fields, line by line. Code does not."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, expect

from tests.chat.page import Tabs
from tests.fakes import FakeServer, Finish
from tests.processes import Process

pytestmark = pytest.mark.browser

HEBREW = "שלום עולם"
ANSWER = f"{HEBREW} עם English 123.\n\nPlain English.\n\n- {HEBREW}\n- one\n\n```\nx = 1\n```\n\n> {HEBREW}\n"
# Whether the first letter of an element's text stands at the right end of its line box.
FROM_THE_RIGHT = """(element) => {
  const text = document.createTreeWalker(element, NodeFilter.SHOW_TEXT).nextNode();
  const range = document.createRange();
  range.setStart(text, 0);
  range.setEnd(text, 1);
  const { left, right } = element.getBoundingClientRect();
  const letter = range.getBoundingClientRect();
  return right - letter.right < letter.left - left;
}"""


def runs(place: Locator) -> str:
    return str(place.evaluate("(element) => getComputedStyle(element).direction"))


def test_each_text_runs_as_its_words_do(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    model.scripts = [[ANSWER, Finish()]]
    tab = tabs.open(chat)
    tab.input.fill(HEBREW)
    assert runs(tab.input) == "rtl"
    tab.input.fill("")
    tab.say(f"{HEBREW}\nand English")
    tab.is_at("done")
    text = tab.answer().locator(".text")
    hebrew, english = text.locator("p").first, text.locator("p").nth(1)
    assert (runs(hebrew), runs(english), runs(text.locator("pre"))) == ("rtl", "ltr", "ltr")
    assert [runs(text.locator(each)) for each in ("ul", "li >> nth=0", "blockquote")] == ["rtl"] * 3
    assert hebrew.evaluate(FROM_THE_RIGHT) and not english.evaluate(FROM_THE_RIGHT)
    assert text.locator("li").first.evaluate(FROM_THE_RIGHT) and not text.locator("code").evaluate(FROM_THE_RIGHT)
    assert tab.find(".user").evaluate(FROM_THE_RIGHT)
    link = tab.find("#chats a").first
    expect(link).to_contain_text(HEBREW)
    assert runs(link) == "rtl"
    assert tab.errors == []
