"""The process in which a stranger's PDF, DOCX or page is read: little memory, little time, no secrets around it.

Reads bytes from stdin and writes {text, title, kind} or {refused} as JSON to stdout.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from contextlib import suppress

from rag.extract.decode import NotText, clean, decode, html_charset
from rag.extract.limits import MAX_CHARS, Unreadable


def main(time_s: str, memory_bytes: str, kind: str, charset: str, url: str) -> None:
    """Answer for one file."""
    _limit(int(time_s), int(memory_bytes))
    try:
        text, title, read_as = _read(kind, sys.stdin.buffer.read(), charset, url)
        said = {"text": clean(text).strip("\n"), "title": clean(title), "kind": read_as}
        if len(text) > MAX_CHARS:
            said = {"refused": f"holds more than {MAX_CHARS:,} characters: split it"}
    except Unreadable as why:
        said = {"refused": why.reason}
    except (MemoryError, RecursionError):
        said = {"refused": "is nested too deeply or needs too much memory: add it as plain text"}
    sys.stdout.buffer.write(json.dumps(said).encode("ascii"))


def _read(kind: str, data: bytes, charset: str, url: str) -> tuple[str, str, str]:
    if kind == "pdf":
        from rag.extract import pdf

        return *pdf.read(data), "pdf"
    if kind == "zip":
        from rag.extract import docx

        return *docx.read(data), "document"
    from rag.extract.page import readable

    declared = html_charset(data) if charset in {"", "utf-8"} else charset  # UTF-8 is tried in any case
    try:
        page = readable(decode(data, declared), url)
    except NotText as why:
        raise Unreadable("is no text in any encoding that is known here") from why
    if not page.markdown:
        raise Unreadable("has no text that can be read without running its scripts")
    return page.markdown, page.title, "page"


def _limit(time_s: int, memory_bytes: int) -> None:
    os.nice(5)  # answers that are being written come first
    for what, most in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, time_s),
        (resource.RLIMIT_CORE, 0),
    ):
        with suppress(OSError, ValueError):  # macOS knows no limit of address space
            resource.setrlimit(what, (most, most))
