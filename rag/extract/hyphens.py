"""Words that the end of a line cuts in two, made whole: a hyphen that belongs to the word stays. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

_CUT = re.compile(r"(?<![^\W\d_])([^\W\d_]*[a-zà-öø-ÿ])-\n([a-zà-öø-ÿ][^\W\d_]*)")
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_ALWAYS = frozenset(("self", "well"))  # these hardly begin a word that is cut
_LEAST_PART = 4


def without_cuts(pages: Sequence[str]) -> list[str]:
    """The pages with the words whole that their lines cut; the other words tell how each is written."""
    if not any("-\n" in page for page in pages):
        return list(pages)
    words = {word for page in pages for word in _WORD.findall(_CUT.sub(" ", page))}

    def whole(found: re.Match[str]) -> str:
        first, second = found[1], found[2]
        if first + second in words:
            return first + second
        is_known = f"{first}-{second}" in words or first.lower() in _ALWAYS
        are_words = min(len(first), len(second)) >= _LEAST_PART and {first, second} <= words
        return f"{first}{'-' if is_known or are_words else ''}{second}"

    return [_CUT.sub(whole, page) for page in pages]
