"""The page as a person uses it: says something, reads the answer. Watches for errors and for requests to elsewhere."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, Locator, Page, Request, expect

from tests.processes import Process

WAIT_MS = 15_000
expect.set_options(timeout=WAIT_MS)


@dataclass
class Tab:
    """One tab in a browser with an empty profile of its own."""

    context: BrowserContext
    page: Page
    errors: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)
    requests: list[Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", lambda message: message.type == "error" and self.errors.append(message.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.errors.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        self.page.on("request", self._note)
        self.page.on("websocket", lambda socket: self.hosts.add(urlsplit(socket.url).hostname or ""))

    def _note(self, request: Request) -> None:
        self.requests.append(request)
        self.hosts.add(urlsplit(request.url).hostname or "")

    def find(self, selector: str) -> Locator:
        return self.page.locator(selector)

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    @property
    def input(self) -> Locator:
        return self.page.get_by_label("Message", exact=True)

    @property
    def strip(self) -> Locator:
        return self.find("#strip")

    @property
    def problem(self) -> Locator:
        return self.find("#problem")

    def say(self, text: str) -> None:
        self.input.fill(text)
        self.input.press("Enter")

    def answer(self, nth: int = -1) -> Locator:
        return self.find(".answer").nth(nth)

    def reads(self, text: str, nth: int = -1) -> None:
        """Wait until exactly this is the text of an answer."""
        expect(self.answer(nth).locator(".body")).to_have_text(text)

    def is_at(self, status: str, nth: int = -1) -> None:
        """Wait until an answer has come to this status."""
        expect(self.answer(nth)).to_have_attribute("data-status", status)

    def chat_id(self) -> str:
        """The id of the open chat, as the address has it."""
        self.page.wait_for_function("() => location.pathname.startsWith('/c/')")
        return str(urlsplit(self.page.url).path.removeprefix("/c/"))

    def sideways_px(self) -> int:
        """How far the page could be scrolled sideways."""
        return int(self.page.evaluate("() => document.documentElement.scrollWidth - innerWidth"))


class Tabs:
    """Opens tabs on chat servers and closes them all."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._contexts: list[BrowserContext] = []

    def open(self, server: Process, path: str = "/", cookie: str = "", **options: Any) -> Tab:
        """A tab at a path, with the cookie of somebody who has logged in."""
        context = self._browser.new_context(base_url=server.url, **options)
        context.set_default_timeout(WAIT_MS)
        self._contexts.append(context)
        if cookie:
            name, _, value = cookie.partition("=")
            context.add_cookies([{"name": name, "value": value, "url": server.url}])
        tab = Tab(context, context.new_page())
        tab.page.goto(path)
        return tab

    def close(self) -> None:
        for context in self._contexts:
            context.close()


def renderers(tab: Tab) -> list[int]:
    """The processes that draw the pages of a tab's browser."""
    assert tab.context.browser
    known = tab.context.browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
    found = [int(each["id"]) for each in known if each["type"] == "renderer"]
    assert found
    return found


def stored(data_dir: Path, chat_id: str) -> list[tuple[str, str, str]]:
    """(role, text, status) of a chat's messages as the database file has them now."""
    db = sqlite3.connect(f"file:{data_dir / 'chat.db'}?mode=ro", uri=True)
    try:
        query = "SELECT role, content, status FROM messages WHERE chat_id = ? ORDER BY rowid"
        return db.execute(query, (chat_id,)).fetchall()
    finally:
        db.close()
