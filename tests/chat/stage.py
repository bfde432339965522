"""Where the page is brought into its states: a browser, a scripted model, real chat servers. tests/chat/shots.py draws
what is played here."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from playwright.sync_api import Browser

from tests.chat.kept import seed
from tests.chat.page import Tab, Tabs
from tests.fakes import FakeServer, Finish, Gate, Step, Usage
from tests.processes import Process, chatbot, running

T = TypeVar("T")
WIDE, TALL, PHONE, SMALL = (1100, 700), (1100, 980), (390, 760), (320, 568)
LIGHT, DARK = "light", "dark"
KEPT = [
    ("Oats and hay for a pony", 0.1, "How much hay does a pony need?", "About 1.5 % of its weight a day."),
    ("Rust or Go for a small service", 0.3, "Which one?", "Go, if the team is new to both."),
    ("Letter to the landlord", 1, "Write a letter.", "Dear Mr Brandt, …"),
    ("Why the sky is blue", 2, "Why?", "Short waves are scattered more."),
    ("Regular expressions for dates", 5, "Match a date.", "Use `\\d{4}-\\d{2}-\\d{2}`."),
    ("Names for a grey mare", 40, "Some names?", "Mist, Slate, Ash."),
]


class Beat(Gate):
    """A short time between two pieces, so that the statistics are those of a model and not of a script."""

    pause_s = 0.05

    def pass_through(self, timeout_s: float = 0.0) -> bool:
        """Wait a moment, then go on."""
        time.sleep(self.pause_s)
        return True


@dataclass
class Stage:
    """A browser, a scripted model and chat servers that all end with the scene."""

    browser: Browser
    folder: Path
    scheme: str
    size: tuple[int, int]
    mouse: tuple[int, int] = (5, 5)
    _open: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        self.model = self._open.enter_context(FakeServer())
        self._tabs = Tabs(self.browser)
        self._open.callback(self._tabs.close)
        self._chat: Process | None = None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, why: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def serve(self, *flags: str, url: str = "", port: int | None = None, kept: bool = True, **env: str) -> Process:
        """Start the chat server, with a few chats of earlier days."""
        if kept and not (self.folder / "chat.db").exists():
            seed(self.folder, KEPT)
        process = chatbot(url or self.model.url, self.folder, *flags, port=port, **env)
        self._chat = self._open.enter_context(running(process))
        return self._chat

    def open(self, path: str = "/", **options: Any) -> Tab:
        """Open the page."""
        width, height = self.size
        if width < 500:
            options = {"has_touch": True, "is_mobile": True} | options
        view = {"width": width, "height": height}
        return self._tabs.open(self._chat or self.serve(), path, viewport=view, color_scheme=self.scheme, **options)

    def during(self, what: AbstractContextManager[T]) -> T:
        """Enter something that ends with the scene."""
        return self._open.enter_context(what)

    def asked(self, text: str, *script: Step, status: str = "done") -> Tab:
        """Open the page, say something and wait until the answer has come to a status."""
        self.model.scripts = [list(script)]
        tab = self.open()
        tab.input.fill(text)
        tab.button("Send").click()  # with fingers, Enter is a new line
        tab.is_at(status)
        return tab


@dataclass(frozen=True)
class Scene:
    """One state: what it is called, what is to be seen in it, and how the page comes into it."""

    name: str
    said: str
    play: Callable[[Stage], Tab]
    size: tuple[int, int]
    schemes: tuple[str, ...]


SCENES: dict[str, Scene] = {}


def scene(said: str, size: tuple[int, int] = WIDE, *schemes: str) -> Callable[..., Callable[[Stage], Tab]]:
    """Make a function a scene, with its own name."""

    def take(play: Callable[[Stage], Tab]) -> Callable[[Stage], Tab]:
        name = play.__name__.replace("_", "-")
        SCENES[name] = Scene(name, said, play, size, schemes or (LIGHT,))
        return play

    return take


def ended(text: str, prompt: int = 412) -> list[Step]:
    """A whole answer with its statistics."""
    size = -(-len(text) // 24)
    pieces: list[Step] = []
    for at in range(0, len(text), size):
        pieces += [text[at : at + size], Beat()]
    return [*pieces, Usage(prompt, len(text) // 4), Finish()]
