"""Bring sources up to date while a person waits: a thread works, the main one says how far it is and hears Ctrl-C."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, TypeVar

from chatbot.terminal.listing import flat
from chatbot.terminal.render import StatusLine
from chatbot.terminal.shelf_lines import counted, failure_lines, progress_text, report_text, shown_uri

if TYPE_CHECKING:
    from rag.ingest import Report
    from rag.library import Library, Source

_LOOK_EVERY_S = 0.2
_PLAIN_EVERY_S = 10.0
_MOST_FAILURES = 20

_STOPPING = "stopping, what is done is kept"
Told = TypeVar("Told")
Done = TypeVar("Done")


class Foreground:
    """Says on stderr what a run does: one line that is written over on a terminal, now and then a line elsewhere."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._line = StatusLine(sys.stderr, is_shown=self._is_terminal)
        self._next_plain = time.monotonic() + _PLAIN_EVERY_S
        self._stop = threading.Event()

    @property
    def was_stopped(self) -> bool:
        """Whether Ctrl-C was pressed."""
        return self._stop.is_set()

    def refresh(self, library: Library, source: Source) -> Report:
        """Run one source and say what came of it. Raises RagError."""
        name = flat(shown_uri(source.address))
        self._line.show(f"reading {name}")
        report = self._worked(lambda tell: library.refresh(source.id, tell, self._stop.is_set), progress_text)
        self.say(f"{name}: {report_text(report)}")
        for line in failure_lines(report.failures[:_MOST_FAILURES]):
            self.say(f"  {line}")
        if (n_more := len(report.failures) - _MOST_FAILURES) > 0:
            self.say(f"  and {n_more:,} more: chat library show lists them")
        return report

    def fill(self, library: Library, shelf_id: int | None = None) -> None:
        """Make the vectors that are missing, but not those of others where this shelf has all; without them words find.

        Raises RagError.
        """
        from rag.errors import EmbedderAway

        def work(tell: Callable[[tuple[int, int]], None]) -> int:
            if shelf_id is not None and library.is_filled(shelf_id):
                return 0
            return library.fill(lambda n_done, n_all: tell((n_done, n_all)), self._stop.is_set)

        try:
            self._worked(work, lambda told: f"vectors for {told[0]:,} of {counted(told[1], 'passage')}")
        except EmbedderAway as why:
            self.say(f"found by words alone for now: {why.message}")

    def say(self, text: str) -> None:
        """A line for the person."""
        self._line.wipe()
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    def _worked(self, work: Callable[[Callable[[Told], None]], Done], words: Callable[[Told], str]) -> Done:
        """Let a thread work, and show what it tells. Raises what it raised."""
        told: SimpleQueue[Told | None] = SimpleQueue()
        done: Future[Done] = Future()

        def run() -> None:
            try:
                done.set_result(work(told.put))
            except BaseException as why:  # noqa: BLE001 - raised again where it is waited for
                done.set_exception(why)
            told.put(None)

        with self._interruptible():
            threading.Thread(target=run, name="refresh", daemon=True).start()
            while (got := self._heard(told)) is not None:
                self._show(words(got))
        self._line.wipe()
        return done.result()

    def _heard(self, told: SimpleQueue[Told | None]) -> Told | None:
        """The newest that was told."""
        while True:
            with suppress(Empty):
                return told.get(timeout=_LOOK_EVERY_S)
            if self._stop.is_set():
                self._line.show(_STOPPING)

    def _show(self, text: str) -> None:
        if self._is_terminal:
            self._line.show(_STOPPING if self._stop.is_set() else text)
        elif time.monotonic() >= self._next_plain:
            self._next_plain = time.monotonic() + _PLAIN_EVERY_S
            self.say(text)

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """The first Ctrl-C lets what is under way come to its end, the second one does not wait for it."""

        def ask(*_: object) -> None:
            if self._stop.is_set():
                raise KeyboardInterrupt
            self._stop.set()

        before = signal.signal(signal.SIGINT, ask)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)
