"""What tests of the engine's thread wait with: a sink that tells, a gate that lets steps through one by one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from llmserver.engine.info import ModelInfo
from llmserver.engine.request import Event, Failed, Finished, Token

SOON_S = 20.0
INFO = ModelInfo("tiny", "chat", n_ctx=64, n_ctx_train=64, n_vocab=64, n_embd=8, size_bytes=1000)


class Sink:
    """Gathers events, and wakes whoever waits for them."""

    def __init__(self) -> None:
        self.events: list[tuple[int, Event]] = []
        self.batches: list[list[int]] = []
        self._changed = threading.Condition()

    def __call__(self, events: Sequence[tuple[int, Event]]) -> None:
        with self._changed:
            self.events += events
            self.batches.append([number for number, _ in events])
            self._changed.notify_all()

    def of(self, number: int) -> list[Event]:
        """A request's events."""
        return [event for own, event in self.events if own == number]

    def ends(self, number: int) -> list[Finished | Failed]:
        """How often and how a request ended."""
        return [event for event in self.of(number) if isinstance(event, Finished | Failed)]

    def tokens(self, number: int) -> list[int]:
        """A request's answer so far."""
        return [event.token for event in self.of(number) if isinstance(event, Token)]

    def wait(self, until: Callable[[], Any]) -> None:
        """Block until it is so."""
        with self._changed:
            assert self._changed.wait_for(until, SOON_S), self.events

    def wait_for_ends(self, *numbers: int) -> None:
        """Block until each of them has ended."""
        self.wait(lambda: all(self.ends(number) for number in numbers))


class Gate:
    """Stands before every step of a backend: let_through opens it so many times, reached waits for a step to come."""

    def __init__(self) -> None:
        self._open, self._coming = threading.Semaphore(0), threading.Semaphore(0)

    def wait(self, timeout_s: float) -> bool:
        """The backend's side."""
        self._coming.release()
        return self._open.acquire(timeout=timeout_s)

    def reached(self) -> None:
        """Block until a step is at the gate."""
        assert self._coming.acquire(timeout=SOON_S)

    def let_through(self, n: int = 1) -> None:
        """So many steps may pass."""
        for _ in range(n):
            self._open.release()


class Words:
    """A text's tokens are its bytes."""

    pieces = tuple(bytes([i]) for i in range(256))

    def tokenize(self, text: str, *, bos: bool, special: bool) -> list[int]:
        """One token a byte; 1 before them for bos, 2 after them for special."""
        return [1] * bos + list(text.encode()) + [2] * special

    def detokenize(self, tokens: Sequence[int], *, special: bool) -> bytes:
        """The bytes again."""
        return bytes(tokens) + b"!" * special
