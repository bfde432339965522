"""The benchmark measures what it says: a lost piece is seen, a bar that is missed is named."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from chatbot.bench import __main__ as bench
from chatbot.bench.__main__ import Line, Size, crowd, percentile, seed, table
from chatbot.bench.packages import weights
from chatbot.bench.processes import memory_mb
from chatbot.bench.scripted import Handler, Server
from chatbot.bench.viewers import Heard, Viewer, read_directly
from tests.processes import chatbot, running


@pytest.fixture(scope="module")
def model() -> Iterator[int]:
    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def test_lost_repeated_and_swapped_pieces_are_seen() -> None:
    for text, is_whole in (
        ("0:1;1:1;2:1;", True),
        ("0:1;2:1;", False),
        ("0:1;0:1;1:1;", False),
        ("1:1;0:1;2:1;", False),
    ):
        heard = Heard()
        heard.take(text)
        assert heard.is_whole(3) is is_whole
    late = Heard()
    late.take("2:1;3:1;")
    assert not late.is_whole(4)
    late.n_early = 3
    assert late.is_whole(4) and not late.is_whole(5)


def test_the_same_stream_is_whole_directly_and_through_the_chat_which_remembers_seeded_chats(
    model: int, tmp_path: Path
) -> None:
    direct = read_directly(model, 20, 1_000)
    assert direct.is_whole(20) and min(direct.delays_ms) > 0
    seed(tmp_path, Size(n_chats=2, n_messages=4))
    with running(chatbot(f"http://127.0.0.1:{model}/v1", tmp_path)) as web:
        page = Viewer(web.url)
        assert len(page.call("chats", {})["chats"]) == 2
        assert page.call("search", {"text": "no1x3"})["hits"]
        _, answer = page.ask(None, 20, 200)
        assert page.until_end(answer).is_whole(20)
        proportional, resident = memory_mb(web.process.pid)
        assert 10 < proportional <= resident
        page.close()


def test_fifty_people_who_ask_at_once_lose_nothing(model: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for rounds in ("_CROWD_ROUNDS", "_FILLING_ROUNDS", "_STEADY_ROUNDS"):
        monkeypatch.setattr(bench, rounds, 1)
    with running(chatbot(f"http://127.0.0.1:{model}/v1", tmp_path)) as web:
        lines = {line.what: line for line in crowd(web.url, web.process.pid, Size(n_pieces=20))}
    (lost,) = (line for what, line in lines.items() if "gap or out of order" in what)
    assert lost.value == 0
    assert sum(line.bar is not None for line in lines.values()) == 3  # nothing lost, nobody late, memory flat


def test_the_packages_of_the_web_chat_are_light_and_compute_no_model() -> None:
    found = weights()
    assert {"flask", "jinja2", "simple-websocket", "pypdf", "numpy"} <= set(found)  # imported, needed, found by name
    assert not {"torch", "transformers", "llama-cpp-python", "openai"} & set(found)
    assert sum(found.values()) - found["numpy"] <= 60


def test_a_bar_that_is_missed_is_named() -> None:
    text = table(
        [Line("quick", 1.0, "ms", 2), Line("slow", 3.0, "ms", 2), Line("told", 9.0, "MB"), Line("lost", 0, "", 0)]
    )
    rows = [[cell.strip() for cell in row.split("|")] for row in text.splitlines()[2:]]
    assert [row[4] for row in rows] == ["met", "**missed**", "", "met"]


@pytest.mark.parametrize(
    ("flags", "n_lost", "status", "verdict"),
    [([], 0, 1, "**missed**"), (["--quick"], 0, 0, ""), (["--quick"], 1, 1, "")],
)
def test_a_quick_run_judges_only_whether_all_came(
    flags: list[str],
    n_lost: int,
    status: int,
    verdict: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(bench, "measure", lambda *_: [Line("slow", 3.0, "ms", 2), Line("lost", n_lost, "", 0)])
    assert bench.main(flags) == status
    rows = [[cell.strip() for cell in row.split("|")] for row in capsys.readouterr().out.splitlines()[-2:]]
    assert [row[4] for row in rows] == [verdict, "**missed**" if n_lost else "met"]


def test_a_percentile_is_a_value_that_was_measured() -> None:
    assert percentile([5, 1, 4, 2, 3], 50) == 3
    assert percentile([1.0], 99) == 1.0
    assert percentile(range(100), 95) == 95
