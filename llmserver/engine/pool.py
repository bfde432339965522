"""The models of this process: each with its own engine, loaded when asked for, unloaded when idle or in the way.

Lives on the event loop. A model is never unloaded while a request uses it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from llmserver.engine.adapters import AdapterFile, Adapters, parse
from llmserver.engine.info import ModelInfo
from llmserver.engine.request import Adapter
from llmserver.errors import LlmServerError, ModelFailed, QueueTimeout, Stopping, UnknownModel
from llmserver.settings import ModelOptions, ServeSettings

log = logging.getLogger("llmserver")
_MIB = 1024 * 1024
DEFAULT = "default"  # a name for the first model, for clients that must send one


class Served(Protocol):
    """What every loaded model offers, whatever it does."""

    info: ModelInfo

    def refuse(self) -> None:
        """Take no new requests."""

    def lose(self, error: LlmServerError) -> None:
        """Answer everybody at once, from any thread."""

    def stop(self, timeout_s: float = ..., *, frees: bool = ...) -> bool:
        """Answer whoever is left and free the model; frees=False leaves its memory to the end of the process."""


class Opener(Protocol):
    """Makes a model's engine; the one for llama.cpp, or a fake."""

    def open(self, options: ModelOptions) -> tuple[Any, int]:
        """The model's service and the bytes it takes. Blocking. Raises StartupError."""

    def add_adapter(self, service: Any, adapter: Adapter, path: str) -> None:
        """Load a LoRA for a model. Blocking. Raises RequestError."""

    def remove_adapter(self, service: Any, adapter: Adapter) -> None:
        """Unload a LoRA that nobody uses. Blocking."""


@dataclass(frozen=True)
class Known:
    """A model that requests may name. state: unloaded, loading, ok or failed."""

    name: str
    kind: str
    state: str
    info: ModelInfo | None
    adapters: tuple[str, ...]


@dataclass(frozen=True)
class Held:
    """A model with its settings, and where it is loaded its service and the bytes it was expected to take."""

    known: Known
    options: ModelOptions
    service: Any
    size_bytes: int
    adapters: tuple[AdapterFile, ...]


@dataclass(frozen=True)
class Use:
    """A model in use by a request."""

    service: Any
    name: str
    adapter: Adapter | None
    settings: ModelOptions


@dataclass
class _Slot:
    """One model of the settings and what became of it."""

    options: ModelOptions
    service: Any = None
    state: str = "unloaded"
    size_bytes: int = 0
    users: int = 0
    timer: asyncio.TimerHandle | None = None
    n_failures: int = 0
    failure: ModelFailed | None = None
    used_at: float = 0.0
    adapters: Adapters = field(default_factory=Adapters)
    files: dict[str, AdapterFile] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return str(self.options.model_alias)


class Pool:
    """All models of the settings."""

    def __init__(self, settings: ServeSettings, opener: Opener) -> None:
        self._opener = opener
        self._budget = settings.server.models_ram_mib * _MIB
        self._max_wait_s = settings.server.max_wait_s
        self._companions = frozenset(settings.companions)
        self._slots = {str(options.model_alias): _Slot(options) for options in settings.models}
        for slot in self._slots.values():
            slot.files = {file.name: file for file in map(parse, slot.options.adapters)}
        self._changed: asyncio.Condition | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_stopping = False
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def default(self) -> _Slot:
        """The first model of the settings."""
        return next(iter(self._slots.values()))

    def known(self) -> list[Known]:
        """Every model, loaded or not; the first is the default."""
        return [_known(slot) for slot in self._slots.values()]

    def held(self) -> list[Held]:
        """Every model, for those who tell about memory."""
        return [
            Held(_known(slot), slot.options, slot.service, slot.size_bytes, tuple(slot.files.values()))
            for slot in self._slots.values()
        ]

    def loaded(self) -> list[Any]:
        """The services of the models in memory."""
        return [slot.service for slot in self._slots.values() if slot.service is not None]

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """The loop that this pool lives on, for what begins in another thread."""
        self._loop = loop

    def load_default(self) -> None:
        """Load the first model, from any thread, before there are requests. Raises StartupError."""
        self._open(self.default)
        self.default.used_at = time.monotonic()
        if self._loop is not None:  # its time to live begins, also if nobody ever asks it
            self._loop.call_soon_threadsafe(self._released, self.default)

    @asynccontextmanager
    async def use(self, name: str | None, kind: str = "") -> AsyncIterator[Use]:
        """Hold a model for a request, loading it if need be; None is the first of the kind, else the default.

        Raises UnknownModel, ModelFailed when it cannot be loaded, QueueTimeout when there is no room for it.
        """
        slot, adapter_name = self._find(name, kind)
        if self._is_stopping:
            raise Stopping("the server is stopping", retry_after_s=5)
        slot.users += 1
        adapter = None
        try:
            if slot.service is None:
                await asyncio.shield(self._start(self._load(slot)))  # it goes on when this client leaves
            if adapter_name:
                adapter = slot.adapters.find(adapter_name)
                if adapter is None:
                    raise self._unknown(str(name), kind)
                slot.adapters.enter(adapter)
            shown = f"{slot.name}:{adapter.name}" if adapter else slot.name
            yield Use(slot.service, shown, adapter, slot.options)
        finally:
            slot.users -= 1
            slot.used_at = time.monotonic()
            if adapter is not None and slot.adapters.leave(adapter):
                self._start(self._free_adapter(slot, adapter))
            self._released(slot)

    def _find(self, name: str | None, kind: str = "") -> tuple[_Slot, str]:
        if name in self._slots:
            return self._slots[str(name)], ""
        if not name or name == DEFAULT:
            return next((slot for slot in self._slots.values() if kind_of(slot.options) == kind), self.default), ""
        base, _, adapter = name.rpartition(":")
        slot = self._slots.get(base)
        if slot is None or not (slot.adapters.find(adapter) or (slot.service is None and adapter in slot.files)):
            raise self._unknown(name, kind)
        return slot, adapter

    def _unknown(self, name: str, kind: str) -> UnknownModel:
        """kind: what the model was to do; empty for what any model can."""
        able = [slot for slot in self._slots.values() if kind in {"", kind_of(slot.options)}]
        names = [n for slot in able for n in (slot.name, *self._adapter_names(slot))]
        helps = f": use {' or '.join(names)}" if names else ", and none that could do this"
        return UnknownModel(f"there is no model {name!r} here{helps}", param="model")

    @staticmethod
    def _adapter_names(slot: _Slot) -> list[str]:
        return [f"{slot.name}:{adapter}" for adapter in slot.adapters.names() or tuple(slot.files)]

    async def _load(self, slot: _Slot) -> None:
        """Bring a model into memory; several requests for the same one wait for one load."""
        condition = self._condition()
        async with condition:
            n_failures = slot.n_failures
            while slot.state == "loading" or (slot.service is None and slot.size_bytes):  # or still unloading
                await condition.wait()
            if slot.service is not None:
                return
            if slot.n_failures > n_failures and slot.failure is not None:
                raise slot.failure  # the load that this request waited for failed; the next request tries again
            slot.state = "loading"
        try:
            await self._make_room(slot)
            await asyncio.to_thread(self._open, slot)
        except LlmServerError as why:
            slot.state = "failed"
            if why.status == 503:
                slot.state = "unloaded"
                raise
            log.error("%s", why.message)
            slot.failure = ModelFailed(f"the model {slot.name} could not be loaded: {why.message}")
            slot.n_failures += 1
            raise slot.failure from why
        finally:
            if slot.state == "loading":
                slot.state = "unloaded"
            if slot.service is None:
                slot.size_bytes = 0
            async with condition:
                condition.notify_all()
            slot.used_at = time.monotonic()
            self._released(slot)

    def _open(self, slot: _Slot) -> None:
        """Blocking; adapters that the settings name come with the model."""
        slot.state = "loading"
        service, slot.size_bytes = self._opener.open(slot.options)
        adapters = Adapters()
        try:
            for file in list(slot.files.values()):
                self._add_known(slot, service, adapters, file)
        except Exception:
            service.stop()
            raise
        slot.adapters, slot.service, slot.state = adapters, service, "ok"

    def _add_known(self, slot: _Slot, service: Any, adapters: Adapters, file: AdapterFile) -> None:
        adapter = adapters.new(file)
        try:
            self._opener.add_adapter(service, adapter, file.path)
        except LlmServerError as why:
            if file in map(parse, slot.options.adapters):
                raise
            log.warning("the adapter %s is gone: %s", file.name, why.message)  # added while it ran, then deleted
            slot.files.pop(file.name, None)
            return
        adapters.add(adapter)

    async def _make_room(self, slot: _Slot) -> None:
        """Unload idle models, least recently used first, until the new one fits; wait for busy ones to end.

        Companions are small: they unload nobody, and nobody waits for them.
        """
        need = file_size(slot.options) + slot.options.cache_ram_mib * _MIB
        deadline = time.monotonic() + self._max_wait_s
        condition = self._condition()
        while True:
            others = [s for s in self._slots.values() if s.size_bytes and not self._is_busy_companion(s)]
            if not others or slot.name in self._companions or sum(s.size_bytes for s in others) + need <= self._budget:
                slot.size_bytes = need
                return
            idle = sorted((s for s in others if s.users == 0 and s.service is not None), key=lambda s: s.used_at)
            if idle:
                await self._unload(idle[0])
                continue
            left = deadline - time.monotonic()
            if left <= 0:
                raise QueueTimeout(f"there is no memory for {slot.name} while other models answer")
            async with condition:
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(condition.wait(), left)

    def _is_busy_companion(self, slot: _Slot) -> bool:
        return slot.name in self._companions and slot.users > 0

    async def _unload(self, slot: _Slot) -> None:
        if slot.users:
            return  # a request was quicker
        service, slot.service, slot.state = slot.service, None, "unloaded"
        if service is not None:
            log.info("unloading %s", slot.name)
            await asyncio.to_thread(service.stop)
            slot.size_bytes = 0
            await self._tell()

    def _released(self, slot: _Slot) -> None:
        """A request is through: a model that waits for memory may look again, a time to live begins."""
        if slot.users == 0:
            self._start(self._tell())
            if slot.options.ttl_s:
                if slot.timer is not None:
                    slot.timer.cancel()
                slot.timer = asyncio.get_running_loop().call_later(slot.options.ttl_s, self._expire, slot)

    def _expire(self, slot: _Slot) -> None:
        idle_s = time.monotonic() - slot.used_at
        if slot.users == 0 and slot.service is not None and idle_s >= slot.options.ttl_s - 0.05:
            self._start(self._unload(slot))

    async def _tell(self) -> None:
        condition = self._condition()
        async with condition:
            condition.notify_all()

    def _condition(self) -> asyncio.Condition:
        self._changed = self._changed or asyncio.Condition()
        return self._changed

    def _start(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def add_adapter(self, model: str | None, file: AdapterFile) -> str:
        """Load a LoRA into a model; the name that requests may use. Raises RequestError, UnknownModel."""
        async with self.use(model) as use:
            slot, _ = self._find(model)
            adapter = slot.adapters.new(file)
            await asyncio.to_thread(self._opener.add_adapter, use.service, adapter, file.path)
            if slot.adapters.find(file.name):  # another request was quicker
                await self._free_adapter(slot, adapter)
                slot.adapters.new(file)
            slot.adapters.add(adapter)
            slot.files[file.name] = file
            return f"{slot.name}:{file.name}"

    async def remove_adapter(self, model: str | None, name: str) -> None:
        """Take a LoRA from a model; requests that use it end first. Raises UnknownModel."""
        slot, _ = self._find(model)
        if slot.files.pop(name, None) is None:
            known = ", ".join(slot.files) or "none"
            raise UnknownModel(f"name: {slot.name} has no adapter {name!r}; it has {known}", param="name")
        adapter = slot.adapters.remove(name) if slot.adapters.find(name) else None
        if adapter is not None and slot.service is not None:
            await self._free_adapter(slot, adapter)

    async def _free_adapter(self, slot: _Slot, adapter: Adapter) -> None:
        if slot.service is not None:
            await asyncio.to_thread(self._opener.remove_adapter, slot.service, adapter)

    def refuse(self) -> None:
        """Take no new requests."""
        self._is_stopping = True
        for service in self.loaded():
            service.refuse()

    def lose(self, error: LlmServerError) -> None:
        """Answer everybody of all models at once, from any thread: the process is about to end."""
        self._is_stopping = True
        for service in self.loaded():
            service.lose(error)

    def stop(self, timeout_s: float) -> None:
        """Answer whoever is left with an error; from any thread."""
        self.refuse()
        services, deadline = self.loaded(), time.monotonic() + timeout_s
        for service in services:  # all of them hear it before anybody is waited for
            service.stop(0.0, frees=False)  # somebody may still read the vocabulary
        for service in services:
            service.stop(max(0.0, deadline - time.monotonic()), frees=False)


def _known(slot: _Slot) -> Known:
    info = slot.service.info if slot.service else None
    return Known(slot.name, kind_of(slot.options), slot.state, info, slot.adapters.names() or tuple(slot.files))


def kind_of(options: ModelOptions) -> str:
    """What a model is for, by its settings."""
    if options.pooling == "rank":
        return "rerank"
    return "embedding" if options.embedding else "chat"


def file_size(options: ModelOptions) -> int:
    """Bytes of the model's file; 0 when it is not there."""
    with suppress(OSError):
        return Path(options.model).stat().st_size
    return 0
