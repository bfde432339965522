"""The ledger of cells counts as sets of cell numbers would, whoever grows, shares and lets go."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from llmserver.engine.cells import Cells
from tests.server.engine_rig import search

N_CELLS = 40
SEQ = st.integers(0, 5)


class Ledger(RuleBasedStateMachine):
    """Sequences of cells, beside lists of cell numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = Cells(N_CELLS)
        self.seqs: dict[int, list[int]] = {seq: [] for seq in range(6)}
        self.n_taken = 0

    @property
    def used(self) -> set[int]:
        return {cell for cells in self.seqs.values() for cell in cells}

    @rule(seq=SEQ, n=st.integers(0, 12))
    def grow(self, seq: int, n: int) -> None:
        if len(self.used) + n > N_CELLS:
            with pytest.raises(OverflowError, match="free"):
                self.cells.grow(seq, n)
            return
        self.cells.grow(seq, n)
        self.seqs[seq] += range(self.n_taken, self.n_taken + n)
        self.n_taken += n

    @rule(seq=SEQ, n=st.integers(0, 20))
    def trim(self, seq: int, n: int) -> None:
        self.cells.trim(seq, n)
        del self.seqs[seq][n:]

    @rule(source=SEQ, into=SEQ, n=st.integers(0, 20))
    def share(self, source: int, into: int, n: int) -> None:
        if self.seqs[into] or source == into:
            return
        n = min(n, len(self.seqs[source]))
        self.cells.share(source, into, n)
        self.seqs[into] = self.seqs[source][:n]

    @invariant()
    def the_counts_are_right(self) -> None:
        cells, used = self.cells, self.used
        assert cells.used == len(used)
        assert cells.free == N_CELLS - len(used) >= 0
        for seq, own in self.seqs.items():
            others = {cell for other, held in self.seqs.items() if other != seq for cell in held}
            assert cells.length(seq) == len(own)
            assert cells.private(seq) == len(set(own) - others)
        for group in ([], [0, 1], [2, 3, 4], [*self.seqs]):
            assert cells.held(group) == len({cell for seq in group for cell in self.seqs[seq]})


TestLedger = Ledger.TestCase
TestLedger.settings = search(80, 50)


def test_a_shared_prefix_is_counted_once_until_the_last_sequence_lets_go() -> None:
    cells = Cells(10)
    cells.grow(0, 6)
    cells.share(0, 1, 4)
    assert (cells.used, cells.private(0), cells.private(1)) == (6, 2, 0)
    cells.trim(0, 0)
    assert (cells.used, cells.private(1)) == (4, 4)
    cells.trim(1, 0)
    assert cells.used == 0


def test_a_sequence_that_grows_behind_a_shared_prefix_owns_what_is_new() -> None:
    cells = Cells(10)
    cells.grow(0, 4)
    cells.share(0, 1, 4)
    cells.grow(1, 3)
    assert (cells.used, cells.length(0), cells.length(1), cells.private(1)) == (7, 4, 7, 3)


def test_sharing_into_a_sequence_with_cells_is_refused() -> None:
    cells = Cells(10)
    cells.grow(0, 4)
    cells.grow(1, 1)
    with pytest.raises(ValueError, match="not empty"):
        cells.share(0, 1, 2)


def test_sharing_more_than_there_is_is_refused() -> None:
    cells = Cells(10)
    cells.grow(0, 4)
    with pytest.raises(ValueError, match="1 cells too short"):
        cells.share(0, 1, 5)


def test_growing_beyond_the_pool_is_refused_with_both_numbers() -> None:
    cells = Cells(10)
    cells.grow(0, 8)
    with pytest.raises(OverflowError, match="3 cells wanted, 2 free"):
        cells.grow(1, 3)
    assert cells.used == 8
