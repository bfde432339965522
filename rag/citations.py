"""Number passages for a model, and check what it cites of them: which exist, and which say what is claimed. Pure.

A citation is confirmed when the sentence before it says what its passage says: all of its numbers stand there, and at
least half of its telling words.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rag.documents import Passage, place
from rag.fence import fenced
from rag.stop import STOP

_MARK = re.compile(r"[ \t]*\[(\d{1,4}(?:\s*[,;]\s*\d{1,4})*)\](?![(:])")
# Where brackets are no citations: blocks of code, code in a line, links.
_APART = re.compile(r"(?ms)^(?P<f>`{3,}|~{3,}).*?(?:^(?P=f)|\Z)|`[^`\n]+`|\[[^\]\n]*\]\([^)\s]*\)")
_END = re.compile(r"(?:[.!?\u3002\uff01\uff1f]+[\"')\]*_]*(?=\s|\[|$))|\n+")
_WORD = re.compile(r"[^\W_]+(?:[.,:]\d+)*")
_LEAST_SHARE = 0.5
_LEAST_WORDS = 2
_STEM_CHARS = 5  # words that begin with the same five letters are taken for forms of one


@dataclass(frozen=True)
class Citation:
    """One mark in an answer: text[start:end] of the checked text. number is the passage's, from 1."""

    number: int
    start: int
    end: int
    is_confirmed: bool


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


def numbered(passages: Sequence[Passage]) -> str:
    """The passages as the model gets them: each under its number, fenced as data."""
    return "\n\n".join(_numbered(number, each) for number, each in enumerate(passages, 1))


def check(answer: str, passages: Sequence[Passage]) -> Checked:
    """Take out the marks that name no passage, and see of each other one whether its passage says so.

    Marks of several numbers become one mark a number.
    """
    known = [_Words(" ".join((place(each.title, each.headings), each.text))) for each in passages]
    written: list[str] = []
    citations: list[Citation] = []
    n_dropped = n_written = at = 0
    for mark in _marks(answer):
        written.append(answer[at : mark.start()])
        n_written += len(written[-1])
        claim = _Words(_claim(answer, mark.start()))
        for number in dict.fromkeys(int(digits) for digits in re.findall(r"\d+", mark[1])):
            if not 1 <= number <= len(passages):
                n_dropped += 1
                continue
            told = f"[{number}]"
            lead = " " if written and not "".join(written[-2:]).endswith((" ", "\n", "]")) else ""
            start = n_written + len(lead)
            written.append(lead + told)
            n_written += len(lead) + len(told)
            citations.append(Citation(number, start, n_written, claim.is_in(known[number - 1])))
        at = mark.end()
    written.append(answer[at:])
    return Checked("".join(written), tuple(citations), n_dropped)


def unmarked(answer: str) -> str:
    """An answer without its marks, in one line."""
    return " ".join(_MARK.sub("", answer).split())


def _numbered(number: int, passage: Passage) -> str:
    where = " ".join(place(passage.title, passage.headings).replace("`", "").split())[:200]
    page = f", page {passage.page}" if passage.page else ""
    return f"[{number}] {where}{page}\n{fenced(passage.text.strip())}"


def _marks(answer: str) -> Iterator[re.Match[str]]:
    apart = [found.span() for found in _APART.finditer(answer)]
    for mark in _MARK.finditer(answer):
        if not any(start <= mark.start(1) < end for start, end in apart):
            yield mark


def _claim(answer: str, at: int) -> str:
    """What a mark at this place stands behind: the words since the mark or the sentence before it.

    A mark that begins a sentence stands for what follows it.
    """
    before = answer[:at]
    ends = [found.end() for found in _END.finditer(before) if _WORD.search(_MARK.sub("", before[found.end() :]))]
    begun = before[ends[-1] if ends else 0 :]
    parts = [part for part in _MARK.split(begun)[::2] if len(_WORD.findall(part)) >= _LEAST_WORDS]
    if parts:
        return parts[-1]
    rest = _MARK.sub("", answer[at:])
    found = _END.search(rest)
    return begun + rest[: found.start() if found else len(rest)]


class _Words:
    """What a text says, as far as it can be compared: its telling words by their stems, and its numbers."""

    def __init__(self, text: str) -> None:
        found = [word.casefold() for word in _WORD.findall(unicodedata.normalize("NFKC", text))]
        self._numbers = {word.strip(".,:") for word in found if word[0].isdigit()}
        self._stems = {word[:_STEM_CHARS] for word in found if not word[0].isdigit() and word not in STOP}

    def is_in(self, other: _Words) -> bool:
        """Whether the other says it too. A text of one word or none says too little to be confirmed."""
        n_all = len(self._stems) + len(self._numbers)
        if n_all < _LEAST_WORDS or not self._numbers <= other._numbers:
            return False
        return len(self._stems & other._stems) >= _LEAST_SHARE * len(self._stems)
