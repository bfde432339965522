"""Open the models of the settings with llama.cpp: the one place where service, backend and limits meet."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from llmserver.engine.embed_service import EmbedService
from llmserver.engine.embed_worker import EmbedObserver
from llmserver.engine.llama.embed import load_embed
from llmserver.engine.llama.load import load_chat
from llmserver.engine.plan import Limits
from llmserver.engine.pool import kind_of
from llmserver.engine.request import Adapter
from llmserver.engine.service import Service
from llmserver.engine.turns import Turns
from llmserver.engine.worker import Observer
from llmserver.errors import RequestError
from llmserver.settings import ModelOptions, ServerOptions

_MIB = 1024 * 1024


class Watcher(Observer, EmbedObserver, Protocol):
    """Hears what the engine of one model does, whatever the model is for."""

    def refused(self, code: str) -> None:
        """A request was turned away before the engine saw it; on the event loop."""


class LlamaOpener:
    """Makes services over llama.cpp. observe: makes an observer for each model; on_crash: an engine's loop failed."""

    def __init__(
        self,
        server: ServerOptions,
        *,
        observe: Callable[[str], Sequence[Watcher]] = lambda _: (),
        on_crash: Callable[[], None] = lambda: None,
    ) -> None:
        self._server, self._observe, self._on_crash = server, observe, on_crash
        self._turns, self._loading = Turns(), threading.Lock()

    def open(self, options: ModelOptions) -> tuple[Any, int]:
        """Load a model. Raises ModelFileBroken."""
        limits = Limits(
            n_parallel=options.n_parallel,
            max_queue=self._server.max_queue,
            max_wait_s=float(self._server.max_wait_s),
            step_s=options.step_target_ms / 1000,
            prompt_share=options.prompt_share,
            cache_bytes=options.cache_ram_mib * _MIB,
        )
        kind = kind_of(options)
        with self._loading:  # llama.cpp's log, which tells why a load fails, is one for the process
            service, n_bytes = self._chat(options, limits) if kind == "chat" else self._embed(options, kind, limits)
        gc.unfreeze()  # also what models that are gone have left
        gc.collect()
        gc.freeze()  # what a model needs stays: the collector need not look at it between steps
        return service, n_bytes

    def _chat(self, options: ModelOptions, limits: Limits) -> tuple[Service, int]:
        info, vocab, backend = load_chat(options)
        service = Service(info, vocab, backend, limits, **self._worker_options(info.name))
        traits = backend.traits
        return service, info.size_bytes + int(
            traits.n_cells * traits.bytes_per_token + traits.n_seq * traits.bytes_fixed + limits.cache_bytes
        )

    def _embed(self, options: ModelOptions, kind: str, limits: Limits) -> tuple[EmbedService, int]:
        info, vocab, backend = load_embed(options, kind)
        service = EmbedService(info, vocab, backend, limits, **self._worker_options(info.name))
        return service, info.size_bytes + backend.memory_bytes

    def _worker_options(self, name: str) -> dict[str, Any]:
        observers = self._observe(name)

        def refused(code: str) -> None:
            for observer in observers:
                observer.refused(code)

        return {"observers": observers, "turn": self._turns, "on_crash": self._on_crash, "on_refused": refused}

    def add_adapter(self, service: Any, adapter: Adapter, path: str) -> None:
        """Load a LoRA between two steps. Raises RequestError."""
        if kind_of_service(service) != "chat":
            raise RequestError("model: adapters are for models that generate", param="model")
        service.call(lambda: service.backend.add_adapter(adapter, path)).result()

    def remove_adapter(self, service: Any, adapter: Adapter) -> None:
        """Unload a LoRA, and everything that was computed under it."""
        service.forget(adapter).result()
        service.call(lambda: service.backend.remove_adapter(adapter)).result()


def kind_of_service(service: Any) -> str:
    """What the loaded model is for."""
    return str(service.info.kind)
