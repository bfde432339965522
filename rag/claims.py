"""Whether one sentence says what another does, as far as words tell: the same names, numbers and units, most of the
other words, as many turns like "not", no opposite, and nobody in another's place. Pure; it judges no meaning.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cached_property

from rag import rows
from rag.clauses import parts, read
from rag.meanings import CONTRARY, PARTICLES
from rag.numerals import Number
from rag.said import Said, Word, in_german, said, together
from rag.stop import is_foreign

_MARKS = '"\u201c\u201d\u00ab\u00bb'
_QUOTED = re.compile(rf"[{_MARKS}\u201e]([^{_MARKS}\u201e]+)[{_MARKS}]")
_LEAST_SHARE = 0.6
_LEAST_WORDS = 2
_LEAST_QUOTED = 3
_HEAD_WORDS = 2
_BACK = 2  # sentences that one may point back over
_MOST_CHARS = 1_000  # of a sentence that is taken apart


class Sentence:
    """A sentence of a passage. context: what titles say, and where it points back, what is said before it. columns: of
    a row, each with its name."""

    def __init__(
        self,
        text: str,
        context: Said,
        *,
        is_german: bool,
        columns: Sequence[tuple[str, str]] = (),
        is_first: bool = False,
    ) -> None:
        self.text, self._is_german, self._is_first = text, is_german, is_first
        self._context = context
        self.row = rows.fields(columns, is_german=is_german)
        self.whole = rows.whole(self.row) if self.row else said(text[:_MOST_CHARS], is_in_german=is_german)

    @cached_property
    def parts(self) -> tuple[Said, ...]:
        """What it says, part by part."""
        german = self._is_german
        return tuple(read(part, is_german=german) for part in parts(self._headed[1], is_german=german))

    @cached_property
    def context(self) -> Said:
        """What its words may rest on."""
        return together([self._context, *self._headed[0]])

    @property
    def points_back(self) -> bool:
        """Whether it speaks of what was named before it."""
        is_small = not self._is_first and self.text.lstrip(" -*>")[:1].islower()
        return not self.row and (self.whole.points_back or is_small)

    @cached_property
    def _headed(self) -> tuple[list[Said], str]:
        """What stands before a colon, if that is only what it is about, and the rest."""
        text = self.text[:_MOST_CHARS]
        head, colon, rest = text.partition(": ")
        about = said(head, is_in_german=self._is_german)
        is_head = bool(colon) and about.size == len(about.words) <= _HEAD_WORDS
        return ([about], rest) if is_head else ([], text)


def sentences(paragraphs: Sequence[Sequence[str]], above: str) -> list[Sentence]:
    """The sentences of a passage, which stands below these titles, paragraph by paragraph."""
    is_german = in_german(" ".join(text for each in paragraphs for text in each))
    title = said(above, is_in_german=is_german)
    listed = [(text, n == 0) for each in paragraphs for n, text in enumerate(each)]
    made: list[Sentence] = []
    for (text, columns), (_, is_first) in zip(rows.with_columns([text for text, _ in listed]), listed, strict=True):
        sentence = Sentence(text, title, is_german=is_german, columns=columns, is_first=is_first)
        if sentence.points_back and made:
            before = together([title, *(each.whole for each in made[-_BACK:])])
            sentence = Sentence(text, before, is_german=is_german, is_first=is_first)
        made.append(sentence)
    return made


def is_said(claim: str, told: Sequence[Sentence], everything: Said, passage: str) -> bool:
    """Whether some sentence says each part of a claim. One of one word or none says too little to be confirmed, other
    than with words of the passage between quotation marks. everything: what all sentences say."""
    answers = [each for each in told if not each.text.endswith(("?", "\uff1f"))]
    if len(claim.split()) >= _LEAST_QUOTED and any(_bare(claim) == _bare(each.text) for each in answers):
        return True
    is_german, text = in_german(claim, or_else=in_german(passage)), claim[-_MOST_CHARS:]
    quoted = [_flat(each) for each in _QUOTED.findall(claim)]
    is_little = said(text, is_in_german=is_german).size < _LEAST_WORDS
    if is_little and not any(len(each.split()) >= _LEAST_QUOTED for each in quoted):
        return False
    flat = f" {_flat(passage)} "
    if not all(f" {each} " in flat for each in quoted):
        return False
    is_strict = any(is_foreign(re.findall(r"[^\W\d_]+", each.casefold())) for each in (text, passage[:_MOST_CHARS]))
    holding: Sequence[Sentence] = ()
    for cut in parts(text, is_german=is_german):
        part = read(cut, is_german=is_german)
        among = holding if part.is_contrast and holding else answers
        holding = [each for each in among if _agrees(part, each, everything, is_strict=is_strict)]
        if not holding:
            return False
    return True


def _agrees(claim: Said, sentence: Sentence, everything: Said, *, is_strict: bool) -> bool:
    """Whether a sentence says a part of a claim. everything: what its passage says in all. is_strict: it has to have
    all words."""
    whole = sentence.whole
    missing = [word for word in claim.words if not whole.has(word)]
    if len(missing) == len(claim.words) and not claim.numbers and not claim.is_contrast:
        return False
    absent = [word for word in missing if not sentence.context.has(word) and word.line not in whole.sides]
    most = 0 if is_strict else min(len(claim.words) // 2, (1 - _LEAST_SHARE) * claim.size)
    is_of_words = bool(claim.words) and not claim.numbers and not claim.musts
    if is_of_words and claim.words[-1] in absent and all(word.is_name for word in claim.words[1:-1]):
        return False  # what it says of somebody is not there
    if len(absent) > most or _names_another(claim, absent) or not _has_numbers(claim, sentence):
        return False
    if sentence.row:
        found = rows.agrees(claim, sentence.row, absent)
        return found is not None and _turns(claim, found) and not _is_swapped(claim, found)
    best = max(sentence.parts, key=lambda part: (_n_said(claim, part), claim.shared(part)), default=whole)
    if _n_said(claim, best) < len(_counted(claim)) or not _is_of_its_time(claim, best):
        return False
    if best.is_supposed and not claim.is_condition:
        return False  # nobody says that it is so
    left = [word for word in best.words if not claim.has(word)]
    if any(everything.has(word) and (left or word.is_thing) for word in absent) or (
        left and 2 * len(missing) > claim.size
    ):
        return False  # what it says of one thing, this sentence says of another
    others = [word for word in claim.words if word not in missing and not best.has(word)]
    used = [best, *(part for part in sentence.parts if part is not best and _adds(claim, part, best, others))]
    if _is_of_another(claim, sentence, used, others, left) or (
        any(word.is_thing for word in absent) and (best.musts - claim.musts or any(word.is_thing for word in left))
    ):
        return False  # it names something else in that place
    return _turns(claim, used) and not _is_swapped(claim, sentence.parts)


def _is_of_another(
    claim: Said, sentence: Sentence, used: Sequence[Said], others: Sequence[Word], left: Sequence[Word]
) -> bool:
    """Whether words are from a part that says of another thing what the first part says, or its number is."""
    best, *beside = used
    if not left:
        behind = sentence.parts[sentence.parts.index(best) + 1 :]
        beside = [part for part in beside if part in behind]  # what a part leaves out is said before it
    if _takes_from_beside(claim, best, beside, others):
        return True
    is_more = bool(left) or bool(best.musts - claim.musts)
    return is_more and _are_parallel(used, sentence.context, others)


def _names_another(claim: Said, absent: Sequence[Word]) -> bool:
    """Whether it names somebody who is not there; one short word in capitals may stand for what a thing is, as in "the
    IP address"."""
    named = [word for word in absent if word.is_name]
    return bool(named) and not (len(absent) == 1 and absent[0].is_short and absent[0] is not claim.words[-1])


def _has_numbers(claim: Said, sentence: Sentence) -> bool:
    """Whether each number and each word that has no other for it stands there; a year, a month or the like may stand
    in what goes before, if there is only one, and the sentence has none of its own."""
    whole, before = sentence.whole, sentence.context
    for must in claim.musts - whole.musts:
        if must not in before.musts or _of_kind(must, whole.musts) or len(_of_kind(must, before.musts)) > 1:
            return False
    years = {each.worth for each in before.numbers if each.is_year}
    has_year = any(each.is_year for each in whole.numbers)
    return all(
        each.is_in(whole.numbers) or (each.is_year and not has_year and len(years) == 1 and each.is_in(before.numbers))
        for each in claim.numbers
    )


def _of_kind(must: str, musts: set[str]) -> set[str]:
    """Those of a kind with this one, as all days of the week."""
    kind, of_kind, _ = must.rpartition(" ")
    return {each for each in musts if each.rpartition(" ")[0] == kind} if of_kind else {must} & musts


def _is_of_its_time(claim: Said, part: Said) -> bool:
    """Whether a part has no other year, month, day or colour where a claim has one."""
    for must in claim.musts - part.musts:
        if len(_of_kind(must, claim.musts)) == 1 and _of_kind(must, part.musts):
            return False
    mine = [each for each in claim.numbers if each.is_year]
    theirs = [each for each in part.numbers if each.is_year]
    return len(mine) != 1 or not theirs or mine[0].is_in(theirs)


def _counted(claim: Said) -> list[Number]:
    """The numbers of a claim that one part has to have together."""
    return [each for each in claim.numbers if not each.is_year]


def _n_said(claim: Said, part: Said) -> int:
    return sum(each.is_in(part.numbers) for each in _counted(claim))


def _adds(claim: Said, part: Said, best: Said, others: Sequence[Word]) -> bool:
    """Whether a part has something of a claim that the best one has not."""
    return bool(claim.musts & part.musts - best.musts) or any(map(part.has, others))


def _takes_from_beside(claim: Said, best: Said, beside: Sequence[Said], others: Sequence[Word]) -> bool:
    """Whether a number is one part's and what it is said of another's, which has a number of the same kind."""
    shared = Said(numbers=[each for each in best.numbers if any(mine.is_said_by(each) for mine in claim.numbers)])
    shared.musts = best.musts & claim.musts
    return any(_kinds(shared) & _kinds(part) and any(map(part.has, others)) for part in beside)


def _kinds(told: Said) -> set[tuple[str, bool]]:
    numbers = {(each.unit, each.is_year) for each in told.numbers}
    return numbers | {(f"a {kind}", False) for must in told.musts if (kind := must.rpartition(" ")[0])}


def _turns(claim: Said, used: Sequence[Said]) -> bool:
    """Whether both say yes or both no: an opposite turns a sentence over as a "not" does."""
    taking_back = [part for part in used if part.is_contrast]
    is_negative = any(part.is_negative for part in taking_back or used)
    if claim.is_excepting != any(part.is_excepting for part in used):
        return False
    if claim.is_duty and not claim.is_negative and any(part.is_choice and not part.is_duty for part in used):
        return False
    amounts = {amount for part in used for amount in part.amounts}
    if claim.amounts and amounts and not claim.amounts & amounts:
        return False
    n_opposite = int(any(_is_denied(word, used) for word in claim.words))
    n_opposite += any(part.particle in PARTICLES.get(claim.particle, ()) for part in used)
    for line, mine in claim.sides.items():
        theirs = {side for part in used for side in part.sides.get(line, ())}
        n_opposite += bool(theirs) and not mine & theirs
    return n_opposite <= 1 and (claim.is_negative != is_negative) == bool(n_opposite)


def _is_denied(word: Word, used: Sequence[Said]) -> bool:
    """Whether all that have a word deny it."""
    having = [part for part in used if part.has(word)]
    return bool(having) and all(part.denies(word) for part in having)


def _are_parallel(used: Sequence[Said], context: Said, others: Sequence[Word]) -> bool:
    """Whether words are from a part that says of another thing what the first part says."""
    words = [word for word in others if not context.has(word)]
    return any(
        any(map(part.has, words))
        and any(word.is_thing for word in part.words)
        and len(part.words) + len(part.numbers) + len(part.musts) > 1
        for part in used[1:]
    )


def _is_swapped(claim: Said, told: Sequence[Said]) -> bool:
    """Whether two names have changed places: those that stand alone, or those behind words such as from and to."""
    there = dict.fromkeys(name for names in ("doers", "bare") for part in told for name in getattr(part, names))
    mine = [name for name in dict.fromkeys((*claim.doers, *claim.bare)) if name in there]
    if mine != [name for name in there if name in mine]:
        return True
    changed: set[tuple[str, str]] = set()
    for word in claim.words:
        roles = {role for part in told for role in part.roles.get(word.stem, ())}
        if roles and word.role not in roles:
            if all((word.role, role) in CONTRARY for role in roles):
                return True
            changed |= {(word.role, role) for role in roles}
    return any((theirs, mine) in changed for mine, theirs in changed)


def _bare(text: str) -> str:
    """A sentence without what stands around it."""
    return " ".join(text.casefold().split()).removeprefix("- ").strip(" .!;:,*_>|\u3002")


def _flat(text: str) -> str:
    return " ".join(re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold()))
