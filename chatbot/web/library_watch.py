"""What is looked at every ten seconds for the library: whether somebody makes embeddings, watched folders, what other
processes changed, what was deleted a day ago."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from chatbot.errors import ChatError
from rag.errors import EmbedderAway, RagError

if TYPE_CHECKING:
    from chatbot.web.library_runs import Runs
    from rag.embed import HttpEmbedder
    from rag.library import Library

log = logging.getLogger("chatbot")

_LOOK_EVERY_S = 10.0
_FIRST_LOOK_S = 1.0  # so that the first page does not wait for what the library needs
_ANSWER_S = 1.0  # how long a page waits to hear who makes embeddings; later it is told
_PURGE_EVERY_S = 3_600.0


@dataclass(frozen=True)
class Embedding:
    """Who makes embeddings. notice: what to do when nobody does."""

    model: str = ""
    is_there: bool = False
    notice: str = ""


class LibraryWatch:
    """The thread that looks. path: of the library's file; library: None as long as there is none to look at."""

    def __init__(
        self,
        path: Path,
        library: Callable[[], Library | None],
        embedder: Callable[[], HttpEmbedder],
        runs: Runs,
        purge: Callable[[], None],
        tell_changed: Callable[[], None],
    ) -> None:
        self._library, self._embedder, self._runs = library, embedder, runs
        self._purge, self._tell_changed = purge, tell_changed
        self._embedding: Embedding | None = None
        self._asked_at, self._problem = 0.0, ""
        self._is_asked, self._answered = False, threading.Event()
        self._files = (path, path.with_name(f"{path.name}-wal"))
        self._written: list[tuple[int, int]] = []
        self._purge_at = time.monotonic()
        self._is_first, self._must_fill = True, True
        self._woken, self._closing = threading.Event(), threading.Event()
        threading.Thread(target=self._go_round, name="library", daemon=True).start()

    def close(self) -> None:
        """Look no more."""
        self._closing.set()
        self._woken.set()

    def fill_soon(self) -> None:
        """Something came that has no vectors yet."""
        self._must_fill = True
        self._woken.set()

    def embedding(self) -> Embedding:
        """Who makes embeddings, as it was at the last look; without a library nobody looks until a page asks."""
        if self._embedding is None or time.monotonic() - self._asked_at > 2 * _LOOK_EVERY_S:
            self._answered.clear()
            self._is_asked = True
            self._woken.set()
            self._answered.wait(_ANSWER_S)
        return self._embedding or Embedding()

    def _go_round(self) -> None:
        """The edge of the loop: what fails is tried again at the next round."""
        self._woken.wait(_FIRST_LOOK_S)
        while not self._closing.is_set():
            self._woken.clear()
            try:
                self.look()
                self._problem = ""
            except (RagError, ChatError) as why:
                if why.message != self._problem:
                    log.warning("the library: %s", why.message)
                self._problem = why.message
            except Exception:
                if not self._closing.is_set():
                    log.exception("looking after the library failed; it is tried again")
            self._woken.wait(_LOOK_EVERY_S)

    def look(self) -> None:
        """One look at everything. Raises RagError, ChatError."""
        library = self._library()
        if library is not None or self._is_asked:
            self._is_asked = False
            self._look_at_embedding(library)
        if library is None:
            return
        self._go_on(library)
        for source in library.all_sources():
            if source.options.get("watch") and library.changed(source):
                self._runs.start(source.id)
        if time.monotonic() >= self._purge_at:
            self._purge_at = time.monotonic() + _PURGE_EVERY_S
            self._purge()
        written = [(found.st_mtime_ns, found.st_size) for found in map(stat_of, self._files) if found]
        if written != self._written:
            self._written = written
            self._tell_changed()

    def _go_on(self, library: Library) -> None:
        """Begin again what was cut off when its process ended, and what never began."""
        cut_off = library.unfinished()
        if self._is_first:
            cut_off += [source for source in library.all_sources() if source.state == "new"]
            self._is_first = False
        for source in cut_off:
            if not self._runs.is_running(source.id):
                self._runs.start(source.id)

    def _look_at_embedding(self, library: Library | None) -> None:
        before = self._embedding
        now = self._ask()
        self._answered.set()
        if now != before:
            self._must_fill = True
            self._tell_changed()
        if library is not None and now.is_there:
            library.use_model(now.model)
            if self._must_fill or library.must_fill() or self._runs.must_fill_again():
                self._must_fill = False
                self._runs.fill()

    def _ask(self) -> Embedding:
        was, self._asked_at = self._embedding or Embedding(), time.monotonic()
        try:
            self._embedding = Embedding(self._embedder().check(), is_there=True)
        except EmbedderAway as why:
            notice = f"{why.message}. Until then documents are found by their words alone."
            self._embedding = replace(was, is_there=False, notice=notice)
        return self._embedding


def stat_of(path: Path) -> os.stat_result | None:
    """What the disk says of a file, None for one that is not there."""
    try:
        return path.stat()
    except OSError:
        return None
