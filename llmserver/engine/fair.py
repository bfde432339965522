"""Whose turn it is: a bounded queue in which owners take turns, however many requests each has waiting.

Pure: time comes in as an argument.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable, Iterator, Sequence
from typing import Generic, TypeVar

Party = TypeVar("Party", bound=Hashable)


class FairQueue:
    """Waiting request ids. An owner who was just served goes behind the others."""

    def __init__(self) -> None:
        self._lines: OrderedDict[str, deque[int]] = OrderedDict()
        self._since: dict[int, float] = {}
        self._owners: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._since)

    def __contains__(self, request: int) -> bool:
        return request in self._since

    def __iter__(self) -> Iterator[int]:
        """The requests in the order in which they would be served: one of each owner, round after round."""
        lines = [iter(line) for line in self._lines.values()]
        while lines:
            still = []
            for line in lines:
                for request in line:
                    yield request
                    still.append(line)
                    break
            lines = still

    def push(self, request: int, owner: str, now: float) -> None:
        """A new request waits behind its owner's others."""
        self._lines.setdefault(owner, deque()).append(request)
        self._since[request], self._owners[request] = now, owner

    def push_front(self, request: int, owner: str, now: float) -> None:
        """A request that had its turn and lost it comes first, and its owner too."""
        self._lines.setdefault(owner, deque()).appendleft(request)
        self._lines.move_to_end(owner, last=False)
        self._since[request], self._owners[request] = now, owner

    def take(self, request: int) -> None:
        """The request is served: its owner goes behind the others."""
        owner = self._owners[request]
        self.remove(request)
        if owner in self._lines:
            self._lines.move_to_end(owner)

    def remove(self, request: int) -> None:
        """The request does not wait any more."""
        owner = self._owners.pop(request)
        del self._since[request]
        line = self._lines[owner]
        line.remove(request)
        if not line:
            del self._lines[owner]

    def waited_s(self, request: int, now: float) -> float:
        """Seconds since the request came."""
        return now - self._since[request]


class TakeTurns(Generic[Party]):
    """Who was served longest ago; a turn lasts a few calls where changing over has its price."""

    def __init__(self, n_in_a_row: int = 1) -> None:
        self._n_in_a_row = n_in_a_row
        self._served: dict[Party, int] = {}
        self._turn: tuple[Party, int] | None = None
        self._n = 0

    def next_of(self, present: Sequence[Party]) -> Party:
        """The one of those present whose turn it is; those absent are forgotten."""
        if self._turn is not None and self._turn[0] in present and self._turn[1] > 0:
            chosen, left = self._turn
        else:
            chosen, left = min(present, key=lambda party: self._served.get(party, 0)), self._n_in_a_row
        self._turn = (chosen, left - 1)
        self._n += 1
        self._served = {party: self._served.get(party, 0) for party in present}
        self._served[chosen] = self._n
        return chosen
