"""What every response says of itself, so that a browser lets nothing in that does not belong there."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator
from email.message import Message

import pytest

from tests.fakes import WAIT_S
from tests.processes import Process, chatbot, running

# Nothing from elsewhere, nothing inside the page; not to be framed, nothing told to others, no device.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    with running(chatbot("http://127.0.0.1:9/v1", tmp_path_factory.mktemp("chat"))) as process:
        yield process


def get(url: str) -> tuple[int, Message]:
    try:
        with urllib.request.urlopen(url, timeout=WAIT_S) as answer:
            return answer.status, answer.headers
    except urllib.error.HTTPError as answer:
        return answer.code, answer.headers


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 200),
        ("/c/x", 200),
        ("/health", 200),
        ("/static/build/chat.js", 200),
        ("/nope", 404),
        ("/export/x.md", 404),
    ],
)
def test_everything_carries_a_strict_policy(web: Process, path: str, status: int) -> None:
    got, headers = get(f"{web.url}{path}")
    assert (got, {name: headers[name] for name in HEADERS}) == (status, HEADERS)
