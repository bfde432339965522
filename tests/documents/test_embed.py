"""Vectors come from any OpenAI-compatible server; what a server cannot do is said in words for a person."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from rag.embed import HttpEmbedder
from rag.errors import EmbedderAway, TextTooLong

Answer = Callable[[str, dict[str, Any]], tuple[int, Any]]


class Server:
    """Answers as it is told to."""

    def __init__(self) -> None:
        self.answer: Answer = lambda path, body: (404, {})
        self.asked: list[tuple[str, dict[str, Any], str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.do_POST()

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
                outer.asked.append((self.path, body, self.headers.get("Authorization", "")))
                status, said = outer.answer(self.path, body)
                out = said if isinstance(said, bytes) else json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(out)))
                self.end_headers()
                self.wfile.write(out)

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


def listed(*kinds: str | None) -> Answer:
    """A server with models of these kinds; None is one that says nothing of itself."""

    def answer(path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if path == "/v1/models":
            return 200, {"data": [{"id": f"m{n}", **({"meta": {"kind": k}} if k else {})} for n, k in enumerate(kinds)]}
        data = [{"index": n, "embedding": packed([3.0, len(text)])} for n, text in enumerate(body["input"])]
        return 200, {"object": "list", "data": data[::-1], "model": body["model"], "usage": {}}

    return answer


def packed(numbers: list[float]) -> str:
    return base64.b64encode(np.asarray(numbers, "<f4").tobytes()).decode()


def test_vectors_come_in_order_and_of_length_one(server: Server) -> None:
    server.answer = listed("chat", "embedding")
    found = HttpEmbedder(server.url, "key-1").embed(["four", ""])
    assert np.allclose(found, [[0.6, 0.8], [1, 0]])
    assert server.asked[-1] == (
        "/v1/embeddings",
        {"input": ["four", ""], "model": "m1", "encoding_format": "base64"},
        "Bearer key-1",
    )


def test_a_model_that_was_named_is_asked_without_looking(server: Server) -> None:
    server.answer = listed("embedding")
    HttpEmbedder(server.url, model="mine").embed(["x"])
    assert [(path, body["model"]) for path, body, _ in server.asked] == [("/v1/embeddings", "mine")]


def test_a_server_that_says_nothing_of_its_models_is_believed(server: Server) -> None:
    server.answer = listed(None)
    assert HttpEmbedder(server.url).model == "m0"


def test_no_texts_ask_nobody(server: Server) -> None:
    assert HttpEmbedder(server.url).embed([]) == []
    assert server.asked == []


def test_a_server_without_an_embedding_model_says_what_to_do(server: Server) -> None:
    server.answer = listed("chat", "rerank")
    with pytest.raises(EmbedderAway, match="models pull"):
        HttpEmbedder(server.url).embed(["x"])


@pytest.mark.parametrize(
    ("status", "said", "error", "words"),
    [
        (400, {"error": {"message": "too long", "code": "context_length_exceeded"}}, TextTooLong, "at once"),
        (400, {"error": {"message": "embeddings need --embedding true"}}, EmbedderAway, "--embedding true"),
        (401, {"error": {"message": "wrong key"}}, EmbedderAway, "wrong key"),
        (200, {"object": "list", "data": []}, EmbedderAway, "0 embeddings of 1"),
        (200, {"data": [{"index": 0, "embedding": packed([float("nan")])}]}, EmbedderAway, "another address"),
        (200, {"data": [{"index": 0, "embedding": ""}]}, EmbedderAway, "another address"),
        (200, b"<html>", EmbedderAway, "another address"),
    ],
)
def test_what_goes_wrong_is_said(server: Server, status: int, said: Any, error: type[Exception], words: str) -> None:
    server.answer = lambda path, body: (status, said)
    with pytest.raises(error, match=words):
        HttpEmbedder(server.url, model="m").embed(["x"])


def test_nobody_there_is_said() -> None:
    with pytest.raises(EmbedderAway, match=r"start the model server with \./setup\.sh"):
        HttpEmbedder("http://127.0.0.1:9/v1", model="m").embed(["x"])


def test_whether_a_server_is_there_is_asked_each_time(server: Server) -> None:
    embedder = HttpEmbedder(server.url, model="named")
    server.answer = listed("chat", "embedding")
    assert (embedder.check(), HttpEmbedder(server.url).check()) == ("named", "m1")
    server.answer = lambda path, body: (403, {"error": {"message": "the key is wrong"}})
    assert embedder.model == "named"
    with pytest.raises(EmbedderAway, match="the key is wrong"):
        embedder.check()


def ranking(path: str, body: dict[str, Any]) -> tuple[int, Any]:
    """A server with a model that ranks: the longest text first."""
    if path == "/v1/models":
        return 200, {"data": [{"id": "m", "meta": {"kind": "embedding"}}, {"id": "r", "meta": {"kind": "rerank"}}]}
    order = sorted(range(len(body["documents"])), key=lambda number: -len(body["documents"][number]))
    return 200, {"results": [{"index": n, "relevance_score": len(body["documents"][n])} for n in order]}


def test_a_server_with_a_reranker_ranks(server: Server) -> None:
    server.answer = ranking
    embedder = HttpEmbedder(server.url)
    assert embedder.can_rerank()
    assert embedder.rerank("what", ["a", "ccc", "bb"]) == [1.0, 3.0, 2.0]
    assert server.asked[-1][:2] == ("/v1/rerank", {"model": "r", "query": "what", "documents": ["a", "ccc", "bb"]})
    embedder.can_rerank()
    assert [path for path, *_ in server.asked].count("/v1/models") == 1


@pytest.mark.parametrize("said", [(500, {"error": {"message": "broken"}}), (200, {"results": []}), (200, b"what?")])
def test_a_reranker_that_fails_is_done_without(server: Server, said: tuple[int, Any]) -> None:
    server.answer = lambda path, body: ranking(path, body) if path == "/v1/models" else said
    embedder = HttpEmbedder(server.url)
    assert embedder.can_rerank()
    assert embedder.rerank("what", ["a", "b"]) is None
    assert not embedder.can_rerank()


def test_a_server_without_a_reranker_and_no_server_rank_nothing(server: Server) -> None:
    server.answer = listed("chat", "embedding", None)
    assert not HttpEmbedder(server.url).can_rerank()
    assert not HttpEmbedder("http://127.0.0.1:1/v1").can_rerank()


def test_another_model_of_the_same_server(server: Server) -> None:
    server.answer = listed("embedding")
    HttpEmbedder(server.url, "secret", "one").of("two").embed(["x"])
    assert server.asked[-1][1]["model"] == "two"
    assert server.asked[-1][2] == "Bearer secret"


def test_a_server_without_time_is_asked_again(server: Server) -> None:
    busy = [(503, {"error": {"message": "busy", "code": "queue_full"}}), (429, {})]
    vector = base64.b64encode(np.ones(4, "<f4").tobytes()).decode()
    good = (200, {"data": [{"index": 0, "embedding": vector}]})
    server.answer = lambda path, body: busy.pop() if busy else good
    assert len(HttpEmbedder(server.url, model="m").embed(["a"])) == 1
    server.answer = lambda path, body: (400, {"error": {"message": "never"}})
    server.asked.clear()
    with pytest.raises(EmbedderAway, match="never"):
        HttpEmbedder(server.url, model="m").embed(["a"])
    assert len(server.asked) == 1
