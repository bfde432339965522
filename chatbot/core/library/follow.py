"""Decide whether a message asks anything, and whether it can be looked for by itself, or only together with the one
before. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from rag.stop import STOP, WORD

# A question that begins so, or points at what was said, says too little of what it is about.
_BEGINS = frozenset(("also", "and", "but", "else", "or", "so", "then"))
_POINTS = frozenset(
    WORD.findall("he her here hers herself him his it its itself latter she their them these they this those")
)
_TELLING = 3  # more words than these say by themselves what is asked, whatever they point at
_SHORT = 3  # words of a bare "how long?" or "why not?"
_BARE = frozenset(("how", "when", "where", "which", "why"))
# Said to be kind, and what may stand beside it: nobody looks in documents for it.
_KIND = frozenset(WORD.findall("bye cheers good goodbye great hello hey hi nice ok okay perfect sorry thank thanks"))
_BESIDE = frozenset(WORD.findall("cool evening fine lot morning much night please super there very well wonderful"))
_ASKING = frozenset(WORD.findall("how what when where which who whom why"))
_MOST_BEFORE = 3
_MOST_CHARS = 600


def asks(text: str) -> bool:
    """Whether a message is more than a greeting or thanks."""
    words = {word.lower() for word in WORD.findall(text)}
    is_kind = not words.isdisjoint(_KIND) and words <= _KIND | _BESIDE | STOP - _ASKING
    return "?" in text or not is_kind


def leans(question: str) -> bool:
    """Whether a question needs the one before it."""
    words = [word.lower() for word in WORD.findall(question)]
    if not words:
        return True
    n_telling = sum(word not in STOP and word not in _POINTS for word in words)
    if n_telling > _TELLING:
        return False
    is_bare = len(words) <= _SHORT and words[0] in _BARE and "is" not in words and "are" not in words
    return not n_telling or is_bare or words[0] in _BEGINS or not _POINTS.isdisjoint(words)


def sought(question: str, before: Sequence[str]) -> str:
    """What to look for: the question, behind those before it that it leans on. before: oldest first."""
    asked = [question]
    for earlier in reversed(before[-_MOST_BEFORE:]):
        if not leans(asked[0]):
            break
        asked.insert(0, earlier)
    return " ".join(" ".join(each.split()) for each in asked)[-_MOST_CHARS:].strip()
