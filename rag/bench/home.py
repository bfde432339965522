"""A small library of a household, in English and in German, with questions that it answers and others that it does not.

Every second note and question is held out: nothing is tuned on it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from rag.documents import Document

LANGUAGES = ("en", "de")


@dataclass(frozen=True)
class Asked:
    """A question. uri: of the note that answers it, empty where none does."""

    text: str
    uri: str
    is_held_out: bool


@dataclass(frozen=True)
class Home:
    """The notes of a language, and its questions."""

    documents: tuple[Document, ...]
    questions: tuple[Asked, ...]


def read(language: str) -> Home:
    """The notes stand behind "= name"; "+" asks the note above it, "-" what nobody wrote down."""
    told = (Path(__file__).parent / f"home_{language}.txt").read_text(encoding="utf-8")
    documents: list[Document] = []
    asked: list[Asked] = []
    name, lines, n_without = "", list[str](), 0
    for line in [*told.splitlines(), "= "]:
        if line.startswith("+ "):
            asked.append(Asked(line[2:], name, bool(len(documents) % 2)))
        elif line.startswith("- "):
            asked.append(Asked(line[2:], "", bool(n_without % 2)))
            n_without += 1
        elif line.startswith("= "):
            if name:
                text = "\n".join(lines).strip() + "\n"
                title = lines[0].removeprefix("# ")
                documents.append(Document(name, title, text, "md", hashlib.sha256(text.encode()).hexdigest()))
            name, lines = line[2:], []
        else:
            lines.append(line)
    return Home(tuple(documents), tuple(asked))
