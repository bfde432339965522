"""Every command of the table does its work on the page. (The terminal's own: test_terminal_commands.py.)"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from chatbot.core.commands import COMMANDS, PAGE
from tests.chat.page import Tab, Tabs
from tests.chat.site import recorded
from tests.chat.test_sources import RSS, WEATHER
from tests.fakes import FakeServer, Finish
from tests.processes import chatbot, running

pytestmark = pytest.mark.browser

ARTICLE = b"<html><title>Herons</title><body><p>They wade slowly.</p></body></html>"
WEB = {"/rss": RSS, "/search?q=rain": RSS, "/Oslo": json.dumps(WEATHER).encode(), "/herons": ARTICLE}


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """News, the weather and an article, as they were recorded."""
    with recorded(WEB) as address:
        yield address


def flags(site: str) -> tuple[str, ...]:
    asked = {"news_url": "/rss", "news_search_url": "/search?q={topic}", "weather_url": "/{place}"}
    return tuple(part for name, path in asked.items() for part in (f"--{name}", site + path))


@pytest.fixture
def told(model: FakeServer, site: str, tmp_path: Path, tabs: Tabs) -> Iterator[Tab]:
    """A page with one turn, before a server that may read the site."""
    with running(chatbot(model.url, tmp_path, "--allowed_fetch_hosts", "127.0.0.1", *flags(site))) as process:
        model.scripts = [["first answer\n\n```py\nx = 1\n```", Finish()]]
        tab = tabs.open(process)
        tab.context.grant_permissions(["clipboard-read", "clipboard-write"])
        tab.say("a question of herons")
        tab.is_at("done")
        yield tab


def note(tab: Tab, words: str) -> None:
    expect(tab.find("#note-text")).to_contain_text(words)


def chip(tab: Tab, command: str, name: str) -> None:
    """A command that reads something from the web adds it to the next message."""
    tab.say(command)
    expect(tab.find(".chip .name").filter(has_text=name)).to_be_visible()
    tab.find(".chip").first.get_by_role("button", name="Remove").click()
    expect(tab.find(".chip")).to_have_count(0)


def control(tab: Tab, command: str, label: str) -> None:
    """A command without its value shows the control, and gives the focus to it."""
    tab.say(command)
    expect(tab.page.get_by_label(label, exact=True)).to_be_focused()
    tab.page.keyboard.press("Escape")


def do_help(tab: Tab, site: str, model: FakeServer) -> None:
    tab.say("/help")
    expect(tab.page.get_by_role("dialog", name="Commands")).to_contain_text("/weather")
    tab.page.keyboard.press("Escape")


def do_model(tab: Tab, site: str, model: FakeServer) -> None:
    control(tab, "/model", "Model")
    tab.say("/model fake-model")
    note(tab, "fake-model")


def do_system(tab: Tab, site: str, model: FakeServer) -> None:
    control(tab, "/system", "System prompt")
    tab.say("/system Be brief.")
    note(tab, "Be brief.")


def do_set(tab: Tab, site: str, model: FakeServer) -> None:
    control(tab, "/set top_p", "Top P")
    tab.say("/set top_p 0.5")
    note(tab, "0.5")


def do_think(tab: Tab, site: str, model: FakeServer) -> None:
    control(tab, "/think", "Thinking")
    tab.say("/think low")
    note(tab, "low")


def do_file(tab: Tab, site: str, model: FakeServer) -> None:
    with tab.page.expect_file_chooser():
        tab.say("/file")
    tab.input.fill("")


def do_news(tab: Tab, site: str, model: FakeServer) -> None:
    chip(tab, "/news", "News")
    chip(tab, "/news rain", "News about rain")


def do_regen(tab: Tab, site: str, model: FakeServer) -> None:
    for count, command in ((2, "/regen"), (3, "/retry")):
        tab.say(command)
        expect(tab.find(".answer .place")).to_have_text(f"{count}/{count}")
        tab.is_at("done")
    sent = model.requests[-1]
    assert (sent["top_p"], sent["messages"][0]["content"]) == (0.5, "Be brief.")  # what /set and /system chose


def do_continue(tab: Tab, site: str, model: FakeServer) -> None:
    model.scripts = [["half an", Finish("length")], [" answer", Finish()]]
    tab.say("/regen")
    tab.reads("half an")
    tab.is_at("done")
    tab.say("/continue")
    tab.reads("half an answer")
    tab.is_at("done")
    model.scripts = [["first answer\n\n```py\nx = 1\n```", Finish()]]
    tab.say("/regen")
    expect(tab.answer()).to_contain_text("first answer")
    tab.is_at("done")


def do_clear(tab: Tab, site: str, model: FakeServer) -> None:
    tab.say("/clear")
    note(tab, "The screen is clear")
    expect(tab.find(".message")).to_have_count(0)
    tab.say("are you still there?")
    expect(tab.find(".message")).to_have_count(2)
    tab.is_at("done")
    assert "a question of herons" in str(model.requests[-1]["messages"])
    tab.page.reload()
    expect(tab.find(".message")).to_have_count(4)


def do_edit(tab: Tab, site: str, model: FakeServer) -> None:
    tab.say("/edit")
    expect(tab.page.get_by_label("Your message")).to_be_focused()
    tab.page.keyboard.press("Escape")


def do_undo(tab: Tab, site: str, model: FakeServer) -> None:
    tab.say("to be taken back")
    expect(tab.find(".answer[data-status=done]")).to_have_count(2)
    tab.say("/undo")
    expect(tab.find(".message")).to_have_count(2)
    expect(tab.input).to_have_value("to be taken back")
    tab.input.fill("")


def do_copy(tab: Tab, site: str, model: FakeServer) -> None:
    tab.say("/copy code")
    note(tab, "Copied.")
    assert tab.page.evaluate("navigator.clipboard.readText()") == "x = 1"


def do_save(tab: Tab, site: str, model: FakeServer) -> None:
    with tab.page.expect_download() as saved:
        tab.say("/save it.json")
    assert json.loads(saved.value.path().read_text())


def do_open(tab: Tab, site: str, model: FakeServer) -> None:
    tab.say("/new")
    expect(tab.find(".message")).to_have_count(0)
    tab.say("/open a question of herons")
    expect(tab.find(".message")).to_have_count(2)


def do_list(tab: Tab, site: str, model: FakeServer) -> None:
    tab.say("/list")
    expect(tab.page.get_by_role("link", name="a question of herons")).to_be_focused()


def do_search(tab: Tab, site: str, model: FakeServer) -> None:
    tab.say("/search herons")
    expect(tab.page.get_by_role("option").first).to_contain_text("herons")
    tab.find("#search").fill("")


def do_stats(tab: Tab, site: str, model: FakeServer) -> None:
    tab.say("/stats")
    note(tab, "The last answer")


def do_alert(tab: Tab, site: str, model: FakeServer) -> None:
    tab.say("/alert the house is closed at nine")
    expect(tab.page.get_by_text("the house is closed at nine").first).to_be_visible()


DOES: dict[str, Callable[[Tab, str, FakeServer], None]] = {
    "help": do_help,
    "model": do_model,
    "system": do_system,
    "set": do_set,
    "think": do_think,
    "file": do_file,
    "url": lambda tab, site, model: chip(tab, f"/url {site}/herons", "Herons"),
    "news": do_news,
    "weather": lambda tab, site, model: chip(tab, "/weather Oslo", "Oslo"),
    "regen": do_regen,
    "continue": do_continue,
    "edit": do_edit,
    "undo": do_undo,
    "copy": do_copy,
    "save": do_save,
    "list": do_list,
    "open": do_open,
    "new": do_open,
    "search": do_search,
    "stats": do_stats,
    "alert": do_alert,
    "clear": do_clear,
}


def test_every_command_of_the_table_does_its_work_on_the_page(told: Tab, site: str, model: FakeServer) -> None:
    for spec in COMMANDS:
        if spec.is_for(PAGE):
            DOES[spec.name](told, site, model)
            expect(told.problem, spec.name).to_be_hidden()
    assert told.errors == []


def test_nothing_is_fetched_where_the_network_is_turned_off(
    model: FakeServer, site: str, tmp_path: Path, tabs: Tabs
) -> None:
    off = ("--network", "false", "--allowed_fetch_hosts", "127.0.0.1", *flags(site))
    with running(chatbot(model.url, tmp_path, *off)) as process:
        tab = tabs.open(process)
        for command in ("/news", "/weather Oslo", f"/url {site}/herons"):
            tab.say(command)
            expect(tab.problem).to_contain_text("turned off here")
            expect(tab.find("#input")).to_have_value(command)  # it stands there again, to be changed
        expect(tab.find(".chip")).to_have_count(0)
