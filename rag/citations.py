"""Number passages for a model, and check what it cites of them: which exist, and which say what is claimed. Pure.

A citation is confirmed when a sentence of its passage has what the sentence before it has: its names, numbers, units
and quotations, most of its other words, and as many turns like "not" (rag.claims). Nobody judges what they mean.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from rag.claims import Sentence, is_said, sentences
from rag.documents import Passage, place
from rag.fence import fenced
from rag.marks import Mark, Marks, marks, place_of
from rag.rows import is_row
from rag.said import said

# A point before a small letter ends no sentence, and neither does that of the day of a German date or of a title.
_SIGN = r"(?<!\b[A-Z])(?<!\bDr)(?<!\bMr)(?<!\bSt)(?<!\bMrs)(?<!\bNr)(?<!\bNo)\.(?!\s+[^\W\d_A-ZÄÖÜ])"
_DAY = r"(?<=\d)\.(?=\s(?:Jan|Feb|März|Apr|Mai|Jun|Jul|Aug|Sep|Okt|Nov|Dez))"
_CLOSING = r"[\"'\u201c\u201d\u00bb)\]*_]*(?=\s|\[|$|[\u3400-\u9fff])"
_SIGNS = ".!?\u3002\uff01\uff1f"
# A run of signs is taken whole, once: without that a long one would be gone through anew from each of its signs.
_RUN = rf"(?<![{_SIGNS}])(?=(?P<run>(?:{_SIGN}|[!?\u3002\uff01\uff1f])+))(?P=run)"
_END = re.compile(rf"(?!{_DAY}){_RUN}{_CLOSING}|\n+")
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_]+(?:[.,:]\d+)*")
_LEAST_WORDS = 2
_BEGINS = re.compile(r"\s*(?:[-*+>|#]|\d+[.)]|$)")
_FULL_LINE = 50  # characters; a shorter line ends what it says
_MOST_LINES = 100
_MOST_MARKS = 20  # that stand for the same words
_MOST_CHARS = 2_000  # before a mark that it may stand for
_QUOTE_CHARS = 400
_CLAIM_CHARS = 1_000  # of what a mark stands behind, as much as is looked up

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
    told: dict[int, _Told] = {}
    found = list(marks(text, known))
    made: list[Citation] = []
    for at, mark in enumerate(found):
        claim = _claim(text, at, found)
        for number in mark.numbers:
            if number not in told:
                told[number] = _Told(known[number])
            made.append(Citation(number, *place_of(text, mark), *told[number].holds(claim)))
    return tuple(made)


def recheck(
    answer: str, before: str, held: Sequence[tuple[bool, str]], passages: Numbered
) -> tuple[tuple[bool, str], ...]:
    """(whether it holds, the quote) of each citation of a text that a person changed, in the order of its marks. held:
    the same of the text before; what was confirmed and still stands behind the same words stays so, with its quote."""
    known = by_number(passages)
    stood = {claim: told for claim, told in zip(_claims(before), held, strict=False) if told[0]}
    return tuple(stood.get(each) or _looked_up(*each, known) for each in _claims(answer))


def _looked_up(number: int, claim: str, known: Mapping[int, Passage]) -> tuple[bool, str]:
    return _Told(known[number]).holds(claim) if number in known else (False, "")


def _claims(text: str) -> list[tuple[int, str]]:
    """(number, what it stands behind) of each citation."""
    found = list(marks(text))
    return [(number, _claim(text, at, found).strip()) for at, mark in enumerate(found) for number in mark.numbers]


def without_marks(answer: str) -> str:
    """An answer as it reads without its marks."""
    kept, at = [], 0
    for mark in marks(answer):
        kept.append(answer[at : mark.start])
        at = mark.end
    return "".join((*kept, answer[at:]))


def unmarked(answer: str) -> str:
    """An answer without its marks, in one line."""
    return " ".join(without_marks(answer).split())


def _numbered(number: int, passage: Passage) -> str:
    where = " ".join(place(passage.title, passage.headings).split())[:200]
    page = f", page {passage.page}" if passage.page else ""
    told = f"{where}{page}\n\n{passage.text.strip()}"
    return f"[{number}]\n{fenced(told)}"


def _claim(text: str, at: int, found: Sequence[Mark]) -> str:
    """What the mark at this place of them all stands behind: the words since the mark or the sentence before it.

    A mark that begins a sentence stands for what follows it, and so does one that is named there ("According to [1]").
    """
    for i in range(at, max(-1, at - _MOST_MARKS), -1):
        end = found[i].start
        before = text[max(found[i - 1].end if i else 0, end - _MOST_CHARS) : end]
        told = _last_sentence(before)
        if len(_WORD.findall(told)) >= _LEAST_WORDS and said(told).size:
            return told
        if _END.search(before):
            break
    end = found[at + 1].start if at + 1 < len(found) else len(text)
    rest = text[found[at].end : end]
    stop = _END.search(rest)
    return rest[: stop.start() if stop else len(rest)]


def _last_sentence(part: str) -> str:
    """The last sentence of a text that says something."""
    last_word = max((each.start() for each in _WORD.finditer(part)), default=-1)
    ends = [each.end() for each in _END.finditer(part) if each.end() <= last_word]
    return part[ends[-1] if ends else 0 :]


class _Told:
    """What a passage says, sentence by sentence."""

    def __init__(self, passage: Passage) -> None:
        self._text = passage.text
        listed = [[line.strip()] if is_row(line) else _sentences(line) for line in _unwrapped(passage.text)]
        self._held: dict[str, tuple[bool, str]] = {}
        self._sentences: list[Sentence] = sentences(listed, place(passage.title, passage.headings))

    def holds(self, claim: str) -> tuple[bool, str]:
        """Whether it says what is claimed, and its sentence that shares the most with it, the first of several; a
        heading only where no sentence shares as much."""
        if claim not in self._held:
            self._held[claim] = is_said(claim, self._sentences, self._text), self._quote(claim)
        return self._held[claim]

    def _quote(self, claim: str) -> str:
        asked = said(claim[-_CLAIM_CHARS:])
        shares = [(asked.shared(each.whole), not each.text.startswith("#"), each.text) for each in self._sentences]
        best = max(shares, key=lambda each: each[:2], default=(0, True, ""))
        flat = " ".join(best[2].split()) if best[0] else ""
        return flat if len(flat) <= _QUOTE_CHARS else f"{flat[:_QUOTE_CHARS].rstrip()}…"


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
