"""Stand-ins at the seams: a model inside the process, and an OpenAI-compatible server with scripted faults."""

from __future__ import annotations

import json
import select
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from chatbot.core.cancel import Cancel
from chatbot.core.llm import Ask, Piece
from chatbot.core.model import ModelInfo
from chatbot.errors import ChatError, NoChatTemplate
from tests.vectors import packed, vector_of

WAIT_S = 20.0
EMBEDS = "fake-embeddings"


class Gate:
    """A point in a script where the answer stops until the test opens it."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._open = threading.Event()

    def open(self) -> None:
        self._open.set()

    def wait_until_reached(self) -> None:
        assert self.reached.wait(WAIT_S), "the script never came to this gate"

    def pass_through(self, timeout_s: float = 0.0) -> bool:
        self.reached.set()
        return self._open.wait(timeout_s)


@dataclass(frozen=True)
class Cut:
    """The connection breaks here, as when the server is killed."""


@dataclass(frozen=True)
class Refuse:
    """An error: instead of a stream when it comes first, in the stream otherwise."""

    status: int
    code: str
    message: str = "refused by the script"
    retry_after_s: int | str | None = None
    param: str | None = None


@dataclass(frozen=True)
class Finish:
    """The last chunk."""

    reason: str = "stop"


@dataclass(frozen=True)
class Extra:
    """A chunk without text that says something beside OpenAI's fields; only for those who asked for progress."""

    fields: dict[str, Any]


@dataclass(frozen=True)
class Reason:
    """A piece of reasoning beside the answer, under the name that the server has for it."""

    text: str
    field: str = "reasoning_content"


@dataclass(frozen=True)
class Usage:
    """The chunk behind the last one that tells the tokens; cached is left out by servers that do not know."""

    prompt: int
    completion: int
    cached: int | None = None


def queue_position(n_before: int) -> Extra:
    """So many requests are answered first."""
    return Extra({"queue_position": n_before})


def prompt_progress(processed: int, total: int, cache: int = 0) -> Extra:
    """So many of the prompt's tokens are read."""
    return Extra({"prompt_progress": {"total": total, "cache": cache, "processed": processed, "time_ms": 1}})


Step = str | Gate | Cut | Refuse | Finish | Extra | Reason | Usage


@dataclass
class FakeModel:
    """turn.Model without a network: answers with the given pieces, or raises the given error between them."""

    pieces: list[str | Piece | ChatError] = field(default_factory=lambda: ["Hello", " there"])
    infos: list[ModelInfo | ChatError] = field(default_factory=lambda: [ModelInfo("fake", 4096)])
    asked: list[Ask] = field(default_factory=list)
    counted: list[str] = field(default_factory=list)
    finish_reason: str = "stop"
    knows_no_chat: bool = False
    estimates: bool = False

    def info(self, wanted: str = "") -> ModelInfo:
        now = self.infos[0] if len(self.infos) == 1 else self.infos.pop(0)
        if isinstance(now, ChatError):
            raise now
        return now

    def models(self) -> list[ModelInfo]:
        return [each for each in self.infos if isinstance(each, ModelInfo)]

    def stream(self, ask: Ask, cancel: Cancel) -> Iterator[Piece]:
        self.asked.append(ask)
        if self.knows_no_chat and not ask.continues:
            raise NoChatTemplate("the model fake has no chat template: ask /v1/completions")
        for piece in self.pieces:
            if isinstance(piece, ChatError):
                raise piece
            if cancel.is_set:
                return
            yield piece if isinstance(piece, Piece) else Piece(piece)
        yield Piece("", self.finish_reason, {"prompt_tokens": 3, "completion_tokens": len(self.pieces)})

    def count_tokens(self, text: str, model: str = "") -> int:
        self.counted.append(text)
        return len(text.split())


class FakeServer(ThreadingHTTPServer):
    """An OpenAI-compatible server on loopback. Each request takes the next script, the last one stays."""

    daemon_threads = True

    def __init__(self, *scripts: list[Step], port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.scripts: list[list[Step]] = list(scripts) or [["Hello", " there", Finish()]]
        self.by_words: dict[str, list[Step]] = {}  # the script of a request that holds these words, before the others
        self.requests: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.preferences: list[str] = []
        self.state = "ok"
        self.health_error: object = None
        self.n_ctx = 4096
        self.notice = ""
        self.names_model = True
        self.capabilities: list[str] | None = None
        self.plan: dict[str, Any] | None = None
        self.plan_gate: Gate | None = None
        self.metrics = ""
        self.plan_keys: list[str] = []
        self.counts_tokens = True
        self.counted: list[dict[str, Any]] = []
        self.models: list[dict[str, Any]] | None = None
        self.client_left = threading.Event()
        self.embeds = False  # whether it has a model that makes embeddings, see vector_of
        self.embeds_as = EMBEDS
        self.embedded: list[str] = []
        self.embed_gate: Gate | None = None  # holds every request for embeddings
        self.embed_refusal: Refuse | None = None
        self._lock = threading.Lock()
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    @property
    def can_chat(self) -> bool:
        return self.capabilities is None or "chat" in self.capabilities

    def next_script(self, path: str, body: dict[str, Any], preference: str = "") -> list[Step]:
        with self._lock:
            self.requests.append(body)
            self.paths.append(path)
            self.preferences.append(preference)
            told = json.dumps(body, ensure_ascii=False)
            for words, script in self.by_words.items():
                if words in told:
                    return script
            return self.scripts[0] if len(self.scripts) == 1 else self.scripts.pop(0)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is part of the tests."""

    def stop(self) -> None:
        self.shutdown()
        self.server_close()

    def __enter__(self) -> FakeServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class _Handler(BaseHTTPRequestHandler):
    disable_nagle_algorithm = True  # as the real server: a piece is not to wait for an acknowledgement
    protocol_version = "HTTP/1.1"
    server: FakeServer

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        told = {} if self.server.capabilities is None else {"capabilities": self.server.capabilities}
        told |= {"n_ctx": self.server.n_ctx, "demo": bool(self.server.notice)}
        model = {"id": "fake-model", "size_bytes": 1, **told}
        if self.path == "/health":
            body: dict[str, Any] = {"status": self.server.state}
            if self.server.names_model:
                body |= {"model": model, "notice": self.server.notice}
            if self.server.health_error is not None:
                body["error"] = self.server.health_error
            self._json(200 if self.server.state == "ok" else 503, body)
        elif self.path == "/v1/models":
            meta = {"state": self.server.state, **told}
            listed = self.server.models or [{"id": "fake-model", "object": "model", "meta": meta}]
            if self.server.embeds:
                kind = {"state": "ready", "kind": "embedding", "capabilities": ["embedding"], "n_ctx": 512}
                listed = [_of_chat(each) for each in listed] + [{"id": self.server.embeds_as, "meta": kind}]
            self._json(200, {"object": "list", "data": listed})
        elif self.path == "/plan" and self.server.plan is not None:
            self.server.plan_keys.append(self.headers.get("authorization", ""))
            if self.server.plan_gate is None or self._wait_at(self.server.plan_gate):
                self._json(200, self.server.plan)
        elif self.path == "/metrics" and self.server.metrics:
            self._answer(200, "text/plain; version=0.0.4", self.server.metrics.encode())
        else:
            self._json(404, {"error": {"message": "unknown", "code": "unknown_route"}})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path == "/extras/tokenize/count" and self.server.counts_tokens:
            self.server.counted.append(body)
            self._json(200, {"count": len(body["input"].split())})
            return
        if self.path == "/v1/embeddings" and self.server.embeds:
            self._embed(body)
            return
        if self.path not in {"/v1/chat/completions", "/v1/completions"}:
            self._json(404, {"error": {"message": "unknown", "code": "unknown_route"}})
            return
        if self.path == "/v1/chat/completions" and not self.server.can_chat:
            self._json(400, _error(Refuse(400, "no_chat_template", "this is a base model: it continues texts")))
            return
        steps = self.server.next_script(self.path, body, self.headers.get("prefer", ""))
        if steps and isinstance(steps[0], Refuse):
            refused = steps[0]
            later = {} if refused.retry_after_s is None else {"Retry-After": str(refused.retry_after_s)}
            self._json(refused.status, _error(refused), later)
            return
        if not body.get("stream"):
            self._whole(steps)
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self._play(steps)

    def _embed(self, body: dict[str, Any]) -> None:
        """Vectors of words, once the gate lets them through."""
        texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
        gate, refused = self.server.embed_gate, self.server.embed_refusal
        if gate is not None and not self._wait_at(gate):
            return
        if refused is None and body.get("model") not in {None, self.server.embeds_as}:
            refused = Refuse(404, "model_not_found", f"there is no model {body['model']}")
        if refused is not None:
            self._json(refused.status, _error(refused))
            return
        self.server.embedded += texts
        is_packed = body.get("encoding_format") == "base64"
        made = [vector_of(text) for text in texts]
        data = [
            {"object": "embedding", "index": n, "embedding": packed(each) if is_packed else each}
            for n, each in enumerate(made)
        ]
        usage = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
        self._json(200, {"object": "list", "data": data, "model": self.server.embeds_as, "usage": usage})

    def _play(self, steps: list[Step]) -> None:
        for step in steps:
            if isinstance(step, Gate):
                if not self._wait_at(step):
                    return
            elif isinstance(step, Cut):
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            elif isinstance(step, Refuse):
                self._chunk(f"data: {json.dumps(_error(step))}\n\n".encode())
                break
            else:
                self._send(step)
        self._chunk(b"data: [DONE]\n\n")
        self.wfile.write(b"0\r\n\r\n")

    def _whole(self, steps: list[Step]) -> None:
        """An answer that does not stream: what the script says, at its end."""
        for step in steps:
            if isinstance(step, Gate) and not self._wait_at(step):
                return
            if isinstance(step, Cut):
                self.connection.shutdown(socket.SHUT_RDWR)
                return
        text = "".join(step for step in steps if isinstance(step, str))
        reason = next((step.reason for step in steps if isinstance(step, Finish)), "stop")
        said = {"index": 0, "finish_reason": reason, "message": {"role": "assistant", "content": text}}
        made = next((_usage(step) for step in steps if isinstance(step, Usage)), _usage(Usage(1, 1)))
        answer = {"id": "x", "object": "chat.completion", "created": 1, "model": "fake-model", "usage": made}
        self._json(200, {**answer, "choices": [said]})

    def _send(self, step: str | Finish | Extra | Reason | Usage) -> None:
        """The chunk of one step; progress goes only to those who asked for it."""
        if isinstance(step, str):
            self._event({"choices": [self._choice(step)]})
        elif isinstance(step, Finish):
            self._event({"choices": [self._choice("", step.reason)]})
        elif isinstance(step, Reason):
            self._event({"choices": [{"index": 0, "delta": {step.field: step.text}, "finish_reason": None}]})
        elif isinstance(step, Usage):
            self._event({"choices": [], "usage": _usage(step)})
        elif self.headers.get("prefer") == "return-progress":
            self._event({"choices": [self._choice("")], **step.fields})

    def _wait_at(self, gate: Gate) -> bool:
        """Hold until the gate opens; False when the client went away meanwhile."""
        while not gate.pass_through(0.01):
            readable, _, _ = select.select([self.connection], [], [], 0)
            if readable and not self.connection.recv(1, socket.MSG_PEEK):
                self.server.client_left.set()
                return False
        return True

    def _choice(self, text: str, reason: str | None = None) -> dict[str, Any]:
        if self.path == "/v1/completions":
            return {"index": 0, "text": text, "finish_reason": reason, "logprobs": None}
        return {"index": 0, "delta": {"content": text} if text else {}, "finish_reason": reason}

    def _event(self, body: dict[str, Any]) -> None:
        kind = "text_completion" if self.path == "/v1/completions" else "chat.completion.chunk"
        chunk = {"id": "x", "object": kind, "created": 1, "model": "fake-model", **body}
        self._chunk(f"data: {json.dumps(chunk)}\n\n".encode())

    def _chunk(self, content: bytes) -> None:
        self.wfile.write(f"{len(content):x}\r\n".encode() + content + b"\r\n")
        self.wfile.flush()

    def _json(self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        self._answer(status, "application/json", json.dumps(body).encode(), headers)

    def _answer(self, status: int, kind: str, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


def _of_chat(listed: dict[str, Any]) -> dict[str, Any]:
    """A model of the list, as one that does not make embeddings."""
    return {**listed, "meta": {"kind": "chat", **listed.get("meta", {})}}


def _error(refused: Refuse) -> dict[str, Any]:
    named = {} if refused.param is None else {"param": refused.param}
    return {"error": {"message": refused.message, "type": "x", "code": refused.code, **named}}


def _usage(step: Usage) -> dict[str, Any]:
    told: dict[str, Any] = {"prompt_tokens": step.prompt, "completion_tokens": step.completion}
    told["total_tokens"] = step.prompt + step.completion
    return told if step.cached is None else {**told, "prompt_tokens_details": {"cached_tokens": step.cached}}
