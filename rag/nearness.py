"""How near the sentences of passages are to a question. A note speaks of many things, and is as a whole near to none.

Sentences are embedded when they are asked for, alone and below the title of their document; those of the last
questions are remembered.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator, Sequence

import numpy as np

from rag.documents import Passage
from rag.embed import Embedder, Vector, what_fits
from rag.errors import EmbedderAway
from rag.requests import Requests, is_ready

_MOST_PASSAGES = 20
_MOST_SENTENCES = 48  # of a passage
_LONGEST = 240  # characters of a sentence
_LONGEST_TITLE = 80
_FULL_LINE = 50  # a line of so many characters goes on in the next one
_AT_ONCE = 32  # texts a request
_MOST_KEPT = 3_000  # vectors
_LONGEST_S = 8.0  # that a search waits for them: what is known by then has to do
_LINES = re.compile(r"[^\n]*\n?")
_ITEM = re.compile(r"\s*(?:[-*•|>#]+|\d{1,3}[.)](?=\s))\s*")
_ENDS = re.compile(r"(?<=[.!?])[\"\u201d\u201c\u00bb)\]]*\s+|(?<=[\u3002\uff01\uff1f])")
_PARTS = re.compile(rf"{_ENDS.pattern}|(?<=[:;])\s+")
_ROW = re.compile(r":\s.*:\s|^\s*\|")  # a row of a table, with the names of its columns


class Nearness:
    """Of one library's passages and one embedding model. Safe to use from several threads."""

    def __init__(self) -> None:
        self._known: dict[str, Vector] = {}
        self._lock = threading.Lock()

    def of(self, query: Vector, passages: Sequence[Passage], embedder: Embedder) -> list[float | None]:
        """For each passage the cosine of the question with its nearest sentence; None for those behind the first ones,
        and for those that would take too long, or that nobody makes embeddings of any more."""
        looked_at = [_told(each) for each in passages[:_MOST_PASSAGES]]
        vectors = self._vectors(list(dict.fromkeys(text for texts in looked_at for text in texts)), embedder)
        found: list[float | None] = []
        for texts in looked_at:
            rows = [vectors[text] for text in texts if len(vectors.get(text, ())) == len(query)]
            found.append(float((np.array(rows) @ query).max()) if rows else None)
        return found + [None] * (len(passages) - len(found))

    def _vectors(self, texts: Sequence[str], embedder: Embedder) -> dict[str, Vector]:
        """The vectors of texts, as far as they are known or soon made, without those that the model cannot read."""
        with self._lock:
            found = {text: self._known.pop(text) for text in texts if text in self._known}
            self._known.update(found)  # the latest last
        missing = [text for text in texts if text not in found]
        return {**found, **self._asked(missing, embedder)} if missing else found

    def _asked(self, texts: Sequence[str], embedder: Embedder) -> dict[str, Vector]:
        """The vectors that a server makes of texts before it is late or goes away."""
        found: dict[str, Vector] = {}
        until, requests = time.monotonic() + _LONGEST_S, Requests(1)

        def is_late() -> bool:
            return time.monotonic() > until

        try:
            for at in range(0, len(texts), _AT_ONCE):
                if is_late():
                    break
                made = requests.submit(self._made, texts[at : at + _AT_ONCE], embedder)
                if not is_ready([made], is_late):
                    break
                found.update(made.result())
        except EmbedderAway:
            pass  # what came before has to do
        finally:
            requests.end()
        return found

    def _made(self, texts: Sequence[str], embedder: Embedder) -> dict[str, Vector]:
        """The vectors of texts, which are remembered however late they come. Raises EmbedderAway."""
        vectors = zip(texts, what_fits(embedder, texts), strict=True)
        made = {text: vector for text, vector in vectors if vector is not None}
        with self._lock:
            self._known.update(made)
            while len(self._known) > _MOST_KEPT:
                self._known.pop(next(iter(self._known)))
        return made


def _told(passage: Passage) -> list[str]:
    """What is embedded of a passage."""
    title = passage.title[:_LONGEST_TITLE]
    own = list(dict.fromkeys(sentences(passage.text)))[:_MOST_SENTENCES]
    return [*own, *(f"{title}\n{each}" for each in own if title and each != title)]


def sentences(text: str) -> Iterator[str]:
    """The sentences of a text, its list items and rows, each on one line and no longer than the others can be."""
    for part in _blocks(text):
        for each in (_ENDS if _ROW.search(part) else _PARTS).split(_ITEM.sub("", part, count=1)):
            said = " ".join(each.split())
            if any(map(str.isalnum, said)):
                yield said[:_LONGEST]


def _blocks(text: str) -> Iterator[str]:
    """Lines, with those that go on in the next one."""
    block = ""
    for line in _LINES.findall(text):
        if block and (not line.strip() or _ITEM.match(line) or len(block.splitlines()[-1]) < _FULL_LINE):
            yield block
            block = ""
        block += line
    yield block
