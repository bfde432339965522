"""Decide which inputs are embedded together: whole ones, as many as pay, one of each who asks in turn.

No threads, no clock, no llama: time comes in as an argument.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Room:
    """What one batch may hold. Counts in tokens, n_seq in inputs.

    n_most: the longest input. n_target: a batch of several inputs stays below it, since attention is computed over
    the whole batch and a larger one is slower. n_batch, n_ctx, n_ctx_train: what n_most comes from.
    """

    n_most: int
    n_target: int
    n_seq: int
    n_batch: int
    n_ctx: int
    n_ctx_train: int


@dataclass(frozen=True)
class Item:
    """One input of a request: its place there, and its tokens."""

    request: int
    index: int
    tokens: Sequence[int]


@dataclass
class _Asked:
    """A request and how far it is. turn: when it was served last."""

    prompts: Sequence[Sequence[int]]
    owner: str
    born: float
    turn: int
    taken: int = 0


class Packer:
    """The inputs that wait."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._asked: dict[int, _Asked] = {}
        self._owners: dict[str, int] = {}
        self._turn = 0

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits."""
        return not self._asked

    @property
    def n_waiting(self) -> int:
        """Requests of which nothing was taken yet."""
        return sum(asked.taken == 0 for asked in list(self._asked.values()))  # another thread may ask

    def add(self, request: int, prompts: Sequence[Sequence[int]], owner: str, now: float) -> None:
        """A request with one or more inputs, each of at most n_most tokens."""
        self._turn += 1
        self._asked[request] = _Asked(prompts, owner, now, self._turn)

    def remove(self, request: int) -> None:
        """What is left of the request is not wanted; harmless when nothing is."""
        asked = self._asked.pop(request, None)
        if asked is not None:
            self._forget(asked.owner)

    def expired(self, now: float, max_wait_s: float) -> list[int]:
        """Requests that waited longer than they may and of which nothing was taken."""
        return [n for n, asked in self._asked.items() if asked.taken == 0 and now - asked.born > max_wait_s]

    def waited_s(self, request: int, now: float) -> float:
        """Seconds since the request came; 0 for one that does not wait."""
        asked = self._asked.get(request)
        return now - asked.born if asked else 0.0

    def take(self) -> tuple[Item, ...]:
        """The next batch, empty when nothing waits. The first input is taken however long; others where they fit."""
        batch: list[Item] = []
        n_tokens = 0
        open_ = dict(self._asked)
        while open_ and len(batch) < self._room.n_seq:
            number = min(open_, key=lambda n: (self._owners.get(open_[n].owner, 0), open_[n].turn))
            asked = open_[number]
            tokens = asked.prompts[asked.taken]
            if batch and n_tokens + len(tokens) > self._room.n_target:
                del open_[number]  # nobody was served longer ago: it comes first in the next batch
                continue
            batch.append(Item(number, asked.taken, tokens))
            n_tokens += len(tokens)
            self._serve(number, asked)
            if asked.taken == len(asked.prompts):
                del open_[number]
        return tuple(batch)

    def _serve(self, number: int, asked: _Asked) -> None:
        self._turn += 1
        asked.turn = self._owners[asked.owner] = self._turn
        asked.taken += 1
        if asked.taken == len(asked.prompts):
            del self._asked[number]
            self._forget(asked.owner)

    def _forget(self, owner: str) -> None:
        """Whose last request is gone is not remembered."""
        if all(asked.owner != owner for asked in self._asked.values()):
            self._owners.pop(owner, None)
