"""How long the rest of a run takes, by what it has done so far. Pure: others look at the clock.

A document that is here already costs next to nothing, or a question to its server; one that is read costs what its
chunks do. So the two are told apart, and of those that are still to come it is known how many are here already.
"""

from __future__ import annotations


class Pace:
    """The times of one run. n_known: the documents that it may meet as they are kept."""

    def __init__(self, n_known: int, now: float) -> None:
        self._began, self._n_known = now, n_known
        self._n_met_known = self._n_changed = 0
        self._n_skipped, self._skipped_s = 0, 0.0
        self._n_read = self._n_chunks = self._n_made = 0

    @property
    def n_met(self) -> int:
        """Documents that were looked at, whether they are done or not."""
        return self._n_skipped + self._n_read

    def skip(self, took_s: float, *, is_known: bool) -> None:
        """A document needed no reading, or could not be read."""
        self._n_skipped += 1
        self._skipped_s += took_s
        self._n_met_known += is_known

    def read(self, n_chunks: int, *, is_known: bool) -> None:
        """A document was read, and has so many chunks."""
        self._n_read += 1
        self._n_chunks += n_chunks
        self._n_met_known += is_known
        self._n_changed += is_known

    def make(self, n_chunks: int) -> None:
        """Chunks have their vectors, or nobody makes any."""
        self._n_made += n_chunks

    def left_s(self, n_all: int, now: float) -> float | None:
        """Seconds until all documents are done; None while nothing tells how long one takes."""
        n_left = max(0, n_all - self.n_met)
        n_known = min(n_left, max(0, self._n_known - self._n_met_known))
        n_changed = n_known * self._n_changed / self._n_met_known if self._n_met_known else 0.0
        n_to_read = n_left - n_known + n_changed
        n_chunks = max(0, self._n_chunks - self._n_made) + n_to_read * self._n_chunks / max(1, self._n_read)
        if (n_to_read and not self._n_read) or (n_chunks and not self._n_made):
            return None
        each_s = (now - self._began - self._skipped_s) / max(1, self._n_made)
        skip_s = self._skipped_s / max(1, self._n_skipped)
        return n_chunks * each_s + (n_known - n_changed) * skip_s
