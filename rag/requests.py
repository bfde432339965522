"""Requests under way while something else is done. What hangs holds up neither who asked nor the end of the process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from concurrent.futures import Future, wait
from queue import SimpleQueue
from typing import ParamSpec, TypeVar

_LOOK_S = 0.2  # between two looks whether to go on waiting

_Given = ParamSpec("_Given")
_Made = TypeVar("_Made")


class Requests:
    """So many at once, in the order in which they came. Its threads end with the process, unlike those of a pool."""

    def __init__(self, n_at_once: int) -> None:
        self._n_at_once = n_at_once
        self._waiting: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._ended = threading.Event()
        for _ in range(n_at_once):
            threading.Thread(target=self._work, name="requests", daemon=True).start()

    def submit(self, ask: Callable[_Given, _Made], *args: _Given.args, **named: _Given.kwargs) -> Future[_Made]:
        """Ask as soon as one before has its answer."""
        future: Future[_Made] = Future()

        def work() -> None:
            try:
                future.set_result(ask(*args, **named))
            except BaseException as why:  # noqa: BLE001 - raised again where it is waited for
                future.set_exception(why)

        self._waiting.put(work)
        return future

    def end(self) -> None:
        """Ask no more. What is under way ends by itself, and nobody hears of it."""
        self._ended.set()
        for _ in range(self._n_at_once):
            self._waiting.put(None)

    def _work(self) -> None:
        while (work := self._waiting.get()) is not None:
            if not self._ended.is_set():
                work()


def is_ready(futures: Collection[Future[_Made]], is_cancelled: Callable[[], bool]) -> bool:
    """Wait for all of these; False when nobody wants them any more."""
    while not is_cancelled():
        if not wait(futures, _LOOK_S).not_done:
            return True
    return False
