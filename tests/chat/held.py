"""What a page asks of its server and what it is answered, held on the way for as long as a test wants."""

from __future__ import annotations

import json
import re

from playwright.sync_api import WebSocketRoute

from tests.chat.page import Tab
from tests.processes import until

_CALL = re.compile(r'42(\d+)(\["\w+")')  # an event that wants an answer, as Socket.IO writes it
_ANSWER = re.compile(r"43(\d+)\[")


class Answers:
    """Every answer that a page gets, which is opened anew for that."""

    def __init__(self, tab: Tab, *events: str) -> None:
        self._tab = tab
        self._events = events  # whose answers are held back
        self._due: set[str] = set()
        self._held: list[tuple[WebSocketRoute, str]] = []
        tab.page.route_web_socket(re.compile("socket.io"), self._carry)
        tab.page.reload()

    def hold(self, *events: str) -> None:
        """Hold back what is answered to these events, from now on to no others."""
        self._events = events

    def came(self) -> None:
        """Wait until an answer is there that is held back."""
        until(
            lambda: self._tab.page.title() and self._held, f"an answer to {self._events}"
        )  # Playwright works within its calls

    def let_go(self) -> None:
        """Give the page what was held back, and hold nothing back any more."""
        self._events = ()
        for page, packet in self._held:
            page.send(packet)
        self._held.clear()

    def _carry(self, page: WebSocketRoute) -> None:
        server = page.connect_to_server()

        def ask(packet: str | bytes) -> None:
            call = _CALL.match(packet) if isinstance(packet, str) else None
            if call and json.loads(f"{call[2]}]")[0] in self._events:
                self._due.add(call[1])
            server.send(packet)

        def answer(packet: str | bytes) -> None:
            told = _ANSWER.match(packet) if isinstance(packet, str) else None
            if told and told[1] in self._due:
                self._due.discard(told[1])
                self._held.append((page, str(packet)))
            else:
                page.send(packet)

        page.on_message(ask)
        server.on_message(answer)


class Held:
    """Events of one name, from hold on. The page is loaded anew for it."""

    def __init__(self, tab: Tab) -> None:
        self._tab = tab
        self._name = ""
        self._held: list[tuple[WebSocketRoute, WebSocketRoute, str]] = []
        tab.page.route_web_socket(re.compile("socket.io"), self._carry)
        tab.page.reload()

    def _carry(self, page: WebSocketRoute) -> None:
        server = page.connect_to_server()

        def pass_on(said: str | bytes) -> None:
            if self._name and re.match(rf'42\d+\["{self._name}"', str(said)):
                self._held.append((page, server, str(said)))
            else:
                server.send(said)

        page.on_message(pass_on)

    def hold(self, name: str) -> None:
        """Hold what the page asks by this name from now on."""
        self._name = name

    def until_asked(self, n: int = 1) -> None:
        """Wait until so many are held."""
        until(lambda: self._tab.page.title() is not None and len(self._held) >= n, f"{n} of {self._name}")

    @property
    def n_asked(self) -> int:
        return len(self._held)

    def release(self) -> None:
        """Let what is held go on to the server, and hold nothing more."""
        for _, server, said in self._take():
            server.send(said)

    def refuse(self, message: str) -> None:
        """Answer what is held in the server's place, and hold nothing more."""
        error = {"message": message, "code": "bad_request"}
        for page, _, said in self._take():
            number = said[2 : said.index("[")]
            page.send(f"43{number}{json.dumps([{'ok': False, 'error': error}])}")

    def _take(self) -> list[tuple[WebSocketRoute, WebSocketRoute, str]]:
        self._name, held, self._held = "", self._held, []
        return held
