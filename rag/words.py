"""How well chunks match the words of a question: BM25 as a share of what a chunk could reach, so that the shares of
different questions can be compared.

FTS5 keeps the words; its own bm25() would weigh each chunk that has any of them anew for each question. Here the chunks
of a word are read once, and kept for the next question that has it.
"""

from __future__ import annotations

import math
import re
import threading
import unicodedata
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rag.database import Database
from rag.stems import Stems
from rag.stop import GERMAN, STOP, WORD, is_german
from rag.vectors import Rows

_MAX_WORDS = 32
_K1, _B = 1.2, 0.75  # how soon more of the same word says no more; how much long chunks pay for their length
_DASH = "\u2010-\u2015\u2212-"
_CODE, _SPELT = (re.compile(rf"\b([A-Z]{{1,3}})[{between}]?(\d{{1,4}})\b") for between in (_DASH, f" {_DASH}"))
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_TO_READ = "CREATE VIRTUAL TABLE IF NOT EXISTS temp.places USING fts5vocab(main, chunk_index, instance)"
_MOST_KEPT = 4_000_000  # chunks of words in memory, eight bytes each


@dataclass(frozen=True)
class _Places:
    """The rows that have a word, and what each gets for it: from 0 to 1, more for more of it in fewer words."""

    rows: NDArray[np.int32]
    shares: NDArray[np.float32]


def codes(question: str) -> frozenset[str]:
    """The codes that a question names, such as E31 or HV-88, in one spelling."""
    return frozenset("".join(each) for each in _CODE.findall(unicodedata.normalize("NFKC", question)))


def last_codes(question: str) -> frozenset[str]:
    """The codes of the last sentence that names any: of a question behind those that it leans on its own."""
    return next((found for each in reversed(_SENTENCE.split(question)) if (found := codes(each))), frozenset())


def has_code(text: str, wanted: frozenset[str]) -> bool:
    """Whether a text names one of these codes, however it spells it (e31, HV 88), or there is none to name."""
    spelt = unicodedata.normalize("NFKC", text).upper()
    return not wanted or not wanted.isdisjoint("".join(each) for each in _SPELT.findall(spelt))


def telling(question: str) -> list[str]:
    """The words of a question that are looked for: those that say something; all, where none does."""
    found = [word.lower() for word in WORD.findall(unicodedata.normalize("NFC", question))]
    empty = STOP | GERMAN if is_german(found) else STOP
    return list(dict.fromkeys([word for word in found if word not in empty] or found))[:_MAX_WORDS]


class Words:
    """The words of one library's chunks. Safe to use from several threads."""

    def __init__(self, database: Database) -> None:
        self._database, self._stems = database, Stems()
        self._lock = threading.Lock()
        self._rows: Rows | None = None  # those that the places count in
        self._places: dict[str, _Places] = {}
        self._n_kept = 0

    def shares(self, question: str, rows: Rows) -> NDArray[np.float32]:
        """For each row how much of the question's words it has, from 0 to 1; rare words weigh more."""
        n_all, most = len(rows.chunk_ids), 0.0
        found = np.zeros(n_all, np.float32)
        if not n_all:
            return found
        for places in self._of(self._stems.of(telling(question)), rows):
            n_with = len(places.rows)
            weight = math.log(1 + (n_all - n_with + 0.5) / (n_with + 0.5))
            most += weight
            found[places.rows] += np.float32(weight) * places.shares
        found /= np.float32(most or 1.0)
        return found

    def _of(self, stems: list[str], rows: Rows) -> list[_Places]:
        """Where each word is, from memory or read."""
        with self._lock:
            if self._rows is not rows:
                self._rows, self._places, self._n_kept = rows, {}, 0
            for stem in stems:
                known = self._places.pop(stem, None)
                if known is None:
                    known = self._read(stem, rows)
                    self._n_kept += len(known.rows)
                self._places[stem] = known  # the latest last
            listed = [self._places[stem] for stem in stems]
            while self._n_kept > _MOST_KEPT and len(self._places) > len(stems):
                self._n_kept -= len(self._places.pop(next(iter(self._places))).rows)
            return listed

    def _read(self, stem: str, rows: Rows) -> _Places:
        with self._database.reading() as db:
            db.execute(_TO_READ)
            (listed,) = db.execute("SELECT group_concat(doc) FROM temp.places WHERE term = ?", (stem,)).fetchone()
        ids = np.fromstring(listed, np.int64, sep=",") if listed else np.zeros(0, np.int64)
        chunk_ids, counts = np.unique(ids, return_counts=True)
        at = rows.rows_of(chunk_ids)
        there = at >= 0  # a chunk may have come since the rows were read, or have been deleted
        kept, n_times = at[there], counts[there].astype(np.float32)
        lengths = rows.n_tokens[kept] / max(1.0, float(rows.n_tokens.mean()))
        shares = n_times / (n_times + _K1 * (1 - _B + _B * lengths))
        return _Places(kept.astype(np.int32), shares.astype(np.float32))
