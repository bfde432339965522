"""Questions with known answers: the headings of the FAQs that end with a question mark, each with its section. Pure.

The heading itself is taken out of the text, and so is each line of a table of contents that repeats it: a search has to
find the answer, not the question.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from rag.documents import Document

_QUESTION = re.compile(r"^(#{1,6})[ \t]+(?:[\d.]+[ \t]+)?(.*\?)[ \t]*(?:\[?¶.*)?$", re.MULTILINE)
_HEADING = re.compile(r"^(#{1,6})[ \t]", re.MULTILINE)
_LINK = re.compile(r"\]\([^)\n]*\)")
_LEAD = re.compile(r"^[\s\-*+>\[\d.]+")


@dataclass(frozen=True)
class Question:
    """A question, and the section of a document that answers it: text[start:end]."""

    text: str
    package: str
    uri: str
    start: int
    end: int


def is_faq(path: str) -> bool:
    """Whether a page's headings are questions that it answers."""
    return "/faq/" in path.lower()


def found(package: str, document: Document, all_questions: frozenset[str]) -> tuple[Document, list[Question]]:
    """A page without its question headings, and the questions with their sections in it."""
    text = "".join(
        line
        for line in document.text.splitlines(keepends=True)
        if line.startswith("#") or flat(_LEAD.sub("", _LINK.sub("", line))) not in all_questions
    )
    parts: list[str] = []
    asked: list[tuple[str, int, int]] = []
    last = n_before = 0
    for match in _QUESTION.finditer(text):
        parts += (text[last : match.start()], f"{match[1]} ")
        n_before += match.start() - last
        asked.append((match[2].strip(), n_before, len(match[1])))
        n_before += len(match[1]) + 1
        last = match.end()
    cut = "".join((*parts, text[last:]))
    headings = [(match.start(), len(match[1])) for match in _HEADING.finditer(cut)]
    made = []
    for said, start, level in asked:
        end = next((at for at, its in headings if at > start and its <= level), len(cut))
        made.append(Question(said, package, document.uri, start, end))
    return replace(document, text=cut), made


def headings(texts: Iterable[str]) -> frozenset[str]:
    """All questions of some pages, as flat sees them."""
    return frozenset(flat(match[2]) for text in texts for match in _QUESTION.finditer(text))


def flat(text: str) -> str:
    """The words of a line, without case and signs; a line without any is not like another."""
    return " ".join(re.findall(r"[^\W_]+", text.lower())) or text
