"""Pictures, news and the weather in the terminal: what is read, what the model gets, and what is refused."""

from __future__ import annotations

import base64
import json
import sqlite3
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.chat import samples
from tests.chat.terminal import chat, converse
from tests.chat.test_sources import RSS, WEATHER
from tests.fakes import FakeServer, Finish

pytestmark = pytest.mark.usefixtures("home")

PICTURE = samples.png(32, 24)
RECORDED = {"/rss": RSS, "/Oslo": json.dumps(WEATHER).encode(), "/heron.png": PICTURE}


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer(["A heron", Finish()]) as fake:
        fake.capabilities = ["chat", "vision"]
        yield fake


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A site in the house with answers that were recorded; it is allowed, and news and weather are asked there."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = RECORDED.get(self.path)
            self.send_response(200 if found else 404)
            self.end_headers()
            self.wfile.write(found or b"")

        def log_message(self, *_: object) -> None:
            """A test says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as site:
        threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        address = f"http://127.0.0.1:{site.server_address[1]}"
        monkeypatch.setenv("CHATBOT_ALLOWED_FETCH_HOSTS", "127.0.0.1")
        monkeypatch.setenv("CHATBOT_NEWS_URL", f"{address}/rss")
        monkeypatch.setenv("CHATBOT_WEATHER_URL", f"{address}/{{place}}")
        yield address
        site.shutdown()


def pictures(server: FakeServer) -> list[bytes]:
    """The pictures beside the last message, as the model got them."""
    content = server.requests[-1]["messages"][-1]["content"]
    urls = [part["image_url"]["url"] for part in content if part["type"] == "image_url"]
    assert all(url.startswith("data:image/png;base64,") for url in urls)
    return [base64.b64decode(url.partition(",")[2]) for url in urls]


def test_pictures_go_with_a_prompt_by_name_by_pattern_and_by_address(
    server: FakeServer, web: str, tmp_path: Path
) -> None:
    others = [samples.png(8 * n, 6) for n in (1, 2)]
    for number, each in enumerate(others):
        (tmp_path / f"scan-{number}.png").write_bytes(each)
    (tmp_path / "heron.png").write_bytes(PICTURE)
    done = chat(server.url, "-f", str(tmp_path / "heron.png"), "what is on it?")
    assert (done.returncode, done.stdout, pictures(server)) == (0, b"A heron\n", [PICTURE])
    assert server.requests[-1]["messages"][-1]["content"][0] == {"type": "text", "text": "what is on it?"}
    chat(server.url, "-f", str(tmp_path / "scan-*.png"), "-f", f"{web}/heron.png", "and these?")
    assert pictures(server) == [*others, PICTURE]
    chat(server.url, "-f", str(tmp_path / "heron.png"))
    assert pictures(server) == [PICTURE]


def test_a_picture_stays_with_its_chat_and_is_told_when_it_is_opened(server: FakeServer, tmp_path: Path) -> None:
    (tmp_path / "heron.png").write_bytes(PICTURE)
    done = converse(server.url, f"/file {tmp_path}/heron.png", "what is on it?", "sure?")
    assert b"[heron.png: a picture of 32 by 24 goes with the next message]" in done.stderr
    assert PICTURE[:20] in base64.b64decode(str(server.requests[-1]["messages"]).partition("base64,")[2][:400])
    assert b"[heron.png]" not in converse(server.url, "/exit", args=("-c",)).stdout, "the last turn has no file"
    converse(server.url, "/undo", "/exit", args=("-c",))
    assert b"> what is on it?\n  [heron.png]\n" in converse(server.url, "/exit", args=("-c",)).stdout


def test_a_model_that_cannot_see_refuses_before_anything_is_asked_or_kept(
    server: FakeServer, home: Path, tmp_path: Path
) -> None:
    server.capabilities = ["chat"]
    (tmp_path / "heron.png").write_bytes(PICTURE)
    done = chat(server.url, "-f", str(tmp_path / "heron.png"), "what is on it?")
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"the model fake-model cannot see pictures" in done.stderr and b"send the message" in done.stderr
    talked = converse(server.url, f"/file {tmp_path}/heron.png", "then without")
    assert b"cannot see pictures" in talked.stderr and talked.stdout == b"A heron\n"
    assert [sent["messages"][-1]["content"] for sent in server.requests] == ["then without"]
    with sqlite3.connect(home / "paddock" / "chat.db") as db:
        assert db.execute("SELECT count(*) FROM files").fetchone() == (0,)


def test_a_damaged_picture_is_a_sentence_and_wrong_use(server: FakeServer, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(PICTURE[:20])
    done = chat(server.url, "-f", str(tmp_path / "bad.png"), "what is on it?")
    assert (done.returncode, server.requests) == (2, [])
    assert b"bad.png is a picture whose size cannot be read" in done.stderr


def test_news_and_weather_go_with_the_next_message_as_they_were_told(server: FakeServer, web: str) -> None:
    done = converse(server.url, "/news", "/weather Oslo", "what is new?", "/weather Nowhere", "and now?")
    told = done.stderr.decode()
    assert "[News: " in told and "[Weather in Oslo, Norway: " in told
    assert "there is no weather for Nowhere" in told and "Traceback" not in told
    first = server.requests[0]["messages"][-1]["content"]
    for part in ("Rain in the north", "Votes &", "Now: Light rain, 3 °C", "what is new?"):
        assert part in first
    assert server.requests[1]["messages"][-1]["content"] == "and now?"


def test_with_the_network_turned_off_nothing_is_fetched(server: FakeServer, web: str) -> None:
    done = converse(server.url, "/news", "/weather Oslo", args=("--network", "false"))
    assert done.stderr.count(b"fetching is turned off here") == 2
    assert chat(server.url, "--network", "false", "-f", f"{web}/heron.png", "hi").returncode == 2
    assert server.requests == []
