"""Headings of plain text and of its markups, written as Markdown's, so that a search knows the section. Pure.

Lines stay what lines they are: a link to line 40 of a file leads to what is found here in line 40.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import PurePosixPath

from rag.sources import Readable

_ATX = re.compile(r" {0,3}(#{1,6})[ \t]+(.*?)[ \t]*#*[ \t]*$", re.MULTILINE)
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_UNDERLINE = re.compile(r"([=\-`:.'\"~^_*+#<>])\1{2,}[ \t]*$")
_SETEXT = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_ADOC = re.compile(r"(={1,6})[ \t]+(\S.*)$")
_RST = frozenset((".rst", ".rest", ".txt", ".text", ""))
_FRONT = re.compile(r"---[ \t]*\n(?:.*\n){0,200}?(?:---|\.\.\.)[ \t]*(?:\n|$)")
_FRONT_TITLE = re.compile(r"^title:[ \t]*(.+)$", re.MULTILINE | re.IGNORECASE)
_MOST_TITLE = 200


def marked(name: str, text: str, kind: str) -> Readable:
    """A text with the title that it gives itself."""
    suffix = PurePosixPath(name.lower()).suffix
    if kind == "markdown":
        return _markdown(text)
    if kind != "text":
        return Readable(text, kind)
    if suffix in {".adoc", ".asciidoc", ".asc"}:
        return _titled(_by_line(text, _of_adoc), "markdown")
    if suffix in _RST and (made := _underlined(text)) != text:
        return _titled(made, "markdown" if suffix in {".rst", ".rest"} else kind)
    return Readable(text, kind)


def unheaded(text: str) -> str:
    """A text whose lines cannot be taken for headings."""
    return re.sub(r"^(?= {0,3}#{1,6}(?:\s|$))", r"\\", text, flags=re.MULTILINE) if "#" in text else text


def _markdown(text: str) -> Readable:
    """Markdown with its underlined headings as the others; what stands before it for programs gives the title."""
    front = _FRONT.match(text)
    head, rest = (text[: front.end()], text[front.end() :]) if front else ("", text)
    found = _FRONT_TITLE.search(head)
    made = head + _by_line(rest, _of_setext)
    title = found[1].strip().strip("\"'").strip() if found else ""
    return Readable(made, "markdown", title[:_MOST_TITLE]) if title else _titled(made, "markdown")


def _titled(text: str, kind: str) -> Readable:
    """The first heading is the title, if it is one of the first lines."""
    start = re.sub(r"(?ms)^ {0,3}(`{3,}|~{3,}).*?^ {0,3}\1", "", text[:4000])
    found = _ATX.search(start)
    return Readable(text, kind, re.sub(r"[*_`]", "", found[2])[:_MOST_TITLE] if found else "")


def _by_line(text: str, change: Callable[[list[str], int], None]) -> str:
    """The text with change(lines, at) called for each line outside of blocks of code."""
    lines = text.split("\n")
    fence = ""
    for at, line in enumerate(lines):
        found = _FENCE.match(line)
        if fence:
            if found and found[1].startswith(fence) and not line.strip().strip(fence[0]):
                fence = ""
        elif found:
            fence = found[1]
        else:
            change(lines, at)
    return "\n".join(lines)


def _of_setext(lines: list[str], at: int) -> None:
    """A line below a paragraph of one line makes a heading of it."""
    if not at or not _SETEXT.match(lines[at]):
        return
    above = lines[at - 1]
    is_alone = at < 2 or not lines[at - 2].strip()
    if is_alone and above.strip() and not above.startswith(("    ", "\t", "#", ">", "- ", "* ", "|", "```", "~~~")):
        lines[at - 1] = f"{'#' if '=' in lines[at] else '##'} {above.strip()}"
        lines[at] = ""


def _of_adoc(lines: list[str], at: int) -> None:
    if found := _ADOC.match(lines[at]):
        lines[at] = f"{'#' * len(found[1])} {found[2]}"


def _underlined(text: str) -> str:
    """Titles with a line below them, as in reStructuredText and in many a README: the first sign is the highest."""
    lines = text.split("\n")
    levels: dict[str, int] = {}
    for at in range(1, len(lines)):
        below, title = lines[at], lines[at - 1]
        if not _UNDERLINE.match(below) or not title.strip():
            continue
        has_over = at > 1 and lines[at - 2].rstrip() == below.rstrip()
        is_alone = at < 2 or has_over or not lines[at - 2].strip()
        is_long = len(below.rstrip()) >= len(title.strip())
        if not is_alone or not is_long or _UNDERLINE.match(title) or not re.search(r"\w", title):
            continue
        if title[:1].isspace() and not has_over:
            continue
        level = levels.setdefault(below[0] + ("^" if has_over else ""), len(levels) + 1)
        lines[at - 1], lines[at] = f"{'#' * min(level, 6)} {title.strip()}", ""
        if has_over:
            lines[at - 2] = ""
    return "\n".join(lines)
