"""What the library does in the background: runs of sources, watched folders, vectors that are missing.

A source has one run at a time, and few run at once. A run that the server's end cuts off goes on at the next start.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from chatbot.errors import ChatError
from rag.errors import RagError

if TYPE_CHECKING:
    from rag.library import Library, Progress, Source

log = logging.getLogger("chatbot")

_AT_ONCE = 2
_TELL_EVERY_S = 0.5
_LEAVE_S = 1.0  # how long the server's end waits for runs to end
_FILL_AGAIN_S = 60.0  # after a failure; the server may be busy, or make no embeddings at all
FILL = 0  # in place of a source's id: the vectors that are missing


@dataclass
class _Run:
    """A run that waits or goes on. again: it was asked for once more after it was stopped, or while it filled."""

    source_id: int
    has_begun: bool = False
    cancel: threading.Event = field(default_factory=threading.Event)
    progress: Progress | None = None
    told_at: float = 0.0
    again: bool = False


class Runs:
    """The runs of one server. Its methods may be called from any thread.

    tell: a source's run has gone on or ended; it is called from the run's thread, and 0 stands for the filling of
    vectors. may_go_on: raises RagError when whoever the source belongs to may add no more.
    """

    def __init__(
        self, library: Callable[[], Library], tell: Callable[[int], None], may_go_on: Callable[[Source], None]
    ) -> None:
        self._library, self._tell, self._may_go_on = library, tell, may_go_on
        self._lock = threading.Condition()
        self._runs: dict[int, _Run] = {}
        self._waiting: queue.Queue[_Run] = queue.Queue()
        self._threads: list[threading.Thread] = []
        self._closing = threading.Event()
        self._fill_failed_at: float | None = None

    def start(self, source_id: int) -> None:
        """Bring a source up to date when its turn comes; nothing, if it is about to be."""
        with self._lock:
            known = self._runs.get(source_id)
            if known is not None:
                known.again = known.again or known.cancel.is_set() or source_id == FILL
                return
            if self._closing.is_set():
                return
            self._runs[source_id] = run = _Run(source_id)
            if len(self._threads) < _AT_ONCE:
                name = f"library {len(self._threads) + 1}"
                self._threads.append(threading.Thread(target=self._work, name=name, daemon=True))
                self._threads[-1].start()
        self._waiting.put(run)
        if source_id != FILL:
            self._tell(source_id)

    def fill(self) -> None:
        """Make the vectors that are missing, when their turn comes."""
        self._fill_failed_at = None
        self.start(FILL)

    def must_fill_again(self) -> bool:
        """Whether vectors are missing since they could not be made a while ago, and nobody asked for them again."""
        return self._fill_failed_at is not None and time.monotonic() - self._fill_failed_at >= _FILL_AGAIN_S

    def stop(self, source_id: int, wait_s: float = 0.0) -> bool:
        """End a source's run, and keep what it has; whether there was one. wait_s: how long its end is waited for."""
        with self._lock:
            run = self._runs.get(source_id)
            if run is None:
                return False
            run.cancel.set()
            run.again = False
            if not run.has_begun:
                del self._runs[source_id]
            self._lock.wait_for(lambda: self._runs.get(source_id) is not run, wait_s)
        if not run.has_begun:
            self._tell(source_id)
        return True

    def is_running(self, source_id: int) -> bool:
        """Whether a source's run goes on here, or waits for its turn."""
        with self._lock:
            return source_id in self._runs

    def progress(self, source_id: int) -> Progress | None:
        """How far a source's run is."""
        with self._lock:
            run = self._runs.get(source_id)
        return run.progress if run else None

    def close(self) -> bool:
        """End all runs, which go on at the next start; whether all have ended."""
        self._closing.set()
        for _ in self._threads:
            self._waiting.put(_Run(-1))
        until = time.monotonic() + _LEAVE_S
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _work(self) -> None:
        """One run after the other. The edge of the loop: a run that fails ends no other."""
        while not self._closing.is_set():
            run = self._waiting.get()
            if self._closing.is_set():
                return
            with self._lock:
                if self._runs.get(run.source_id) is not run:  # stopped before its turn came
                    continue
                run.has_begun = True
            try:
                self._go(run)
            except (RagError, ChatError) as why:
                log.info("the library: %s", why.message)
                if run.source_id == FILL:
                    self._fill_failed_at = time.monotonic()
            except Exception:
                log.exception("a run of the library failed")
            self._end(run)

    def _go(self, run: _Run) -> None:
        if run.source_id == FILL:

            def filled(*_: int) -> None:
                self._say(run)

            if self._library().fill(filled, self._closing.is_set):
                self._tell(FILL)
            return
        source = self._library().source(run.source_id)

        def told(progress: Progress) -> None:
            run.progress = progress
            if self._say(run):
                self._may_go_on(source)  # what it raises in here is kept as the end of the run

        self._library().refresh(run.source_id, told, run.cancel.is_set, is_leaving=self._closing.is_set)
        if not run.cancel.is_set():
            self.fill()  # what an earlier run left without vectors when it was ended

    def _say(self, run: _Run) -> bool:
        """Tell of a run, unless it was told just now."""
        now = time.monotonic()
        if now - run.told_at < _TELL_EVERY_S:
            return False
        run.told_at = now
        self._tell(run.source_id)
        return True

    def _end(self, run: _Run) -> None:
        with self._lock:
            self._runs.pop(run.source_id, None)
            self._lock.notify_all()
        if self._closing.is_set():
            return
        try:
            if run.source_id != FILL:
                self._tell(run.source_id)
        except Exception:
            log.exception("the end of a run was not told; pages ask again")
        if run.again:
            self.start(run.source_id)
