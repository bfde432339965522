"""A small window: words stay whole in tables, lists within lists have room, and the list of chats can be used."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.chat.axe import violations
from tests.chat.browser import Browser as Sockets
from tests.chat.kept import seed
from tests.chat.page import Tab, Tabs
from tests.fakes import FakeServer, Finish
from tests.processes import Process, chatbot, running

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


TAGS = ["work", "home", "recipes", "children", "garden", "travel", "tax of the year before", "reading list"]
# How many of these elements can be seen whole at once, with one of the middle ones scrolled to.
_WHOLE = """(all) => {
    all[6].scrollIntoView({ block: "center" });
    const isSeen = (element, x, y) => element.contains(document.elementFromPoint(x, y));
    return all.filter((each) => {
        const { left, top, bottom } = each.getBoundingClientRect();
        return isSeen(each, left + 20, top + 2) && isSeen(each, left + 20, bottom - 2);
    }).length;
}"""


@pytest.fixture(scope="module")
def tagged(_shared_model: FakeServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A chat server with twelve chats, each with many tags."""
    folder: Path = tmp_path_factory.mktemp("tagged")
    seed(folder, [(f"Chat {n}", n / 100, "find me", "here") for n in range(12)])
    with running(chatbot(_shared_model.url, folder)) as process:
        page = Sockets(process.url)
        for chat in page.call("chats")["chats"]:
            assert page.call("tag", {"chat_id": chat["id"], "tags": TAGS})["ok"]
        page.client.disconnect()
        yield process


# A window of 1280x800, 1280x720 and 1366x768 at 200 %, and the smallest phone.
@pytest.mark.parametrize(("width", "height"), [(640, 400), (640, 360), (683, 384), (320, 568)])
def test_the_list_of_chats_can_be_used_at_200_percent_with_tags_a_search_and_a_selection(
    tagged: Process, tabs: Tabs, width: int, height: int
) -> None:
    is_phone = width == 320
    tab = tabs.open(tagged, viewport={"width": width, "height": height}, has_touch=is_phone, is_mobile=is_phone)
    expect(tab.find("#chats li")).to_have_count(12)
    tab.button("Chats").click()
    assert tab.find("#chats li").evaluate_all(_WHOLE) >= 3
    foot = tab.button("Shortcuts").bounding_box()
    assert foot and foot["y"] + foot["height"] <= height
    usable(tab)

    tab.button("More").click()
    tab.page.get_by_role("menuitem", name="Select several").click()
    assert tab.find("#chats li").evaluate_all(_WHOLE) >= 2
    tab.page.get_by_label("Select Chat 7").check()
    expect(tab.find(".selection p")).to_have_text("1 selected")
    expect(tab.button("Delete")).to_be_in_viewport()
    usable(tab)
    tab.button("Done").click()

    tab.page.get_by_label("Search chats").fill("find me")
    expect(tab.find("#hits li")).to_have_count(12)
    assert tab.find("#hits li").evaluate_all(_WHOLE) >= 2
    for _ in range(7):
        tab.page.get_by_label("Search chats").press("ArrowDown")
    expect(tab.find("#hits [aria-selected=true]")).to_be_in_viewport(ratio=1)
    usable(tab)


def usable(tab: Tab) -> None:
    """Nothing hangs over the edge, and nothing hinders those who cannot see or use a mouse."""
    assert tab.sideways_px() == 0
    assert tab.find("#side").evaluate("side => side.scrollWidth - side.clientWidth") == 0
    assert violations(tab) == []
