"""Deal a model's layers out to cards: the quickest way that every card has room for, or the one that lacks least. Pure.

As llama.cpp does it, a card holds layers that follow one another, the cards follow one another in a fixed order, and a
card may hold none. The output is the last layer.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

_PER_S = 10**12  # time in whole picoseconds, so that equal ways are equal whatever the order of their sums


@dataclass(frozen=True)
class Place:
    """A card: the bytes that layers may take beside its compute buffer, and the seconds in which it reads one."""

    room: int
    s_per_byte: float


class Deals:
    """All deals of the last layers, from any first one on. held, read: bytes of the layers before each, of all at the
    end. between_s: what it costs to go on to the next card."""

    def __init__(self, places: Sequence[Place], held: Sequence[int], read: Sequence[float], between_s: float) -> None:
        self._places, self._held = places, held
        self._n = len(held) - 1
        empty: list[float] = [math.inf] * self._n + [0]
        # By card and layer: the least time of this layer and all after it on this card and those after it; the same
        # where the card holds the layer; and, by the layer at which the next card begins, what it is made of.
        self._least, self._using, self._onward = [empty], list[list[float]](), list[list[float]]()
        for place in reversed(places):
            self._add(place, [round(n * place.s_per_byte * _PER_S) for n in read], round(between_s * _PER_S))

    def _add(self, place: Place, times: Sequence[int], between: int) -> None:
        """A card before those that are known."""
        after = self._least[0]
        onward = [time + between + rest for time, rest in zip(times, after, strict=True)]  # one way too many for all
        using: list[float] = [
            min(onward[at + 1 : self._end(place, at) + 1], default=math.inf) - times[at] for at in range(self._n)
        ]
        self._using.insert(0, using)
        self._onward.insert(0, onward)
        self._least.insert(0, [*map(min, using, after), 0])

    def fits(self, first: int) -> bool:
        """Whether there is room for the layers from `first` on."""
        return self._least[0][first] < math.inf

    def quickest(self, first: int) -> tuple[int, ...]:
        """How many layers each card holds; of equal ways the first cards, and all of them filled alike."""
        counts, at = [], first
        for card, place in enumerate(self._places):
            end = at
            if at < self._n and self._using[card][at] <= self._least[card + 1][at]:
                onward, ends = self._onward[card], range(at + 1, self._end(place, at) + 1)
                least = min(onward[end] for end in ends)
                share = (self._held[-1] - self._held[at]) / max(
                    sum(p.room for p in self._places[card:] if p.room > 0), 1
                )
                wanted = self._held[at] + share * place.room
                end = min((e for e in ends if onward[e] == least), key=lambda e: abs(self._held[e] - wanted))
            counts.append(end - at)
            at = end
        return tuple(counts)

    def nearest(self, first: int) -> tuple[int, ...]:
        """A deal of layers that do not fit: one card gets too much, all others what they can hold."""
        found = [self._all_but(card, first) for card in range(len(self._places))]
        return min(found, key=lambda deal: deal[0])[1]

    def _all_but(self, over: int, first: int) -> tuple[int, tuple[int, ...]]:
        """What the card `over` lacks for the layers that the cards before and after it leave."""
        front, back = first, self._n
        counts = [0] * len(self._places)
        for card in range(over):
            counts[card] = max(self._end(self._places[card], front) - front, 0)
            front += counts[card]
        for card in reversed(range(over + 1, len(self._places))):
            start = bisect_left(self._held, self._held[back] - self._places[card].room, front, back)
            counts[card], back = back - start, start
        counts[over] = back - front
        return self._held[back] - self._held[front] - self._places[over].room, tuple(counts)

    def _end(self, place: Place, at: int) -> int:
        """The layer before which a card is full that begins with layer `at`."""
        return bisect_right(self._held, self._held[at] + place.room) - 1
