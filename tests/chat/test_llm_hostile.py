"""The model client against what no model server should ever answer."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from chatbot.core.cancel import Cancel
from chatbot.core.events import Message
from chatbot.core.llm import Ask, ModelClient, Piece
from chatbot.errors import ModelAway, ModelError, ModelGone
from tests.chat.hostile_web import certificate
from tests.fakes import WAIT_S

ASK = Ask([Message("user", "hello")], "fake-model", 0.5, 100)
STREAM, JSON, PAGE = "text/event-stream", "application/json", "text/html"
FIRST = b'data: {"choices": [{"delta": {"content": "Hi"}}]}\n\n'
LAST = b'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\n\n'


@contextmanager
def answering(body: bytes, kind: str = STREAM, status: int = 200, **headers: str) -> Iterator[ModelClient]:
    """A server that has one answer for everything, and a client of it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(status)
            for name, value in {"Content-Type": kind, **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - named by the library

        def log_message(self, *_: object) -> None:
            """A test says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield ModelClient(f"http://127.0.0.1:{server.server_address[1]}/v1", "", 5)
        server.shutdown()


def answer(model: ModelClient) -> list[Piece]:
    return list(model.stream(ASK, Cancel()))


@pytest.mark.parametrize(
    "bad",
    [
        b"data: {broken\n\n",
        b"data: \xff\xfe\x00\n\n",
        b"data: 7\n\n",
        b'data: ["choices"]\n\n',
        b'data: {"choices": "many"}\n\n',
        b'data: {"choices": [7]}\n\n',
        b'data: {"choices": [{"delta": [1]}]}\n\n',
        b"data: " + b"[" * 200_000 + b"\n\n",
        b"data: " + b"x" * 5_000_000 + b"\n\n",
    ],
)
def test_garbage_in_mid_answer_is_an_error_and_what_came_before_is_kept(bad: bytes) -> None:
    got = []
    with answering(FIRST + bad + LAST) as model, pytest.raises(ModelError, match="no part of an answer"):
        for piece in model.stream(ASK, Cancel()):
            got.append(piece)
    assert got == [Piece("Hi")]


@pytest.mark.parametrize(
    "odd",
    [
        b": ping\n\n",
        b"event: ping\ndata: {}\n\n",
        b'data: {"choices": []}\n\n',
        b'data: {"choices": null}\n\n',
        b'data: {"choices": [{"delta": null}]}\n\n',
        b'data: {"choices": [{"delta": {"content": null, "tool_calls": [{}]}}]}\n\n',
        b'data: {"choices": [{"delta": {"content": ["no", "text"]}}], "usage": [1], "error": null}\n\n',
        b'data: {"choices": [{}], "usage": {"prompt_tokens": "3"}, "prompt_progress": 7}\n\n',
    ],
)
def test_what_is_odd_but_harmless_is_passed_over(odd: bytes) -> None:
    with answering(FIRST + odd + LAST + b"data: [DONE]\n\n") as model:
        pieces = [piece for piece in answer(model) if piece != Piece()]
    assert pieces == [Piece("Hi"), Piece("", "stop")]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ({"message": "out of memory", "code": 500}, "^out of memory$"),
        ("out of memory", "^out of memory$"),
        ({"code": "x", "message": {"no": "text"}}, "answered with an error"),
        ([1, 2], "answered with an error"),
    ],
)
def test_an_error_in_the_stream_is_told_in_the_servers_words(error: Any, said: str) -> None:
    line = b"data: " + json.dumps({"error": error}).encode() + b"\n\n"
    with answering(FIRST + line) as model, pytest.raises(ModelError, match=said):
        answer(model)


@pytest.mark.parametrize(
    ("body", "kind", "said"),
    [
        (b'{"error": {"message": "no such model"}}', JSON, "^no such model$"),
        (b'{"detail": "Not Found"}', JSON, "^Not Found$"),
        (b"<html>502 Bad Gateway</html>", PAGE, r"^the model server answered with an error \(status 502\)$"),
        (b"\xff\xfe", JSON, r"status 502"),
        (b"[" * 200_000, JSON, r"status 502"),
        (b"", JSON, r"status 502"),
    ],
)
def test_a_refusal_in_any_form_is_one_sentence(body: bytes, kind: str, said: str) -> None:
    with answering(body, kind, 502) as model:
        for asked in (answer, ModelClient.info):
            with pytest.raises(ModelError, match=said):
                asked(model)


def test_a_server_that_knows_no_streams_answers_at_once() -> None:
    whole = {"choices": [{"message": {"content": "Hello you"}, "finish_reason": "stop"}], "usage": {}}
    with answering(json.dumps(whole).encode(), JSON) as model:
        assert answer(model) == [Piece("Hello you", "stop")]


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"<html>hello</html>", PAGE, 200),
        (b'{"object": "list", "data": "none"}', JSON, 200),
        (b"x" * 9_000_000, JSON, 200),
        (b"[" * 200_000, JSON, 200),
    ],
)
def test_a_list_of_models_that_is_none_says_to_give_another_address(body: bytes, kind: str, status: int) -> None:
    with answering(body, kind, status) as model, pytest.raises(ModelError, match="no model server: give another --url"):
        model.info()


def test_a_page_in_place_of_an_answer_says_to_give_another_address() -> None:
    with answering(b"<html>hello</html>", PAGE) as model, pytest.raises(ModelError, match="give another --url"):
        answer(model)


def test_a_redirection_is_not_followed() -> None:
    with answering(b"", PAGE, 307, Location="http://192.0.2.1/") as model, pytest.raises(ModelError, match="307"):
        answer(model)


def test_a_damaged_encoding_that_nobody_asked_for_is_an_error() -> None:
    with (
        answering(FIRST + LAST, Content_Encoding="gzip") as model,
        pytest.raises(ModelError, match="no part of an answer"),
    ):
        answer(model)


@pytest.mark.parametrize("url", ["http://[::1", "ftp://127.0.0.1/v1", "http://\x00/v1", "http://127.0.0.1:99999/v1"])
def test_an_address_that_is_none_is_said(url: str) -> None:
    for asked in (answer, ModelClient.info):
        with pytest.raises(ModelError):
            asked(ModelClient(url, "", 5))
    assert ModelClient(url, "", 5).health().state == "away"


def test_a_key_that_cannot_be_sent_is_an_error_and_not_a_crash() -> None:
    for key in ("schlüssel", "two\nlines", "\ud800"):
        with answering(FIRST + LAST) as model, pytest.raises(ModelError):
            answer(ModelClient(model._url, key, 5))


@pytest.mark.parametrize("text", ["half a character: \ud83d", "\x00", '"quotes" \\ 你好'])
def test_every_text_can_be_asked(text: str) -> None:
    with answering(FIRST + LAST) as model:
        pieces = model.stream(replace(ASK, messages=[Message("user", text)]), Cancel())
        assert [piece.text for piece in pieces] == ["Hi", ""]


def test_headers_without_an_answer_are_told_as_one_that_broke_off() -> None:
    with answering(b"", Content_Length="100") as model, pytest.raises(ModelGone):
        answer(model)
    with pytest.raises(ModelAway):
        answer(model)


def test_tls_is_used_checked_and_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tls, _ = certificate(tmp_path, "localhost")
    sent, goes_on, cancel = threading.Event(), threading.Event(), Cancel()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("Content-Type", STREAM)
            self.end_headers()
            self.wfile.write(FIRST)
            sent.set()
            goes_on.wait(WAIT_S)

        def log_message(self, *_: object) -> None:
            """A test says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        url = f"https://localhost:{server.server_address[1]}/v1"
        with pytest.raises(ModelAway, match=r"no safe connection .* certificate is not trusted \(self-signed"):
            answer(ModelClient(url, "", 5))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
        pieces = ModelClient(url, "", 60).stream(ASK, cancel)
        assert next(pieces) == Piece("Hi")
        assert sent.wait(WAIT_S)
        threading.Timer(0.05, cancel.set).start()
        began = time.monotonic()
        assert list(pieces) == []
        assert time.monotonic() - began < WAIT_S, "the read that was blocked has woken up"
        goes_on.set()
        server.shutdown()


def test_what_speaks_no_tls_is_said() -> None:
    with answering(FIRST) as model, pytest.raises(ModelAway, match=r"no safe connection to https://.*TLS failed"):
        answer(ModelClient(model._url.replace("http:", "https:"), "", 5))
