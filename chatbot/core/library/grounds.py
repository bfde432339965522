"""What is kept of an answer's grounds, and shown with it: message.meta["library"]. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rag.again import digest_of
from rag.citations import cited, recheck
from rag.documents import Passage
from rag.marks import marks, place_of

_SHOWN_CHARS = 700


@dataclass(frozen=True)
class Rests:
    """What an answer rests on so far. passages and links are by number; steps as they are kept; files: names of those
    of the chat that were looked into."""

    shelves: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    depth: str = "quick"
    is_whole: bool = False
    best_score: float | None = None
    steps: tuple[Mapping[str, Any], ...] = ()
    passages: Mapping[int, Passage] | None = None
    links: Mapping[int, str] | None = None

    def begun(self, *, is_refused: bool = False) -> dict[str, Any]:
        """Before the text is there: all passages, no marks."""
        numbers = sorted(self.passages or ())
        return self._told([self._source(n) for n in numbers], [], 0, is_refused=is_refused)

    def ended(self, text: str, n_dropped: int) -> dict[str, Any]:
        """With the text: only what is cited, and whether each citation holds."""
        found = cited(text, self.passages or {})
        marks = [_mark(each.number, each.start, is_held=each.is_confirmed, quote=each.quote) for each in found]
        used = dict.fromkeys(each.number for each in found)
        return self._told([self._source(n) for n in used], marks, n_dropped)

    def _told(
        self, sources: Sequence[Mapping[str, Any]], marks: Sequence[Mapping[str, Any]], n_dropped: int, **more: bool
    ) -> dict[str, Any]:
        return {
            "shelves": list(self.shelves),
            "files": list(self.files),
            "depth": self.depth,
            "refused": more.get("is_refused", False),
            "whole": self.is_whole,
            "best_score": None if self.best_score is None else round(self.best_score, 3),
            "steps": [dict(step) for step in self.steps],
            "sources": list(sources),
            "marks": list(marks),
            "n_dropped": n_dropped,
        }

    def _source(self, number: int) -> dict[str, Any]:
        passage = (self.passages or {})[number]
        return {
            "n": number,
            "document_id": passage.document_id,
            "shelf": passage.shelf,
            "title": passage.title,
            "uri": passage.uri,
            "link": (self.links or {}).get(number, ""),
            "headings": list(passage.headings),
            "page": passage.page,
            "start": passage.start,
            "end": passage.end,
            "text": passage.text[:_SHOWN_CHARS],
            "digest": digest_of(passage.text),
            "score": round(passage.score, 3),
        }


def passages_of(grounds: Mapping[str, Any]) -> dict[int, Passage]:
    """The passages that an earlier part of an answer was given, as far as they are kept."""
    found: dict[int, Passage] = {}
    for each in grounds.get("sources", ()):
        found[each["n"]] = Passage(
            each["document_id"],
            each["shelf"],
            each["uri"],
            each["title"],
            tuple(each["headings"]),
            each["text"],
            each["start"],
            each["end"],
            each["score"],
            each["page"],
        )
    return found


def with_text(passage: Passage, text: str) -> Passage:
    """The passage as its document has it, where that still says what was kept of it."""
    whole = text[passage.start : passage.end]
    return replace(passage, text=whole) if whole.startswith(passage.text) else passage


def of_edited(grounds: Mapping[str, Any], before: str, after: str) -> dict[str, Any]:
    """What an answer rests on once a person has changed its text."""
    passages = passages_of(grounds)
    held = [(mark["confirmed"], mark.get("quote", "")) for mark in grounds.get("marks", ()) if mark["n"] in passages]
    placed = [(number, place_of(after, mark)[0]) for mark in marks(after, passages) for number in mark.numbers]
    found = recheck(after, before, held, passages)
    kept = [
        _mark(number, at, is_held=is_held, quote=quote)
        for (number, at), (is_held, quote) in zip(placed, found, strict=True)
    ]
    return {**grounds, "marks": kept}


def _mark(number: int, at: int, *, is_held: bool, quote: str) -> dict[str, Any]:
    """A mark as it is kept. at: where it stands in the text, in characters."""
    return {"n": number, "at": at, "confirmed": is_held, "quote": quote}
