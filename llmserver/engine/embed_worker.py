"""The one thread that owns an embedding model: a batch at a time, each input answered once, then the next batch.

It survives whatever a request does; a bug in the loop itself answers everybody and is reported.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any, Protocol

from llmserver.engine.embed import Item, Packer, Room
from llmserver.errors import EngineFailed, LlmServerError, QueueTimeout, Stopping

log = logging.getLogger("llmserver")


class EmbedBackend(Protocol):
    """What computes: llama.cpp, or a fake. One thread calls run and free, any thread pair."""

    room: Room

    def run(self, prompts: Sequence[Sequence[int]]) -> Sequence[Any]:
        """A vector for each prompt. Raises EngineFailed."""

    def pair(self, query: str, document: str) -> list[int]:
        """The prompt that ranks a document."""

    def free(self) -> None:
        """Give the memory back."""


class EmbedObserver(Protocol):
    """Hears what becomes of requests, in the engine's thread: must be quick."""

    def embedded(self, n_tokens: int, seconds: float) -> None:
        """A batch is computed."""

    def answered(self, outcome: str, n_tokens: int, seconds: float, queue_s: float) -> None:
        """A request is over: done, cancelled or the code of its error; times since it came, and until its turn."""


@dataclass(frozen=True)
class _Submit:
    number: int
    prompts: Sequence[Sequence[int]]
    owner: str


@dataclass(frozen=True)
class _Cancel:
    number: int


@dataclass(frozen=True)
class _Stop:
    error: LlmServerError


Answer = Sequence[Any] | LlmServerError
Sink = Callable[[int, Answer], None]


@dataclass
class _Open:
    """A request under way."""

    vectors: list[Any]
    n_left: int
    n_tokens: int
    born: float
    began: float | None = None


class EmbedWorker:
    """Runs one model. Its public methods may be called from any thread."""

    def __init__(
        self,
        backend: EmbedBackend,
        max_wait_s: float,
        sink: Sink,
        *,
        observers: Sequence[EmbedObserver] = (),
        turn: AbstractContextManager[Any] | None = None,
        on_crash: Callable[[], None] = lambda: None,
    ) -> None:
        self.packer = Packer(backend.room)
        self.open: dict[int, _Open] = {}
        self._backend, self._max_wait_s, self._sink = backend, max_wait_s, sink
        self._observers, self._turn, self._on_crash = observers, turn or nullcontext(), on_crash
        self._inbox: queue.SimpleQueue[_Submit | _Cancel | _Stop] = queue.SimpleQueue()
        self._is_stopping = False
        self._frees = True
        self._over: LlmServerError | None = None  # what the thread, which has ended, answers
        self._thread = threading.Thread(target=self._main, name="embed", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def submit(self, number: int, prompts: Sequence[Sequence[int]], owner: str) -> None:
        """Compute a request; its answer comes through the sink, once."""
        self._inbox.put(_Submit(number, prompts, owner))
        if self._over is not None:
            self._refuse(self._over)

    def cancel(self, number: int) -> None:
        """Nobody waits for the answer; it does not come."""
        self._inbox.put(_Cancel(number))

    def stop(self, timeout_s: float, *, frees: bool = True) -> bool:
        """Answer whoever is left with an error and, if it frees, the model; whether that happened in time."""
        self._frees = frees
        self._inbox.put(_Stop(Stopping("the server is stopping")))
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _main(self) -> None:
        try:
            while not self._is_stopping:
                self._receive()
                self._expire()
                if batch := self.packer.take():
                    self._compute(batch)
            if self._frees:
                self._backend.free()
        except Exception as why:  # the loop's edge: everybody is answered, the process starts anew
            log.critical("the embedding engine's loop failed", exc_info=why)
            error = EngineFailed("the engine failed and is being started again: send the request again in a moment")
            self._over = error
            self._on_crash()
            self._fail_all(error)
            self._refuse(error)
        else:
            self._over = Stopping("the server is stopping")
            self._refuse(self._over)

    def _refuse(self, error: LlmServerError) -> None:
        """Answer what comes too late for the thread. Any thread may do that."""
        with suppress(queue.Empty):
            while True:
                message = self._inbox.get_nowait()
                if isinstance(message, _Submit):
                    self._sink(message.number, error)

    def _receive(self) -> None:
        """Take the messages that are there; wait for one when there is nothing to do."""
        if self.packer.is_idle:
            self._take(self._inbox.get())
        with suppress(queue.Empty):
            while not self._is_stopping:
                self._take(self._inbox.get_nowait())

    def _take(self, message: _Submit | _Cancel | _Stop) -> None:
        if isinstance(message, _Submit):
            now = time.perf_counter()
            n, n_tokens = len(message.prompts), sum(map(len, message.prompts))
            self.open[message.number] = _Open([None] * n, n, n_tokens, now)
            self.packer.add(message.number, message.prompts, message.owner, now)
        elif isinstance(message, _Cancel):
            self._end(message.number, None, "cancelled")
        else:
            self._is_stopping = True
            self._fail_all(message.error)

    def _expire(self) -> None:
        now = time.perf_counter()
        for number in self.packer.expired(now, self._max_wait_s):
            waited_s = self.packer.waited_s(number, now)
            self._fail(number, QueueTimeout(f"the request waited {waited_s:.0f} s and its turn did not come"))

    def _compute(self, batch: Sequence[Item]) -> None:
        """One batch; when it fails, each of its inputs alone, so that only the one at fault fails."""
        try:
            vectors = self._run(batch)
        except EngineFailed as why:
            if len(batch) == 1:
                self._fail(batch[0].request, why)
                return
            for item in batch:
                if item.request in self.open:
                    self._compute([item])
            return
        for item, vector in zip(batch, vectors, strict=True):
            self._record(item, vector)

    def _run(self, batch: Sequence[Item]) -> Sequence[Any]:
        with self._turn:
            began = time.perf_counter()
            for item in batch:
                opened = self.open.get(item.request)
                if opened is not None and opened.began is None:
                    opened.began = began
            vectors = self._backend.run([item.tokens for item in batch])
            seconds = time.perf_counter() - began
        for observer in self._observers:
            observer.embedded(sum(len(item.tokens) for item in batch), seconds)
        return vectors

    def _record(self, item: Item, vector: Any) -> None:
        opened = self.open.get(item.request)
        if opened is None:
            return  # failed a moment ago, by another input of it
        opened.vectors[item.index] = vector
        opened.n_left -= 1
        if not opened.n_left:
            self._end(item.request, opened.vectors, "done")

    def _fail_all(self, error: LlmServerError) -> None:
        for number in list(self.open):
            self._fail(number, error)

    def _fail(self, number: int, error: LlmServerError) -> None:
        self._end(number, error, error.code)

    def _end(self, number: int, answer: Answer | None, outcome: str) -> None:
        opened = self.open.pop(number, None)
        if opened is None:
            return
        self.packer.remove(number)
        if answer is not None:
            self._sink(number, answer)
        now = time.perf_counter()
        for observer in self._observers:
            observer.answered(outcome, opened.n_tokens, now - opened.born, (opened.began or now) - opened.born)
