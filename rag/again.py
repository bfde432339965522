"""Find a passage again in its document, which may have changed since. Pure."""

from __future__ import annotations

import hashlib
import re
from itertools import islice

_DIGEST_CHARS = 12
_MOST_CHARS = 20_000  # no passage is longer
_MOST_PLACES = 1_000  # at which the first words of a passage are looked at


def digest_of(text: str) -> str:
    """A passage's text in a few letters, by which it is known again."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_CHARS]


def found_again(text: str, start: int, end: int, begins: str = "", digest: str = "") -> tuple[int, int] | None:
    """Where a passage stands now: where it stood if it still does, else the nearest place that says the same.

    begins: its first characters; digest: of all of it, empty where that was not kept. None where it is nowhere.
    """
    n_chars = end - start
    if not 0 < n_chars <= _MOST_CHARS:
        return None
    places = [each.start() for each in islice(re.finditer(re.escape(begins), text), _MOST_PLACES)] if begins else []
    for at in (start, *sorted(places, key=lambda place: abs(place - start))):
        part = text[at : at + n_chars]
        if part and part.startswith(begins) and digest in ("", digest_of(part)):
            return at, at + len(part)
    return None
