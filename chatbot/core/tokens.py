"""How many tokens texts have, each asked for once: a conversation only grows, so a turn asks about what is new."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable

_MOST_KEPT = 20_000


def estimate(text: str) -> int:
    """Tokens of a text when no tokenizer can be asked: one for every three bytes, rather too many than too few."""
    return len(text.encode()) // 3 + 1


class TokenCounts:
    """Counts that were asked for before, by a digest of model and text. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[bytes, int] = OrderedDict()
        self.estimates = False

    def of(self, text: str, model: str, count: Callable[[str, str], int | None]) -> int:
        """Tokens of the text; count says None when it cannot tell, and is asked again another time."""
        key = hashlib.blake2b(f"{model}\0{text}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        n_tokens = count(text, model)
        with self._lock:
            self.estimates = n_tokens is None
            if n_tokens is None:
                return estimate(text)
            self._known[key] = n_tokens
            if len(self._known) > _MOST_KEPT:
                self._known.popitem(last=False)
        return n_tokens
