"""A repository on the web is reached through the guard alone: a checked host, TLS, no more bytes than allowed."""

from __future__ import annotations

import os
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from chatbot.core.sources import for_library
from chatbot.core.sources.fetch import Net
from chatbot.settings import ChatSettings
from rag.errors import SourceFailed, SourceStopped
from rag.sources import git as source
from rag.sources.git import Repository
from tests.chat.hostile_web import OUTSIDE, certificate
from tests.documents.test_sources_disk import git, read

HOST = "git.example"


class Backend(BaseHTTPRequestHandler):
    """git's own server program, behind http.server."""

    root: Path
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        parts = urlsplit(self.path)
        moved = {"/moved": "https://elsewhere.example/farm.git", "/renamed": f"https://{HOST}/farm.git"}
        if (first := f"/{parts.path.split('/')[1]}") in moved:
            self.send_response(302)
            self.send_header("Location", f"{moved[first]}{self.path.removeprefix(first)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        n_bytes = int(self.headers.get("Content-Length") or 0)
        done = subprocess.run(
            ["git", "http-backend"],
            input=self.rfile.read(n_bytes),
            capture_output=True,
            check=True,
            env={
                "PATH": os.environ["PATH"],
                "GIT_PROJECT_ROOT": str(self.root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "PATH_INFO": parts.path,
                "QUERY_STRING": parts.query,
                "REQUEST_METHOD": self.command,
                "CONTENT_TYPE": self.headers.get("Content-Type") or "",
                "CONTENT_LENGTH": str(n_bytes),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding") or "",
            },
        ).stdout
        head, _, body = done.partition(b"\r\n\r\n")
        lines = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n" % len(body)
        self.wfile.write(lines + head + b"\r\n\r\n" + body)
        self.close_connection = True

    do_POST = do_GET  # noqa: N815 - http.server's names

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """What breaks off, since git was ended, is said nowhere."""

    def handle_error(self, request: object, client_address: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    """A repository at https://git.example/farm.git, which this machine trusts."""
    work = tmp_path / "work"
    work.mkdir()
    git("init", "-q", "-b", "main", place=work)
    (work / "llama.md").write_text("\n\n# Llama\n\nA llama hums.\n")
    git("add", ".", place=work)
    git("commit", "-q", "-m", "first", place=work)
    git("clone", "-q", "--bare", str(work), str(tmp_path / "farm.git"), place=tmp_path)
    tls, _ = certificate(tmp_path, HOST)
    monkeypatch.setenv("GIT_SSL_CAINFO", str(tmp_path / "cert.pem"))
    handler = type("Handler", (Backend,), {"root": tmp_path, "asked": []})
    made = Server(("127.0.0.1", 0), handler)
    made.socket = tls.wrap_socket(made.socket, server_side=True)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


class House:
    """A net in which every name but those inside is the server's."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self._server = server
        self.connected: list[str] = []
        self.refusal: OSError | None = None
        self.names = {"inside.example": "10.0.0.7"}

    def net(self) -> Net:
        import socket

        def connect(address: str, port: int, timeout_s: float) -> socket.socket:
            self.connected.append(address)
            if self.refusal:
                raise self.refusal
            return socket.create_connection(self._server.server_address[:2], timeout_s)  # type: ignore[arg-type]

        return Net(lambda name, port, timeout_s: [self.names.get(name, OUTSIDE)], connect, ssl.create_default_context)


@pytest.fixture
def house(server: ThreadingHTTPServer) -> House:
    return House(server)


def repository(house: House, tmp_path: Path, address: str = f"https://{HOST}/farm.git") -> Repository:
    return Repository(address, tmp_path / "copy", read, fetch=for_library(ChatSettings(), house.net()))


def test_a_repository_comes_through_the_checked_address(house: House, tmp_path: Path) -> None:
    [item] = repository(house, tmp_path).items()
    document = item.read()
    assert "A llama hums." in document.text
    assert set(house.connected) == {OUTSIDE}
    assert document.meta["link"].startswith(f"https://{HOST}/farm/blob/{document.meta['commit']}/llama.md")
    assert document.meta["first_line"] == "1"


def test_a_host_inside_is_not_asked(house: House, tmp_path: Path) -> None:
    with pytest.raises(SourceFailed, match="inside this network"):
        repository(house, tmp_path, "https://inside.example/farm.git").items()
    assert house.connected == []


def test_a_repository_whose_host_is_not_reached_says_what_to_do(house: House, tmp_path: Path) -> None:
    for why, told in (
        (ConnectionRefusedError(), "git.example takes no connection at port 443: check the address"),
        (TimeoutError(), "git.example did not answer: check the address, or try again later"),
    ):
        house.refusal = why
        with pytest.raises(SourceFailed, match=told):
            repository(house, tmp_path).items()


def test_a_branch_that_a_repository_on_the_web_lacks_is_named(house: House, tmp_path: Path) -> None:
    with pytest.raises(SourceFailed, match=r"farm\.git has no branch or tag nowhere: give one that it has"):
        replace(repository(house, tmp_path), branch="nowhere").items()


def test_a_repository_that_sends_us_to_another_host_is_not_followed(house: House, tmp_path: Path) -> None:
    with pytest.raises(SourceFailed, match=r"git could not read it.*403"):
        repository(house, tmp_path, f"https://{HOST}/moved").items()
    assert repository(house, tmp_path, f"https://{HOST}/renamed").items().n == 1


def test_an_address_of_the_web_leads_to_no_folder(house: House, tmp_path: Path) -> None:
    wanted = repository(house, tmp_path)
    wanted.items()
    git("config", f"url.{(tmp_path / 'farm.git').as_uri()}.insteadOf", wanted.address, place=tmp_path / "copy")
    with pytest.raises(SourceFailed, match="transport 'file' not allowed"):
        wanted.items()


def test_a_repository_over_the_limit_is_refused_with_the_number(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "MAX_FETCHED", 900)
    with pytest.raises(SourceFailed, match="the most that is fetched"):
        repository(house, tmp_path).items()


def test_a_host_without_a_certificate_of_its_own_is_refused(house: House, tmp_path: Path) -> None:
    with pytest.raises(SourceFailed, match="git could not read it"):
        repository(house, tmp_path, "https://other.example/farm.git").items()


def test_a_run_that_shall_stop_ends_git(house: House, tmp_path: Path) -> None:
    stopped = replace(repository(house, tmp_path), is_cancelled=lambda: True)
    with pytest.raises(SourceStopped):
        stopped.items()


def test_locks_of_a_killed_run_do_not_hold_up_the_next(house: House, tmp_path: Path) -> None:
    wanted = repository(house, tmp_path)
    assert wanted.items().n == 1
    for lock in ("shallow.lock", "packed-refs.lock", "refs/paddock/newest.lock"):
        (tmp_path / "copy" / lock).write_text("")
    assert wanted.items().n == 1


def test_a_tunnel_leads_to_its_host_alone(house: House) -> None:
    import socket

    fetch = for_library(ChatSettings(), house.net())
    assert fetch
    with fetch.tunnel(f"https://{HOST}/farm.git", 10_000) as proxy:
        port = urlsplit(proxy).port
        for asked in ("CONNECT elsewhere.example:443", f"CONNECT {HOST}:22", f"GET http://{HOST}/"):
            with socket.create_connection(("127.0.0.1", port or 0), 10) as sock:
                sock.sendall(f"{asked} HTTP/1.1\r\n\r\n".encode())
                assert sock.recv(100).startswith(b"HTTP/1.1 403")
    assert house.connected == []
