"""A loaded model as the HTTP side sees it: submit a request, read its stream, ask for tokens of a text.

Lives on the event loop; the engine's thread hands a step's events over in one call.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from llmserver.engine.answer import check_fits
from llmserver.engine.backend import Backend
from llmserver.engine.info import ModelInfo
from llmserver.engine.plan import Limits
from llmserver.engine.request import Event, Failed, Finished, Request
from llmserver.engine.worker import Events, Worker
from llmserver.errors import LlmServerError, QueueFull, Stopping


class Words(Protocol):
    """Text to tokens and back, from any thread."""

    pieces: tuple[bytes, ...]

    def tokenize(self, text: str, *, bos: bool, special: bool) -> list[int]:
        """Token ids of a text."""

    def detokenize(self, tokens: Sequence[int], *, special: bool) -> bytes:
        """The bytes of tokens."""


@dataclass(frozen=True)
class Stats:
    """The engine at this moment. Counts; sizes in bytes."""

    running: int
    waiting: int
    idle_sequences: int
    cells_used: int
    cells_total: int
    host_entries: int
    host_bytes: int
    host_limit_bytes: int
    preempted: int
    prompt_tokens_per_s: float


class Stream:
    """One request's events, in batches as they come."""

    def __init__(self, number: int, loop: asyncio.AbstractEventLoop, on_cancel: Callable[[int], None]) -> None:
        self.number = number
        self.is_open = True
        self._loop, self._on_cancel = loop, on_cancel
        self._events: deque[Event] = deque()
        self._waiter: asyncio.Future[None] | None = None

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> Sequence[Event]:
        while not self._events:
            if not self.is_open:
                raise StopAsyncIteration
            self._waiter = self._loop.create_future()
            await self._waiter
        batch = tuple(self._events)
        self._events.clear()
        return batch

    def cancel(self) -> None:
        """Nobody reads on: the engine stops computing within a step. Harmless twice and after the end."""
        if self.is_open:
            self.is_open = False
            self._events.clear()
            self._on_cancel(self.number)
            self._wake()

    def put(self, event: Event) -> None:
        """An event came, on the event loop."""
        if self.is_open:
            self._events.append(event)
            self.is_open = not isinstance(event, Finished | Failed)
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        self._waiter = None


class Service:
    """The front of one model's engine. All methods are for the event loop."""

    def __init__(
        self,
        info: ModelInfo,
        words: Words,
        backend: Backend,
        limits: Limits,
        *,
        on_refused: Callable[[str], None] = lambda _: None,
        **worker_options: Any,
    ) -> None:
        """on_refused hears the code of each request that is turned away here, before the engine sees it."""
        self.info, self.words, self._on_refused = info, words, on_refused
        self.backend, self._limits = backend, limits
        self._streams: dict[int, Stream] = {}
        self._numbers = itertools.count(1)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_stopping = False
        self._worker = Worker(backend, limits, self._sink, **worker_options)
        self._worker.start()

    @property
    def n_open(self) -> int:
        """Requests that are not answered yet."""
        return len(self._streams)

    @property
    def n_most(self) -> int:
        """Requests that may be here at once, computed or waiting."""
        return self._limits.n_parallel + self._limits.max_queue

    def submit(self, request: Request) -> Stream:
        """Queue a request. Raises ContextExceeded, QueueFull, Stopping, or RequestError for a wrong grammar."""
        try:
            return self._submit(request)
        except LlmServerError as why:
            self._on_refused(why.code)
            raise

    def _submit(self, request: Request) -> Stream:
        if self._is_stopping:
            raise Stopping("the server is stopping", retry_after_s=5)
        check_fits(len(request.tokens), self.info.n_ctx)
        if len(self._streams) >= self.n_most:
            raise QueueFull(
                f"{len(self._streams)} requests are being answered or wait, {self.n_most} may",
                retry_after_s=1 + self._limits.max_queue // max(1, self._limits.n_parallel),
            )
        self._loop = asyncio.get_running_loop()
        number = next(self._numbers)
        self.backend.open(number, request)
        stream = self._streams[number] = Stream(number, self._loop, self._cancel)
        self._worker.submit(number, request)
        return stream

    def tokenize(self, text: str, *, bos: bool, special: bool) -> list[int]:
        """Token ids of a text. bos: begin as the model wants texts to begin; special: read special tokens."""
        return self.words.tokenize(text, bos=bos, special=special)

    def detokenize(self, tokens: Sequence[int], *, special: bool) -> bytes:
        """The bytes of tokens; special ones are left out unless asked for."""
        return self.words.detokenize(tokens, special=special)

    def pieces(self) -> Sequence[bytes]:
        """The bytes of every token, special ones included."""
        return self.words.pieces

    def call(self, function: Callable[[], Any]) -> Future[Any]:
        """Run a function in the engine's thread, between two steps."""
        return self._worker.call(function)

    def forget(self, scope: Any) -> Future[Any]:
        """Nothing that was computed under the adapter is to be found again."""
        return self._worker.call(lambda: self._worker.scheduler.memory.forget_scope(scope))

    def stats(self) -> Stats:
        """The engine's counts now; read while it works, so they may be of two neighbouring moments."""
        scheduler = self._worker.scheduler
        memory = scheduler.memory
        return Stats(
            running=len(scheduler.running),
            waiting=len(scheduler.queue),
            idle_sequences=memory.n_idle,
            cells_used=memory.cells.used,
            cells_total=memory.cells.total,
            host_entries=len(memory.host),
            host_bytes=memory.host.size_bytes,
            host_limit_bytes=memory.host.limit_bytes,
            preempted=scheduler.n_preempted,
            prompt_tokens_per_s=scheduler.pace.prompt_tokens_per_s,
        )

    async def count_cells(self) -> int:
        """KV cells in use by the backend's own count, between two steps; the ledger's is in stats()."""
        return int(await asyncio.wrap_future(self.call(self.backend.used_cells)))

    def refuse(self) -> None:
        """Take no new requests; those under way go on."""
        self._is_stopping = True

    def lose(self, error: LlmServerError) -> None:
        """Answer everybody at once, from any thread: the engine's will not come back."""
        self._is_stopping = True
        self._sink([(number, Failed(error)) for number in list(self._streams)])

    def stop(self, timeout_s: float = 5.0, *, frees: bool = True) -> bool:
        """Answer whoever is left with an error and free the model; whether that happened in time.

        frees: False leaves the memory to the end of the process, for late readers of the vocabulary.
        """
        self._is_stopping = True
        self._worker.stop(frees=frees)
        return self._worker.join(timeout_s)

    def _cancel(self, number: int) -> None:
        self._streams.pop(number, None)
        self._worker.cancel(number)

    def _sink(self, events: Events) -> None:
        """Called in the engine's thread."""
        if self._loop is None or not events:
            return
        with suppress(RuntimeError):  # the loop is closed: nobody is there to read
            self._loop.call_soon_threadsafe(self._dispatch, events)

    def _dispatch(self, events: Events) -> None:
        for number, event in events:
            stream = self._streams.get(number)
            if stream is not None:
                stream.put(event)
                if not stream.is_open:
                    del self._streams[number]
