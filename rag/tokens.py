"""How many tokens a text has for an embedding model, about, without asking anybody. Pure.

Measured with the tokenizer of all-MiniLM-L6-v2 on 600 chunks of Python's documentation: half of them have at least
0.94 of what is estimated, one in fifty more than 1.12 times, the worst 1.23 times.
"""

from __future__ import annotations

import re
from bisect import bisect_right

# A WordPiece tokenizer splits at spaces and around each mark; words it does not know whole come in pieces.
_PIECE = re.compile(r"[A-Za-z]+|[0-9]+|[^\sA-Za-z0-9]")
_WHOLE_CHARS = 6  # words up to here are mostly one token
_CHARS_A_PIECE = 3
_DIGITS_A_PIECE = 2


def estimate(text: str) -> int:
    """Tokens of a text, counted from its words."""
    return sum(_pieces(found) for found in _PIECE.findall(text))


def beginning(text: str, n_most: int) -> str:
    """The most of a text, from its first character, that has at most so many tokens."""
    if len(text) <= n_most:  # no character has more than one
        return text
    return text[: bisect_right(range(1, len(text) + 1), n_most, key=lambda n_chars: estimate(text[:n_chars]))]


def _pieces(word: str) -> int:
    if word.isdigit():
        return -(-len(word) // _DIGITS_A_PIECE)
    if len(word) <= _WHOLE_CHARS:
        return 1
    return 1 + -(-(len(word) - _WHOLE_CHARS) // _CHARS_A_PIECE)
