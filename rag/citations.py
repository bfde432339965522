"""Number passages for a model, and check what it cites of them: which exist, and which say what is claimed. Pure.

A citation is confirmed when the sentence before it says what its passage says: all of its numbers stand there, in
digits or in words, and at least half of its telling words.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rag.documents import Passage, place
from rag.fence import fenced
from rag.marks import Mark, Marks, marks, place_of
from rag.numerals import in_digits
from rag.stop import STOP

_END = re.compile(r"(?:[.!?\u3002\uff01\uff1f]+[\"')\]*_]*(?=\s|\[|$))|\n+")
_WORD = re.compile(r"[^\W_]+(?:[.,:]\d+)*")
_LEAST_SHARE = 0.5
_LEAST_WORDS = 2
_QUOTE_CHARS = 400
_STEM_CHARS = 5  # words that begin with the same five letters are taken for forms of one

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
    told = {number: _Words(" ".join((place(each.title, each.headings), each.text))) for number, each in known.items()}
    found = list(marks(text, known))
    made: list[Citation] = []
    for at, mark in enumerate(found):
        claim = _Words(_claim(text, at, found))
        for number in mark.numbers:
            quote = _nearest(known[number].text, claim)
            made.append(Citation(number, *place_of(text, mark), claim.is_in(told[number]), quote))
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
    if number not in known:
        return False, ""
    said, text = _Words(claim), known[number].text
    return said.is_in(_Words(text)), _nearest(text, said)


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

    A mark that begins a sentence stands for what follows it.
    """
    for i in range(at, -1, -1):
        before = text[found[i - 1].end if i else 0 : found[i].start]
        said = _last_sentence(before)
        if len(_WORD.findall(said)) >= _LEAST_WORDS:
            return said
        if _END.search(before):
            break
    end = found[at + 1].start if at + 1 < len(found) else len(text)
    rest = text[found[at].end : end]
    stop = _END.search(rest)
    return rest[: stop.start() if stop else len(rest)]


def _last_sentence(part: str) -> str:
    """The last sentence of a text that says something."""
    ends = [each.end() for each in _END.finditer(part) if _WORD.search(part[each.end() :])]
    return part[ends[-1] if ends else 0 :]


def _nearest(passage: str, claim: _Words) -> str:
    """The sentence of a passage that shares the most with a claim, the first of several."""
    best, most = "", 0
    start = 0
    for end in (*(found.end() for found in _END.finditer(passage)), len(passage)):
        n_shared = claim.shared(_Words(passage[start:end]))
        if n_shared > most:
            best, most = passage[start:end], n_shared
        start = end
    flat = " ".join(best.split())
    return flat if len(flat) <= _QUOTE_CHARS else f"{flat[:_QUOTE_CHARS].rstrip()}…"


class _Words:
    """What a text says, as far as it can be compared: its telling words by their stems, and its numbers."""

    def __init__(self, text: str) -> None:
        found = [word.casefold() for word in _WORD.findall(unicodedata.normalize("NFKC", text))]
        found = in_digits([word.strip(".,:") for word in found])
        self._numbers = {word for word in found if word[0].isdigit()}
        self._stems = {word[:_STEM_CHARS] for word in found if not word[0].isdigit() and word not in STOP}

    def is_in(self, other: _Words) -> bool:
        """Whether the other says it too. A text of one word or none says too little to be confirmed."""
        n_all = len(self._stems) + len(self._numbers)
        if n_all < _LEAST_WORDS or not self._numbers <= other._numbers:
            return False
        return len(self._stems & other._stems) >= _LEAST_SHARE * len(self._stems)

    def shared(self, other: _Words) -> int:
        """How many words and numbers of it the other has."""
        return len(self._stems & other._stems) + len(self._numbers & other._numbers)
