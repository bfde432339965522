"""A document on its way into the index: its chunks, and the vectors that they have so far. Keeps nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from rag.chunk import Limits, parts
from rag.documents import Chunk, Document
from rag.embed import Embedder, Vector, what_fits

BATCH = 16  # texts a request: the server answers others between two
AT_ONCE = 2  # requests under way, so that the server never waits for the next one
_LEAST_TOKENS = 32


@dataclass
class Work:
    """known: vectors by the text that was embedded. is_new: whether the shelf has no document under its uri."""

    document: Document
    chunks: list[Chunk]
    known: Mapping[str, Vector]
    is_new: bool

    def texts(self) -> list[str]:
        """What is embedded of each chunk."""
        return [each.told(self.document.text, self.document.title) for each in self.chunks]

    def vectors(self) -> list[Vector | None]:
        """The vector of each chunk that has one."""
        return [self.known.get(text) for text in self.texts()]

    def missing(self) -> list[str]:
        """The texts that have no vector, each once."""
        return [text for text in dict.fromkeys(self.texts()) if text not in self.known]

    def taught(self, made: Mapping[str, Vector]) -> Work:
        """The same with more vectors."""
        return replace(self, known={**self.known, **made})


def batches(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """The texts of one request after the other."""
    return (texts[at : at + BATCH] for at in range(0, len(texts), BATCH))


def made_of(texts: Sequence[str], vectors: Sequence[Vector | None]) -> dict[str, Vector]:
    """The vectors by their texts, without those of texts that are too long."""
    return {text: vector for text, vector in zip(texts, vectors, strict=True) if vector is not None}


def cut_smaller(work: Work, embedder: Embedder, limits: Limits) -> Work:
    """The document with the chunks that are too long cut, and all vectors: an estimate of tokens may be too low.

    Raises EmbedderAway.
    """
    text, title = work.document.text, work.document.title
    while (too_long := set(work.missing())) and limits.max_tokens > _LEAST_TOKENS:
        limits = replace(limits, max_tokens=limits.max_tokens * 3 // 4)
        chunks: list[Chunk] = []
        for each in work.chunks:
            chunks += parts(text, each, title, limits) if each.told(text, title) in too_long else [each]
        work = replace(work, chunks=chunks)
        for texts in batches(work.missing()):
            work = work.taught(made_of(texts, what_fits(embedder, texts)))
    return work
