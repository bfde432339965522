"""Decide which words of a question are looked for, and find the chunks that hold them."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Collection

from rag.database import Database
from rag.stop import STOP, WORD

_MAXWORDS = 32
# Weights of bm25 for a document's title, the headings over a chunk, and its text.
_FIND = """SELECT i.rowid, -bm25(chunk_index, ?, ?, ?) AS score FROM chunk_index i
    JOIN chunks c ON c.id = i.rowid JOIN documents d ON d.id = c.document_id
    WHERE chunk_index MATCH ? AND d.shelf_id IN (SELECT value FROM json_each(?)) ORDER BY score DESC LIMIT ?"""
WEIGHTS = (1.0, 2.0, 1.0)


def query(question: str) -> str:
    """The question as FTS5 reads it: any of its words; empty when it has none."""
    found = [word.lower() for word in WORD.findall(unicodedata.normalize("NFC", question))]
    telling = [word for word in found if word not in STOP] or found
    return " OR ".join(f'"{word}"' for word in dict.fromkeys(telling[:_MAXWORDS]))


def find(
    database: Database,
    question: str,
    shelf_ids: Collection[int],
    limit: int,
    weights: tuple[float, float, float] = WEIGHTS,
) -> list[tuple[int, float]]:
    """(chunk, score) of the chunks with the question's words, best first. The score is BM25's, higher is better."""
    wanted = query(question)
    if not wanted or not shelf_ids:
        return []
    with database.reading() as db:
        return db.execute(_FIND, (*weights, wanted, json.dumps(list(shelf_ids)), limit)).fetchall()
