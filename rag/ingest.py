"""Bring a shelf up to date with a source: what is new or changed is read, cut, embedded and kept; what is gone, goes.

Each document is kept in one transaction once all its vectors are there, so that a run that was killed goes on where it
was: what is kept is known by the hash of its bytes. Documents are read while the vectors of earlier ones are made.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Protocol

from rag.chunk import Limits, chunk, parts
from rag.documents import Chunk, Document
from rag.embed import Embedder, Vector, what_fits
from rag.errors import (
    DocumentEmpty,
    DocumentRefused,
    EmbedderAway,
    LibraryBroken,
    PartUnread,
    RagError,
    SourceFailed,
    TextTooLong,
)
from rag.fill import Fill
from rag.index import Index

_BATCH = 16  # texts a request: the server answers others between two
_AT_ONCE = 2  # requests under way, so that the server never waits for the next one
_WINDOW = 64  # texts that are collected before they are sent: memory holds at most two windows
_LEAST_TOKENS = 32
_TIMES = 200  # documents by which the time that is left is told
_LOOK_S = 0.2  # between two looks whether the run shall stop
_TRY_AGAIN_S = 3_600.0  # after so long a file that could not be read is tried again though it did not change
_GONE = (404, 410)  # what a server says of a page that is no longer there


class Item(Protocol):
    """A document that a source has, not yet read."""

    @property
    def uri(self) -> str:
        """Where it is from; one shelf holds each once."""

    @property
    def stamp(self) -> str:
        """What is the same as long as nobody has changed it, without reading it; empty where nothing tells.

        Asked for again after sha256, when more may be known.
        """

    def sha256(self) -> str:
        """Of its bytes, in hex. Raises RagError."""

    def read(self) -> Document:
        """The document. Raises DocumentRefused; PartUnread for what is a part of the source; or RagError."""


@dataclass(frozen=True)
class Progress:
    """How far a run is. n_all is None while a source still looks for more; left_s None until it can be told."""

    n_done: int
    n_all: int | None
    n_chunks: int
    left_s: float | None
    uri: str


@dataclass(frozen=True)
class Failure:
    """A document that could not be taken, and why in a line.

    stamp: what it had then, where its bytes are the reason; at: when it was read.
    """

    uri: str
    reason: str
    stamp: str = field(default="", compare=False)
    at: float = field(default=0.0, compare=False)


_NONE = Failure("", "")


@dataclass
class Report:
    """What a run did. is_whole: it came to its end, so that what it did not meet is gone from the source.

    n_put_away: what a person deleted and the source still has. without_vectors: why vectors are to follow, or empty.
    """

    n_new: int = 0
    n_changed: int = 0
    n_same: int = 0
    n_removed: int = 0
    n_put_away: int = 0
    n_chunks: int = 0
    n_embedded: int = 0
    failures: list[Failure] = field(default_factory=list)
    is_whole: bool = False
    without_vectors: str = ""


@dataclass
class _Work:
    """A document on its way: its chunks, and the vectors that it has already by their text."""

    document: Document
    chunks: list[Chunk]
    known: dict[str, Vector]
    is_new: bool

    def texts(self) -> list[str]:
        return [each.told(self.document.text, self.document.title) for each in self.chunks]

    def missing(self) -> list[str]:
        return [text for text in dict.fromkeys(self.texts()) if text not in self.known]


def _batches(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    return (texts[at : at + _BATCH] for at in range(0, len(texts), _BATCH))


class Ingest:
    """Runs for one library; several may go on at once, for different sources."""

    def __init__(self, index: Index, embedder: Embedder, limits: Limits | None = None) -> None:
        self._index, self._embedder, self._limits = index, embedder, limits or Limits()

    def take(
        self,
        shelf_id: int,
        items: Iterable[Item],
        *,
        source_id: int | None = None,
        n_all: int | None = None,
        failed: Iterable[Failure] = (),
        tell: Callable[[Progress], None] = lambda _: None,
        is_cancelled: Callable[[], bool] = lambda: False,
    ) -> Report:
        """Take all that is new or changed of these items. A document that fails is told, and the others go on.

        With a source_id, what the source no longer has is removed at the end. failed: of the run before; what has not
        changed since is not read again for an hour. Raises LibraryBroken and what the
        iteration of the items raises.
        """
        run = _Run(self._index, self._embedder, self._limits, shelf_id, source_id, tell, is_cancelled)
        return run.take(items, n_all, {each.uri: each for each in failed})

    def put(self, shelf_id: int, document: Document) -> int:
        """Keep one document; its id. A short one has its vectors at once, a long one when they are filled in."""
        chunks = chunk(document.text, document.title, self._limits, is_code=document.kind == "code")
        vectors: dict[str, list[Vector]] = {}
        if len(chunks) <= _BATCH:
            with suppress(EmbedderAway, TextTooLong):
                texts = [each.told(document.text, document.title) for each in chunks]
                vectors = {self._embedder.model: self._embedder.embed(texts)}
        return self._index.put(shelf_id, document, chunks, vectors)

    def fill(
        self, tell: Callable[[int, int], None] = lambda _, __: None, is_cancelled: Callable[[], bool] = lambda: False
    ) -> int:
        """Make the vectors that are missing of this model; how many. When none is missing, search uses the model.

        The vectors of another model answer until then. Raises EmbedderAway.
        """
        return Fill(self._index, self._embedder, tell, is_cancelled).run()

    def is_filled(self, shelf_id: int) -> bool:
        """Whether all of a shelf has vectors of this model. Raises EmbedderAway."""
        return not self._index.lacks_vectors(self._embedder.model, shelf_id)


class _Run:
    """One run over the items of a source."""

    def __init__(
        self,
        index: Index,
        embedder: Embedder,
        limits: Limits,
        shelf_id: int,
        source_id: int | None,
        tell: Callable[[Progress], None],
        is_cancelled: Callable[[], bool],
    ) -> None:
        self._index, self._embedder, self._limits = index, embedder, limits
        self._shelf_id, self._source_id = shelf_id, source_id
        self._tell, self._is_cancelled = tell, is_cancelled
        self._known = index.known(shelf_id)
        self._unread: list[str] = []
        self._failed: Mapping[str, Failure] = {}
        self._report = Report()
        # When the last documents were done: those before tell little, when most of them were there already.
        self._times = deque([time.monotonic()], _TIMES)
        self._n_done = 0
        self._n_all: int | None = None
        self._model = ""

    def take(self, items: Iterable[Item], n_all: int | None, failed: Mapping[str, Failure]) -> Report:
        """All items, the next window read while the vectors of the one before are made."""
        self._n_all, self._failed = n_all, failed
        try:
            self._model = self._embedder.model
        except EmbedderAway as why:
            self._report.without_vectors = why.message
        seen: set[str] = set()
        pool = ThreadPoolExecutor(_AT_ONCE)
        try:
            before: list[tuple[_Work, list[Future[list[Vector | None]]]]] = []
            for window in self._windows(items, seen):
                now = [(work, self._asked(pool, work)) for work in window]
                self._keep(before)
                before = now
            self._keep(before)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # a request under way ends by itself
        if not self._is_cancelled():
            self._report.is_whole = True
            self._remove_others(seen)
        return self._report

    def _windows(self, items: Iterable[Item], seen: set[str]) -> Iterator[list[_Work]]:
        """Documents to embed, so many that their texts fill a window."""
        window: list[_Work] = []
        n_texts = 0
        for item in items:
            if self._is_cancelled():
                break
            seen.add(item.uri)
            work = self._read(item, seen)
            if work is None:
                self._n_done += 1
                self._say(item.uri)
                continue
            window.append(work)
            n_texts += len(work.chunks)
            if n_texts >= _WINDOW:
                yield window
                window, n_texts = [], 0
        yield window

    def _read(self, item: Item, seen: set[str]) -> _Work | None:
        """The document in chunks; None when it is here already, or cannot be taken."""
        if self._index.is_put_away(self._shelf_id, item.uri):
            self._report.n_put_away += 1
            return None
        try:
            if self._is_same(item):
                self._report.n_same += 1
                return None
            before = self._failed.get(item.uri, _NONE)
            if before.stamp and before.stamp == item.stamp and time.time() - before.at < _TRY_AGAIN_S:
                self._report.failures.append(before)
                return None
            document = item.read()
            if not document.text.strip():
                raise DocumentRefused("has no text")
        except LibraryBroken:
            raise
        except RagError as why:
            if isinstance(why, PartUnread):
                self._unread.append(why.below)
            if isinstance(why, DocumentEmpty) or (isinstance(why, SourceFailed) and why.status in _GONE):
                seen.discard(item.uri)
            self._report.failures.append(self._failure(item, why))
            return None
        chunks = chunk(document.text, document.title, self._limits, is_code=document.kind == "code")
        is_new = item.uri not in self._known
        known = {} if is_new or not self._model else self._index.vectors_by_text(self._shelf_id, item.uri, self._model)
        return _Work(document, chunks, known, is_new)

    def _failure(self, item: Item, why: RagError) -> Failure:
        """Why it is not taken. The stamp saves reading it again; what is empty is read in no time."""
        if not isinstance(why, DocumentRefused) or isinstance(why, DocumentEmpty):
            return Failure(item.uri, why.message, "", time.time())
        old = "; the text that was read before is kept" if item.uri in self._known else ""
        return Failure(item.uri, f"{why.message}{old}", item.stamp, time.time())

    def _is_same(self, item: Item) -> bool:
        """Whether it is here as it is now: by its stamp, else by the hash of its bytes."""
        sha256, stamp = self._known.get(item.uri, ("", ""))
        if not sha256 or (stamp and stamp == item.stamp):
            return bool(sha256)
        if sha256 != item.sha256():
            return False
        if item.stamp != stamp:
            self._index.set_stamp(self._shelf_id, item.uri, item.stamp)
        return True

    def _asked(self, pool: ThreadPoolExecutor, work: _Work) -> list[Future[list[Vector | None]]]:
        """The vectors that a document lacks, on their way."""
        if self._report.without_vectors:
            return []
        return [pool.submit(what_fits, self._embedder, texts) for texts in _batches(work.missing())]

    def _keep(self, window: Sequence[tuple[_Work, list[Future[list[Vector | None]]]]]) -> None:
        """Keep the documents of a window, each with its vectors; on demand those that are left are not waited for."""
        for work, futures in window:
            if not self._is_ready(futures):
                return
            try:
                ready = self._with_vectors(work, [vector for each in futures for vector in each.result()])
                if futures:
                    ready = self._cut_smaller(ready)
            except EmbedderAway as why:
                self._report.without_vectors = why.message
                ready = replace(work, known={})
            self._put(ready)
            self._n_done += 1
            self._say(work.document.uri)

    def _is_ready(self, futures: Collection[Future[list[Vector | None]]]) -> bool:
        """Wait for vectors; False when the run shall end."""
        while not self._is_cancelled():
            if not wait(futures, _LOOK_S).not_done:
                return True
        return False

    def _with_vectors(self, work: _Work, made: Sequence[Vector | None]) -> _Work:
        """The document with what was made of its missing texts; None for one that is too long."""
        if not made:
            return work
        new = {text: vector for text, vector in zip(work.missing(), made, strict=True) if vector is not None}
        self._report.n_embedded += len(new)
        return replace(work, known={**work.known, **new})

    def _cut_smaller(self, work: _Work) -> _Work:
        """The document with the chunks that are too long cut: an estimate of tokens may be too low.

        Raises EmbedderAway.
        """
        text, title, limits = work.document.text, work.document.title, self._limits
        while (too_long := set(work.missing())) and limits.max_tokens > _LEAST_TOKENS:
            limits = replace(limits, max_tokens=limits.max_tokens * 3 // 4)
            chunks: list[Chunk] = []
            for each in work.chunks:
                chunks += parts(text, each, title, limits) if each.told(text, title) in too_long else [each]
            work = replace(work, chunks=chunks)
            made = [vector for texts in _batches(work.missing()) for vector in what_fits(self._embedder, texts)]
            work = self._with_vectors(work, made)
        return work

    def _put(self, work: _Work) -> None:
        texts = work.texts()
        is_whole = all(text in work.known for text in texts)
        vectors = {self._model: [work.known[text] for text in texts]} if is_whole and self._model else None
        if self._index.is_put_away(self._shelf_id, work.document.uri):  # deleted since it was read
            self._report.n_put_away += 1
            return
        self._index.put(self._shelf_id, work.document, work.chunks, vectors, self._source_id)
        self._report.n_chunks += len(work.chunks)
        if work.is_new:
            self._report.n_new += 1
        else:
            self._report.n_changed += 1

    def _remove_others(self, seen: set[str]) -> None:
        """Forget what the source no longer has. A document that failed is still there, with its old text."""
        if self._source_id is not None:
            kept = self._index.documents(self._shelf_id, self._source_id)
            gone = [each.id for each in kept if each.uri not in seen and not each.uri.startswith(tuple(self._unread))]
            self._report.n_removed = sum(self._index.remove([each]) for each in gone)

    def _say(self, uri: str) -> None:
        self._times.append(time.monotonic())
        left = None
        if self._n_all is not None and len(self._times) > 1:
            each_s = (self._times[-1] - self._times[0]) / (len(self._times) - 1)
            left = each_s * max(0, self._n_all - self._n_done)
        self._tell(Progress(self._n_done, self._n_all, self._report.n_chunks, left, uri))
