"""Write llama.cpp's grammar notation: literals, character classes, named rules, repeats, JSON's own rules.

It decides how a rule is spelled so that llama.cpp accepts it; it knows nothing of schemas or tools.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

# llama.cpp (src/llama-grammar.cpp, MAX_REPETITION_THRESHOLD) refuses {m} and forgets the n of {m,n} above this.
MAX_REPEAT = 2000
# A model that may write any white space between two tokens can do so for ever.
_SPACE = r'" "? | "\n" [ \t]{0,20}'
_CHAR = r'[^"\\\x00-\x1F\x7F] | "\\" (["\\/bfnrt] | "u" [0-9a-fA-F]{4})'
_JSON = {
    "space": _SPACE,
    "char": _CHAR,
    "string": r'"\"" char* "\""',
    "whole": r'"0" | [1-9] [0-9]{0,18}',
    "integer": '"-"? whole',
    "number": '"-"? whole ("." [0-9]{1,18})? ([eE] [-+]? [0-9]{1,3})?',
    "boolean": '"true" | "false"',
    "null": '"null"',
    "pair": 'string ":" space value',
    "object": '"{" space (pair ("," space pair)* space)? "}"',
    "array": '"[" space (value ("," space value)* space)? "]"',
    "value": "object | array | string | number | boolean | null",
}
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_CLASS_ESCAPES = {**_ESCAPES, "]": "\\]", "[": "\\[", "-": "\\-", "^": "\\x5E"}


def _spelled(char: str, escapes: dict[str, str]) -> str:
    if char in escapes:
        return escapes[char]
    if "\ud800" <= char <= "\udfff":  # half of a character: cannot be encoded, and no model writes it
        return f"\\u{ord(char):04X}"
    return f"\\x{ord(char):02X}" if ord(char) < 32 or ord(char) == 127 else char


def literal(text: str) -> str:
    """Exactly this text."""
    return '"' + "".join(_spelled(char, _ESCAPES) for char in text) + '"'


def json_literal(value: object) -> str:
    """Exactly this JSON value, written the way models write JSON."""
    return literal(json.dumps(value, ensure_ascii=False))


def one_of(chars: Iterable[str], *, negated: bool = False) -> str:
    """One character of these, or one that is none of them."""
    inside = "".join(_spelled(char, _CLASS_ESCAPES) for char in chars)
    return f"[^{inside}]" if negated else f"[{inside}]"


def class_char(char: str) -> str:
    """A character as it stands inside brackets."""
    return _spelled(char, _CLASS_ESCAPES)


class Rules:
    """The rules of one grammar, each under a name of its own; equal rules share a name."""

    def __init__(self, prefix: str = "") -> None:
        self._prefix = f"{prefix}-" if prefix else ""
        self._bodies: dict[str, str] = {}
        self._names: dict[str, str] = {}

    def json(self, name: str) -> str:
        """Use one of JSON's own rules, with the rules it needs."""
        if name not in self._bodies:
            self._bodies[name] = _JSON[name]
            for word in _WORD.findall(re.sub(r'"(\\.|[^"\\])*"|\[(\\.|[^\]\\])*\]', " ", _JSON[name])):
                self.json(word)
        return name

    def add(self, body: str, hint: str = "r") -> str:
        """Name a rule; the same body gets the same name."""
        if body not in self._names:
            self._names[body] = self.reserve(hint)
            self._bodies[self._names[body]] = body
        return self._names[body]

    def reserve(self, hint: str = "r") -> str:
        """Return a free name, to be defined later: recursion needs the name first."""
        base = re.sub("[^a-z0-9]+", "-", hint.lower()).strip("-")[:24] or "r"
        name = f"{self._prefix}{base}-{len(self._bodies)}"
        self._bodies[name] = '""'
        return name

    def define(self, name: str, body: str) -> None:
        """Give a name its rule."""
        self._bodies[name] = body

    def repeat(self, item: str, least: int = 0, most: int | None = None) -> str:
        """`item` (a rule name) at least and at most so many times; exact up to a million, then without upper end."""
        if most is not None and most > MAX_REPEAT * MAX_REPEAT // 4:
            most = None
        if max(least, most or 0) <= MAX_REPEAT:
            return f"{item}{{{least},{'' if most is None else most}}}"
        size = MAX_REPEAT // 2
        block = self.add(f"{item}{{{size}}}", "block")
        fixed = f"{block}{{{least // size}}} {item}{{{least % size}}}"
        if most is None:
            return f"{fixed} {item}*"
        blocks, rest = divmod(most - least, size)
        if not blocks:
            return f"{fixed} {item}{{0,{rest}}}"
        return f"{fixed} {block}{{0,{blocks - 1}}} {item}{{0,{size + rest}}}"

    def until(self, end: str) -> str:
        """Any text in which `end` does not occur, then `end`: one rule for each character of `end` already seen."""
        names = [self.reserve("until") for _ in end]
        for seen, name in enumerate(names):
            ways = []
            for char in dict.fromkeys(end):
                grown = _grown(end, end[:seen] + char)
                ways.append(literal(char) + ("" if grown == len(end) else f" {names[grown]}"))
            self.define(name, " | ".join([*ways, f"{one_of(dict.fromkeys(end), negated=True)} {names[0]}"]))
        return names[0]

    def text(self, root: str) -> str:
        """The whole grammar, `root` being what it begins with."""
        return f"root ::= {root}\n{self.lines()}"

    def lines(self) -> str:
        """The rules without a root, to be added to a grammar that has one."""
        return "".join(f"{name} ::= {body}\n" for name, body in self._bodies.items())


def _grown(end: str, text: str) -> int:
    """How many characters at the end of `text` begin `end`."""
    return next(n for n in range(min(len(end), len(text)), -1, -1) if text.endswith(end[:n]))
