"""Whether the model is in memory. Written by the thread that loads, read by every request."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from enum import Enum


class State(str, Enum):
    """Where the model stands."""

    LOADING = "loading"
    OK = "ok"
    FAILED = "failed"


@dataclass(frozen=True)
class ModelCard:
    """What a client may want to know of the served model; counts in tokens, size in bytes."""

    id: str
    n_ctx: int
    size_bytes: int
    demo: bool


class Readiness:
    """The state and the model's card, changed together under one lock."""

    def __init__(self, card: ModelCard) -> None:
        self._lock = threading.Lock()
        self._state, self._card = State.LOADING, card

    @property
    def state(self) -> State:
        """The state now."""
        with self._lock:
            return self._state

    @property
    def card(self) -> ModelCard:
        """The model's card; n_ctx is final once the state is OK."""
        with self._lock:
            return self._card

    def loaded(self, card: ModelCard) -> None:
        """The model answers from now on."""
        with self._lock:
            self._state, self._card = State.OK, card

    def failed(self) -> None:
        """The model will not come; the process is about to leave."""
        with self._lock:
            self._state = State.FAILED
