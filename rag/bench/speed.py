"""How long searches and ingests take, and whether memory grows with the number of documents."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from rag.bench.made import Made, MadeEmbedder
from rag.chunk import chunk
from rag.documents import Document
from rag.embed import Embedder, what_fits
from rag.ingest import Ingest
from rag.search import Search
from rag.shelves import Shelves
from rag.work import AT_ONCE, BATCH, batches

_N_QUESTIONS = 200
_N_WARM = 20  # questions that are asked before the clock runs: the words that are in all of them are read once
_WORDS_A_DOCUMENT = 2_400
_MEMORY_WORDS = 300


@dataclass(frozen=True)
class Waits:
    """How long a search takes without the call that embeds its question, in milliseconds.

    cpu_p95_ms: of processor time, of all its threads together, which others on the machine change less.
    """

    n_chunks: int
    p50_ms: float
    p95_ms: float
    cpu_p95_ms: float
    first_s: float  # the first one, which reads the vectors


@dataclass(frozen=True)
class Rates:
    """Chunks a second that ingests make, and that the server alone makes of the same texts: medians of pairs.

    ratio: the median of the pairs' own, which a machine that is slower for a while changes least.
    """

    n_chunks: int
    n_pairs: int
    ingest: float
    alone: float
    ratio: float


@dataclass(frozen=True)
class Memory:
    """Megabytes of this process after so many documents."""

    few: int
    few_mb: float
    many: int
    many_mb: float


@dataclass(frozen=True)
class Ready:
    """A document that is already read, as an item of a source."""

    document: Document
    stamp: str = ""

    @property
    def uri(self) -> str:
        """Its address."""
        return self.document.uri

    def sha256(self) -> str:
        """Of its bytes."""
        return self.document.sha256

    def read(self) -> Document:
        """The document."""
        return self.document


def searches(folder: Path, n_chunks: int) -> Waits:
    """Searches over so many made chunks with vectors and words."""
    made = Made()
    index = Shelves(folder / f"speed-{n_chunks}.db")
    shelf = index.add_shelf("bench", "made")
    n_there = number = 0
    while n_there < n_chunks:
        document = made.document(number, _WORDS_A_DOCUMENT)
        chunks = chunk(document.text, document.title)[: n_chunks - n_there]
        index.put(shelf.id, document, chunks, {"made": made.vectors(len(chunks))})
        n_there, number = n_there + len(chunks), number + 1
    search = Search(index, MadeEmbedder(made))
    began = time.perf_counter()
    search.passages("first", [shelf.id])
    first_s = time.perf_counter() - began
    waits: list[float] = []
    works: list[float] = []
    for text in made.questions(_N_QUESTIONS):
        began, before = time.perf_counter(), time.process_time()
        search.passages(text, [shelf.id])
        waits.append(time.perf_counter() - began)
        works.append(time.process_time() - before)
    index.close()
    p50, p95 = np.percentile(waits[_N_WARM:], (50, 95)) * 1e3
    return Waits(n_chunks, float(p50), float(p95), float(np.percentile(works[_N_WARM:], 95)) * 1e3, first_s)


def _took(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def rates(folder: Path, embedder: Embedder, rounds: Sequence[Sequence[Document]]) -> Rates:
    """For each round: ingest its documents into a new library, and have the server embed the same texts, in turns."""
    pairs: list[tuple[int, float, float]] = []
    for number, documents in enumerate(rounds):
        texts = [each.told(d.text, d.title) for d in documents for each in chunk(d.text, d.title)]
        path = folder / f"rates-{number}.db"
        if number == 0:
            what_fits(embedder, texts[:BATCH])  # the server has its model
        if number % 2:
            ingest_s = _ingest_s(path, embedder, documents)
            alone_s = _embed_s(embedder, texts)
        else:
            alone_s = _embed_s(embedder, texts)
            ingest_s = _ingest_s(path, embedder, documents)
        pairs.append((len(texts), ingest_s, alone_s))
    return Rates(
        sum(n for n, _, _ in pairs),
        len(pairs),
        median(n / ingest_s for n, ingest_s, _ in pairs),
        median(n / alone_s for n, _, alone_s in pairs),
        median(alone_s / ingest_s for _, ingest_s, alone_s in pairs),
    )


def _ingest_s(path: Path, embedder: Embedder, documents: Sequence[Document]) -> float:
    index = Shelves(path)
    shelf = index.add_shelf("bench", "rates")
    try:
        return _took(lambda: Ingest(index, embedder).take(shelf.id, map(Ready, documents), n_all=len(documents)))
    finally:
        index.close()


def _embed_s(embedder: Embedder, texts: Sequence[str]) -> float:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return _took(lambda: list(pool.map(lambda batch: what_fits(embedder, batch), batches(texts))))


def memory(folder: Path, few: int = 1_000, many: int = 10_000) -> Memory:
    """Ingest made documents and look at what this process holds after few and after many."""
    made = Made()
    index = Shelves(folder / "memory.db")
    shelf = index.add_shelf("bench", "memory")
    seen: dict[int, float] = {}

    def items() -> Iterator[Ready]:
        for number, document in enumerate(made.documents(many, _MEMORY_WORDS)):
            if number == few:
                seen[few] = _resident_mb()
            yield Ready(document)

    Ingest(index, MadeEmbedder(made)).take(shelf.id, items(), n_all=many)
    seen[many] = _resident_mb()
    index.close()
    return Memory(few, seen[few], many, seen[many])


def _resident_mb() -> float:
    """What this process has in memory; Linux tells."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0
