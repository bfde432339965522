"""What the server answers to a page, held back for as long as a test wants: what came between is seen then."""

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
