"""A loaded embedding or reranking model as the HTTP side sees it: vectors of prompts, tokens of texts.

It has the life of a chat model's service: a bounded queue, answers in turn, cancelled when nobody waits any more.
Lives on the event loop.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from llmserver.engine.embed import Room
from llmserver.engine.embed_worker import Answer, EmbedBackend, EmbedWorker
from llmserver.engine.info import ModelInfo
from llmserver.engine.plan import Limits
from llmserver.engine.service import Stats, Words
from llmserver.errors import ContextExceeded, LlmServerError, QueueFull, Stopping


class EmbedService:
    """The front of one model that embeds or ranks. All methods are for the event loop."""

    def __init__(
        self,
        info: ModelInfo,
        words: Words,
        backend: EmbedBackend,
        limits: Limits,
        *,
        on_refused: Callable[[str], None] = lambda _: None,
        **worker_options: Any,
    ) -> None:
        """on_refused hears the code of each request that is turned away here, before the engine sees it."""
        self.info, self.words, self.backend = info, words, backend
        self._limits, self._on_refused = limits, on_refused
        self._numbers = itertools.count(1)
        self._waiters: dict[int, asyncio.Future[Sequence[Any]]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_stopping = False
        self._worker = EmbedWorker(backend, limits.max_wait_s, self._deliver, **worker_options)
        self._worker.start()

    @property
    def n_open(self) -> int:
        """Requests that are not answered yet."""
        return len(self._waiters)

    async def embed(self, prompts: Sequence[Sequence[int]], owner: str, *, param: str = "input") -> Sequence[Any]:
        """The vector of each prompt, float32 of shape (n_embd,), in their order; of a reranker its score, shape (1,).

        Raises ContextExceeded for a prompt that is too long (param: the field it came from), QueueFull, QueueTimeout,
        Stopping, EngineFailed.
        """
        try:
            self._admit(prompts, param)
        except LlmServerError as why:
            self._on_refused(why.code)
            raise
        if not prompts:
            return []
        self._loop = asyncio.get_running_loop()
        number = next(self._numbers)
        waiter: asyncio.Future[Sequence[Any]] = self._loop.create_future()
        self._waiters[number] = waiter
        self._worker.submit(number, prompts, owner)
        try:
            return await waiter
        finally:
            if waiter.cancelled():
                self._worker.cancel(number)
            self._waiters.pop(number, None)

    def _admit(self, prompts: Sequence[Sequence[int]], param: str) -> None:
        if self._is_stopping:
            raise Stopping("the server is stopping", retry_after_s=5)
        for i, prompt in enumerate(prompts):
            check_fits(len(prompt), self.backend.room, f"{param}.{i}" if len(prompts) > 1 else param)
        most = self._limits.n_parallel + self._limits.max_queue
        if len(self._waiters) >= most:
            raise QueueFull(
                f"{len(self._waiters)} requests are being answered or wait, {most} may",
                retry_after_s=1 + self._limits.max_queue // max(1, self._limits.n_parallel),
            )

    def pair(self, query: str, document: str) -> list[int]:
        """The prompt that asks a reranker how well the document answers the query."""
        return self.backend.pair(query, document)

    def tokenize(self, text: str, *, bos: bool, special: bool) -> list[int]:
        """Token ids of a text. bos: begin and end as the model wants; special: read special tokens."""
        return self.words.tokenize(text, bos=bos, special=special)

    def detokenize(self, tokens: Sequence[int], *, special: bool) -> bytes:
        """The bytes of tokens; special ones are left out unless asked for."""
        return self.words.detokenize(tokens, special=special)

    def pieces(self) -> Sequence[bytes]:
        """The bytes of every token, special ones included."""
        return self.words.pieces

    def stats(self) -> Stats:
        """The engine's counts now. It keeps nothing between batches."""
        n_waiting = self._worker.packer.n_waiting
        return Stats(
            running=max(0, len(self._worker.open) - n_waiting),
            waiting=n_waiting,
            idle_sequences=0,
            cells_used=0,
            cells_total=0,
            host_entries=0,
            host_bytes=0,
            host_limit_bytes=0,
            preempted=0,
            prompt_tokens_per_s=0.0,
        )

    def refuse(self) -> None:
        """Take no new requests; those under way go on."""
        self._is_stopping = True

    def lose(self, error: LlmServerError) -> None:
        """Answer everybody at once, from any thread: the engine's will not come back."""
        self._is_stopping = True
        for number in list(self._waiters):
            self._deliver(number, error)

    def stop(self, timeout_s: float = 5.0, *, frees: bool = True) -> bool:
        """Answer whoever is left with an error and free the model; whether that happened in time.

        frees: False leaves the memory to the end of the process, for late readers of the vocabulary.
        """
        self._is_stopping = True
        return self._worker.stop(timeout_s, frees=frees)

    def _deliver(self, number: int, answer: Answer) -> None:
        """Called in the engine's thread."""
        if self._loop is None:
            return
        with suppress(RuntimeError):  # the loop is closed: nobody is there to read
            self._loop.call_soon_threadsafe(self._settle, number, answer)

    def _settle(self, number: int, answer: Answer) -> None:
        waiter = self._waiters.get(number)
        if waiter is None or waiter.done():
            return
        if isinstance(answer, LlmServerError):
            waiter.set_exception(answer)
        else:
            waiter.set_result(answer)


def check_fits(n_tokens: int, room: Room, param: str) -> None:
    """Raise ContextExceeded with both numbers, and the setting that would help, unless the input fits a batch."""
    if n_tokens <= room.n_most:
        return
    better = min(room.n_ctx_train, -(-n_tokens // 512) * 512)
    flags = [f"--{name} {better}" for name in ("n_batch", "n_ctx") if getattr(room, name) < n_tokens]
    helps = f" or start the server with {' '.join(flags)}" if n_tokens <= room.n_ctx_train else ""
    raise ContextExceeded(
        f"{param}: {n_tokens} tokens, this model reads {room.n_most} at once: shorten it{helps}", param=param
    )
