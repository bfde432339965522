"""One chat server with a scripted model behind it for all browser tests of a module, tabs and pages that close."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.fakes import FakeServer
from tests.processes import Process, chatbot, running

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.chat.browser import Browser as Sockets
    from tests.chat.hostile_web import Web
    from tests.chat.page import Tabs


@pytest.fixture(scope="module")
def _shared_model() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server


@pytest.fixture(scope="module")
def chat(_shared_model: FakeServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """The real chat server in front of model."""
    with running(chatbot(_shared_model.url, tmp_path_factory.mktemp("chat"))) as process:
        yield process


@pytest.fixture
def model(_shared_model: FakeServer) -> FakeServer:
    """The scripted model server behind chat, without what earlier tests left."""
    _shared_model.scripts = []
    _shared_model.requests.clear()
    _shared_model.preferences.clear()
    _shared_model.client_left.clear()
    _shared_model.paths.clear()
    _shared_model.notice = _shared_model.metrics = ""
    _shared_model.capabilities = _shared_model.plan = _shared_model.plan_gate = None
    _shared_model.embed_gate = _shared_model.embed_refusal = None
    _shared_model.embedded.clear()
    _shared_model.by_words.clear()
    _shared_model.plan_keys.clear()
    return _shared_model


@pytest.fixture(scope="module")
def _embedding_model() -> Iterator[FakeServer]:
    with FakeServer() as server:
        server.embeds = True
        yield server


@pytest.fixture(scope="module")
def library_chat(_embedding_model: FakeServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """The real chat server in front of library_model, with a library that nothing is in."""
    with running(chatbot(_embedding_model.url, tmp_path_factory.mktemp("chat"))) as process:
        yield process


@pytest.fixture
def library_model(_embedding_model: FakeServer) -> FakeServer:
    """The scripted model server behind library_chat, which makes embeddings, without what earlier tests left."""
    _embedding_model.embeds, _embedding_model.embed_gate, _embedding_model.embed_refusal = True, None, None
    _embedding_model.scripts, _embedding_model.by_words = [], {}
    _embedding_model.requests.clear()
    return _embedding_model


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Chats go to a folder of the test's own."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def tabs(browser: Browser) -> Iterator[Tabs]:
    """Opens pages, each in a fresh profile."""
    from tests.chat.page import Tabs

    opened = Tabs(browser)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def cellar(library_chat: Process, browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A shelf of library_chat with eggs, bread and soup, as the page makes it; its name."""
    from tests.chat.page import Tabs
    from tests.chat.shelves import filled_shelf

    opened = Tabs(browser)
    filled_shelf(opened, library_chat, "cellar", tmp_path_factory.mktemp("documents") / "kitchen")
    opened.close()
    return "cellar"


@pytest.fixture
def page(web: Process) -> Iterator[Sockets]:
    """A page without a page, before the module's own chat server."""
    from tests.chat.browser import Browser as Sockets

    made = Sockets(web.url)
    yield made
    made.client.disconnect()


@pytest.fixture
def net() -> Iterator[Web]:
    """A web server that does what a test tells it, and the net that leads to it under any name."""
    from tests.chat.hostile_web import web

    with web() as made:
        yield made


@pytest.fixture(scope="session")
def read_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of one shelf, read once for all tests of the terminal."""
    from tests.chat.recipes import write_recipes
    from tests.chat.terminal import manage

    place = tmp_path_factory.mktemp("read")
    with FakeServer() as fake:
        fake.embeds = True
        words = ("--url", fake.url, "--data_dir", str(place / "paddock"))
        assert manage("library", "add", "cooking", str(write_recipes(place)), *words).returncode == 0
    return place
