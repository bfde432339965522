"""What a page asks of its server, held on the way until a test lets it go, while the person does other things."""

from __future__ import annotations

import json
import re

from playwright.sync_api import WebSocketRoute

from tests.chat.page import Tab
from tests.processes import until


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
