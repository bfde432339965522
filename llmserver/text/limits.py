"""Grammars that llama.cpp's parser would not survive: it recurses for each bracket and rule and copies repetitions.

Refused before it sees them, by a reading that knows just enough of GBNF: strings, character classes, comments.
"""

from __future__ import annotations

import re

from llmserver.errors import RequestError

MAX_CHARACTERS = 512 * 1024
MAX_DEPTH = 200
MAX_RULES = 5000
MAX_COPIED = 1_000_000  # characters, by all repetitions together
MAX_OPTIONAL_IN_A_ROW = 12  # each one doubles the ways to read a text
_PIECES = re.compile(
    r"""(?P<text>"(?:\\.|[^"\\])*")|(?P<kind>\[(?:\\.|[^\]\\])*\])|(?P<comment>\#[^\n]*)
    |(?P<times>\{\s*(?P<least>\d+)\s*(?:,\s*(?P<most>\d*)\s*)?\})|(?P<any>[?*+])|(?P<rule>::=)
    |(?P<open>\()|(?P<close>\))|(?P<or>\|)|(?P<name>[\w-]+|\.)""",
    re.VERBOSE | re.DOTALL,
)


def check(text: str) -> None:
    """Raise RequestError that names the limit for a grammar that is too large, too deep or too ambiguous."""
    if len(text) > MAX_CHARACTERS:
        _refuse(f"{len(text)} characters, at most {MAX_CHARACTERS}")
    _Reader(text).read()


class _Reader:
    """Walks over the pieces of a grammar."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._brackets: list[int] = []
        self._begin = self._n_rules = self._n_copied = self._n_optional = 0
        self._is_optional = False

    def read(self) -> None:
        """Look at every piece once."""
        for piece in _PIECES.finditer(self._text):
            self._take(piece)

    def _take(self, piece: re.Match[str]) -> None:
        kind = piece.lastgroup if piece["times"] is None else "times"
        if kind == "times":
            self._repeat(piece)
        elif kind == "any":
            self._is_optional = piece.group() in "?*"
        elif kind == "rule":
            self._n_rules += 1
            self._n_optional, self._is_optional = 0, False
            if self._n_rules > MAX_RULES:
                _refuse(f"more than {MAX_RULES} rules")
        elif kind == "open":
            self._brackets.append(piece.start())
            if len(self._brackets) > MAX_DEPTH:
                _refuse(f"brackets deeper than {MAX_DEPTH}")
        elif kind == "close":
            self._item(self._brackets.pop() if self._brackets else piece.start())
        elif kind == "or":
            self._n_optional, self._is_optional = 0, False
        elif kind != "comment":
            self._item(piece.start())

    def _item(self, begin: int) -> None:
        """A new item begins; the one before it is known to be optional or not."""
        self._n_optional = self._n_optional + 1 if self._is_optional else 0
        self._is_optional = False
        self._begin = begin
        if self._n_optional >= MAX_OPTIONAL_IN_A_ROW:
            _refuse(f"more than {MAX_OPTIONAL_IN_A_ROW} optional items in a row")

    def _repeat(self, piece: re.Match[str]) -> None:
        least, most = piece["least"], piece["most"] or piece["least"]
        if max(len(least), len(most)) > 9:
            _refuse("a repetition of more than nine digits")
        self._is_optional = int(least) == 0
        self._n_copied += max(int(least), int(most)) * (piece.start() - self._begin)
        if self._n_copied > MAX_COPIED:
            _refuse(f"repetitions that copy more than {MAX_COPIED} characters")


def _refuse(what: str) -> None:
    raise RequestError(f"grammar: {what}: make it simpler", param="grammar")
