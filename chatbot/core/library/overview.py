"""Which parts of a long document stand for all of it, where no part answers a question: "summarise". Pure."""

from __future__ import annotations

from collections.abc import Sequence

from rag.documents import Passage
from rag.tokens import estimate

_BEGINNING = 3  # this part of the room is for the beginning
_FRAME_TOKENS = 25  # of a passage's number and place


def of(parts: Sequence[Passage], n_tokens: int) -> list[Passage]:
    """The first parts, and of the rest so many as fit, at equal distances: those that begin a section, if these fill
    the room. In their order."""
    first = fitting(parts, n_tokens // _BEGINNING) or list(parts[:1])
    rest, n_left = parts[len(first) :], n_tokens - _size(first)
    begun = [
        part for before, part in zip(parts[len(first) - 1 :], rest, strict=False) if part.headings != before.headings
    ]
    chosen = begun if _size(begun) > n_left else rest
    n_most = min(len(chosen), int(n_left / (_size(chosen) / len(chosen)))) if chosen else 0
    return [*first, *(chosen[(2 * at + 1) * len(chosen) // (2 * n_most)] for at in range(n_most))]


def in_order(parts: Sequence[Passage], document_ids: Sequence[int]) -> list[Passage]:
    """Passages by their documents and places, without those that say again what another before them says."""
    kept: list[Passage] = []
    for part in parts:
        beside = (each for each in kept if each.document_id == part.document_id)
        if not any(part.start < each.end and each.start < part.end for each in beside):
            kept.append(part)
    return sorted(kept, key=lambda each: (document_ids.index(each.document_id), each.start))


def fitting(parts: Sequence[Passage], n_tokens: int) -> list[Passage]:
    """So many of them as fit, from the first."""
    for number in range(len(parts)):
        n_tokens -= _size(parts[number : number + 1])
        if n_tokens < 0:
            return list(parts[:number])
    return list(parts)


def _size(parts: Sequence[Passage]) -> int:
    return sum(estimate(part.text) + estimate(part.title) + _FRAME_TOKENS for part in parts)
