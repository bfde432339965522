"""What FTS5 makes of words: the forms in which its index keeps them."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence

from rag.database import TOKENIZER


class Stems:
    """Asks the tokenizer of the index itself, in a small table of its own. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._db = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        self._db.execute(f"CREATE VIRTUAL TABLE said USING fts5(words, tokenize='{TOKENIZER}')")
        self._db.execute("CREATE VIRTUAL TABLE stems USING fts5vocab(said, 'instance')")

    def of(self, words: Sequence[str]) -> list[str]:
        """The stem of each word, in their order, each once."""
        with self._lock:
            self._db.execute("DELETE FROM said")
            self._db.execute("INSERT INTO said VALUES (?)", (" ".join(words),))
            found = self._db.execute("SELECT term FROM stems ORDER BY offset").fetchall()
        return list(dict.fromkeys(term for (term,) in found))
