"""What a number is worth, however it is written: in digits with any separators, in English or German words, as so many
of one unit or of another. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

from rag.meanings import BASES

# "one" and "ein" are seldom numbers.
_ENGLISH = """two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen"""
_ENGLISH_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_GERMAN = """zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn siebzehn
    achtzehn neunzehn"""
_GERMAN_TENS = "zwanzig dreissig vierzig fünfzig sechzig siebzig achtzig neunzig"
_SPELLED = {
    word: number
    for small, tens in ((_ENGLISH, _ENGLISH_TENS), (_GERMAN, _GERMAN_TENS))
    for word, number in (
        *((word, number) for number, word in enumerate(small.split(), 2)),
        *((word, 10 * number) for number, word in enumerate(tens.split(), 2)),
    )
}
_UNITS = {"one": 1, "ein": 1} | {word: number for word, number in _SPELLED.items() if number < 10}
_SCALES = {
    **dict.fromkeys(("dozen", "dutzend"), 12),
    **dict.fromkeys(("hundred", "hundert"), 100),
    **dict.fromkeys(("thousand", "tausend"), 1_000),
    **dict.fromkeys(("million", "millions", "millionen", "mio"), 1_000_000),
    **dict.fromkeys(("billion", "billions", "milliarde", "milliarden", "mrd"), 1_000_000_000),
}
_FIRST = "first second third fourth fifth sixth"
_ORDINALS = {
    **{word: number for number, word in enumerate(_FIRST.split(), 1)},
    **{"eighth": 8, "ninth": 9, "twelfth": 12, "twentieth": 20, "thirtieth": 30},
    **{
        stem + end: number
        for stem, number in (("erste", 1), ("dritte", 3), ("siebte", 7), ("achte", 8))
        for end in "nrs"
    },
}
_GROUPED = re.compile(r"\d{1,3}(?:([.,])\d{3})(?:\1\d{3})*")
_PLAIN = re.compile(r"\d+(?:[.,]\d+)?")
_BOTH = re.compile(r"(\d{1,3}(?:([.,])\d{3})+)(?!\2)[.,](\d+)")


@dataclass(frozen=True)
class Number:
    """A number: what it may be worth, and the unit behind it, empty where it has none that is known. spoken: a time of
    the afternoon as a clock of twelve hours has it. is_half: it says which half of the day."""

    worth: frozenset[Decimal]
    unit: str = ""
    spoken: frozenset[Decimal] = frozenset()
    is_half: bool = False
    is_year: bool = False
    role: str = ""  # from or to, after such a word

    @cached_property
    def _base(self) -> tuple[str, frozenset[Decimal]] | None:
        if self.unit not in BASES:
            return None
        base, many = BASES[self.unit]
        return base, frozenset(each * many for each in self.worth)

    def is_said_by(self, other: Number) -> bool:
        """Whether the other one says it, with the same unit or none, or as so many of another unit."""
        if {self.role, other.role} == {"from", "to"}:
            return False
        mine, theirs = self._base, other._base
        if self.unit != other.unit and mine and theirs:
            return mine == theirs and len(self.worth) == len(other.worth) == 1
        is_degree = {self.unit[:1], other.unit[:1]} == {"°"} and "°" in (self.unit, other.unit)
        worth = other.worth if self.is_half else other.worth | other.spoken
        return bool(self.worth & worth) and (is_degree or self.unit == other.unit or not self.unit or not other.unit)

    def is_in(self, others: Iterable[Number]) -> bool:
        """Whether one of the others says it."""
        return any(map(self.is_said_by, others))


def readings(digits: str) -> frozenset[Decimal] | None:
    """What a number in digits may be worth: 1,200 is 1200 in English and 1.2 in German. None for what is no plain
    number, as an address or a time."""
    found = set()
    if both := _BOTH.fullmatch(digits):
        found.add(Decimal(f"{re.sub('[.,]', '', both[1])}.{both[3]}"))
    if _GROUPED.fullmatch(digits) and not digits.startswith("0"):
        found.add(Decimal(re.sub("[.,]", "", digits)))
    if _PLAIN.fullmatch(digits):
        found.add(Decimal(digits.replace(",", ".")))
    return frozenset(found) or None


def spelled(words: Sequence[str], at: int) -> tuple[int, int] | None:
    """The number that stands in small letters at a place, and how many words it has: (42, 2) for forty two."""
    number, n_words = _one(words[at]), 1
    after = words[at + 1] if at + 1 < len(words) else ""
    if number is None and words[at] in {"one", "a", "an", "ein", "eine", "einer", "einem"} and after in _SCALES:
        number = 1
    elif number is not None and number in range(20, 100, 10) and after in _UNITS:
        number, n_words = number + _UNITS[after], 2
    return None if number is None else (number, n_words)


def scale(word: str) -> int | None:
    """By how much a word behind a number multiplies it."""
    return _SCALES.get(word)


def ordinal(word: str) -> int | None:
    """Which day of a month a word is: 3 for third, dritten."""
    known = _ORDINALS.get(word)
    for end in ("sten", "ster", "ste", "ten", "ter", "te", "th"):
        if known is None and word.endswith(end):
            known = _one(word.removesuffix(end))
    return known


def time_of_day(hours: int, minutes: str, *, is_half: bool) -> Number:
    """A time on a clock of 24 hours. is_half: it was written with its half of the day."""
    spoken = Decimal(f"{hours - 12}.{minutes}") if is_half and hours > 12 else None
    worth = frozenset((Decimal(f"{hours}.{minutes}"),))
    return Number(worth, ":", frozenset(() if spoken is None else (spoken,)), is_half=is_half)


def _one(word: str) -> int | None:
    """A number in one word, as zweihundertfünf and fünfundzwanzig."""
    if word in _SPELLED:
        return _SPELLED[word]
    for name in ("tausend", "hundert"):
        head, found, tail = word.partition(name)
        if found and word != name:
            many = _UNITS.get(head, _one(head)) if head else 1
            rest = _UNITS.get(tail, _one(tail.removeprefix("und"))) if tail else 0
            return None if many is None or rest is None else many * _SCALES[name] + rest
    unit, found, ten = word.partition("und")
    if found and unit in _UNITS and _SPELLED.get(ten, 0) in range(20, 100, 10):
        return _UNITS[unit] + _SPELLED[ten]
    return None
