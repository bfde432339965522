"""Find the chats in a file of JSON without building it in memory: where each begins and ends, and how deep it goes.

Looks at brackets and quotes alone. Elements of a list at the top, or values one after the other; each is parsed by
itself, so that a damaged one costs only itself.
"""

from __future__ import annotations

import json
import mmap
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from chatbot.core.transfer.values import Damaged

Buffer = bytes | mmap.mmap

MAX_DEPTH = 100
MAX_ELEMENT_BYTES = 64_000_000
# A bracket or a string each: what bounds the memory of one chat, and the time for a file.
MAX_ELEMENT_TOKENS = 5_000_000
MAX_TOKENS = 50_000_000

# Groups: a whole string without escapes, the beginning of another string, what opens, what closes.
_OUTSIDE = re.compile(rb'("[^"\\]*")|(")|([\[{])|([\]}])')
_STRING, _QUOTED, _OPENS, _CLOSES = 1, 2, 3, 4
_INSIDE = re.compile(rb'"|\\["\\]')
_SPACE = re.compile(rb"(?:\xef\xbb\xbf)?\s*")


@dataclass(frozen=True)
class Span:
    """One value of the file. trouble says why it must not be parsed."""

    start: int
    end: int
    trouble: str = ""


def first_byte(data: Buffer) -> bytes:
    """The first byte that is no space; empty for an empty file."""
    start = _after_space(data)
    return data[start : start + 1]


def spans(data: Buffer) -> Iterator[Span]:
    """The objects of a file of JSON. After one with trouble that hides where it ends, nothing more comes."""
    at = start = _after_space(data)
    top = 1 if data[at : at + 1] == b"[" else 0
    depth, n_tokens, limit = 0, 0, MAX_TOKENS
    while (found := _OUTSIDE.search(data, at)) is not None:
        kind, at = found.lastindex, found.end()
        n_tokens += 1
        if kind == _QUOTED:
            at = _after_string(data, at)
        elif kind == _OPENS:
            if depth == top:
                start, limit = found.start(), min(MAX_TOKENS, n_tokens + MAX_ELEMENT_TOKENS)
            depth += 1
        elif kind == _CLOSES:
            depth -= 1
            if depth == top:
                yield _closed(Span(start, at))
            if depth < top:
                return
        if depth - top > MAX_DEPTH or n_tokens > limit:
            yield Span(start, at, _limit(depth - top, n_tokens))
            return
    if depth > 0:
        yield Span(start, len(data), _ending(depth > top))


def parse(data: Buffer, span: Span) -> dict[str, Any]:
    """The object in a span. Raises Damaged."""
    if span.trouble:
        raise Damaged(span.trouble)
    try:
        found = json.loads(data[span.start : span.end].decode("utf-8", "replace"))
    except RecursionError as why:
        raise Damaged("it is nested too deeply") from why
    except ValueError as why:
        raise Damaged(f"its JSON is damaged near byte {span.start + getattr(why, 'pos', 0):,}") from why
    if not isinstance(found, dict):
        raise Damaged("it is a list, not a chat")
    return found


def lines(data: Buffer, start: int) -> Iterator[Span]:
    """The lines from a place on that hold something, for files with one JSON object a line."""
    at = start
    while at < len(data):
        end = data.find(b"\n", at)
        end = len(data) if end < 0 else end
        if end - at > 2 or data[at:end].strip():
            yield Span(at, end)
        at = end + 1


def _after_space(data: Buffer) -> int:
    found = _SPACE.match(data)
    return found.end() if found else 0


def _after_string(data: Buffer, at: int) -> int:
    """The place behind the string that begins before `at`; the end of the file when it never ends."""
    while (found := _INSIDE.search(data, at)) is not None:
        at = found.end()
        if found.end() - found.start() == 1:
            return at
    return len(data)


def _closed(span: Span) -> Span:
    too_large = span.end - span.start > MAX_ELEMENT_BYTES
    return Span(span.start, span.end, f"it is larger than {MAX_ELEMENT_BYTES / 1e6:.0f} MB") if too_large else span


def _ending(is_within: bool) -> str:
    return "the file ends in the middle of it" if is_within else "the file ends too early, what followed is missing"


def _limit(depth: int, n_tokens: int) -> str:
    if depth > MAX_DEPTH:
        return f"it is nested more than {MAX_DEPTH} levels deep; the file was not read on from there"
    if n_tokens > MAX_TOKENS:
        return "the file has more than fifty million values; it was not read on from there: split it"
    return "it has more than five million values; the file was not read on from there"
