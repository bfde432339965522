"""What the library holds, as values: documents, their chunks, what a search finds. No IO."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce

from rag.tokens import beginning

PLACE_TOKENS = 48  # of what is embedded of a chunk, at most, for the titles over it
_BETWEEN = " > "


@dataclass(frozen=True)
class Document:
    """A document as text, Markdown where it has headings.

    uri: where it is from (a path, an address, a link to a file at a commit); one shelf holds each once. sha256: of the
    bytes that it was read from, in hex. pages: the offset in text, in characters, at which each page begins.
    """

    uri: str
    title: str
    text: str
    kind: str
    sha256: str
    pages: tuple[int, ...] = ()
    meta: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Chunk:
    """A part of a document's text: text[start:end]. The chunks of a document, joined, are its text.

    lead: where the words before it begin that are embedded with it, at most start. headings: the titles it stands
    under, the outermost first. n_tokens: of what is embedded, by the chunker's count.
    """

    start: int
    end: int
    lead: int
    headings: tuple[str, ...]
    n_tokens: int

    def told(self, text: str, title: str = "") -> str:
        """What is embedded of it: where it stands, then its words."""
        return "\n".join(filter(None, (_short_place(title, self.headings), text[self.lead : self.end].strip())))


@dataclass(frozen=True)
class Passage:
    """What a search found: text[start:end] of a document, one chunk or several that follow each other.

    score: comparable within one embedding model; cosine and words are what it was made of. cosine is None for a chunk
    that has no vector yet. page: from 1, or None where there are no pages.
    """

    document_id: int
    shelf: str
    uri: str
    title: str
    headings: tuple[str, ...]
    text: str
    start: int
    end: int
    score: float
    page: int | None = None
    cosine: float | None = None
    words: float = 0.0


def overlap(one: Passage, other: Passage) -> bool:
    """Whether both have a part of their document in common."""
    return one.document_id == other.document_id and one.start < other.end and other.start < one.end


def joined(better: Passage, other: Passage) -> Passage:
    """Two that touch or overlap as one, which stands where the first of them begins."""
    first, last = sorted((better, other), key=lambda each: each.start)
    return replace(
        better,
        text=first.text + last.text[first.end - last.start :],
        start=first.start,
        end=max(first.end, last.end),
        page=first.page,
        headings=first.headings if first.headings == last.headings else better.headings,
    )


def merged(found: Iterable[Passage]) -> list[Passage]:
    """Passages in their order, where those that overlap are one, in the place of the first of them."""
    made: list[Passage] = []
    for each in found:
        alike = [other for other in made if overlap(other, each)]
        if not alike:
            made.append(each)
            continue
        first, *others = alike
        whole = reduce(joined, (first, each, *others))  # it bridges them, which need not touch each other
        made = [whole if other is first else other for other in made if other not in others]
    return made


def without(passage: Passage, other: Passage) -> Passage:
    """What of a passage stands not in another, from one side of it; no text where all does."""
    if not overlap(passage, other):
        return passage
    if passage.start < other.start:
        return replace(passage, text=passage.text[: other.start - passage.start], end=other.start)
    start = min(passage.end, other.end)
    return replace(passage, text=passage.text[start - passage.start :], start=start)


def place(title: str, headings: tuple[str, ...]) -> str:
    """The titles over a chunk in one line, without a document's title that begins as its first heading does.

    Many pages add the name of their site to it, which says nothing of this one.
    """
    return _BETWEEN.join(_titles(title, headings))


def _short_place(title: str, headings: tuple[str, ...]) -> str:
    """The same in at most PLACE_TOKENS: titles that have more are cut, each to its share."""
    whole, parts = place(title, headings), _titles(title, headings)
    if beginning(whole, PLACE_TOKENS) == whole:
        return whole
    return _BETWEEN.join(beginning(part, PLACE_TOKENS // len(parts) - 1) for part in parts)


def _titles(title: str, headings: tuple[str, ...]) -> list[str]:
    parts = [part for part in (title, *headings) if part]
    return parts[1:] if len(parts) > 1 and parts[0].casefold().startswith(parts[1].casefold()) else parts


def page_of(pages: tuple[int, ...], at: int) -> int | None:
    """The page, from 1, that a character stands on."""
    return bisect_right(pages, at) or None if pages else None
