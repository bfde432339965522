"""A way to stop a turn from another thread or from a signal handler, wherever that turn is waiting."""

from __future__ import annotations

import time
from collections.abc import Callable

_SLICE_S = 0.05


class Cancel:
    """Set once. A turn that waits for time calls wait; one that waits for the network registers how to cut it.

    Without a lock, since a signal handler may interrupt the very thread that holds one: set() raises the flag before
    it looks for what to cut, on_set() registers before it looks at the flag, so one of the two always cuts.
    """

    def __init__(self) -> None:
        self._is_set = False
        self._cut: Callable[[], None] | None = None

    @property
    def is_set(self) -> bool:
        """Whether the turn should end."""
        return self._is_set

    def wait(self, timeout_s: float) -> bool:
        """Sleep for at most timeout_s seconds; True soon after it is set."""
        end = time.monotonic() + timeout_s
        while not self._is_set and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, _SLICE_S))
        return self._is_set

    def set(self) -> None:
        """Stop the turn: ends a wait and cuts a connection in use."""
        self._is_set = True
        if (cut := self._cut) is not None:
            cut()

    def on_set(self, cut: Callable[[], None] | None) -> None:
        """Register what set() must cut; called at once when it is set already."""
        self._cut = cut
        if cut is not None and self._is_set:
            cut()
