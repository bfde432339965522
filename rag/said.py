"""Read what a part of a text says: its names, its other words, its numbers with their units, its turns. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property

from rag.meanings import (
    ANY_PHRASE,
    AROUND,
    BEFORE_THINGS,
    MONTH_NAMES,
    MONTHS,
    NEGATIONS,
    ONLY,
    ORDER,
    PHRASES,
    PLAIN,
    POINTING,
    SIDES,
    UNITS,
    VERBS_TOO,
)
from rag.numerals import ordinal, readings, scale, spelled
from rag.stop import GERMAN, STOP, is_german

_CJK = "\u3040-\u30ff\u3400-\u9fff"
_TOKEN = re.compile(
    rf"[{_CJK}]|°\s?[CF]\b|[^\W\d_]+[-.]?\d[\w.-]*\w|[^\W\d_]\d+|\d+(?:[.,:]\d+)*"
    rf"|[^\W\d_{_CJK}]+(?:['\u2019][^\W\d_]+)*|[%$€£°]"
)
_MINUS = re.compile(r"(?<![\w)\]])[-\u2212\u2013](?=\d)")
_TIME = re.compile(r"[012]?\d:[0-5]\d")
_DAY = re.compile(r"\b(\d{1,2})\.\s?(\d{1,2})\.\s?(\d{4})\b")
_ISO_DAY = re.compile(r"\b(\d{4})-(\d\d)-(\d\d)\b")
_PARTS = re.compile(
    r"[;:]\s+|[\u2014\uff0c\uff1b]\s*|,?\s+(?=(?:while|whereas|but|aber|sondern|dagegen)\b)|,\s+|\s+(?=(?:and|und)\b)"
)
_ENDINGS = re.compile(r"(?:ungen|ung|ing|ied|ies|ier|ed|est|ten|tet|et|en|em|ern|er|es|te|st|e|n|s|t|d|y)$")
_INSIDE = re.compile(r"^(ab|an|auf|aus|bei|ein|mit|nach|um|vor|weg|zu|zurück)(?:ge|zu)(?=\w{4})")
_SYMBOLS = frozenset("%$€£°")
_STEM_CHARS = 6
_LEAST_STEM = 3
_LEAST_WORDS = 2
_LEAST_TAIL = 5


@dataclass(frozen=True)
class Number:
    """A number: what it may be worth, and the unit behind it, empty where it has none that is known."""

    worth: frozenset[Decimal]
    unit: str

    def is_said_by(self, other: Number) -> bool:
        """Whether the other one says it, with the same unit or none."""
        is_degree = {self.unit[:1], other.unit[:1]} == {"°"} and "°" in (self.unit, other.unit)
        return bool(self.worth & other.worth) and (
            is_degree or self.unit == other.unit or not self.unit or not other.unit
        )

    def is_in(self, others: Iterable[Number]) -> bool:
        """Whether one of the others says it."""
        return any(map(self.is_said_by, others))


@dataclass(frozen=True)
class Word:
    """A word that tells something. is_thing: it names somebody or something, as far as its place tells."""

    stem: str
    whole: str
    is_thing: bool = False
    is_name: bool = False
    line: int | None = None  # of the opposites, for one that has an opposite

    def is_akin(self, other: Word) -> bool:
        """Whether one is the end of the other, as Beitrag of Jahresbeitrag."""
        short, long = sorted((self.whole, other.whole), key=len)
        return len(short) >= _LEAST_TAIL and long.endswith(short)


@dataclass
class Said:
    """What a part of a text says."""

    words: list[Word] = field(default_factory=list)
    numbers: list[Number] = field(default_factory=list)
    is_negative: bool = False
    sides: dict[int, set[int]] = field(default_factory=dict)
    musts: set[str] = field(default_factory=set)  # what nothing else can stand for
    bare: list[str] = field(default_factory=list)  # names without a word before them that tells their part
    points_back: bool = False

    @cached_property
    def stems(self) -> set[str]:
        """Of all its words."""
        return {word.stem for word in self.words}

    @property
    def size(self) -> int:
        """How many things there are to compare."""
        return len(self.stems) + len(self.musts) + sum(1 + bool(each.unit) for each in self.numbers)

    def has(self, word: Word) -> bool:
        """Whether a word is there, as such or as the end of a longer one."""
        return word.stem in self.stems or any(map(word.is_akin, self.words))

    def shared(self, other: Said) -> int:
        """How much of it the other has too."""
        return (
            sum(other.has(word) for word in self.words)
            + sum(each.is_in(other.numbers) for each in self.numbers)
            + len(self.musts & other.musts)
        )


def together(told: Sequence[Said]) -> Said:
    """What several parts say, their turns apart."""
    return Said(
        [word for each in told for word in each.words],
        [number for each in told for number in each.numbers],
        musts={must for each in told for must in each.musts},
    )


def in_german(text: str) -> bool:
    """Whether a text is rather German than English."""
    return is_german([word.casefold() for word in re.findall(r"[^\W\d_]+", text)])


def parts(text: str) -> list[str]:
    """A sentence cut at its signs; at "and" where both sides have a number. What says too little goes with the next."""
    cuts: list[str] = []
    at = 0
    for found in (*_PARTS.finditer(text), None):
        end = found.start() if found else len(text)
        is_and = bool(found and not found[0].strip() and re.match(r"(?:and|und)\b", text[found.end() :]))
        if is_and and found and not (_has_number(text[at:end]) and _has_number(text[found.end() :])):
            continue
        cuts.append(text[at:end])
        at = found.end() if found else end
    made: list[str] = []
    for cut in cuts:
        if made and (said(made[-1]).size < _LEAST_WORDS or said(cut).size < _LEAST_WORDS):
            made[-1] = f"{made[-1]} {cut}"
        else:
            made.append(cut)
    return made


def _has_number(text: str) -> bool:
    return bool(said(text).numbers)


def said(text: str, *, is_in_german: bool | None = None) -> Said:
    """Read a part of a text."""
    german = in_german(text) if is_in_german is None else is_in_german
    return _Reader(_plain(text), is_german=german).read()


def _plain(text: str) -> str:
    """With dates and turns of phrase in one form."""
    text = unicodedata.normalize("NFKC", text)
    text = _DAY.sub(lambda day: f"{day[1]} {_month(day[2])} {day[3]}", text)
    text = _ISO_DAY.sub(lambda day: f"{int(day[3])} {_month(day[2])} {day[1]}", text)
    if ANY_PHRASE.search(text):
        for phrase, meant in PHRASES:
            text = phrase.sub(meant, text)
    return text


def _month(number: str) -> str:
    return MONTH_NAMES[int(number)] if 0 < int(number) < len(MONTH_NAMES) else number


class _Reader:
    """Reads one part of a text."""

    def __init__(self, text: str, *, is_german: bool) -> None:
        self._said, self._is_german, self._behind_number = Said(), is_german, -1
        self._negative_at = [found.end() for found in _MINUS.finditer(text)]
        self._found = list(_TOKEN.finditer(text))
        self._raw = [found[0] for found in self._found]
        self._words = [each.casefold().replace("\u2019", "'") for each in self._raw]

    def read(self) -> Said:
        """What it says."""
        at = 0
        while at < len(self._words):
            at += self._number(at) or self._word(at)
        return self._said

    def _at(self, at: int) -> str:
        return self._words[at] if 0 <= at < len(self._words) else ""

    def _number(self, at: int) -> int:
        """Take a number with its scale and unit, and say how many words it has; 0 for none."""
        word, n_words = self._words[at], 1
        worth = readings(word) if word[0].isdigit() else None
        if _TIME.fullmatch(word):
            self._said.numbers.append(Number(frozenset((Decimal(word.replace(":", ".")),)), ":"))
            return 1
        named = spelled(self._words, at) if worth is None else None
        if self._is_day(at):
            day = ordinal(word)
            worth = frozenset((Decimal(day),)) if day else worth
        elif named is not None:
            worth, n_words = frozenset((Decimal(named[0]),)), named[1]
        if worth is None:
            if word[0].isdigit():
                self._said.musts.add(word)
            return int(word[0].isdigit())
        while times := scale(self._at(at + n_words)):
            worth, n_words = frozenset(each * times for each in worth), n_words + 1
        if self._at(at + n_words) in {"st", "nd", "rd", "th"}:
            n_words += 1
        if self._found[at].start() in self._negative_at:
            worth = frozenset(-each for each in worth)
        unit = self._unit(at + n_words)
        n_words += bool(unit)
        if not unit and self._at(at - 1) in {"$", "€", "£"}:
            unit = self._at(at - 1)
        self._said.numbers.append(Number(worth, unit))
        self._behind_number = at + n_words
        return n_words

    def _unit(self, at: int) -> str:
        word = self._at(at).replace(" ", "")
        if word in {"°", "degrees", "degree", "grad"} and self._at(at + 1) in {"c", "f", "celsius", "fahrenheit"}:
            return f"°{self._at(at + 1)[0]}"
        return "€" if word == "euros" else UNITS.get(word, "")

    def _is_day(self, at: int) -> bool:
        """Whether a month follows."""
        after = at + 1 + (self._at(at + 1) == "of")
        return self._at(after) in MONTHS and not self._words[at][0].isdigit() and ordinal(self._words[at]) is not None

    def _is_month(self, at: int) -> bool:
        word = self._words[at]
        if word not in MONTHS:
            return False
        return word not in VERBS_TOO or (self._raw[at][0].isupper() and (at > 0 or self._at(1)[:1].isdigit()))

    def _word(self, at: int) -> int:
        word, found = self._words[at], self._said
        if word in NEGATIONS or word.endswith("n't"):
            found.is_negative = True
        elif self._is_month(at):
            found.musts.add(f"month {MONTHS[word]}")
        elif (
            only := ONLY.get(word) or (self._is_german and ONLY.get(re.sub(r"e[rnsm]?$", "", word)))
        ) is not None and only:
            found.musts.add(only)
        elif word in AROUND:
            if self._at(at + 1)[:1].isdigit() or spelled([*self._words, ""], min(at + 1, len(self._words))):
                found.sides.setdefault(-1, set()).add(AROUND[word])
        elif word in ORDER:
            found.sides.setdefault(-2, set()).add(ORDER[word])
        elif word in SIDES:
            line, side = SIDES[word]
            found.sides.setdefault(line, set()).add(side)
            found.words.append(Word(f"{line}/{side}", f"{line}/{side}", is_thing=True, line=line))
        elif re.search(r"\d", word):
            found.musts.add(word)
        elif (
            word not in STOP
            and word not in PLAIN
            and word[0] not in _SYMBOLS
            and not (self._is_german and word in GERMAN)
        ):
            found.words.append(self._telling(at))
        found.points_back |= word in POINTING
        return 1

    def _telling(self, at: int) -> Word:
        word, before = self._words[at].removesuffix("'s"), self._at(at - 1)
        has_capital = self._raw[at][0].isupper()
        is_inside = at > 0 and has_capital
        is_thing = (
            has_capital
            if self._is_german
            else is_inside or not self._said.words or before in BEFORE_THINGS or at == self._behind_number
        )
        is_name = is_inside and not self._is_german
        made = Word(stem(word), word, is_thing, is_name)
        if has_capital and (not before or before not in BEFORE_THINGS | {"to", "zu", "an", "vom", "beim", "durch"}):
            joined = before in {"and", "und", "or", "oder"} or self._at(at + 1) in {"and", "und", "or", "oder"}
            self._said.bare += [] if joined else [made.stem]
        return made


def stem(word: str) -> str:
    """What the forms of a word begin with."""
    flat = "".join(each for each in unicodedata.normalize("NFD", word) if not unicodedata.combining(each))
    flat = _INSIDE.sub(r"\1", flat)
    if flat.startswith("ge") and len(flat) > _STEM_CHARS and flat.endswith(("t", "n")):
        flat = flat[2:]
    for _ in range(2):
        cut = _ENDINGS.sub("", flat)
        flat = cut if len(cut) >= _LEAST_STEM else flat
    return flat[:_STEM_CHARS]
