"""What several tests share: the embedded model, one model server for the whole run, a browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes import FakeServer
from tests.processes import MODEL, Process, llmserver, running

# As llmserver/__main__.py does, before anything imports llama_cpp: models in this process share a busy machine too.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP paddock.test 127.0.0.1",  # this machine under a name that is not its own
]


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own environment must not change what is tested."""
    for name in list(os.environ):
        if name.startswith(("CHATBOT_", "LLMSERVER_")) or name in {"MODEL", "HOST", "PORT", "API_KEY", "CONFIG_FILE"}:
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def real_server() -> Iterator[Process]:
    """The real model server with the embedded model, started once."""
    assert MODEL.exists(), f"{MODEL} is missing: run ./setup.sh --no-start --model smollm2-135m"
    with running(llmserver()) as process:
        yield process


@pytest.fixture(scope="session")
def exact_model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The embedded model with float16 weights, 270 MB: its answers do not depend on who shares the batch."""
    from tests.server.exact import write_exact

    path = write_exact(tmp_path_factory.mktemp("exact") / "exact.gguf", MODEL)
    yield path
    path.unlink()


@pytest.fixture
def fake_server() -> Iterator[FakeServer]:
    """A scripted model server; set its scripts before asking it."""
    with FakeServer() as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    """Headless Chromium: the one that ./setup.sh test found, else Playwright's own."""
    from playwright.sync_api import sync_playwright

    path = os.environ.get("PADDOCK_BROWSER") or shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        yield chromium
        chromium.close()
