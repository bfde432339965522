"""Turn a regular expression of JSON schema's `pattern` into a grammar rule for the string's JSON text.

It decides which expressions a grammar can say (no look-around, no back references, anchors only at the ends); a quote,
a backslash or a line break in the string is written the way JSON escapes it.
"""

from __future__ import annotations

from llmserver.text.gbnf import MAX_REPEAT, Rules, class_char, literal

Span = tuple[int, int]
_LAST = 0x10FFFF
_ESCAPED = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}
# Never raw in JSON text: control characters, the quote, the backslash, halves of surrogate pairs.
_NEVER_RAW: list[Span] = [(0, 0x1F), (0x22, 0x22), (0x5C, 0x5C), (0x7F, 0x7F), (0xD800, 0xDFFF)]
_DIGIT: list[Span] = [(0x30, 0x39)]
_WORD: list[Span] = [*_DIGIT, (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A)]
_BLANK: list[Span] = [(0x09, 0x0D), (0x20, 0x20), (0xA0, 0xA0), (0x2028, 0x2029), (0xFEFF, 0xFEFF)]
_SETS = {"d": _DIGIT, "w": _WORD, "s": _BLANK}
_CONTROL = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v", "0": "\0"}
_HEX_DIGITS = {"x": 2, "u": 4}


class PatternError(ValueError):
    """The expression is broken, or says something that no grammar can."""


def pattern_rule(pattern: str, rules: Rules) -> str:
    """Return an expression for the inside of a JSON string that matches `pattern`, as a search unless anchored."""
    return _Reader(pattern, rules).whole()


def _without(spans: list[Span], taken: list[Span]) -> list[Span]:
    left, start = [], 0
    for low, high in [*sorted(taken), (_LAST + 1, _LAST + 1)]:
        left += [(max(a, start), min(b, low - 1)) for a, b in sorted(spans) if max(a, start) <= min(b, low - 1)]
        start = max(start, high + 1)
    return left


def _set_rule(spans: list[Span]) -> str:
    """One character of a set, raw where JSON allows it and escaped where it does not."""
    ways = [literal(text) for char, text in _ESCAPED.items() if any(a <= ord(char) <= b for a, b in spans)]
    raw = "".join(
        class_char(chr(a)) + (f"-{class_char(chr(b))}" if b > a else "") for a, b in _without(spans, _NEVER_RAW)
    )
    if raw:
        ways.insert(0, f"[{raw}]")
    if not ways:
        raise PatternError("a character class is empty")
    return ways[0] if len(ways) == 1 else f"({' | '.join(ways)})"


class _Reader:
    def __init__(self, pattern: str, rules: Rules) -> None:
        self._text = pattern
        self._at = 0
        self._rules = rules

    def whole(self) -> str:
        rule = self._choice(depth=0)
        if self._at < len(self._text):
            raise PatternError(f"unexpected {self._text[self._at]!r} at {self._at}")
        return rule

    def _peek(self, text: str) -> bool:
        return self._text.startswith(text, self._at)

    def _take(self, text: str) -> bool:
        if not self._peek(text):
            return False
        self._at += len(text)
        return True

    def _next(self) -> str:
        if self._at >= len(self._text):
            raise PatternError("it ends too early")
        self._at += 1
        return self._text[self._at - 1]

    def _choice(self, depth: int) -> str:
        if depth > 50:
            raise PatternError("groups nest too deeply")
        ways = [self._sequence(depth)]
        while self._take("|"):
            ways.append(self._sequence(depth))
        return ways[0] if len(ways) == 1 else f"({' | '.join(ways)})"

    def _sequence(self, depth: int) -> str:
        any_text = f"{self._rules.json('char')}*" if depth == 0 else ""
        parts = ["" if depth == 0 and self._take("^") else any_text]
        anchored = False
        while self._at < len(self._text) and not self._peek("|") and not self._peek(")"):
            if anchored:
                raise PatternError("'$' stands before the end")
            if depth == 0 and self._take("$"):
                anchored = True
            else:
                parts.append(self._repeated(self._atom(depth)))
        parts.append("" if anchored else any_text)
        return " ".join(part for part in parts if part) or '""'

    def _atom(self, depth: int) -> str:
        char = self._next()
        if char == "(":
            return self._group(depth)
        if char == "[":
            return _set_rule(self._class())
        if char == ".":
            return _set_rule(_without([(0, _LAST)], [(0x0A, 0x0A), (0x0D, 0x0D)]))
        if char == "\\":
            return _set_rule(self._escape())
        if char in "^$*+?":
            raise PatternError(f"{char!r} at {self._at - 1} has no meaning there")
        return literal(_ESCAPED.get(char, char))

    def _group(self, depth: int) -> str:
        if self._take("?"):
            if self._take("P<") or (self._peek("<") and not self._peek("<=") and not self._peek("<!")):
                self._at = self._text.find(">", self._at) + 1 or len(self._text)
            elif not self._take(":"):
                raise PatternError("look-around and flags cannot be expressed")
        inside = self._choice(depth + 1)
        if not self._take(")"):
            raise PatternError("a ')' is missing")
        return f"({inside})"

    def _escape(self, *, in_class: bool = False) -> list[Span]:
        char = self._next()
        if char.lower() in _SETS:
            spans = _SETS[char.lower()]
            return spans if char.islower() else _without([(0, _LAST)], spans)
        if char in _HEX_DIGITS:
            digits = "".join(self._next() for _ in range(_HEX_DIGITS[char]))
            try:
                return [(int(digits, 16), int(digits, 16))]
            except ValueError:
                raise PatternError(f"\\{char}{digits} is no character") from None
        if char == "b" and in_class:
            return [(8, 8)]
        if char.isalnum() and char not in _CONTROL:
            raise PatternError(f"\\{char} cannot be expressed")
        code = ord(_CONTROL.get(char, char))
        return [(code, code)]

    def _class(self) -> list[Span]:
        negated = self._take("^")
        spans: list[Span] = []
        while not self._take("]"):
            low = self._class_item()
            if self._peek("-") and not self._peek("-]") and len(low) == 1 and low[0][0] == low[0][1]:
                self._next()
                high = self._class_item()
                if len(high) != 1 or high[0][1] < low[0][0]:
                    raise PatternError("a range in a character class runs backwards")
                low = [(low[0][0], high[0][1])]
            spans += low
        return _without([(0, _LAST)], spans) if negated else spans

    def _class_item(self) -> list[Span]:
        char = self._next()
        return self._escape(in_class=True) if char == "\\" else [(ord(char), ord(char))]

    def _repeated(self, atom: str) -> str:
        for sign, least, most in (("*", 0, None), ("+", 1, None), ("?", 0, 1)):
            if self._take(sign):
                return self._times(atom, least, most)
        if self._peek("{") and "}" in self._text[self._at :]:
            end = self._text.index("}", self._at)
            low, comma, high = self._text[self._at + 1 : end].partition(",")
            if low.isascii() and low.isdigit() and (not high or (high.isascii() and high.isdigit())):
                self._at = end + 1
                return self._times(atom, int(low), (int(high) if high else None) if comma else int(low))
        return atom

    def _times(self, atom: str, least: int, most: int | None) -> str:
        if (most is not None and most < least) or least > MAX_REPEAT * 500:
            raise PatternError(f"it cannot repeat {least} to {most} times")
        self._take("?")
        if any(self._peek(sign) for sign in "*+"):
            raise PatternError("possessive repeats cannot be expressed")
        return self._rules.repeat(self._rules.add(atom, "part"), least, most)
