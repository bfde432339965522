"""The whole application over the real pool, with models that need no weights: one writes, one embeds, one ranks."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import uvicorn
from fastapi import APIRouter

from llmserver import settings as settings_module
from llmserver.api.app import create_app
from llmserver.api.batched import ROUTERS
from llmserver.api.metrics import router_of
from llmserver.api.readiness import ModelCard, Readiness
from llmserver.engine.embed import Room
from llmserver.engine.embed_service import EmbedService
from llmserver.engine.plan import Limits
from llmserver.engine.pool import Pool, kind_of
from llmserver.engine.request import Adapter
from llmserver.engine.service import Stats
from llmserver.errors import LlmServerError, RequestError
from llmserver.metrics import Metrics
from llmserver.settings import ModelOptions
from tests.server.fake_service import INFO, PIECES, FakeService

N_EMBD = 8
ROOM = Room(n_most=64, n_target=32, n_seq=4, n_batch=64, n_ctx=512, n_ctx_train=256)
NOTHING = Stats(
    running=1,
    waiting=2,
    idle_sequences=3,
    cells_used=40,
    cells_total=500,
    host_entries=6,
    host_bytes=7000,
    host_limit_bytes=80000,
    preempted=9,
    prompt_tokens_per_s=10.0,
)


def vector_of(tokens: Sequence[int], n: int = N_EMBD) -> Any:
    """What the fake model makes of an input: always the same, different for different inputs."""
    return np.random.default_rng(list(tokens)).normal(size=n).astype(np.float32)


class FakeEmbedBackend:
    """Remembers its batches; its gate can hold them, its errors come in turn."""

    def __init__(self, room: Room = ROOM, n_out: int = N_EMBD) -> None:
        self.room, self.n_out = room, n_out
        self.batches: list[list[list[int]]] = []
        self.to_raise: list[Exception | None] = []
        self.bad: list[int] | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.reached = threading.Event()
        self.is_free = False

    def run(self, prompts: Sequence[Sequence[int]]) -> list[Any]:
        self.reached.set()
        assert self.gate.wait(10)
        self.batches.append([list(prompt) for prompt in prompts])
        if self.to_raise and (error := self.to_raise.pop(0)):
            raise error
        return [vector_of(prompt, self.n_out) for prompt in prompts]

    def pair(self, query: str, document: str) -> list[int]:
        return [256, *query.encode(), 257, *document.encode()]

    def free(self) -> None:
        self.is_free = True


class Words:
    """A byte is a token, between a begin and an end token where asked for."""

    pieces = PIECES

    def tokenize(self, text: str, *, bos: bool, special: bool) -> list[int]:
        return [256, *text.encode(), 257] if bos else list(text.encode())

    def detokenize(self, tokens: Sequence[int], *, special: bool) -> bytes:
        return b"".join(PIECES[token] for token in tokens if special or token < 256)


class WritingService(FakeService):
    """A chat model that the pool can load and unload."""

    def stats(self) -> Stats:
        return NOTHING

    def refuse(self) -> None:
        """Nothing to refuse."""

    def stop(self, timeout_s: float = 5.0, *, frees: bool = True) -> bool:
        return True


class FakeOpener:
    """Opens models without weights, and remembers their adapters."""

    def __init__(self, metrics: Metrics, limits: Limits) -> None:
        self._metrics, self._limits = metrics, limits
        self.opened: dict[str, Any] = {}
        self.backends: dict[str, FakeEmbedBackend] = {}
        self.adapters: list[Adapter] = []
        self.refuse_adapter: LlmServerError | None = None

    def open(self, options: ModelOptions) -> tuple[Any, int]:
        name, kind = str(options.model_alias), kind_of(options)
        info = replace(INFO, name=name, kind=kind)
        if kind == "chat":
            service: Any = WritingService(info)
        else:
            n_out = 1 if kind == "rerank" else N_EMBD
            backend = self.backends[name] = FakeEmbedBackend(n_out=n_out)
            info = replace(info, n_embd=n_out, n_ctx=ROOM.n_most, chat_template="")
            service = EmbedService(info, Words(), backend, self._limits, observers=(self._metrics.of(name),))
        self.opened[name] = service
        return service, 1000

    def add_adapter(self, service: Any, adapter: Adapter, path: str) -> None:
        if self.refuse_adapter is not None:
            raise self.refuse_adapter
        if service.info.kind != "chat":
            raise RequestError("model: adapters are for models that generate", param="model")
        self.adapters.append(adapter)

    def remove_adapter(self, service: Any, adapter: Adapter) -> None:
        self.adapters.remove(adapter)


class Engine:
    """The batched engine without llama.cpp."""

    def __init__(self, settings: Any, limits: Limits) -> None:
        self.metrics = Metrics()
        self.opener = FakeOpener(self.metrics, limits)
        self.pool = Pool(settings, self.opener)
        self.router = APIRouter()
        for router in (*ROUTERS, router_of(self.metrics)):
            self.router.include_router(router)

    def load(self) -> None:
        self.pool.load_default()

    def n_ctx(self) -> int:
        return INFO.n_ctx


def make_models(*flags: str, model: str = "tiny.gguf", limits: Limits = Limits()) -> tuple[Any, Engine]:  # noqa: B008
    """The application and its engine; the models are tiny (a chat), embed and rank."""
    settings = settings_module.load(["--model", model, "--model_alias", "tiny", *flags])
    others = (
        ModelOptions(model="embed.gguf", model_alias="embed", embedding=True),
        ModelOptions(model="rank.gguf", model_alias="rank", pooling="rank"),
    )
    settings = replace(settings, models=(*settings.models, *others))
    engine, readiness = Engine(settings, limits), Readiness(ModelCard("tiny", 512, 1000, demo=False))
    engine.load()
    readiness.loaded(readiness.card)
    return create_app(settings, engine, readiness), engine


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """The application behind a real uvicorn; its address."""
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join(10)
        assert not thread.is_alive()
