"""Cut a sentence where it speaks of another thing. Pure."""

from __future__ import annotations

import re
from functools import lru_cache

from rag.meanings import BEFORE_THINGS, ROLES
from rag.said import Said, said, together
from rag.stop import GERMAN, STOP

_CUT = re.compile(
    r"[;:]\s+|[\u2014\uff0c\uff1b]\s*|,?\s+(?=(?:while|whereas|but|aber|sondern|jedoch|nor)\b)|,\s+"
    r"|\s+(?=(?:and|und)\b)"
)
_AND = re.compile(r"(?:and|und)\b")
# What takes back for one thing what was said of another, however little it says.
_TAKES_BACK = re.compile(
    r"(?:(?:but|aber|jedoch|and|und|doch) )?(?:not|never|nicht|nie|keine?[rsmn]?|only|nur)\b|sondern\b|nor\b"
)
_TOKEN = re.compile(r"[^\W_]+")
_NEAR = 200  # characters on each side of an "and" that are looked at
_OPENING = 6  # words behind an "and" that are looked at
_LISTED = "the a an his her its their my our your this that these those no"
_DETERMINERS = frozenset(_LISTED.split())
_KNOWN = """am are is was were be
    been has have had do does did can could may might must shall should will would goes go went
    takes took gets got gives gave makes made uses used says said ist sind war waren hat haben hatte hatten wird werden
    wurde wurden kann können darf dürfen muss müssen soll sollen will geht gehen gibt gab liegt liegen"""
# Verbs among the words that say nothing.
_VERBS = frozenset(_KNOWN.split())
_EMPTY = (STOP | GERMAN | BEFORE_THINGS | frozenset(ROLES) | {"and", "or", "und", "oder"}) - _VERBS
_LEAST_WORDS = 2


@lru_cache(maxsize=200)  # a claim is asked of several passages
def parts(text: str, *, is_german: bool = False) -> tuple[str, ...]:
    """A sentence cut at its signs; at "and" where both sides have a number or are sentences of their own. What says too
    little goes with the next."""
    cuts: list[str] = []
    at = 0
    for found in (*_CUT.finditer(text), None):
        end = found.start() if found else len(text)
        if found and not found[0].strip() and _AND.match(text, found.end()):
            left, right = text[max(at, end - _NEAR) : end], text[found.end() : found.end() + _NEAR]
            if not (_have_numbers(left, right) or _are_clauses(left, right, is_german=is_german)):
                continue
        cuts.append(text[at:end])
        at = found.end() if found else end
    made: list[tuple[str, Said]] = []
    for cut in cuts:
        told = said(cut)
        if made and not _takes_back(cut, told) and min(made[-1][1].size, told.size) < _LEAST_WORDS:
            before, told_before = made.pop()
            made.append((f"{before} {cut}", together([told_before, told])))
        else:
            made.append((cut, told))
    return tuple(cut for cut, _ in made)


def read(text: str, *, is_german: bool) -> Said:
    """What a part says, and whether it takes back something."""
    told = said(text, is_in_german=is_german)
    told.is_contrast = _takes_back(text, told)
    return told


def _takes_back(text: str, told: Said) -> bool:
    if told.is_empty:
        return False
    return bool(_TAKES_BACK.match(text.strip())) or (told.is_negative and told.size < _LEAST_WORDS)


def _have_numbers(left: str, right: str) -> bool:
    """Whether both sides have a number, a day, a colour or the like."""
    return all(told.numbers or told.musts for told in map(said, (left, right)))


def _are_clauses(left: str, right: str, *, is_german: bool) -> bool:
    """Whether what stands on both sides of an "and" has somebody or something, and what it does."""
    before = _TOKEN.findall(left)
    behind = _TOKEN.findall(right)[1 : _OPENING + 1]
    if not behind or not any(_is_verb(each) for each in before[1:]):
        return False
    first = behind[0]
    n_names = next((n for n, each in enumerate(behind) if not each[0].isupper()), len(behind))
    if n_names:
        return n_names < len(behind) and _is_verb(behind[n_names])
    if is_german:
        noun = next((n for n, each in enumerate(behind) if each[0].isupper()), len(behind))
        is_preposition = first in ROLES and first not in {"der", "die", "das"}
        return not is_preposition and noun + 1 < len(behind) and _is_verb(behind[noun + 1])
    if first in _DETERMINERS and {ROLES.get(each) for each in before} & {ROLES.get(each) for each in behind} - {None}:
        return True
    known = {each for each in before if each in _VERBS or each not in _EMPTY}
    return first in _DETERMINERS and any(
        each in _VERBS or each.endswith("ed") or each in known
        for n, each in enumerate(behind)
        if n > 1 and not any(word in ROLES for word in behind[1 : n + 1])
    )


def _is_verb(word: str) -> bool:
    """Whether a word may be a verb, as far as it alone tells."""
    return word[0].islower() and word not in _EMPTY
