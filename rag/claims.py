"""Whether one sentence says what another does, as far as words tell: the same names, numbers and units, most of the
other words, as many turns like "not", no opposite, and nobody in another's place. Pure; it judges no meaning.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from decimal import Decimal
from functools import cached_property

from rag.said import Said, Word, in_german, parts, said, together

_MARKS = '"\u201c\u201d\u00ab\u00bb'
_QUOTED = re.compile(rf"[{_MARKS}\u201e]([^{_MARKS}\u201e]+)[{_MARKS}]")
_LEAST_SHARE = 0.6
_LEAST_WORDS = 2
_HEAD_WORDS = 2
_BACK = 2  # sentences that one may point back over
_MOST_CHARS = 1_000  # of a sentence that is taken apart
_YEARS = frozenset(map(Decimal, range(1_000, 2_200)))


class Sentence:
    """A sentence of a passage. context: what titles say, and where it points back, what is said before it."""

    def __init__(self, text: str, context: Said, *, is_german: bool) -> None:
        self.text, self.whole = text, said(text[:_MOST_CHARS], is_in_german=is_german)
        self._is_german, self._context = is_german, context

    @cached_property
    def parts(self) -> tuple[Said, ...]:
        """What it says, part by part."""
        return tuple(said(part, is_in_german=self._is_german) for part in parts(self._headed[1]))

    @cached_property
    def context(self) -> Said:
        """What its words may rest on."""
        return together([self._context, *self._headed[0]])

    @property
    def points_back(self) -> bool:
        """Whether it speaks of what was named before it."""
        return self.whole.points_back or self.text.lstrip(" -*>")[:1].islower()

    @cached_property
    def _headed(self) -> tuple[list[Said], str]:
        """What stands before a colon, if that is only what it is about, and the rest."""
        text = self.text[:_MOST_CHARS]
        head, colon, rest = text.partition(": ")
        about = said(head, is_in_german=self._is_german)
        is_head = bool(colon) and about.size == len(about.words) <= _HEAD_WORDS
        return ([about], rest) if is_head else ([], text)


def sentences(texts: Sequence[str], above: str) -> list[Sentence]:
    """The sentences of a passage, which stands below these titles."""
    is_german = in_german(" ".join(texts))
    title = said(above, is_in_german=is_german)
    made: list[Sentence] = []
    for text in texts:
        sentence = Sentence(text, title, is_german=is_german)
        if sentence.points_back and made:
            before = together([title, *(each.whole for each in made[-_BACK:])])
            sentence = Sentence(text, before, is_german=is_german)
        made.append(sentence)
    return made


def is_said(claim: str, told: Sequence[Sentence], passage: str) -> bool:
    """Whether some sentence says each part of a claim. One of one word or none says too little to be confirmed."""
    is_german, text = in_german(claim), claim[-_MOST_CHARS:]
    if said(text, is_in_german=is_german).size < _LEAST_WORDS or not _has_quotes(claim, passage):
        return False
    asked = [said(part, is_in_german=is_german) for part in parts(text)]
    everything = together([each.whole for each in told])
    return all(any(_agrees(part, each, everything) for each in told) for part in asked)


def _agrees(claim: Said, sentence: Sentence, everything: Said) -> bool:
    """Whether a sentence says a part of a claim. everything: what its passage says in all."""
    whole = sentence.whole
    missing = [word for word in claim.words if not whole.has(word)]
    if len(missing) == len(claim.words) and not claim.numbers:
        return False
    absent = [word for word in missing if not sentence.context.has(word) and word.line not in whole.sides]
    most = min(len(claim.words) // 2, (1 - _LEAST_SHARE) * claim.size)
    if len(absent) > most or any(word.is_name for word in absent) or not _has_numbers(claim, sentence):
        return False
    best = max(sentence.parts, key=lambda part: (_n_said(claim, part), claim.shared(part)), default=whole)
    left = [word for word in best.words if not claim.has(word)]
    if left and (2 * len(missing) > claim.size or any(map(everything.has, absent))):
        return False  # what it says of one thing, this sentence says of another
    others = [word for word in claim.words if word not in missing and not best.has(word)]
    used = [best, *(part for part in sentence.parts if part is not best and any(map(part.has, others)))]
    is_mixed = any(word.is_thing for word in absent) or _are_parallel(used, sentence.context, others)
    if is_mixed and any(word.is_thing for word in left):
        return False  # it names something else in that place
    return _turns(claim, used) and not _is_swapped(claim, sentence.parts)


def _has_numbers(claim: Said, sentence: Sentence) -> bool:
    """Whether each number and each word that has no other for it stands there, the numbers in one part; a year may
    stand in what goes before."""
    whole, before = sentence.whole, sentence.context
    if not claim.musts <= whole.musts | before.musts:
        return False
    years = [each for each in claim.numbers if not each.unit and each.worth & _YEARS]
    if not all(each.is_in(whole.numbers) or (each in years and each.is_in(before.numbers)) for each in claim.numbers):
        return False
    return max((_n_said(claim, part) for part in sentence.parts), default=0) == len(claim.numbers) - len(years)


def _n_said(claim: Said, part: Said) -> int:
    """How many of a claim's numbers, years apart, a part says."""
    return sum(each.is_in(part.numbers) for each in claim.numbers if each.unit or not each.worth & _YEARS)


def _turns(claim: Said, used: Sequence[Said]) -> bool:
    """Whether both say yes or both no: an opposite turns a sentence over as a "not" does."""
    is_negative = any(part.is_negative for part in used)
    n_opposite = 0
    for line, mine in claim.sides.items():
        theirs = {side for part in used for side in part.sides.get(line, ())}
        n_opposite += bool(theirs) and not mine & theirs
    return n_opposite <= 1 and (claim.is_negative != is_negative) == bool(n_opposite)


def _are_parallel(used: Sequence[Said], context: Said, others: Sequence[Word]) -> bool:
    """Whether words are from a part that says of another thing what the first part says."""
    best, *rest = used
    words = [word for word in others if not context.has(word)]
    return any(
        any(map(part.has, words))
        and bool(part.numbers) == bool(best.numbers)
        and any(word.is_thing for word in part.words)
        and len(part.words) + len(part.numbers) > 1
        for part in rest
    )


def _is_swapped(claim: Said, told: Sequence[Said]) -> bool:
    """Whether two names that stand alone have changed places."""
    there = dict.fromkeys(name for part in told for name in part.bare)
    mine = [name for name in dict.fromkeys(claim.bare) if name in there]
    return mine != [name for name in there if name in mine]


def _has_quotes(claim: str, passage: str) -> bool:
    """Whether what stands between quotation marks stands in the passage word for word."""
    flat = f" {_flat(passage)} "
    return all(f" {_flat(quoted)} " in flat for quoted in _QUOTED.findall(claim))


def _flat(text: str) -> str:
    return " ".join(re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold()))
