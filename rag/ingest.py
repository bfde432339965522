"""Bring a shelf up to date with a source: what is new or changed is read, cut, embedded and kept; what is gone, goes.

Each document is kept in one transaction once all its vectors are there, a long one at once and its vectors as they
come, so that a run that was killed goes on where it was: what is kept is known by the hash of its bytes. Documents are
read while the vectors of earlier ones are made.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from rag import probe
from rag.chunk import Limits, chunk
from rag.documents import Document
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
from rag.fill import Fill, soon
from rag.index import Index
from rag.pace import Pace
from rag.requests import Requests, is_ready
from rag.work import AT_ONCE, BATCH, Work, batches, cut_smaller, made_of

_WINDOW = 64  # texts that are collected before they are sent: memory holds at most two windows
_LONG = 64  # texts without vectors, from which on a document is kept before it has them
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
        changed since is not read again for an hour. Raises LibraryBroken and what the iteration of the items raises.
        """
        run = _Run(self._index, self._embedder, self._limits, shelf_id, source_id, tell, is_cancelled)
        return run.take(items, n_all, {each.uri: each for each in failed})

    def put(self, shelf_id: int, document: Document) -> int:
        """Keep one document; its id. A short one has its vectors at once, a long one when they are filled in."""
        chunks = chunk(document.text, document.title, self._limits, is_code=document.kind == "code")
        vectors: dict[str, list[Vector]] = {}
        if len(chunks) <= BATCH:
            with suppress(EmbedderAway, TextTooLong):
                texts = [each.told(document.text, document.title) for each in chunks]
                vectors = soon(self._index, self._embedder, texts)
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
        self._uris = {sha256: uri for uri, (sha256, _) in self._known.items()}
        self._unread: list[str] = []
        self._failed: Mapping[str, Failure] = {}
        self._report = Report()
        self._pace = Pace(0, time.monotonic())
        self._under_way: deque[tuple[Future[list[Vector | None]], int]] = deque()  # (a request, its texts)
        self._n_done, self._model = 0, ""
        self._n_all: int | None = None
        self._requests = Requests(AT_ONCE)

    def take(self, items: Iterable[Item], n_all: int | None, failed: Mapping[str, Failure]) -> Report:
        """All items, the next window read while the vectors of the one before are made."""
        self._n_all, self._failed = n_all, failed
        seen: set[str] = set()
        try:
            n_known = len(self._known) if self._source_id is None else self._index.n_of_source(self._source_id)
            self._pace = Pace(n_known + len(failed), time.monotonic())
            self._meet_model()
            before: list[tuple[Work, list[Future[list[Vector | None]]]]] = []
            for window in self._windows(items, seen):
                now = [(work, self._asked(work)) for work in window]
                self._keep(before)
                before = now
            self._keep(before)
        finally:
            self._requests.end()
        if not self._is_cancelled():
            self._report.is_whole = True
            self._remove_others(seen)
        return self._report

    def _meet_model(self) -> None:
        """Learn who makes the vectors; those of another model of this name go."""
        try:
            self._model = self._embedder.model
            met = self._requests.submit(probe.renew, self._index, self._embedder)
            if is_ready([met], self._is_cancelled):
                met.result()
        except EmbedderAway as why:
            self._report.without_vectors = why.message

    def _windows(self, items: Iterable[Item], seen: set[str]) -> Iterator[list[Work]]:
        """Documents to embed, so many that their texts fill a window."""
        window: list[Work] = []
        n_texts, began = 0, time.monotonic()
        for item in items:
            if self._is_cancelled():
                break
            seen.add(item.uri)
            work = self._read(item, seen)
            is_known = item.uri in self._known or item.uri in self._failed
            if work is None:
                self._pace.skip(time.monotonic() - began, is_known=is_known)
                self._n_done += 1
                self._say(item.uri)
            else:
                self._pace.read(len(work.chunks), is_known=is_known)
                window.append(work)
                n_texts += len(work.chunks)
            if n_texts >= _WINDOW:
                yield window
                window, n_texts = [], 0
            began = time.monotonic()
        yield window

    def _read(self, item: Item, seen: set[str]) -> Work | None:
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
        return Work(document, chunks, self._vectors_of(document), is_new)

    def _vectors_of(self, document: Document) -> dict[str, Vector]:
        """The vectors that a document has, by their texts; of one that was renamed those under its old name."""
        uri = document.uri if document.uri in self._known else self._uris.get(document.sha256)
        return self._index.vectors_by_text(self._shelf_id, uri, self._model) if uri and self._model else {}

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

    def _asked(self, work: Work) -> list[Future[list[Vector | None]]]:
        """The vectors that a document lacks, on their way."""
        asked = [] if self._report.without_vectors else list(batches(work.missing()))
        self._pace.make(len(work.chunks) - sum(map(len, asked)))
        futures = [self._requests.submit(what_fits, self._embedder, texts) for texts in asked]
        self._under_way.extend(zip(futures, map(len, asked), strict=True))
        return futures

    def _keep(self, window: Sequence[tuple[Work, list[Future[list[Vector | None]]]]]) -> None:
        """Keep the documents of a window, each with its vectors; on demand those that are left are not waited for."""
        for work, futures in window:
            is_long = len(futures) * BATCH > _LONG
            if not (self._grow(work, futures) if is_long else self._keep_whole(work, futures)):
                return
            self._n_done += 1
            self._say(work.document.uri)

    def _keep_whole(self, work: Work, futures: Sequence[Future[list[Vector | None]]]) -> bool:
        """Keep a document once its vectors are there; False when the run shall end."""
        if not is_ready(futures, self._is_cancelled):
            return False
        try:
            for texts, future in zip(batches(work.missing()), futures, strict=False):
                work = work.taught(self._made(texts, future.result()))
            if futures and work.missing():
                cut = self._cut_smaller(work)
                if cut is None:
                    return False
                work = cut
        except EmbedderAway as why:
            self._report.without_vectors = why.message
        if self._put(work) is not None:
            self._report.n_chunks += len(work.chunks)
        return True

    def _grow(self, work: Work, futures: Sequence[Future[list[Vector | None]]]) -> bool:
        """Keep a long document at once, and its vectors as they come: what ends here costs none of those that are made.

        False when the run shall end.
        """
        document_id = self._put(work)
        if document_id is None:
            return True
        ids: dict[str, list[int]] = {}
        for text, chunk_id in zip(work.texts(), self._index.chunk_ids(document_id), strict=True):
            ids.setdefault(text, []).append(chunk_id)
        n_before = self._report.n_chunks
        self._report.n_chunks += len(work.chunks) - sum(len(ids[text]) for text in work.missing())
        try:
            for texts, future in zip(batches(work.missing()), futures, strict=False):
                if not is_ready([future], self._is_cancelled):
                    return False
                made = self._made(texts, future.result())
                work = work.taught(made)
                rows = [(chunk_id, vector) for text, vector in made.items() for chunk_id in ids[text]]
                self._index.set_vectors(self._model, [each for each, _ in rows], [vector for _, vector in rows])
                self._report.n_chunks += len(rows)
                self._say(work.document.uri)
            if work.missing():
                if (cut := self._cut_smaller(work)) is None:
                    return False
                work = cut
                self._put(work, is_again=True)
        except EmbedderAway as why:
            self._report.without_vectors = why.message
        self._report.n_chunks = n_before + len(work.chunks)
        return True

    def _made(self, texts: Sequence[str], vectors: Sequence[Vector | None]) -> dict[str, Vector]:
        found = made_of(texts, vectors)
        self._report.n_embedded += len(found)
        return found

    def _cut_smaller(self, work: Work) -> Work | None:
        """The document without chunks that are too long; None when the run shall end. Raises EmbedderAway."""
        cut = self._requests.submit(cut_smaller, work, self._embedder, self._limits)
        if not is_ready([cut], self._is_cancelled):
            return None
        made = cut.result()
        self._report.n_embedded += len(made.known) - len(work.known)
        return made

    def _put(self, work: Work, *, is_again: bool = False) -> int | None:
        """Keep a document with the vectors that it has; its id, or None for one that a person deleted meanwhile."""
        if self._index.is_put_away(self._shelf_id, work.document.uri):
            self._report.n_put_away += not is_again
            return None
        if not is_again:
            self._report.n_new += work.is_new
            self._report.n_changed += not work.is_new
        return self._index.put(self._shelf_id, work.document, work.chunks, self._vectors(work), self._source_id)

    def _vectors(self, work: Work) -> dict[str, list[Vector | None]]:
        return {self._model: work.vectors()} if self._model else {}

    def _remove_others(self, seen: set[str]) -> None:
        """Forget what the source no longer has. A document that failed is still there, with its old text."""
        if self._source_id is not None:
            kept = self._index.documents(self._shelf_id, self._source_id)
            gone = [each.id for each in kept if each.uri not in seen and not each.uri.startswith(tuple(self._unread))]
            self._report.n_removed = sum(self._index.remove([each]) for each in gone)

    def _say(self, uri: str) -> None:
        while self._under_way and self._under_way[0][0].done():  # some may wait to be kept
            self._pace.make(self._under_way.popleft()[1])
        left = None if self._n_all is None else self._pace.left_s(self._n_all, time.monotonic())
        self._tell(Progress(self._n_done, self._n_all, self._report.n_chunks, left, uri))
