"""Answers from the library in the terminal: their footnotes, their steps, and which shelves are asked."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from chatbot.core.store import Store
from chatbot.terminal.footnotes import UNCONFIRMED
from tests.chat.recipes import ANSWER, SLOWLY_S, lines
from tests.chat.terminal import Tmux, chat, converse
from tests.fakes import FakeServer, Finish

needs_tmux = pytest.mark.skipif(not shutil.which("tmux"), reason="tmux is not installed")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Chats and library go to a folder of the test's own."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    with FakeServer([*ANSWER, Finish()]) as fake:
        fake.embeds = True
        monkeypatch.setenv("CHATBOT_URL", fake.url)
        yield fake


@pytest.fixture
def cooking(server: FakeServer, read_once: Path, home: Path) -> Path:
    """A shelf with two documents, and a library of the test's own that has it."""
    shutil.copytree(read_once / "paddock", home / "data" / "paddock")
    return read_once / "recipes"


def test_an_answer_has_its_sources_below_it(cooking: Path, server: FakeServer) -> None:
    done = chat(server.url, "-l", "COOKING", "how long does a soft egg boil?")
    assert done.returncode == 0
    answer, empty, head, where, legend = lines(done)
    assert answer == "".join(ANSWER) and empty == ""
    assert head.startswith("[1] ? Eggs") and where.strip() == str(cooking / "eggs.md") and legend == UNCONFIRMED
    asked = server.requests[-1]["messages"][-1]["content"]
    assert "six minutes" in asked and "how long does a soft egg boil?" in asked
    server.scripts = [["A soft egg boils for six minutes [1].", Finish()]]
    assert "[1] ✓ Eggs" in chat(server.url, "how long does a soft egg boil? #cooking").stdout.decode()


def test_a_question_that_no_document_answers_is_refused_without_the_model(cooking: Path, server: FakeServer) -> None:
    done = chat(server.url, "-l", "cooking", "who composed the ninth symphony?")
    assert done.returncode == 1
    assert b"No answer was found in your documents" in done.stdout
    assert server.requests == []
    assert chat(server.url, "-l", "elsewhere", "an egg?").returncode == 2


def test_no_shelf_is_asked_where_the_house_has_one_for_all(cooking: Path, server: FakeServer, home: Path) -> None:
    store = Store(home / "data" / "paddock" / "chat.db")
    store.set_house_options({"library": "cooking"})
    store.close()
    told = converse(server.url, "/library off", "how long does a soft egg boil?", "/library", "/library default")
    assert b"[answers come from no shelf now]" in told.stderr and b"[answers come from cooking now]" in told.stderr
    assert "[1] ?" not in told.stdout.decode()
    assert "six minutes" not in json.dumps(server.requests[-1]["messages"])
    assert "[1] ? Eggs" in chat(server.url, "how long does a soft egg boil?").stdout.decode()
    server.scripts = [["Six minutes.", Finish()]]
    assert chat(server.url, "-l", "none", "how long does a soft egg boil?").stdout == b"Six minutes.\n"


def test_json_tells_what_an_answer_rests_on(cooking: Path, server: FakeServer) -> None:
    told = json.loads(chat(server.url, "--json", "-l", "cooking", "how long does a soft egg boil?").stdout)
    library = told["meta"]["library"]
    assert (library["shelves"], library["refused"]) == (["cooking"], False)
    assert [each["title"] for each in library["sources"]] == ["Eggs"]
    assert [mark["confirmed"] for mark in library["marks"]] == [True, False]
    streamed = chat(server.url, "--json", "--stream", "-l", "cooking", "how long does a soft egg boil?")
    assert {"looked", "grounds"} <= {json.loads(line)["type"] for line in lines(streamed)}
    assert json.loads(chat(server.url, "--json", "hi").stdout)["meta"] == {}


def test_a_deep_question_shows_its_steps(cooking: Path, server: FakeServer) -> None:
    server.by_words = {
        "Split this question": [
            json.dumps({"questions": ["How long does an egg boil?", "How hot is green tea?"]}),
            Finish(),
        ]
    }
    done = chat(server.url, "-v", "-l", "cooking", "--depth", "break-down", "how long do egg and tea take?")
    told = done.stderr.decode()
    assert "[How long does an egg boil? · " in told and "[How hot is green tea? · " in told
    assert len(server.requests) == 4


@needs_tmux
@pytest.mark.parametrize("columns", [80, 40])
def test_steps_and_footnotes_are_calm_on_a_terminal(cooking: Path, server: FakeServer, columns: int) -> None:
    with Tmux(server.url, "-l", "cooking", columns=columns, rows=40) as tmux:
        tmux.until_prompt()
        tmux.keys("how long does a soft egg boil?", "Enter")
        tmux.until("[1] ? Eggs", timeout_s=SLOWLY_S)
        seen = tmux.until_prompt()
        styled = tmux.screen(styles=True)
    flat = " ".join(seen.split())
    assert "looked in cooking · 1 passage" in flat
    assert flat.count("[1] ? Eggs") == 1 and UNCONFIRMED in flat
    assert "recipes/eggs.md" in flat.replace(" ", "")
    assert all(len(line) < columns for line in seen.split("\n"))
    assert "\x1b[33m[1] ? Eggs" in styled and "\x1b[2m" in styled


@needs_tmux
def test_the_library_is_chosen_in_the_conversation_with_tab(cooking: Path, server: FakeServer) -> None:
    with Tmux(server.url, NO_COLOR="1") as tmux:
        tmux.until_prompt()
        tmux.keys("/library coo", "Tab")
        tmux.until("> /library cooking", timeout_s=SLOWLY_S)
        tmux.keys("Enter")
        tmux.until("answers come from cooking now")
        tmux.keys("who composed the ninth symphony?", "Enter")
        tmux.until("No answer was found in your documents", timeout_s=SLOWLY_S)
        tmux.until_prompt()
        tmux.keys("/library off", "Enter")
        tmux.until("answers come from no shelf now")
        tmux.keys("a soft egg boils how long? #coo", "Tab")
        tmux.until("how long? #cooking")
        tmux.keys("Enter")
        tmux.until("[1] ? Eggs")
        tmux.until_prompt()
        assert "\x1b[3" not in tmux.screen(styles=True).replace("\x1b[3m", "").replace("\x1b[39m", "")
        assert len(server.requests) == 1


def test_plain_lines_know_the_library_too(cooking: Path, server: FakeServer) -> None:
    told = converse(server.url, "/library", "/library elsewhere", "/library cooking", "how long does a soft egg boil?")
    assert b"  cooking  2 documents" in told.stderr
    assert b"[there is no shelf elsewhere; those there are: cooking]" in told.stderr
    assert b"[answers come from cooking now]" in told.stderr
    assert "[1] ? Eggs" in told.stdout.decode()
    again = converse(server.url, "/library", args=("-c",))
    assert b"fake-model; answers come from cooking. /help" in again.stderr
    assert b"* cooking  2 documents" in again.stderr and "[1] ? Eggs" in again.stdout.decode()
