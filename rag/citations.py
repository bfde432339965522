"""Number passages for a model, and check what it cites of them: which exist, and which say what is claimed. Pure.

A citation is confirmed when a sentence of its passage has what the sentence before it has: its names, numbers, units
and quotations, most of its other words, and as many turns like "not" (rag.claims). Nobody judges what they mean.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, zip_longest

from rag.claims import Sentence, is_said, sentences
from rag.clauses import parts
from rag.documents import Passage, place
from rag.fence import fenced
from rag.marks import Mark, Marks, marks, place_of
from rag.rows import is_row
from rag.said import said, together

# A point before a small letter ends no sentence, and neither does that of the day of a German date or of a title.
_SIGN = r"(?<!\b[A-Z])(?<!\bDr)(?<!\bMr)(?<!\bSt)(?<!\bMrs)(?<!\bNr)(?<!\bNo)\.(?!\s+[^\W\d_A-ZÄÖÜ])"
_DAY = r"(?<=\d)\.(?=\s(?:Jan|Feb|März|Apr|Mai|Jun|Jul|Aug|Sep|Okt|Nov|Dez))"
_CLOSING = r"[\"'\u201c\u201d\u00bb)\]*_]*(?=\s|\[|$|[\u3400-\u9fff])"
# Of several signs the last one ends it: to read them all from each of them would stand still at a long run.
_END = re.compile(rf"(?!{_DAY})(?:{_SIGN}|[!?\u3002\uff01\uff1f]){_CLOSING}|\n+")
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_]+(?:[.,:]\d+)*")
_LEAST_WORDS = 2
_BEGINS = re.compile(r"\s*(?:[-*+>|#]|\d+[.)]|$)")
_FULL_LINE = 50  # characters; a shorter line ends what it says
_MOST_LINES = 100
_QUOTE_CHARS = 400
_CLAIM_CHARS = 2_000  # of a sentence that nothing ends
_LOOKED_UP = 1_000  # of it, for a quote
# A part of a sentence that names what it speaks of, and enough of it: one without that speaks of what is named before.
_STANDS_ALONE = re.compile(
    r"\W*(?:(?:[Aa]nd|[Uu]nd|while|whereas|but|aber)\s+)?"
    r"(?:(?:[Tt]he|[Aa]n?|[Ii]n|[Aa]t|[Dd]er|[Dd]ie|[Dd]as|[Ee]ine?|[Ii]m)\s|[A-ZÄÖÜ])"
)
_LEAST_PART = 3
_OF_TITLE = 0.9  # so much less a word counts for a quote that the title has
_QUOTES = re.compile('["\u201c\u201d\u201e\u00ab\u00bb]')

Numbered = Sequence[Passage] | Mapping[int, Passage]


@dataclass(frozen=True)
class Citation:
    """One mark in an answer: text[start:end] of the checked text. number is the passage's, from 1.

    quote: the sentence of the passage that comes nearest to what is claimed, in one line; empty where none has a word
    of it.
    """

    number: int
    start: int
    end: int
    is_confirmed: bool
    quote: str = ""


@dataclass(frozen=True)
class Checked:
    """An answer whose every mark leads somewhere. n_dropped: marks that named no passage and were taken out."""

    text: str
    citations: tuple[Citation, ...]
    n_dropped: int

    @property
    def used(self) -> tuple[int, ...]:
        """The numbers of the passages that are cited, each once, in the order of their first mark."""
        return tuple(dict.fromkeys(each.number for each in self.citations))


@dataclass(frozen=True)
class _Claim:
    """What a mark stands behind. beside: the numbers of all marks that stand there together."""

    text: str
    beside: tuple[int, ...]


def by_number(passages: Numbered) -> Mapping[int, Passage]:
    """The passages by their numbers, which count from 1 where none are given."""
    return passages if isinstance(passages, Mapping) else dict(enumerate(passages, 1))


def numbered(passages: Numbered) -> str:
    """The passages as the model gets them: each under its number, fenced as data."""
    return "\n\n".join(_numbered(number, each) for number, each in by_number(passages).items())


def check(answer: str, passages: Numbered) -> Checked:
    """Take out the marks that name no passage, and see of each other one whether its passage says so.

    Marks of several numbers become one mark a number. What Marks wrote stays as it is.
    """
    stream = Marks(by_number(passages))
    text = stream.feed(answer) + stream.end()
    return Checked(text, cited(text, passages), stream.n_dropped)


def cited(text: str, passages: Numbered) -> tuple[Citation, ...]:
    """The citations of a text that Marks wrote, and of each whether its passage says so."""
    known = by_number(passages)
    told, found = _Checks(known), list(marks(text, known))
    return tuple(
        Citation(number, *place_of(text, mark), *told.holds(number, claim))
        for mark, claim in zip(found, _stood_for(text, found), strict=True)
        for number in mark.numbers
    )


def recheck(
    answer: str, before: str, held: Sequence[tuple[bool, str]], passages: Numbered
) -> tuple[tuple[bool, str], ...]:
    """(whether it holds, the quote) of each citation of a text that a person changed, in the order of its marks. held:
    the same of the text before; what was confirmed and still stands behind the same words stays so, with its quote."""
    known = by_number(passages)
    told = _Checks(known)
    stood = {claim: was for claim, was in zip(_claims(before, known), held, strict=False) if was[0]}
    return tuple(stood.get(each) or told.holds(*each) for each in _claims(answer, known))


def _claims(text: str, known: Collection[int]) -> list[tuple[int, _Claim]]:
    """(number, what it stands behind) of each citation."""
    found = list(marks(text, known))
    return [
        (number, claim) for mark, claim in zip(found, _stood_for(text, found), strict=True) for number in mark.numbers
    ]


def without_marks(answer: str, known: Collection[int] | None = None) -> str:
    """An answer as it reads without its marks; with known only those whose every number is known."""
    kept, at = [], 0
    for mark in marks(answer, known):
        kept.append(answer[at : mark.start])
        at = mark.end
    return "".join((*kept, answer[at:]))


def unmarked(answer: str, known: Collection[int] | None = None) -> str:
    """An answer without its marks, or without those of known passages, in one line."""
    return " ".join(without_marks(answer, known).split())


def _numbered(number: int, passage: Passage) -> str:
    where = " ".join(place(passage.title, passage.headings).split())[:200]
    page = f", page {passage.page}" if passage.page else ""
    told = f"{where}{page}\n\n{passage.text.strip()}"
    return f"[{number}]\n{fenced(told)}"


def _stands_for(text: str, found: Sequence[Mark]) -> list[str]:
    """What each of all marks of a text stands behind: the words since the mark or the sentence before it.

    A mark that begins a sentence stands for what follows it, and so does one that is named there ("According to [1]").
    """
    made: list[str] = []
    start, behind = 0, ""  # of the marks before, back to the last words that end no sentence
    for mark, after in zip_longest(found, found[1:]):
        before = text[start : mark.start]
        told = _last_sentence(before)
        if len(_WORD.findall(told)) >= _LEAST_WORDS and said(told[-_LOOKED_UP:]).size:
            behind = told
        elif _END.search(before):
            behind = ""
        made.append(_cut(behind or _first_sentence(text[mark.end : after.start if after else len(text)])))
        start = mark.end
    return made


def _stood_for(text: str, found: Sequence[Mark]) -> list[_Claim]:
    """What each of all marks of a text stands behind, and which stand there with it."""
    runs: list[list[Mark]] = []  # of marks that stand together
    for before, mark in zip((None, *found), found, strict=False):
        if before and not text[before.end : mark.start].strip():
            runs[-1].append(mark)
        else:
            runs.append([mark])
    beside: list[tuple[int, ...]] = []
    for run in runs:
        beside += [tuple(dict.fromkeys(number for mark in run for number in mark.numbers))] * len(run)
    return [_Claim(*each) for each in zip(_stands_for(text, found), beside, strict=True)]


def _cut(claim: str) -> str:
    """The end of a claim, in one line."""
    return " ".join(claim.split())[-_CLAIM_CHARS:]


def _last_sentence(part: str) -> str:
    """The last sentence of a text that says something."""
    last = max((each.start() for each in _WORD.finditer(part)), default=0)
    return part[max((each.end() for each in _END.finditer(part) if each.end() <= last), default=0) :]


def _first_sentence(part: str) -> str:
    """What a text says up to the end of a sentence."""
    stop = _END.search(part)
    return part[: stop.start() if stop else len(part)]


class _Checks:
    """Whether passages say what is claimed; what was asked before is known."""

    def __init__(self, passages: Mapping[int, Passage]) -> None:
        self._passages = passages
        self._told: dict[int, _Told] = {}
        self._known: dict[tuple[int, str], tuple[bool, str]] = {}

    def holds(self, number: int, claim: _Claim) -> tuple[bool, str]:
        """Whether a passage says what is claimed, or its part of it where several are cited together; and the sentence
        of it that comes nearest."""
        is_held, quote = self._says(number, claim.text)
        return is_held or self._says_a_part(number, claim), quote

    def _says(self, number: int, text: str) -> tuple[bool, str]:
        if number not in self._passages:
            return False, ""
        if number not in self._told:
            self._told[number] = _Told(self._passages[number])
        if (number, text) not in self._known:
            self._known[number, text] = self._told[number].holds(text)
        return self._known[number, text]

    def _says_a_part(self, number: int, claim: _Claim) -> bool:
        """Whether each part of a claim is said by one of the passages that are cited together, and one by this."""
        if len(claim.beside) < 2 or len(claim.text) > _QUOTE_CHARS or _QUOTES.search(claim.text):
            return False
        cuts = parts(claim.text)
        if (
            len(cuts) < 2
            or not all(map(_STANDS_ALONE.match, cuts))
            or any(said(cut).size < _LEAST_PART for cut in cuts)
        ):
            return False
        sayers = [{each for each in claim.beside if self._says(each, cut)[0]} for cut in cuts]
        return all(sayers) and any(number in each for each in sayers)


class _Told:
    """What a passage says, sentence by sentence."""

    def __init__(self, passage: Passage) -> None:
        self._text = passage.text
        listed = [[line.strip()] if is_row(line) else _sentences(line) for line in _unwrapped(passage.text)]
        above = place(passage.title, passage.headings)
        self._sentences: list[Sentence] = sentences(listed, above)
        self._everything = together([each.whole for each in self._sentences])
        self._title = said(above)

    def holds(self, claim: str) -> tuple[bool, str]:
        """Whether it says what is claimed, and its sentence that shares the most with it, the first of several; a
        heading only where no sentence shares as much. What titles say too, all of it is about."""
        asked = said(claim[-_LOOKED_UP:])
        titled = [word for word in asked.words if self._title.has(word)]
        shares = [
            (
                asked.shared(each.whole) - _OF_TITLE * sum(map(each.whole.has, titled)),
                not each.text.startswith("#"),
                each.text,
            )
            for each in self._sentences
        ]
        best = max(shares, key=lambda each: each[:2], default=(0, True, ""))
        flat = " ".join(best[2].split()) if best[0] else ""
        quote = flat if len(flat) <= _QUOTE_CHARS else f"{flat[:_QUOTE_CHARS].rstrip()}…"
        return is_said(claim, self._sentences, self._everything, self._text), quote


def _sentences(line: str) -> list[str]:
    """The sentences of a paragraph."""
    flat = " ".join(line.split())
    ends = [0, *(found.end() for found in _END.finditer(flat)), len(flat)]
    return [cut for start, end in pairwise(ends) if (cut := flat[start:end].strip())]


def _unwrapped(text: str) -> Iterator[str]:
    """The paragraphs of a text: lines that a full one goes on with are one, as long as they are no list or table."""
    held: list[str] = []
    for line in text.splitlines():
        if held and (_BEGINS.match(line) or len(held[-1]) < _FULL_LINE or len(held) == _MOST_LINES):
            yield " ".join(held)
            held = []
        held.append(line)
    yield " ".join(held)
