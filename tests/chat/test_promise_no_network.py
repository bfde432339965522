"""Works with the internet cut: web server and terminal do not even try to reach more than this machine."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from rag.extract import bounded, read, reading
from tests.chat import samples
from tests.chat.browser import Browser
from tests.chat.test_library_web import add_folder, ended, shelf_of
from tests.fakes import FakeServer, Finish
from tests.processes import REPO, chatbot, environment, running

# Python runs this in every process that it starts: each address and name that anything asks the system for is noted.
TRAP = """
    import ipaddress, os, sys

    def is_ours(host):
        name = host.decode() if isinstance(host, bytes) else str(host or "localhost")
        if name == "localhost":
            return True
        try:
            return ipaddress.ip_address(name.partition("%")[0]).is_loopback
        except ValueError:
            return False

    def hear(event, args):
        if event == "socket.connect" or event == "socket.sendto":
            address = args[1]
            is_outside = isinstance(address, tuple) and not is_ours(address[0])
        elif event in {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"}:
            address, is_outside = args[0], not is_ours(args[0])
        else:
            return
        line = f"{'OUT' if is_outside else 'in'} {event} {address}\\n"
        with open(os.environ["TRAP_LOG"], "a") as log:
            log.write(line)

    sys.addaudithook(hear)
"""


@pytest.fixture
def trap(tmp_path: Path) -> dict[str, str]:
    """What a process needs in its environment to be heard."""
    folder = tmp_path / "trap"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(textwrap.dedent(TRAP))
    return {"PYTHONPATH": str(folder), "TRAP_LOG": str(tmp_path / "heard"), "XDG_DATA_HOME": str(tmp_path / "home")}


def heard(trap: dict[str, str], beginning: str) -> list[str]:
    log = Path(trap["TRAP_LOG"])
    return [line for line in log.read_text().splitlines() if line.startswith(beginning)]


def converse(server_url: str, trap: dict[str, str], *lines: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "chatbot.chat", "--url", server_url, *lines],
        input=b"",
        capture_output=True,
        check=True,
        env=environment(**trap),
        cwd=REPO,
        timeout=60,
    )


def test_start_chat_files_and_restart_ask_nothing_beyond_this_machine(
    fake_server: FakeServer, trap: dict[str, str], tmp_path: Path
) -> None:
    fake_server.scripts = [["answer", Finish()]]
    for _ in range(2):
        with running(chatbot(fake_server.url, tmp_path / "chats", **trap)) as web:
            page = Browser(web.url)
            for name in ("hello", "chats", "about"):
                assert page.call(name)["ok"]
            turn = page.call("send", {"text": "[a page](https://example.org/) #https://example.org/ in words"})
            assert page.end_of(turn["answer"]["id"])["status"] == "done"
            assert page.call("search", {"text": "words"})["ok"]
            page.client.disconnect()
            assert web.terminate() == 0
    (tmp_path / "notes.txt").write_text("see https://example.org/")
    converse(fake_server.url, trap, "-f", str(tmp_path / "notes.txt"), "what is at https://example.org/?")
    converse(fake_server.url, trap, "models")
    assert heard(trap, "OUT") == []
    assert heard(trap, "in socket.connect")  # the trap was there


LINKS = "<p>See <a href='https://example.org/'>this</a><img src='https://example.org/x.png'> of the llamas.</p>"


def test_a_library_is_read_searched_and_asked_without_asking_anything_beyond_this_machine(
    fake_server: FakeServer, trap: dict[str, str], tmp_path: Path
) -> None:
    fake_server.embeds = True
    fake_server.scripts = [["They hum [1].", Finish()]]
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "llamas.pdf").write_bytes(samples.pdf("Llamas hum, says https://example.org/"))
    (docs / "more.html").write_text(f"<html><body>{LINKS * 5}</body></html>")
    with running(chatbot(fake_server.url, tmp_path / "chats", **trap)) as web:
        page = Browser(web.url)
        shelf = shelf_of(page, "farm")
        source = add_folder(page, shelf, docs, watch=True)
        assert ended(page, source)["n_documents"] == 2
        assert page.call("source_refresh", {"source_id": source})["ok"]
        assert ended(page, source, 2)["state"] == "ok"
        assert page.call("find", {"text": "Do llamas hum?", "shelf_ids": [shelf]})["passages"]
        turn = page.call("send", {"text": "#farm do llamas hum?"})
        assert page.end_of(turn["answer"]["id"])["status"] == "done"
        assert page.call("live")["ok"]
        page.client.disconnect()
    assert heard(trap, "OUT") == []
    assert heard(trap, "in socket.connect")


@pytest.mark.parametrize(
    ("name", "data"),
    [("a.pdf", samples.pdf("See https://example.org/")), ("a.html", f"<html>{LINKS * 5}</html>".encode())],
)
def test_the_process_that_reads_a_document_asks_nobody(
    name: str, data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "heard"
    trap = textwrap.dedent(TRAP).replace('os.environ["TRAP_LOG"]', repr(str(log)))
    monkeypatch.setattr(bounded, "_CODE", f"{trap}\nhear('socket.getaddrinfo', ['localhost'])\n{bounded._CODE}")
    monkeypatch.setattr(reading, "READERS", readers := bounded.Readers())
    try:
        assert read(name, data).text
    finally:
        readers.close()
    assert log.read_text().splitlines() == ["in socket.getaddrinfo localhost"]  # the trap was there, and no more


def test_trap_would_hear_who_asks_for_more(fake_server: FakeServer, trap: dict[str, str], tmp_path: Path) -> None:
    with running(chatbot(fake_server.url, tmp_path / "chats", **trap)) as web:
        page = Browser(web.url)
        told = page.call("url", {"chat_id": None, "url": "http://paddock.invalid/"})
        assert not told["ok"], json.dumps(told)
        page.client.disconnect()
    assert heard(trap, "OUT socket.getaddrinfo paddock.invalid")
