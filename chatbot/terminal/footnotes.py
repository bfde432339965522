"""What an answer from the library says of where it is from: steps while it looks, and notes under it. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chatbot.core.events import Given, Looked
from chatbot.terminal.listing import flat
from chatbot.terminal.shelf_lines import counted, shown_uri
from rag.documents import place

_INDENT = 4
_NARROWEST = 20
_ANSWER_CHARS = 200
UNCONFIRMED = "? no sentence of the passage has its names and numbers and most of its words"
UNNAMED = "the answer names none of the passages it was given"


@dataclass(frozen=True)
class Note:
    """One line under an answer. is_doubted: a person should look at the passage."""

    text: str
    is_doubted: bool = False


def step_text(step: Looked, library: Mapping[str, Any]) -> str:
    """One step on the way to an answer, in a line or two; a single one need not repeat the question."""
    found = counted(step.n_passages, "passage") if step.n_passages else "nothing found"
    verdict = ", not enough to answer" if step.is_answered is False and step.n_passages else ""
    what = f"looked in {_places(library)}" if library.get("depth") == "quick" else flat(step.question)
    told = flat(step.answer)
    short = told if len(told) <= _ANSWER_CHARS else f"{told[: _ANSWER_CHARS - 1]}…"
    return "\n".join(filter(None, (f"{what} · {found}{verdict}", short)))


def looking_text(library: Mapping[str, Any]) -> str:
    """What is looked at, while nothing is found yet."""
    return f"looking in {_places(library)}"


def _places(library: Mapping[str, Any]) -> str:
    names = (*library.get("shelves", ()), *library.get("files", ()))
    return ", ".join(flat(str(name)) for name in names) or "the documents"


def given_text(given: Given) -> str:
    """Which files the model got whole; empty for none."""
    return f"sent whole: {', '.join(map(flat, given.whole))}" if given.whole else ""


def notes(library: Mapping[str, Any], columns: int | None = None, *, is_unicode: bool = True) -> list[Note]:
    """The notes of an answer, wrapped to so many columns; None leaves the lines as long as they are."""
    sources: Sequence[Mapping[str, Any]] = library.get("sources") or ()
    if library.get("refused"):
        return []
    if not sources and library.get("steps"):
        return _wrapped(Note(UNNAMED), columns, 0)
    marks = library.get("marks") or ()
    cited, doubted = {mark["n"] for mark in marks}, {mark["n"] for mark in marks if not mark["confirmed"]}
    found: list[Note] = []
    if library.get("whole") and cited:
        found += _wrapped(Note("sent whole, nothing is left out"), columns, 0)
    for source in filter(lambda source: source["n"] in cited, sources):
        is_doubted = source["n"] in doubted
        sign = "?" if is_doubted else "✓" if is_unicode else "ok"
        page = f", page {source['page']}" if source.get("page") else ""
        head = f"[{source['n']}] {sign} {flat(place(source['title'], tuple(source['headings'])))}{page}"
        found += _wrapped(Note(head, is_doubted), columns, _INDENT)
        if where := _where(source):
            found += _wrapped(Note(f"{' ' * _INDENT}{where}"), columns, _INDENT)
    return found + (_wrapped(Note(UNCONFIRMED), columns, 2) if doubted else [])


def _where(source: Mapping[str, Any]) -> str:
    """Where it can be opened, else its path; empty for a file of the conversation, whose title says it."""
    uri = source["uri"]
    return flat(source.get("link") or ("" if uri.startswith("chat:") else shown_uri(uri)))


def _wrapped(note: Note, columns: int | None, indent: int) -> list[Note]:
    if columns is None:
        return [note]
    begins = note.text[: len(note.text) - len(note.text.lstrip())]
    lines = textwrap.wrap(
        note.text.lstrip(),
        max(_NARROWEST, columns - 1),
        initial_indent=begins,
        subsequent_indent=" " * indent,
        break_on_hyphens=False,
    )
    return [Note(line, note.is_doubted) for line in lines]
