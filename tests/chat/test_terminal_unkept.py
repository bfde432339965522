"""What a terminal must not keep: files with -n reach no disk, those of deleted chats leave the library with them."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chatbot.core.store import Store
from rag.shelves import Shelves
from tests.chat.terminal import chat, manage
from tests.fakes import FakeServer, Finish

FILLER = "\n\n".join(f"# Part {n}\n\n" + f"Filler {n} of no use here. " * 30 for n in range(40))
HIDDEN = "The cellar hides forty silver coins."
QUESTION = "How many silver coins does the cellar hide?"


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of chats and library, which nobody has made yet."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "data" / "paddock"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    with FakeServer(["Forty coins [1].", Finish()]) as fake:
        fake.embeds, fake.n_ctx = True, 2_000
        monkeypatch.setenv("CHATBOT_URL", fake.url)
        yield fake


@pytest.fixture
def secret(tmp_path: Path) -> str:
    """A file that is too long for the model."""
    path = tmp_path / "secret.md"
    path.write_text(f"{FILLER}\n\n# Cellar\n\n{HIDDEN}\n")
    return str(path)


def on_disk(data: Path) -> bytes:
    return b"".join(each.read_bytes() for each in data.rglob("*") if each.is_file())


def test_file_of_a_chat_that_is_not_kept_is_searched_and_reaches_no_disk(
    server: FakeServer, secret: str, data: Path
) -> None:
    done = chat(server.url, "-v", "-n", "-f", secret, QUESTION)
    assert done.returncode == 0 and "Forty coins" in done.stdout.decode()
    assert "[looked in secret.md · " in done.stderr.decode() and "sent whole" not in done.stderr.decode()
    assert HIDDEN in server.requests[-1]["messages"][-1]["content"]
    assert not (data / "library.db").exists() and HIDDEN.encode() not in on_disk(data)


def test_such_a_file_is_asked_together_with_a_shelf_that_stays_as_it_is(
    server: FakeServer, secret: str, data: Path, tmp_path: Path
) -> None:
    (tmp_path / "attic.md").write_text("# Attic\n\nThe attic hides nine silver coins.\n")
    assert manage("library", "add", "house", str(tmp_path / "attic.md")).returncode == 0
    assert (data / "library.db").stat().st_mode & 0o777 == 0o600
    assert chat(server.url, "-n", "-l", "house", "-f", secret, QUESTION).returncode == 0
    asked = server.requests[-1]["messages"][-1]["content"]
    assert HIDDEN in asked and "nine silver coins" in asked
    assert HIDDEN.encode() not in on_disk(data)
    assert manage("library", "list").stdout.startswith(b"house  1 document")


def test_file_of_a_chat_that_was_deleted_a_day_ago_leaves_the_library_without_a_web_server(
    server: FakeServer, secret: str, data: Path
) -> None:
    assert chat(server.url, "-f", secret, QUESTION).returncode == 0
    library, store = Shelves(data / "library.db"), Store(data / "chat.db")
    assert len(library.hidden_documents()) == 1
    [kept] = store.chats()
    store.delete([kept.id])
    store.close()
    with sqlite3.connect(data / "chat.db") as db:
        db.execute("UPDATE chats SET deleted_at = ?", (time.time() - 90_000,))
    assert chat(server.url, "Hello?").returncode == 0
    assert library.hidden_documents() == []
    library.close()
