"""A small Hugging Face hub on this machine: what huggingface_hub asks for, with the faults that tests order.

Like the real one it keeps the files on another host: /resolve redirects from 127.0.0.1 to localhost.
"""

from __future__ import annotations

import hashlib
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import pytest

COMMIT = "c0ffee" * 6 + "c0ff"
TOKEN = "a-token-for-the-test"  # noqa: S105  opens the gated repository of the fake only


@dataclass(frozen=True)
class Seen:
    """One request as it arrived."""

    method: str
    path: str
    range: str
    authorization: str


@dataclass
class FakeHub:
    """The repositories and the faults; tests change the fields, the handler only reads and notes."""

    repos: dict[str, dict[str, bytes]] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    refusal: int = 0
    """Every request for a repository is answered with this status, without the hub's code for the reason."""
    seen: list[Seen] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)
    """Each download takes one number off the front and ends after so many bytes."""
    is_storage_down: bool = False
    """Downloads answer 500 once the cuts are used up."""
    announced_size: int = 0
    """Replaces the true size in the metadata."""
    sent_instead: bytes = b""
    """Replaces the bytes, not the checksum."""
    url: str = ""

    def downloads(self) -> list[Seen]:
        """Return the requests for file content."""
        return [request for request in self.seen if request.method == "GET" and request.path.startswith("/storage/")]


@contextmanager
def running() -> Iterator[FakeHub]:
    """Serve an empty hub on a free port until the block ends."""
    hub = FakeHub()
    server = _Server(("127.0.0.1", 0), _Handler)
    server.hub = hub
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def in_reach(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """Serve an empty hub that this process takes for the hub, without a token of its own."""
    with running() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield hub


def names(folder: Path) -> list[str]:
    """What a folder holds."""
    return sorted(path.name for path in folder.iterdir())


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    hub: FakeHub


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def hub(self) -> FakeHub:
        return cast(_Server, self.server).hub

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent: pytest shows what failed."""

    def do_HEAD(self) -> None:
        self._route()

    def do_GET(self) -> None:
        self._route()

    def _route(self) -> None:
        path = urlsplit(self.path).path
        headers = self.headers
        self.hub.seen.append(Seen(self.command, path, headers.get("Range", ""), headers.get("Authorization", "")))
        parts = path.strip("/").split("/")
        if parts[0] == "storage":
            self._storage(parts[1])
        elif parts[:2] == ["api", "models"] and parts[4:5] == ["tree"]:
            self._tree("/".join(parts[2:4]), parts[5])
        elif parts[2:3] == ["resolve"]:
            self._resolve("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        else:
            self._answer(HTTPStatus.OK, b"<html>a hub</html>")

    def _may(self, repo: str, revision: str) -> bool:
        """Answer with the hub's refusal unless repository and revision can be read."""
        if self.hub.refusal:
            headers = {"X-Error-Message": "Invalid credentials in Authorization header"}
            self._answer(HTTPStatus(self.hub.refusal), b"", headers)
        elif repo not in self.hub.repos:
            self._refuse(HTTPStatus.NOT_FOUND, "RepoNotFound")
        elif repo in self.hub.gated and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._refuse(HTTPStatus.FORBIDDEN, "GatedRepo")
        elif revision not in ("main", COMMIT):
            self._refuse(HTTPStatus.NOT_FOUND, "RevisionNotFound")
        else:
            return True
        return False

    def _tree(self, repo: str, revision: str) -> None:
        if self._may(repo, revision):
            files = [
                {"type": "file", "path": name, "size": len(content), "oid": "0" * 40}
                for name, content in self.hub.repos[repo].items()
            ]
            self._answer(HTTPStatus.OK, json.dumps(files).encode(), {"Content-Type": "application/json"})

    def _resolve(self, repo: str, revision: str, file: str) -> None:
        if not self._may(repo, revision):
            return
        content = self.hub.repos[repo].get(file)
        if content is None:
            self._refuse(HTTPStatus.NOT_FOUND, "EntryNotFound")
            return
        digest = hashlib.sha256(content).hexdigest()
        headers = {
            "Location": f"{self.hub.url.replace('127.0.0.1', 'localhost')}/storage/{digest}",
            "X-Repo-Commit": COMMIT,
            "X-Linked-Etag": f'"{digest}"',
            "X-Linked-Size": str(self.hub.announced_size or len(content)),
        }
        self._answer(HTTPStatus.FOUND, b"", headers)

    def _storage(self, digest: str) -> None:
        if self.hub.is_storage_down and not self.hub.cuts:
            self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, b"")
            return
        contents = (content for files in self.hub.repos.values() for content in files.values())
        content = next(content for content in contents if hashlib.sha256(content).hexdigest() == digest)
        content = self.hub.sent_instead or content
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        headers = {"ETag": f'"{digest}"', "Accept-Ranges": "bytes"}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self._answer(HTTPStatus.PARTIAL_CONTENT if start else HTTPStatus.OK, content[start:], headers, can_cut=True)

    def _refuse(self, status: HTTPStatus, code: str) -> None:
        self._answer(status, b"", {"X-Error-Code": code, "X-Error-Message": code})

    def _answer(
        self, status: HTTPStatus, body: bytes, headers: dict[str, str] | None = None, *, can_cut: bool = False
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if can_cut and self.hub.cuts:
            self.wfile.write(body[: self.hub.cuts.pop(0)])
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_WR)
            return
        self.wfile.write(body)
