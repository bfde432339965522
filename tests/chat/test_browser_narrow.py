"""Answers on a phone: words stay whole in tables, and lists within lists have room."""

from __future__ import annotations

import pytest

from tests.chat.page import Tabs
from tests.fakes import FakeServer, Finish
from tests.processes import Process

pytestmark = pytest.mark.browser

TABLE = (
    "| Ingredient | Quantity | Temperature | Notes |\n|---|---|---|---|\n"
    "| Wholemeal flour | 500 grams | lukewarm | (wheat, spelt or rye) |\n\n"
)
LIST = "".join(f"{'  ' * n}- level number {n}\n" for n in range(8))
# How many lines each word of the cells stands on.
_LINES = """() => [...document.querySelectorAll(".answer td, .answer th")].flatMap((cell) => {
    const text = cell.firstChild;
    return [...text.data.matchAll(/\\S+/g)].map((word) => {
        const range = document.createRange();
        range.setStart(text, word.index);
        range.setEnd(text, word.index + word[0].length);
        return new Set([...range.getClientRects()].map((each) => Math.round(each.top))).size;
    });
})"""


@pytest.mark.parametrize("width", [320, 360])
def test_words_of_a_table_stay_whole_and_deep_lists_have_room(
    model: FakeServer, chat: Process, tabs: Tabs, width: int
) -> None:
    model.scripts = [[TABLE + LIST, Finish()]]
    tab = tabs.open(chat, viewport={"width": width, "height": 700}, has_touch=True, is_mobile=True)
    tab.input.fill("a recipe")
    tab.button("Send").tap()
    tab.is_at("done")
    lines = tab.page.evaluate(_LINES)
    assert len(lines) == 13 and set(lines) == {1}
    assert tab.find(".answer .scroller").evaluate("each => each.scrollWidth > each.clientWidth")
    assert tab.sideways_px() == 0
    deepest = tab.find(".answer li").last.bounding_box()
    assert deepest and deepest["width"] > 120
