"""Decide where a text is cut into chunks: at headings, then between paragraphs, then between sentences. Pure.

Nothing of the text is lost or doubled: the chunks tile it. Where a paragraph has to be cut, the next chunk is embedded
with the end of the one before it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from rag.documents import PLACE_TOKENS, Chunk, place
from rag.tokens import estimate

_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(.*?)[ \t]*#*[ \t]*$")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
# A full stop of a script that puts no space behind it ends a sentence too.
_SENTENCE = re.compile("(?<=[.!?])[\"')\\]]*\\s+|(?<=[\u3002\uff01\uff1f])|\\n+")
_WORD = re.compile(r"\s+")
_CHARS_A_TOKEN = 16  # more than texts have, but for wide tables
_HEADING_CHARS = 120

Count = Callable[[str], int]


@dataclass(frozen=True)
class Limits:
    """Sizes in tokens, as the count has them: the largest chunk with the titles over it, what may be said twice, the
    least worth standing alone. An eighth of a model of 256 is left for what the estimate misses."""

    max_tokens: int = 224
    overlap_tokens: int = 32
    min_tokens: int = 24


@dataclass(frozen=True)
class _Block:
    """A stretch of text that is better not cut: a paragraph, a block of code, a heading."""

    start: int
    end: int
    headings: tuple[str, ...]
    is_heading: bool = False


def chunk(
    text: str, title: str = "", limits: Limits | None = None, count: Count = estimate, *, is_code: bool = False
) -> list[Chunk]:
    """Cut a text. title: of the document, embedded with each chunk. Empty for a text of spaces alone.

    is_code: a line that begins with # is no heading there.
    """
    bounds = limits or Limits()
    if not text.strip():
        return []
    made: list[Chunk] = []
    for group in _groups(_blocks(text, is_code=is_code), lambda b: count(text[b.start : b.end]), bounds, title, count):
        made += _cut(text, group, title, bounds, count)
    return _closed(text, made)


def parts(text: str, whole: Chunk, title: str, limits: Limits, count: Count = estimate) -> list[Chunk]:
    """A chunk of a text cut into smaller ones that tile it, under the same titles."""
    return list(_tiles(text, whole, title, limits, count))


def _blocks(text: str, *, is_code: bool) -> Iterator[_Block]:
    """The text as blocks that tile it: each with the blank lines that follow."""
    headings: list[tuple[int, str]] = []
    start = at = 0
    fence, is_apart, is_heading, is_empty = "", False, False, True
    for line in text.splitlines(keepends=True):
        found = None if fence or is_code else _HEADING.match(line)
        if line.strip() and not is_empty and not fence and (found or is_heading or is_apart):
            yield _Block(start, at, tuple(name for _, name in headings), is_heading)
            start, is_empty = at, True
        if found:
            level = len(found[1])
            headings = [each for each in headings if each[0] < level]
            headings.append((level, found[2].strip()[:_HEADING_CHARS]))
        if line.strip() and is_empty:
            is_heading, is_empty = found is not None, False
        fence = _fence_after(line, fence)
        is_apart = not line.strip()
        at += len(line)
    yield _Block(start, len(text), tuple(name for _, name in headings), is_heading)


def _fence_after(line: str, fence: str) -> str:
    """The mark that ends the code block which is open after this line, or nothing."""
    found = _FENCE.match(line)
    if fence:
        return "" if found and found[1].startswith(fence) and not line.strip().strip(fence[0]) else fence
    return found[1] if found else ""


def _groups(
    blocks: Iterator[_Block], size: Callable[[_Block], int], limits: Limits, title: str, count: Count
) -> Iterator[list[_Block]]:
    """Blocks that make a chunk together: of one section, and no more than fit; a heading goes with what follows."""
    group: list[_Block] = []
    n_group = 0
    for block in blocks:
        n_block = size(block)
        room = _room(title, block.headings, limits, count)
        is_new = bool(group) and block.is_heading and any(not each.is_heading for each in group)
        if group and (n_group + n_block > room or (is_new and n_group >= limits.min_tokens)):
            if all(each.is_heading for each in group) and n_group < room // 2:
                group.append(block)  # too long for one chunk, but its heading is not to stand alone
                n_group += n_block
                continue
            yield group
            group, n_group = [], 0
        group.append(block)
        n_group += n_block
    if group:
        yield group


def _room(title: str, headings: tuple[str, ...], limits: Limits, count: Count) -> int:
    """Tokens that are left for the words of a chunk below these titles."""
    return limits.max_tokens - min(PLACE_TOKENS, count(place(title, headings)))


def _cut(text: str, group: Sequence[_Block], title: str, limits: Limits, count: Count) -> Iterator[Chunk]:
    """One chunk of a group that fits, several of one that does not."""
    start, end = group[0].start, group[-1].end
    headings = next((each.headings for each in group if not each.is_heading), group[-1].headings)
    return _tiles(text, Chunk(start, end, start, headings, 0), title, limits, count)


def _tiles(text: str, whole: Chunk, title: str, limits: Limits, count: Count) -> Iterator[Chunk]:
    """The whole as chunks that fit; its n_tokens is not looked at."""
    start, end, lead, headings = whole.start, whole.end, whole.lead, whole.headings
    n_place = min(PLACE_TOKENS, count(place(title, headings)))
    room = max(limits.max_tokens - n_place, limits.max_tokens // 2)  # titles leave room for words
    n_whole = count(text[lead:end])
    if n_whole <= room:
        yield replace(whole, n_tokens=n_whole + n_place)
        return
    n_overlap = min(limits.overlap_tokens, room // 4)
    if lead < start:
        lead = _lead(text, lead, start, n_overlap, count)
    while start < end:
        stop = _stop(text, start, end, room - count(text[lead:start]), count)
        yield Chunk(start, stop, lead, headings, count(text[lead:stop]) + n_place)
        lead = _lead(text, start, stop, n_overlap, count)
        start = stop


def _stop(text: str, start: int, end: int, room: int, count: Count) -> int:
    """Where a chunk that begins at start ends at the latest: after a sentence, else a word, else a character."""
    far = min(end, start + room * _CHARS_A_TOKEN)  # what lies behind is not looked at, and so not counted each time
    for cut in (_SENTENCE, _WORD):
        best, n_sum, last = start, 0, start
        for stop in chain((found.end() for found in cut.finditer(text, start, far)), (far,) if far == end else ()):
            n_sum += count(text[last:stop])
            last = stop
            if n_sum > room:
                break
            best = stop
        if best > start:
            return best
    return min(end, start + max(1, room))


def _lead(text: str, start: int, stop: int, n_most: int, count: Count) -> int:
    """Where the sentences, else the words, begin that end at stop and are not more than so many tokens."""
    for cut in (_SENTENCE, _WORD):
        best = stop
        for begin in reversed([found.end() for found in cut.finditer(text, start, stop)]):
            if count(text[begin:stop]) > n_most:
                break
            best = begin
        if best < stop:
            return best
    return stop


def _closed(text: str, chunks: list[Chunk]) -> list[Chunk]:
    """The chunks without those that are spaces alone: what they hold goes to the one before, or to the first."""
    kept: list[Chunk] = []
    for each in chunks:
        if text[each.start : each.end].strip():
            kept.append(each if kept else replace(each, start=0, lead=0))
        elif kept:
            kept[-1] = replace(kept[-1], end=each.end)
    return kept
