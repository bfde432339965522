"""A way to stop a turn from another thread, wherever that turn is waiting."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Cancel:
    """Set once. A turn that waits for time calls wait; one that waits for the network registers how to cut it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._set = threading.Event()
        self._cut: Callable[[], None] | None = None

    @property
    def is_set(self) -> bool:
        """Whether the turn should end."""
        return self._set.is_set()

    def wait(self, timeout_s: float) -> bool:
        """Sleep for at most timeout_s seconds; True at once when set."""
        return self._set.wait(timeout_s)

    def set(self) -> None:
        """Stop the turn: wakes a wait and cuts a connection in use."""
        with self._lock:
            self._set.set()
            cut = self._cut
        if cut:
            cut()

    def on_set(self, cut: Callable[[], None] | None) -> None:
        """Register what set() must cut; called at once when it is set already."""
        with self._lock:
            self._cut = cut
            late = cut is not None and self._set.is_set()
        if late and cut:
            cut()
