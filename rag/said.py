"""Read what a part of a text says: its names, its other words, its numbers with their units, its turns. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property

from rag.meanings import (
    AFTER_ON,
    AMOUNTS,
    ANY_PHRASE,
    AROUND,
    BEFORE_THINGS,
    BOUNDS,
    BY,
    CHOICES,
    CONDITIONS,
    DENYING,
    DUTIES,
    EXCEPT,
    IFS,
    MONTH_NAMES,
    MONTHS,
    NEGATIONS,
    ONLY,
    ORDER,
    PARTICLES,
    PASSIVE,
    PHRASES,
    PLAIN,
    POINTING,
    ROLES,
    SAME,
    SIDES,
    TURNERS,
    UNITS,
    VERBS_TOO,
    WITHIN,
    YEAR_CUES,
)
from rag.numerals import Number, ordinal, readings, scale, spelled, time_of_day
from rag.stop import GERMAN, STOP, is_german

_CJK = "\u3040-\u30ff\u3400-\u9fff"
_TOKEN = re.compile(
    rf"[\w.+-]{{1,64}}@[\w-]+(?:\.[\w-]+)+|[{_CJK}]|°\s?[CF]\b|[^\W\d_]+[-.]?\d[\w.-]*\w|[^\W\d_]\d+|\d+(?:[.,:]\d+)*"
    rf"|[^\W\d_{_CJK}]+(?:['\u2019][^\W\d_]+)*|[%$€£°]"
)
_MINUS = re.compile(r"(?<![\w)\]])[-\u2212\u2013](?=\d)")
_TIME = re.compile(r"([012]?\d):([0-5]\d)")
_HALF_DAY = re.compile(r"\b(1[0-2]|0?[1-9])(?:[:.]([0-5]\d))?\s?([ap])\.?m\b\.?", re.IGNORECASE)
_DAY = re.compile(r"\b(\d{1,2})\.\s?(\d{1,2})\.\s?(\d{4})\b")
_ISO_DAY = re.compile(r"\b(\d{4})-(\d\d)-(\d\d)\b")
_ENDINGS = re.compile(r"(?:ungen|ung|ing|ied|ies|ier|ed|est|ten|tet|et|en|em|ern|er|es|te|st|e|n|s|t|d|y)$")
_INSIDE = re.compile(r"^(ab|an|auf|aus|bei|ein|mit|nach|um|vor|weg|zu|zurück)(?:ge|zu)(?=\w{4})")
_SYMBOLS = frozenset("%$€£°")
_SPACED = re.compile(r"(?<![\d.,])(?<!\d )[1-9]\d{0,2}(?: \d{3})+(?![\d.,]?\d| \d)")
_YEAR = re.compile(r"1\d{3}|2[01]\d\d")
_AT_ONCE = frozenset((*ORDER, *WITHIN, *AMOUNTS, "on", "off"))
# Names that look like words which say nothing, and what stands behind the first of them but behind no "a".
_NAMES_TOO = frozenset(("A", "AB", "IT", "US", "WHO"))
_BEHIND_NAME = frozenset(("is", "was", "has", "had", "does", "costs", "needs", "takes", "gets", "pays", "won", "lost"))
_LEADS = BEFORE_THINGS | frozenset(ROLES)
_EMPTY = STOP | PLAIN | frozenset(ROLES) | EXCEPT | TURNERS
_ROLE_WORDS = 2
_STEM_CHARS = 6
_LEAST_STEM = 3
_LEAST_TAIL = 5
_LONG = 4  # characters; a longer word in capitals is no name of a few letters


@dataclass(frozen=True)
class Word:
    """A word that tells something. is_thing: it names somebody or something, as far as its place tells. role: what the
    word before it makes of it, as "from"; empty for most."""

    stem: str
    whole: str
    is_thing: bool = False
    is_name: bool = False
    line: int | None = None  # of the opposites, for one that has an opposite
    role: str = ""
    is_short: bool = False  # in two to four capitals, as IP

    def is_akin(self, other: Word) -> bool:
        """Whether one is the end of the other, as Beitrag of Jahresbeitrag; not if what is before it denies it."""
        short, long = sorted((self.whole, other.whole), key=len)
        return len(short) >= _LEAST_TAIL and long.endswith(short) and long.removesuffix(short) not in DENYING

    def is_denial(self, other: Word) -> bool:
        """Whether one is the other with a beginning that denies it, as unsafe of safe."""
        short, long = (self, other) if len(self.whole) < len(other.whole) else (other, self)
        return long.whole.startswith(DENYING) and any(
            len(long.whole) - len(each) >= _LEAST_STEM and stem(long.whole[len(each) :]) == short.stem
            for each in DENYING
            if long.whole.startswith(each)
        )


@dataclass
class Said:
    """What a part of a text says."""

    words: list[Word] = field(default_factory=list)
    numbers: list[Number] = field(default_factory=list)
    is_negative: bool = False
    is_excepting: bool = False
    is_condition: bool = False  # it has a word such as "if" or "when"
    is_supposed: bool = False  # it begins with "if"
    is_duty: bool = False
    is_choice: bool = False
    sides: dict[int, set[int]] = field(default_factory=dict)
    amounts: set[int] = field(default_factory=set)
    musts: set[str] = field(default_factory=set)  # what nothing else can stand for; its kind first, where it has one
    doers: list[str] = field(default_factory=list)  # names of those by whom something is done
    bare: list[str] = field(default_factory=list)  # names without a word before them that tells their part
    points_back: bool = False
    is_contrast: bool = False  # it takes back for one thing what is said of another: "but not for fire"
    particle: str = ""  # at the end of what is said in German: "aus" of "macht das Licht aus"

    @cached_property
    def stems(self) -> set[str]:
        """Of all its words."""
        return {word.stem for word in self.words}

    @cached_property
    def roles(self) -> dict[str, set[str]]:
        """Of each word."""
        found: dict[str, set[str]] = {}
        for word in self.words:
            found.setdefault(word.stem, set()).add(word.role)
        return found

    @property
    def size(self) -> int:
        """How many things there are to compare."""
        return len(self.stems) + len(self.musts) + sum(1 + bool(each.unit) for each in self.numbers)

    @property
    def is_empty(self) -> bool:
        """Whether it says nothing of its own."""
        return not (self.words or self.numbers or self.musts)

    def has(self, word: Word) -> bool:
        """Whether a word is there, as such, as the end of a longer one, or denied."""
        return word.stem in self.stems or any(word.is_akin(each) or word.is_denial(each) for each in self.words)

    def denies(self, word: Word) -> bool:
        """Whether a word is there only with a beginning that denies it, or as what something is without."""
        if word.stem not in self.stems:
            return any(map(word.is_denial, self.words))
        return {role == "without" for role in self.roles[word.stem]} == {word.role != "without"}

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


def in_german(text: str, *, or_else: bool = False) -> bool:
    """Whether a text is rather German than English. or_else: of what is in doubt."""
    return is_german([word.casefold() for word in re.findall(r"[^\W\d_]+", text)], or_else=or_else)


def said(text: str, *, is_in_german: bool | None = None) -> Said:
    """Read a part of a text."""
    german = in_german(text) if is_in_german is None else is_in_german
    return _Reader(_plain(text, is_german=german), is_german=german).read()


def _plain(text: str, *, is_german: bool) -> str:
    """With dates and turns of phrase in one form."""
    text = unicodedata.normalize("NFKC", text)
    text = _SPACED.sub(lambda number: number[0].replace(" ", ""), text)
    text = text if is_german else _HALF_DAY.sub(_in_full, text)
    text = _DAY.sub(lambda day: f"{day[1]} {_month(day[2])} {day[3]}", text)
    text = _ISO_DAY.sub(lambda day: f"{int(day[3])} {_month(day[2])} {day[1]}", text)
    if ANY_PHRASE.search(text):
        for phrase, meant in PHRASES:
            text = phrase.sub(meant, text)
    return text


def _in_full(half: re.Match[str]) -> str:
    """A time of a half day, as 9 pm, on a clock of 24 hours."""
    return f"{int(half[1]) % 12 + (12 if half[3] in 'pP' else 0)}:{half[2] or '00'}{half[3].lower()}m"


def _month(number: str) -> str:
    return MONTH_NAMES[int(number)] if 0 < int(number) < len(MONTH_NAMES) else number


class _Reader:
    """Reads one part of a text."""

    def __init__(self, text: str, *, is_german: bool) -> None:
        self._said, self._is_german, self._behind_number = Said(), is_german, -1
        self._role, self._n_left = "", 0  # what the last word before things makes of how many words
        self._negative_at = [found.end() for found in _MINUS.finditer(text)]
        self._found = list(_TOKEN.finditer(text))
        self._raw = [found[0] for found in self._found]
        self._is_loud = text.isupper() and any(len(word) > _LONG for word in self._raw)  # all of it is in capitals
        self._words = [
            word if self._is_name(at) else word.casefold().replace("\u2019", "'") for at, word in enumerate(self._raw)
        ]

    def read(self) -> Said:
        """What it says."""
        at = 0
        while at < len(self._words):
            at += self._number(at) or self._word(at)
        words = set(self._words)
        self._said.is_condition = bool(words & CONDITIONS)
        self._said.is_supposed = self._at(0) in IFS or (
            self._at(0) in {"and", "und", "but", "aber"} and self._at(1) in IFS
        )
        self._said.is_duty, self._said.is_choice = bool(words & DUTIES), bool(set(self._raw) & CHOICES)
        self._said.is_negative ^= sum(word in TURNERS for word in self._words) % 2 == 1
        if self._is_german and self._at(len(self._words) - 1) in PARTICLES and len(self._words) > 1:
            self._take_particle(self._words[-1])
        return self._said

    def _is_name(self, at: int) -> bool:
        """Whether a word in capitals is a name, as in "plan A" and "the US", and not the one that it looks like."""
        word, after = self._raw[at], self._raw[at + 1] if at + 1 < len(self._raw) else ""
        if word != "A" or self._is_german or self._is_loud:
            return word in _NAMES_TOO and not self._is_loud
        if at:
            return not (after[:1].isupper() and after[1:].islower())  # "A Tale of Two Cities"
        return not after or after in _BEHIND_NAME or (len(after) == 1 and after.isupper())

    def _take_particle(self, word: str) -> None:
        line, _ = SIDES["offen"]
        if word in {"auf", "zu"} and {"ist", "sind", "war", "waren", "bleibt", "bleiben"} & set(self._words):
            self._said.sides.setdefault(line, set()).add(int(word == "zu"))
        else:
            self._said.particle = word

    def _at(self, at: int) -> str:
        return self._words[at] if 0 <= at < len(self._words) else ""

    def _number(self, at: int) -> int:
        """Take a number with its scale and unit, and say how many words it has; 0 for none."""
        word, n_words = self._words[at], 1
        worth = readings(word) if word[0].isdigit() else None
        if time := _TIME.fullmatch(word):
            is_half = self._at(at + 1) in {"am", "pm"} and not self._is_german
            self._said.numbers.append(time_of_day(int(time[1]), time[2], is_half=is_half))
            return 1 + is_half
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
        is_year = not unit and self._is_year(at)
        self._said.numbers.append(Number(worth, unit, is_year=is_year, role=BOUNDS.get(self._at(at - 1), "")))
        self._behind_number, self._n_left = at + n_words, 0
        return n_words

    def _is_year(self, at: int) -> bool:
        before = self._at(at - 1)
        return bool(_YEAR.fullmatch(self._words[at])) and (
            at == 0
            or before in YEAR_CUES
            or self._is_month(at - 1)
            or self._at(at + 1)[:1].isdigit()
            or (before in {"and", "und"} and self._found[at].start() > 0 and any(n.is_year for n in self._said.numbers))
        )

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
        self._take_role(at)
        if word in NEGATIONS or word.endswith("n't"):
            found.is_negative = True
        elif self._is_month(at):
            found.musts.add(f"month {MONTHS[word]}")
        elif only := ONLY.get(word) or (self._is_german and ONLY.get(re.sub(r"e[rnsm]?$", "", word))):
            found.musts.add(only)
        elif word in AROUND:
            if self._at(at + 1)[:1].isdigit() or spelled([*self._words, ""], min(at + 1, len(self._words))):
                found.sides.setdefault(-1, set()).add(AROUND[word])
        elif word in _AT_ONCE:
            self._take_side(at)
        elif word in SIDES:
            line, side = SIDES[word]
            found.sides.setdefault(line, set()).add(side)
            role = self._role if self._n_left > 0 else ""
            found.words.append(Word(f"{line}/{side}", f"{line}/{side}", is_thing=True, line=line, role=role))
        elif re.search(r"[\d@]", word):
            found.musts.add(word)
        elif self._tells(word):
            found.words.append(self._telling(at))
        found.amounts |= {AMOUNTS[word]} if word in AMOUNTS else set()
        found.is_excepting |= word in EXCEPT
        found.points_back |= word in POINTING
        return 1

    def _tells(self, word: str) -> bool:
        return not (word in _EMPTY or word[0] in _SYMBOLS or (self._is_german and word in GERMAN))

    def _take_side(self, at: int) -> None:
        """Words that tell nothing but on which side something is."""
        word, found = self._words[at], self._said
        for line, sides in ((-2, ORDER), (-3, WITHIN)):
            if word in sides:
                found.sides.setdefault(line, set()).add(sides[word])
        if word == "off" or (word == "on" and self._at(at + 1) in AFTER_ON):
            found.sides.setdefault(-4, set()).add(int(word == "off"))

    def _take_role(self, at: int) -> None:
        """Keep what a word makes of the next one or two that tell something."""
        word = self._words[at]
        if word in ROLES and not (self._role == "than" and self._n_left > 0):
            self._role, self._n_left = ROLES[word], _ROLE_WORDS if ROLES[word] != "than" else len(self._words)
        elif not self._tells(word) and word not in BEFORE_THINGS and self._role != "than":
            self._n_left = 0

    def _telling(self, at: int) -> Word:
        word, before = self._words[at].removesuffix("'s"), self._at(at - 1)
        has_capital = self._raw[at][0].isupper()
        is_inside = at > 0 and has_capital
        role = self._role if self._n_left > 0 else "of" if self._words[at] != word else ""
        is_thing = is_inside or not self._said.words or before in _LEADS or at == self._behind_number
        is_noun = self._is_german and has_capital
        self._n_left = 0 if self._role == "without" or (is_noun and self._role != "than") else self._n_left - 1
        is_short = self._raw[at].isupper() and len(word) in range(2, 5)
        is_thing, is_name = (has_capital, False) if self._is_german else (is_thing, is_inside)
        made = Word(SAME.get(word) or stem(word), word, is_thing, is_name, role=role, is_short=is_short)
        joined = {before, self._at(at + 1)} & {"and", "und", "or", "oder"}
        if has_capital and not joined:
            self._take_name(made, before)
        return made

    def _take_name(self, name: Word, before: str) -> None:
        if before in BY or (before == "von" and PASSIVE & set(self._words)):
            self._said.doers.append(name.stem)
        elif name.role in {"", "to"} and before not in BEFORE_THINGS | {"zu", "vom", "beim"}:
            self._said.bare.append(name.stem)


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
