"""A pool and a service without an engine: every request is remembered, its answer comes from a script."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from fastapi import APIRouter
from starlette.testclient import TestClient

from llmserver import settings as settings_module
from llmserver.api.app import create_app
from llmserver.api.batched import ROUTERS
from llmserver.api.readiness import ModelCard, Readiness
from llmserver.engine.info import ModelInfo
from llmserver.engine.request import Adapter, Event, Finished, Logprob, PromptLogprobs, Request, Token, Usage
from llmserver.errors import LlmServerError, UnknownModel

HERE = "http://127.0.0.1:8000"
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SPECIAL = ("<s>", "<|im_end|>", "<|im_start|>", "<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<think>", "</think>")
BOS, EOS = 256, 257
FIM = (259, 260, 261)
PIECES = tuple([bytes([i]) for i in range(256)] + [text.encode() for text in SPECIAL])
Script = Callable[[Request], AsyncIterator[Sequence[Event]]]


INFO = ModelInfo(
    name="tiny",
    kind="chat",
    n_ctx=512,
    n_ctx_train=1024,
    n_vocab=len(PIECES),
    n_embd=16,
    size_bytes=1000,
    chat_template=CHATML,
    bos="<s>",
    eos="<|im_end|>",
    bos_id=BOS,
    eos_id=EOS,
    add_bos=True,
    eog=frozenset({EOS}),
    fim=FIM,
)


def logprob_of(token: int, n: int | None) -> Logprob | None:
    """What the fake model thinks of a token: the lower its number, the likelier."""
    if n is None:
        return None
    return Logprob(token, -token / 100, tuple((other, -other / 100) for other in range(65, 65 + n)))


def events_of(text: str, request: Request, *, reason: str = "stop", cached: int = 0) -> list[Event]:
    """The whole answer: a byte a token, so that the text of a long character comes with its last byte."""
    n = request.n_logprobs
    found: list[Event] = []
    if request.prompt_logprobs:
        values = (logprob_of(token, n or 0) for token in request.tokens[1:])
        found.append(PromptLogprobs(1, tuple(value for value in values if value)))
    pairs = [(byte, char if last else "") for char in text for byte, last in _bytes_of(char)]
    given = pairs[: request.max_tokens] if request.max_tokens is not None else pairs
    found += [Token(byte, part, logprob_of(byte, n)) for byte, part in given]
    usage = Usage(len(request.tokens), cached, len(given), queue_ms=1.0, prompt_ms=5.0, predicted_ms=10.0)
    return [*found, Finished("length" if len(given) < len(pairs) else reason, usage)]


def _bytes_of(char: str) -> list[tuple[int, bool]]:
    raw = char.encode()
    return [(byte, i == len(raw) - 1) for i, byte in enumerate(raw)]


def says(text: str, *, reason: str = "stop", cached: int = 0, per_batch: int = 1) -> Script:
    """A script that answers with the text."""

    async def script(request: Request) -> AsyncIterator[Sequence[Event]]:
        events = events_of(text, request, reason=reason, cached=cached)
        for at in range(0, len(events), per_batch):
            await asyncio.sleep(0)
            yield events[at : at + per_batch]

    return script


class FakeStream:
    """One request's answer."""

    def __init__(self, batches: AsyncIterator[Sequence[Event]]) -> None:
        self._batches = batches
        self.cancelled = threading.Event()
        self.has_ended = False

    def __aiter__(self) -> FakeStream:
        return self

    async def __anext__(self) -> Sequence[Event]:
        if self.cancelled.is_set() or self.has_ended:
            raise StopAsyncIteration
        try:
            return await self._batches.__anext__()
        except StopAsyncIteration:
            self.has_ended = True
            raise

    def cancel(self) -> None:
        self.cancelled.set()


class FakeService:
    """One model: its scripts are used in turn, the last one for ever."""

    n_most = 72

    def __init__(self, info: ModelInfo = INFO) -> None:
        self.info = info
        self.scripts: list[Script] = [says("Hello world")]
        self.requests: list[Request] = []
        self.streams: list[FakeStream] = []
        self.to_raise: list[LlmServerError | None] = []

    def submit(self, request: Request) -> FakeStream:
        if self.to_raise and (error := self.to_raise.pop(0)):
            raise error
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        self.requests.append(request)
        self.streams.append(FakeStream(script(request)))
        return self.streams[-1]

    def tokenize(self, text: str, *, bos: bool, special: bool) -> list[int]:
        found = [BOS] if bos else []
        while text:
            known = next((i for i, one in enumerate(SPECIAL) if special and text.startswith(one)), None)
            if known is None:
                found += text[0].encode()
                text = text[1:]
            else:
                found.append(256 + known)
                text = text[len(SPECIAL[known]) :]
        return found

    def detokenize(self, tokens: Sequence[int], *, special: bool) -> bytes:
        return b"".join(PIECES[token] for token in tokens if special or token < 256)

    def pieces(self) -> Sequence[bytes]:
        return PIECES


@dataclass(frozen=True)
class FakeUse:
    service: FakeService
    name: str
    adapter: Adapter | None
    settings: Any


@dataclass(frozen=True)
class FakeKnown:
    name: str
    kind: str
    state: str
    info: ModelInfo | None
    adapters: tuple[str, ...]


class FakePool:
    """A loaded chat model with an adapter, a loaded embedding model, and one that is not loaded."""

    def __init__(self, settings: Any) -> None:
        self.service = FakeService()
        self.embedding = FakeService(replace(INFO, name="embed", kind="embedding"))
        self.settings = self.default_settings = settings
        self.n_open = 0
        self.gate: asyncio.Event | None = None

    @asynccontextmanager
    async def use(self, name: str | None, kind: str = "") -> AsyncIterator[FakeUse]:
        base, _, adapter = (name or "tiny").partition(":")
        service = {"tiny": self.service, "embed": self.embedding}.get(base)
        if service is None or adapter not in {"", "pirate"}:
            raise UnknownModel(f"no model is called {name!r}: known are tiny, tiny:pirate, embed, away", param="model")
        self.n_open += 1
        try:
            if self.gate is not None:
                await self.gate.wait()
            yield FakeUse(service, name or "tiny", Adapter(adapter) if adapter else None, self.settings)
        finally:
            self.n_open -= 1

    def known(self) -> list[FakeKnown]:
        return [
            FakeKnown("tiny", "chat", "ok", self.service.info, ("pirate",)),
            FakeKnown("embed", "embedding", "ok", self.embedding.info, ()),
            FakeKnown("away", "chat", "unloaded", None, ()),
        ]


class FakeBatched:
    """The batched engine over a FakePool."""

    def __init__(self, settings: Any) -> None:
        self.pool = FakePool(settings.models[0])
        self.router = APIRouter()
        for router in ROUTERS:
            self.router.include_router(router)

    def load(self) -> None:
        """Nothing to load."""

    def n_ctx(self) -> int:
        return self.pool.service.info.n_ctx


def make_app(*flags: str) -> tuple[Any, FakePool]:
    """The application with everything loaded, and the pool behind it."""
    settings = settings_module.load(["--model", "tiny.gguf", *flags])
    engine, readiness = FakeBatched(settings), Readiness(ModelCard("tiny", 512, 1000, demo=False))
    readiness.loaded(readiness.card)
    return create_app(settings, engine, readiness), engine.pool


class Api:
    """A client of one application, and the pool behind it."""

    def __init__(self, *flags: str) -> None:
        self.app, self.pool = make_app(*flags)
        self.service = self.pool.service
        self.client = TestClient(self.app, base_url=HERE)

    def post(self, path: str, body: Any, **headers: str) -> Any:
        return self.client.post(path, json=body, headers=headers)

    def chat(self, **fields: Any) -> Any:
        return self.post("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}], **fields})

    def complete(self, **fields: Any) -> Any:
        return self.post("/v1/completions", {"prompt": "hi", **fields})


@lru_cache
def _shared_api() -> Api:
    return Api()


def fresh_api() -> Api:
    """One application for all tests that change no flags, as new: making one takes longer than most tests."""
    api = _shared_api()
    api.service.__init__()  # type: ignore[misc]
    api.pool.settings = api.pool.default_settings
    return api


def events_in(answer: Any) -> list[Any]:
    """The JSON of each SSE event; the mark of the end as the text [DONE]."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    lines = [line for line in answer.text.split("\n\n") if line]
    assert all(line.startswith("data: ") for line in lines)
    return [line[6:] if line == "data: [DONE]" else json.loads(line[6:]) for line in lines]


def text_of(request: Request) -> str:
    """The prompt as text."""
    return b"".join(PIECES[token] for token in request.tokens).decode()
