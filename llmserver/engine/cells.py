"""Count which KV cells are in use and by whom. Knows sequences and counts, not tokens, not llama.cpp.

With a unified cache, a copied prefix shares its cells: a cell is free when the last sequence lets go of it.
"""

from __future__ import annotations

from collections.abc import Iterable


class _Run:
    """Neighbouring cells that the same sequences hold."""

    __slots__ = ("holders", "n")

    def __init__(self, n: int, holders: set[int]) -> None:
        self.n, self.holders = n, holders


class Cells:
    """The ledger of one pool of cells."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.used = 0
        self._runs: dict[int, list[_Run]] = {}

    @property
    def free(self) -> int:
        """Cells that nobody holds."""
        return self.total - self.used

    def length(self, seq: int) -> int:
        """Cells of a sequence, shared ones included."""
        return sum(run.n for run in self._runs.get(seq, ()))

    def private(self, seq: int) -> int:
        """Cells that dropping the sequence would free."""
        return sum(run.n for run in self._runs.get(seq, ()) if len(run.holders) == 1)

    def held(self, seqs: Iterable[int]) -> int:
        """Cells that at least one of the sequences holds."""
        runs = {id(run): run.n for seq in seqs for run in self._runs.get(seq, ())}
        return sum(runs.values())

    def grow(self, seq: int, n: int) -> None:
        """The sequence takes n new cells at its end. Raises OverflowError when there are fewer."""
        if n > self.free:
            raise OverflowError(f"{n} cells wanted, {self.free} free")
        runs = self._runs.setdefault(seq, [])
        if runs and len(runs[-1].holders) == 1:
            runs[-1].n += n
        elif n:
            runs.append(_Run(n, {seq}))
        self.used += n

    def share(self, source: int, target: int, n: int) -> None:
        """The target, which is empty, holds the first n cells of the source too."""
        if self._runs.get(target):
            raise ValueError(f"sequence {target} is not empty")
        self._cut(source, n)
        shared, left = [], n
        for run in self._runs.get(source, ()):
            if left <= 0:
                break
            run.holders.add(target)
            shared.append(run)
            left -= run.n
        if left:
            raise ValueError(f"sequence {source} is {left} cells too short to share {n}")
        self._runs[target] = shared

    def trim(self, seq: int, n: int) -> None:
        """The sequence keeps its first n cells and lets go of the rest."""
        self._cut(seq, n)
        kept: list[_Run] = []
        for run in self._runs.pop(seq, ()):
            if n > 0:
                kept.append(run)
                n -= run.n
                continue
            run.holders.discard(seq)
            if not run.holders:
                self.used -= run.n
        if kept:
            self._runs[seq] = kept

    def _cut(self, seq: int, n: int) -> None:
        """Make the border between cells n-1 and n of the sequence a border between runs, for all its holders."""
        at = 0
        for run in self._runs.get(seq, ()):
            if at < n < at + run.n:
                rest = _Run(at + run.n - n, set(run.holders))
                run.n = n - at
                for holder in run.holders:
                    mine = self._runs[holder]
                    mine.insert(mine.index(run) + 1, rest)
                return
            at += run.n
