"""Numbers that are written as English words, as digits. Pure."""

from __future__ import annotations

from collections.abc import Sequence

# "one" is seldom a number. What is counted in hundreds stays in words: few texts have it in both ways.
_SMALL = """two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen"""
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_SPELLED = {word: number for number, word in enumerate(_SMALL.split(), 2)} | {
    word: 10 * number for number, word in enumerate(_TENS.split(), 2)
}
_UNITS = {"one": 1} | {word: number for word, number in _SPELLED.items() if number < 10}
_LARGE = frozenset(("hundred", "thousand", "million", "billion", "dozen"))


def in_digits(words: Sequence[str]) -> list[str]:
    """Words in small letters, with digits for those that are a number from 2 to 99: forty two becomes 42."""
    found: list[str] = []
    at = 0
    while at < len(words):
        number, n_words = _SPELLED.get(words[at]), 1
        unit = _UNITS.get(words[at + 1]) if at + 1 < len(words) else None
        if number is not None and number >= 20 and unit is not None:
            number, n_words = number + unit, 2
        is_part = at + n_words < len(words) and words[at + n_words] in _LARGE
        found += words[at : at + n_words] if number is None or is_part else [str(number)]
        at += n_words
    return found
