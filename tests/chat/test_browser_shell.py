"""The shell of the page: keys and their sheet, themes without a flash, installing, and the page without its server."""

from __future__ import annotations

import re
import struct
import urllib.request
from pathlib import Path

import pytest
from playwright.sync_api import expect

from chatbot.web.shell import digest, shell_files
from tests.chat.page import Tab, Tabs
from tests.fakes import FakeServer, Finish, Gate
from tests.processes import REPO, Process, chatbot, free_port, running

pytestmark = pytest.mark.browser

CHAT_SERVER_AWAY = re.compile("The chat server does not answer")
STATIC = REPO / "chatbot" / "web" / "static"
PAPER = {"light": "rgb(250, 248, 244)", "dark": "rgb(27, 28, 26)"}


def paper(tab: Tab) -> str:
    return str(tab.page.evaluate("getComputedStyle(document.body).backgroundColor"))


def choose_theme(tab: Tab, words: str) -> None:
    tab.button("More").click()
    tab.page.get_by_role("menuitemradio", name=f"Theme: {words}").click()


def test_question_mark_lists_the_keys_but_is_a_letter_in_a_text(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    hold = Gate()
    model.scripts = [["held", hold, Finish()]]
    tab = tabs.open(chat)
    tab.say("really?")
    tab.reads("held")
    tab.input.press_sequentially("why?")
    expect(tab.input).to_have_value("why?")
    expect(tab.find("dialog")).to_have_count(0)
    shortcuts = tab.button("Shortcuts")
    shortcuts.focus()
    tab.page.keyboard.press("?")
    sheet = tab.page.get_by_role("dialog", name="Keyboard shortcuts")
    for words in ("New chat", "Search", "Show this sheet", "Undo a deletion"):
        expect(sheet.get_by_text(words, exact=True)).to_be_visible()
    tab.page.keyboard.press("Control+Shift+o")  # no key works through the sheet
    for _ in range(4):
        tab.page.keyboard.press("Tab")
        assert tab.page.evaluate(
            "document.activeElement === document.body || !!document.activeElement.closest('dialog')"
        )
    tab.page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()
    expect(shortcuts).to_be_focused()
    tab.is_at("streaming")  # Escape closed the sheet and stopped nothing
    shortcuts.click()
    expect(sheet).to_be_visible()
    sheet.get_by_role("button", name="Close this box").click()
    expect(shortcuts).to_be_focused()
    hold.open()
    assert tab.errors == []


def test_keys_make_a_new_chat_search_and_hide_the_chats(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    model.scripts = [["fine", Finish()]]
    tab = tabs.open(chat)
    tab.say("hello")
    tab.is_at("done")
    tab.page.keyboard.press("Control+Shift+O")
    expect(tab.find("#empty")).to_be_visible()
    expect(tab.input).to_be_focused()
    tab.page.keyboard.press("Control+b")
    expect(tab.find("#chats")).to_be_hidden()
    tab.page.reload()
    expect(tab.find("#chats")).to_be_hidden()
    tab.button("Chats").click()
    expect(tab.find("#chats")).to_be_visible()
    tab.button("Hide the chats").click()
    expect(tab.button("Chats")).to_be_focused()
    tab.page.keyboard.press("Control+k")
    expect(tab.page.get_by_role("combobox", name="Search chats")).to_be_focused()
    russian = {"key": "л", "code": "KeyB", "ctrlKey": True, "bubbles": True, "cancelable": True}
    tab.page.evaluate("init => dispatchEvent(new KeyboardEvent('keydown', init))", {**russian, "key": "и"})
    expect(tab.find("#chats")).to_be_hidden()
    composing = {**russian, "key": "b", "isComposing": True}
    tab.page.evaluate("init => dispatchEvent(new KeyboardEvent('keydown', init))", composing)
    expect(tab.find("#chats")).to_be_hidden()
    assert tab.errors == []


@pytest.mark.parametrize("system", ["light", "dark"])
def test_theme_follows_the_system_until_one_is_chosen_and_never_flashes(
    model: FakeServer, chat: Process, tabs: Tabs, system: str
) -> None:
    other = "dark" if system == "light" else "light"
    tab = tabs.open(chat, color_scheme=system)
    assert paper(tab) == PAPER[system]
    choose_theme(tab, other)
    assert paper(tab) == PAPER[other]
    tab.page.add_init_script(
        """window.seen = new Set();
        const look = () => {
            if (document.body) seen.add(document.documentElement.dataset.theme);
            requestAnimationFrame(look);
        };
        look();
        new MutationObserver(() => document.body && seen.add(document.documentElement.dataset.theme))
            .observe(document, { childList: true, subtree: true });"""
    )
    tab.page.reload()
    expect(tab.button("More")).to_be_visible()
    assert tab.page.evaluate("[...seen]") == [other]
    assert paper(tab) == PAPER[other]
    metas = tab.find('meta[name="theme-color"]').evaluate_all("all => all.map(meta => meta.content)")
    assert metas == [{"light": "#faf8f4", "dark": "#1b1c1a"}[other]] * 2
    assert tab.page.evaluate("getComputedStyle(document.documentElement).colorScheme") == other
    second = tab.context.new_page()
    second.goto(chat.url)
    second.keyboard.press("Control+Shift+L")  # from light to dark, or from dark to the system's
    chosen = "dark" if other == "light" else ""
    tab.page.wait_for_function("chosen => document.documentElement.dataset.theme === chosen", arg=chosen)
    choose_theme(tab, "as the system")
    assert paper(tab) == PAPER[system]
    assert tab.errors == []


def test_manifest_names_icons_of_the_sizes_it_says_and_the_browser_takes_it(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    tab = tabs.open(chat)
    devtools = tab.context.new_cdp_session(tab.page)
    found = devtools.send("Page.getAppManifest")
    assert found["errors"] == []
    assert found["url"] == f"{chat.url}/manifest.webmanifest"
    with urllib.request.urlopen(found["url"]) as answer:
        assert answer.headers["Content-Type"].startswith("application/manifest+json")
    lacking = devtools.send("Page.getInstallabilityErrors")["installabilityErrors"]
    assert [error["errorId"] for error in lacking] == ["in-incognito"]  # as each profile of a test is
    for name, size in (("icon-192", 192), ("icon-512", 512), ("icon-maskable-512", 512)):
        with urllib.request.urlopen(f"{chat.url}/static/{name}.png") as answer:
            head = answer.read(24)
        assert head[1:4] == b"PNG" and struct.unpack(">II", head[16:24]) == (size, size)


def test_page_opens_without_its_server_says_so_and_heals_when_it_is_back(
    model: FakeServer, tabs: Tabs, tmp_path: Path
) -> None:
    model.scripts = [["kept on the server", Finish()]]
    port = free_port()
    with running(chatbot(model.url, tmp_path, port=port)) as first:
        tab = tabs.open(first)
        tab.page.wait_for_function("() => navigator.serviceWorker.controller")
        tab.say("a secret question")
        tab.is_at("done")
        address = f"{first.url}/c/{tab.chat_id()}"
    tab.page.goto(address)
    expect(tab.strip).to_have_text(CHAT_SERVER_AWAY)
    expect(tab.find("#side")).to_contain_text("New chat")
    expect(tab.input).to_be_editable()
    held = tab.page.evaluate(
        """async () => {
            const texts = [];
            for (const name of await caches.keys()) {
                const cache = await caches.open(name);
                for (const request of await cache.keys()) texts.push(await (await cache.match(request)).text());
            }
            return texts.join("\\n");
        }"""
    )
    assert "Paddock" in held
    assert "secret" not in held and "kept on the server" not in held
    with running(chatbot(model.url, tmp_path, port=port)):
        expect(tab.strip).to_be_hidden()
        tab.reads("kept on the server")
        expect(tab.find("#chats a")).to_have_text(["a secret question"])


def test_worker_leaves_data_to_the_network_and_a_new_build_is_a_new_worker(chat: Process, tmp_path: Path) -> None:
    with urllib.request.urlopen(f"{chat.url}/worker.js") as answer:
        text = answer.read().decode()
        assert answer.headers["Content-Type"].startswith("text/javascript")
        assert answer.headers["Cache-Control"] == "no-cache"
    shell = re.search(r"SHELL = (\[.*\]);", text)
    assert shell and "/static/build/chat.js" in shell[1]
    assert not re.search(r"export|import|socket|files", shell[1])
    built = tmp_path / "built.js"
    built.write_text("one")
    before = digest([built])
    built.write_text("two")
    assert digest([built]) != before


def test_shell_holds_the_chunks_that_the_script_needs_and_no_others(tmp_path: Path) -> None:
    build = tmp_path / "build"
    build.mkdir()
    (build / "chat.js").write_text('import{a}from"./chunk-A.js";import"./chunk-B.js";const m=()=>import("./math.js");')
    (build / "chunk-A.js").write_text('import{b} from "./chunk-B.js";export{b as a};')
    (build / "chunk-B.js").write_text("export const b=1;")
    found = shell_files(tmp_path)
    assert sorted(found[3:]) == ["build/chat.js", "build/chunk-A.js", "build/chunk-B.js"]
    assert all((STATIC / name).exists() for name in found[:3])


def test_error_page_wears_the_chosen_theme(model: FakeServer, chat: Process, tabs: Tabs) -> None:
    tab = tabs.open(chat, color_scheme="light")
    choose_theme(tab, "dark")
    tab.page.goto("/no-such-page")
    expect(tab.page.get_by_role("heading")).to_have_text("There is no such page.")
    assert paper(tab) == PAPER["dark"]
    tab.page.get_by_role("link", name="Back to your chats").click()
    expect(tab.find("#empty")).to_be_visible()


def test_phone_has_large_targets_and_the_search_opens_from_the_drawer(
    model: FakeServer, chat: Process, tabs: Tabs
) -> None:
    model.scripts = [["fine", Finish()]]
    tab = tabs.open(chat, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    tab.input.fill("a chat on the phone")
    tab.button("Send").tap()
    tab.is_at("done")
    tab.button("Chats").tap()
    expect(tab.find("#chats")).to_be_visible()
    small = tab.page.evaluate(
        """() => new Promise((painted) => requestAnimationFrame(() => requestAnimationFrame(painted))).then(() =>
            [...document.querySelectorAll("#side :is(button, a, input:not([type=file]))")]
            .filter((e) => e.checkVisibility({ visibilityProperty: true }))
            .map((e) => [e.id || e.textContent || e.ariaLabel, e.getBoundingClientRect()])
            .filter(([, box]) => box.height < 44 || box.width < 44)
            .map(([name, box]) => `${name}: ${box.width} x ${box.height}`))"""
    )
    assert small == []
    assert tab.sideways_px() <= 0
    assert tab.find("#search").evaluate("e => getComputedStyle(e).fontSize") == "16px"  # iOS zooms at less
    tab.find("#search").fill("phone")
    tab.page.get_by_role("option").first.tap()
    expect(tab.find("#chats")).to_be_hidden()
    tab.reads("fine")
