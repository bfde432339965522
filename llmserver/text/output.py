"""Decide which text of an answer may be sent: whole characters, and nothing that may yet become a stop string.

It does not know tokens, reasoning or tool calls: bytes go in, text comes out.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence

_utf8 = codecs.getincrementaldecoder("utf-8")


def held_suffix(text: str, needles: Sequence[str]) -> int:
    """Return the length of the longest end of `text` that a needle may still grow out of.

    A needle that `text` holds completely does not count: look for those first.
    """
    longest = 0
    for needle in needles:
        at = text.find(needle[0], max(0, len(text) - len(needle) + 1))
        while at >= 0 and len(text) - at > longest:
            if needle.startswith(text[at:]):
                longest = len(text) - at
                break
            at = text.find(needle[0], at + 1)
    return longest


class Output:
    """Text of one answer: incremental UTF-8, and stop strings that may be split over tokens.

    The stop string that is complete first ends the answer; of two that are complete with the same character, the
    longer. The answer is all text before it. Bytes that are no UTF-8 become U+FFFD.
    """

    __slots__ = ("_decode", "_held", "_may_begin", "_stops", "stopped")

    def __init__(self, stops: Sequence[str] = ()) -> None:
        self._decode = _utf8("replace").decode
        self._stops = tuple(stop for stop in stops if stop)
        self._may_begin = re.compile("|".join({re.escape(stop[0]) for stop in self._stops})).search
        self._held = ""
        self.stopped: str | None = None

    def feed(self, piece: bytes) -> str:
        """Take a token's bytes; return the text that may be sent now."""
        text = self._decode(piece)
        if not self._stops:
            return text
        if not self._held and self.stopped is None and not self._may_begin(text):
            return text
        return self._until_stop(text)

    def finish(self) -> str:
        """Return what was held back; an unfinished character comes out as U+FFFD."""
        text = self._decode(b"", True)
        if self._stops:
            text = self._until_stop(text) + self._held
            self._held = ""
        return text

    def _until_stop(self, text: str) -> str:
        if self.stopped is not None or not text:
            return ""
        text = self._held + text
        found = [(start + len(stop), start, stop) for stop in self._stops if (start := text.find(stop)) >= 0]
        if found:
            _, start, self.stopped = min(found)
            self._held = ""
            return text[:start]
        cut = len(text) - held_suffix(text, self._stops)
        self._held = text[cut:]
        return text[:cut]
