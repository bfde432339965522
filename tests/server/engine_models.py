"""A pool of fake models, and a way to wait for what happens in it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmserver.engine.fake import FakeBackend
from llmserver.engine.plan import Limits
from llmserver.engine.pool import Pool
from llmserver.engine.request import Adapter, Finished, Request
from llmserver.engine.service import Service
from llmserver.errors import (
    ModelFileBroken,
    RequestError,
)
from llmserver.settings import ModelOptions, ServerOptions, ServeSettings
from tests.server.engine_threads import INFO, SOON_S, Words

MIB = 1024 * 1024


@dataclass
class FakeOpener:
    """Opens fake models. broken: names that fail to load; gate: what a load waits for; told: what happened."""

    broken: set[str] = field(default_factory=set)
    bad_adapters: set[str] = field(default_factory=set)
    gate: threading.Event | None = None
    told: list[str] = field(default_factory=list)
    services: list[Service] = field(default_factory=list)
    on_change: Callable[[], None] = lambda: None

    def tell(self, what: str) -> None:
        """Something happened, in whatever thread."""
        self.told.append(what)
        self.on_change()

    def open(self, options: ModelOptions) -> tuple[Any, int]:
        self.tell(f"open {options.model_alias}")
        if self.gate is not None:
            assert self.gate.wait(SOON_S)
        if options.model_alias in self.broken:
            raise ModelFileBroken(f"{options.model_alias} is no model")
        backend = FakeBackend()
        backend.free = lambda: self.tell(f"free {options.model_alias}")  # type: ignore[method-assign]
        service = Service(INFO, Words(), backend, Limits())
        self.services.append(service)
        return service, Path(options.model).stat().st_size

    def add_adapter(self, service: Any, adapter: Adapter, path: str) -> None:
        if adapter.name in self.bad_adapters:
            raise RequestError(f"path: {path} is no adapter", param="path")
        self.tell(f"add {adapter.name} {adapter.serial}")

    def remove_adapter(self, service: Any, adapter: Adapter) -> None:
        self.tell(f"remove {adapter.name} {adapter.serial}")


@dataclass
class World:
    """A pool, what it opens with, and a way to wait for something to have happened."""

    pool: Pool
    opener: FakeOpener
    changed: asyncio.Event

    async def until(self, what: Callable[[], Any]) -> None:
        """Wait until it is so; look now and then too, as not every change is told."""
        while not what():
            self.changed.clear()
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self.changed.wait(), 0.02)

    async def until_told(self, what: str, n: int = 1) -> None:
        """Wait until this has happened so often."""
        await self.until(lambda: self.opener.told.count(what) >= n)

    def state(self, name: str) -> str:
        """What /v1/models would say."""
        return next(known.state for known in self.pool.known() if known.name == name)

    @asynccontextmanager
    async def held(self, name: str) -> Any:
        """A model in use, in a task of its own, as it is by a request."""
        is_in, go = asyncio.Event(), asyncio.Event()

        async def request() -> None:
            async with self.pool.use(name):
                is_in.set()
                await go.wait()

        task = asyncio.ensure_future(request())
        await is_in.wait()
        try:
            yield
        finally:
            go.set()
            await task


Test = Callable[[World], Awaitable[None]]


def player(tmp_path: Path) -> Callable[..., None]:
    """Run a test over models of a MiB each, named a, b and c."""

    def run(
        test: Test,
        *,
        ram_mib: int = 100,
        max_wait_s: float = 120,
        ttl_s: float = 0,
        companions: tuple[str, ...] = (),
        **of_a: Any,
    ) -> None:
        models = []
        for name in "abc":
            (tmp_path / name).write_bytes(b"\0" * MIB)
            fields = {"model_alias": name, "ttl_s": ttl_s, "cache_ram_mib": 0, **(of_a if name == "a" else {})}
            fields["embedding"] = name in companions
            models.append(ModelOptions(model=str(tmp_path / name)).model_copy(update=fields))
        server = ServerOptions().model_copy(update={"models_ram_mib": ram_mib, "max_wait_s": max_wait_s})
        asyncio.run(_within(test, FakeOpener(), ServeSettings(server, tuple(models), companions=companions)))

    return run


async def _within(test: Test, opener: FakeOpener, settings: ServeSettings) -> None:
    loop, changed = asyncio.get_running_loop(), asyncio.Event()
    opener.on_change = lambda: loop.call_soon_threadsafe(changed.set)
    pool = Pool(settings, opener)
    try:
        await asyncio.wait_for(test(World(pool, opener, changed)), SOON_S)
    finally:
        for service in opener.services:
            service.stop(SOON_S)


async def use(pool: Pool, name: str | None = None) -> str:
    """A request that asks for a model; what the answer calls it."""
    async with pool.use(name) as used:
        stream = used.service.submit(Request((1, 2), max_tokens=1, adapter=used.adapter))
        events = [event async for batch in stream for event in batch]
        assert isinstance(events[-1], Finished)
        return str(used.name)


Play = Callable[..., None]
