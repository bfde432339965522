"""Search in titles and texts. Whatever a person types is taken as words, never as a query language."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

from chatbot.core.store_base import Connection, Database, storable
from chatbot.core.store_rows import OWNER, Hit

_MAX_CHARS = 200
_MAX_WORDS = 12
_HITS_A_CHAT = 3  # so that one long chat does not hide all others
_BEFORE, _AFTER = 50, 110
_WORD = re.compile(r"[^\W_]+")
# Scripts that put no spaces between words: the index knows a whole run of them as one word.
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
_FOLDED_CHARS = 50_000

_MAX_LOOKED_AT = 3_000
# The newest first: a rank over everything found would take seconds for a common word. CROSS JOIN keeps this order.
_INDEXED = """SELECT m.id, m.chat_id FROM message_index i
    CROSS JOIN messages m ON m.n = i.rowid CROSS JOIN chats c ON c.id = m.chat_id
    WHERE message_index MATCH ? AND c.owner_id = ? AND c.deleted_at IS NULL ORDER BY i.rowid DESC LIMIT ?"""
_HOLDS = "instr(lower(m.content), ?)"
_SCANNED = """SELECT m.id, m.chat_id FROM messages m JOIN chats c ON c.id = m.chat_id
    WHERE {holds} AND c.owner_id = ? AND c.deleted_at IS NULL
    AND m.status IN ('done', 'stopped', 'error', 'interrupted')
    ORDER BY m.n DESC LIMIT ?"""
_TOLD = """SELECT c.id, c.title, c.updated_at, m.content FROM messages m JOIN chats c ON c.id = m.chat_id
    WHERE m.id = ?"""


class Search(Database):
    """What was said where."""

    def search(self, text: str, limit: int = 50, owner_id: str = OWNER) -> list[Hit]:
        """Where in a user's chats all of these words begin words: titles, then messages, the newest first.

        Messages with the words side by side come before others; of one chat at most three are told.
        """
        wanted = storable(text).strip()[:_MAX_CHARS]
        if not wanted or limit < 1:
            return []
        words = _WORD.findall(unicodedata.normalize("NFC", wanted))[:_MAX_WORDS]
        with self._reading() as db:
            hits = _titles(db, owner_id, wanted, words)[:limit]
            for message_id in _messages(db, owner_id, wanted, words, limit - len(hits)):
                chat_id, title, updated_at, content = db.execute(_TOLD, (message_id,)).fetchone()
                hits.append(Hit(chat_id, title, message_id, *_snippet(content, wanted, words), updated_at))
        return hits


def _titles(db: Connection, owner_id: str, wanted: str, words: list[str]) -> list[Hit]:
    """The titles that hold all words; a list of titles is short enough to be looked through."""
    parts = [_folded(word) for word in words] or [_folded(wanted)]
    query = "SELECT id, title, updated_at FROM chats WHERE owner_id = ? AND deleted_at IS NULL ORDER BY updated_at DESC"
    rows = db.execute(query, (owner_id,))
    found = []
    for chat_id, title, updated_at in rows:
        folded = _folded(title)
        if all(part in folded for part in parts):
            start, end = _place(title, wanted, words)
            found.append((_folded(wanted) not in folded, Hit(chat_id, title, None, title, start, end, updated_at)))
    return [hit for _, hit in sorted(found, key=lambda each: each[0])]


def _messages(db: Connection, owner_id: str, wanted: str, words: list[str], n_wanted: int) -> list[str]:
    """Ids of messages from the strictest reading of the words to the loosest, a few of each chat."""
    readings: list[tuple[str, tuple[str, ...]]] = [(_INDEXED, (query,)) for query in _queries(words)]
    if not words or _UNSPACED.search(wanted):
        readings.append(_scan(wanted))
    found: dict[str, None] = {}
    told: Counter[str] = Counter()
    for query, texts in readings:
        for message_id, chat_id in db.execute(query, (*texts, owner_id, _MAX_LOOKED_AT)):
            if len(found) >= n_wanted:
                return list(found)
            if message_id not in found and told[chat_id] < _HITS_A_CHAT:
                found[message_id] = None
                told[chat_id] += 1
    return list(found)


def _scan(wanted: str) -> tuple[str, tuple[str, ...]]:
    """A query that reads every message for the parts of a text that stand between its white space, and these parts."""
    parts = tuple(re.sub("[A-Z]+", lambda found: found[0].lower(), part) for part in wanted.split()[:_MAX_WORDS])
    return _SCANNED.format(holds=" AND ".join([_HOLDS] * len(parts))), parts


def _queries(words: list[str]) -> list[str]:
    """FTS5 queries: the words as they stand, the same with the last one only begun, all of them anywhere."""
    if not words:
        return []
    row, anywhere = f'"{" ".join(words)}"', " AND ".join(f'"{word}"*' for word in words)
    return list(dict.fromkeys([row, f"{row}*", anywhere]))


def _snippet(content: str, wanted: str, words: list[str]) -> tuple[str, int, int]:
    """A line around the first place, and where in it the match begins and ends."""
    start, end = _place(content, wanted, words)
    left, right = max(0, start - _BEFORE), min(len(content), max(end, start) + _AFTER)
    lead = "…" if left else ""
    line = "".join(" " if char.isspace() else char for char in content[left:right])
    shift = len(lead) - left
    return lead + line + ("…" if right < len(content) else ""), start + shift, end + shift


def _place(text: str, wanted: str, words: list[str]) -> tuple[int, int]:
    """Where the whole text stands, else the first of the words; (0, 0) when neither does."""
    for part in (wanted, *words):
        edge = r"(?<![^\W_])" if _WORD.match(part) and not _UNSPACED.match(part) else ""
        found = re.search(edge + re.escape(part), text, re.IGNORECASE)
        if found:
            return found.span()
    folded = "".join(map(_folded_char, text[:_FOLDED_CHARS]))  # an accent may be all that differs
    for part in words:
        start = folded.find(_folded(part))
        if start >= 0:
            return start, start + len(part)
    return 0, 0


def _folded(text: str) -> str:
    if text.isascii():
        return text.lower()
    return "".join(map(_folded_char, unicodedata.normalize("NFC", text)))


def _folded_char(char: str) -> str:
    """The character without accent and case; always one, so that places stay where they are."""
    if char.isascii():
        return char.lower()
    return (unicodedata.normalize("NFD", char)[0].casefold() or char)[0]
