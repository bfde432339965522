"""A model server that speaks at a given pace: `python -m chatbot.bench.scripted --port N`.

The question says what to say, as JSON {"n": pieces, "per_s": pace}. A piece is its number and the moment it left, on a
clock that all processes of a machine share.
"""

from __future__ import annotations

import argparse
import json
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

NAME = "scripted"
_N_CTX = 1_000_000


class Handler(BaseHTTPRequestHandler):
    """Answers as an OpenAI-compatible server does."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Health and models."""
        about = {"id": NAME, "object": "model", "n_ctx": _N_CTX, "meta": {"state": "ready", "n_ctx": _N_CTX}}
        known: dict[str, dict[str, Any]] = {
            "/health": {"status": "ok", "model": about},
            "/v1/models": {"object": "list", "data": [about]},
        }
        self._json(200 if self.path in known else 404, known.get(self.path, {"error": {"message": "no such route"}}))

    def do_POST(self) -> None:
        """A stream, or a count of tokens."""
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path == "/extras/tokenize/count":
            self._json(200, {"count": len(body["input"]) // 4})
        elif self.path == "/v1/chat/completions":
            self._speak(json.loads(body["messages"][-1]["content"]))
        else:
            self._json(404, {"error": {"message": "no such route"}})

    def _speak(self, asked: dict[str, float]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        began = time.monotonic()
        for number in range(int(asked["n"])):
            time.sleep(max(0.0, began + number / asked["per_s"] - time.monotonic()))
            self._event({"content": f"{number}:{time.monotonic_ns()};"}, None)
        self._event({}, "stop")
        self._chunk(b"data: [DONE]\n\n")
        self._chunk(b"")

    def _event(self, delta: dict[str, str], reason: str | None) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        chunk = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": NAME, "choices": [choice]}
        self._chunk(f"data: {json.dumps(chunk)}\n\n".encode())

    def _chunk(self, content: bytes) -> None:
        self.wfile.write(f"{len(content):x}\r\n".encode() + content + b"\r\n")

    def _json(self, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class Server(ThreadingHTTPServer):
    """A thread a connection; many may begin at once."""

    daemon_threads = True
    request_queue_size = 256


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The scripted model server of the chat's benchmark.")
    parser.add_argument("--port", type=int, required=True)
    Server(("127.0.0.1", parser.parse_args().port), Handler).serve_forever()
