"""The batched engine as the application sees it: its routes, and the pool of models behind them."""

from __future__ import annotations

import threading
from collections.abc import Callable

from fastapi import APIRouter

from llmserver.api import adapters, chat, completions, embeddings, plan, rerank, responses, tokens
from llmserver.api.metrics import router_of
from llmserver.engine.opener import LlamaOpener
from llmserver.engine.pool import Pool
from llmserver.metrics import Metrics
from llmserver.settings import ServeSettings

ROUTERS = (
    chat.router,
    completions.router,
    responses.router,
    embeddings.router,
    rerank.router,
    tokens.router,
    adapters.router,
    plan.router,
)

_LAST_WORDS_S = 0.5  # left of the deadline for the errors to reach their clients


class BatchedEngine:
    """Many requests at once, over models that are loaded when they are asked for."""

    def __init__(self, settings: ServeSettings) -> None:
        self.on_crash: Callable[[], None] = lambda: None
        metrics = Metrics()
        opener = LlamaOpener(
            settings.server, observe=lambda name: (metrics.of(name),), on_crash=lambda: self.on_crash()
        )
        self.pool = Pool(settings, opener)
        self.router = APIRouter()
        for router in ROUTERS:
            self.router.include_router(router)
        self.router.include_router(router_of(metrics))

    def load(self) -> None:
        """Bring the default model into memory. Raises StartupError when that is impossible."""
        self.pool.load_default()

    def drain(self, timeout_s: float) -> None:
        """Take no new requests; shortly before the time is up, answer whoever is left with an error."""
        self.pool.refuse()
        timer = threading.Timer(max(0.0, timeout_s - _LAST_WORDS_S), self.pool.stop, (_LAST_WORDS_S,))
        timer.daemon = True
        timer.start()

    def n_ctx(self) -> int:
        """Context size in tokens of the default model; 0 before it is loaded."""
        info = self.pool.known()[0].info
        return info.n_ctx if info else 0
