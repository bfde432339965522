"""Bring a shelf up to date with a source: what is new or changed is read, cut, embedded and kept; what is gone, goes.

Each document is kept in one transaction once all its vectors are there, so that a run that was killed goes on where it
was: what is kept is known by the hash of its bytes. Documents are read while the vectors of earlier ones are made.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Protocol

from rag.chunk import Limits, chunk
from rag.documents import Chunk, Document
from rag.embed import Embedder, Vector
from rag.errors import DocumentRefused, EmbedderAway, RagError, TextTooLong
from rag.index import Index

_BATCH = 16  # texts a request: the server answers others between two
_AT_ONCE = 2  # requests under way, so that the server never waits for the next one
_WINDOW = 64  # texts that are collected before they are sent: memory holds at most two windows
_LEAST_TOKENS = 32


class Item(Protocol):
    """A document that a source has, not yet read."""

    @property
    def uri(self) -> str:
        """Where it is from; one shelf holds each once."""

    @property
    def stamp(self) -> str:
        """What is the same as long as nobody has changed it, without reading it; empty where nothing tells."""

    def sha256(self) -> str:
        """Of its bytes, in hex. Raises RagError."""

    def read(self) -> Document:
        """The document. Raises DocumentRefused, or RagError."""


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
    """A document that could not be taken, and why in a line."""

    uri: str
    reason: str


@dataclass
class Report:
    """What a run did. is_whole: it came to its end, so that what it did not meet is gone from the source."""

    n_new: int = 0
    n_changed: int = 0
    n_same: int = 0
    n_removed: int = 0
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
        tell: Callable[[Progress], None] = lambda _: None,
        is_cancelled: Callable[[], bool] = lambda: False,
    ) -> Report:
        """Take all that is new or changed of these items. A document that fails is told, and the others go on.

        With a source_id, what the source no longer has is removed at the end. Raises LibraryBroken and what the
        iteration of the items raises.
        """
        return _Run(self._index, self._embedder, self._limits, shelf_id, source_id, tell).take(
            items, n_all, is_cancelled
        )

    def fill(
        self, tell: Callable[[int, int], None] = lambda _, __: None, is_cancelled: Callable[[], bool] = lambda: False
    ) -> int:
        """Make the vectors that are missing of this model; how many. When none is missing, search uses the model.

        The vectors of another model answer until then. Raises EmbedderAway.
        """
        model, n_made = self._embedder.model, 0
        while not is_cancelled() and (waiting := self._index.without_vectors(model, _BATCH)):
            vectors = _embedded(self._embedder, [each.text for each in waiting])
            self._index.set_vectors(model, [each.chunk_id for each in waiting], vectors)
            n_made += len(waiting)
            tell(*self._index.n_vectors(model))
        if not is_cancelled() and self._index.n_vectors(model)[1]:
            self._index.choose_model(model)
        return n_made


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
    ) -> None:
        self._index, self._embedder, self._limits = index, embedder, limits
        self._shelf_id, self._source_id, self._tell = shelf_id, source_id, tell
        self._known = index.known(shelf_id)
        self._report = Report()
        self._began = time.monotonic()
        self._n_done = 0
        self._n_all: int | None = None
        self._model = ""

    def take(self, items: Iterable[Item], n_all: int | None, is_cancelled: Callable[[], bool]) -> Report:
        """All items, the next window read while the vectors of the one before are made."""
        self._n_all = n_all
        try:
            self._model = self._embedder.model
        except EmbedderAway as why:
            self._report.without_vectors = why.message
        seen: set[str] = set()
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            before: list[tuple[_Work, list[Future[list[Vector]]]]] = []
            for window in self._windows(items, seen, is_cancelled):
                now = [(work, self._asked(pool, work)) for work in window]
                self._keep(before)
                before = now
            self._keep(before)
        if not is_cancelled():
            self._report.is_whole = True
            self._remove_others(seen)
        return self._report

    def _windows(
        self, items: Iterable[Item], seen: set[str], is_cancelled: Callable[[], bool]
    ) -> Iterator[list[_Work]]:
        """Documents to embed, so many that their texts fill a window."""
        window: list[_Work] = []
        n_texts = 0
        for item in items:
            if is_cancelled():
                break
            seen.add(item.uri)
            work = self._read(item)
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

    def _read(self, item: Item) -> _Work | None:
        """The document in chunks; None when it is here already, or cannot be taken."""
        try:
            if self._is_same(item):
                self._report.n_same += 1
                return None
            document = item.read()
            if not document.text.strip():
                raise DocumentRefused("has no text")
        except RagError as why:
            self._report.failures.append(Failure(item.uri, why.message))
            return None
        chunks = chunk(document.text, document.title, self._limits)
        is_new = item.uri not in self._known
        known = {} if is_new or not self._model else self._index.vectors_by_text(self._shelf_id, item.uri, self._model)
        return _Work(document, chunks, known, is_new)

    def _is_same(self, item: Item) -> bool:
        """Whether it is here as it is now: by its stamp, else by the hash of its bytes."""
        sha256, stamp = self._known.get(item.uri, ("", ""))
        return bool(sha256) and ((bool(stamp) and stamp == item.stamp) or sha256 == item.sha256())

    def _asked(self, pool: ThreadPoolExecutor, work: _Work) -> list[Future[list[Vector]]]:
        """The vectors that a document lacks, on their way."""
        if self._report.without_vectors:
            return []
        texts = work.missing()
        return [pool.submit(self._embedder.embed, texts[at : at + _BATCH]) for at in range(0, len(texts), _BATCH)]

    def _keep(self, window: Sequence[tuple[_Work, list[Future[list[Vector]]]]]) -> None:
        """Keep the documents of a window, each with its vectors."""
        for work, futures in window:
            try:
                ready = self._with_vectors(work, [vector for each in futures for vector in each.result()])
            except TextTooLong:
                ready = self._cut_smaller(work)
            except EmbedderAway as why:
                self._report.without_vectors = why.message
                ready = replace(work, known={})
            self._put(ready)
            self._n_done += 1
            self._say(work.document.uri)

    def _with_vectors(self, work: _Work, made: Sequence[Vector]) -> _Work:
        self._report.n_embedded += len(made)
        return replace(
            work, known={**work.known, **dict(zip(work.missing(), made, strict=True))} if made else work.known
        )

    def _cut_smaller(self, work: _Work) -> _Work:
        """The document in chunks that the model can read: an estimate of tokens may be too low."""
        limits = self._limits
        while limits.max_tokens > _LEAST_TOKENS:
            limits = replace(limits, max_tokens=limits.max_tokens * 3 // 4)
            smaller = replace(work, chunks=chunk(work.document.text, work.document.title, limits))
            texts = smaller.missing()
            try:
                made = [v for at in range(0, len(texts), _BATCH) for v in self._embedder.embed(texts[at : at + _BATCH])]
                return self._with_vectors(smaller, made)
            except TextTooLong:
                continue
            except EmbedderAway as why:
                self._report.without_vectors = why.message
                break
        return replace(work, known={})

    def _put(self, work: _Work) -> None:
        texts = work.texts()
        is_whole = all(text in work.known for text in texts)
        vectors = {self._model: [work.known[text] for text in texts]} if is_whole and self._model else None
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
            self._report.n_removed = self._index.remove([each.id for each in kept if each.uri not in seen])

    def _say(self, uri: str) -> None:
        left = None
        if self._n_all is not None and self._n_done:
            left = (time.monotonic() - self._began) / self._n_done * max(0, self._n_all - self._n_done)
        self._tell(Progress(self._n_done, self._n_all, self._report.n_chunks, left, uri))


def _embedded(embedder: Embedder, texts: Sequence[str]) -> list[Vector]:
    """The vectors of texts, each of as much of it as the model can read. Raises EmbedderAway."""
    try:
        return embedder.embed(texts)
    except TextTooLong:
        if len(texts) > 1:
            return [_embedded(embedder, [text])[0] for text in texts]
        return _embedded(embedder, [texts[0][: len(texts[0]) * 3 // 4]])
