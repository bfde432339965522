"""Find citation marks in a run of Markdown: outside code, formulas, links and addresses. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NUMBERS = r"\^?\d{1,4}(?:[ \t]*[,;\u2013-][ \t]*\^?\d{1,4})*"
_ADDRESS = r"""\([ \t]*(?:<[^<>\n]*>|(?:[^\s()]|\([^\s()]*\))*)(?:[ \t]+(?:"[^"\n]*"|'[^'\n]*'))?[ \t]*\)"""
_LINK = re.compile(rf"(?:{_ADDRESS}){{1,9}}")  # behind the first that is taken out the next would make another link
_MARK = re.compile(
    rf"\[\[({_NUMBERS})\]\]|\[({_NUMBERS})\]|[\u3010\uff3b]({_NUMBERS})(?:\u2020[^\u3010\u3011\n]*)?[\u3011\uff3d]"
)
_OPEN_LINK = re.compile(r"\((?:[^()\n]|\([^()\n]*\))*(?:\([^()\n]*)?\Z")
_NESTED = re.compile(r"\[[\d,; \t]*\Z")
_TOKEN = re.compile(r"`+|\$\$?|\\.|https?://[^\s<]*|\[[^\[\]\n]{0,400}\]\([^)\s]{0,400}\)|[\[\u3010\uff3b]", re.S)
_OPEN = re.compile(  # what may become brackets of numbers, or a link
    r"\[(?:[^\[\]\n]*(?:\](?:\([^)\s]*)?)?|\[[\^\d,;\u2013 \t-]*\]?)\Z"
    r"|[\u3010\uff3b][\^\d,;\u2013 \t-]*(?:\u2020[^\u3010\u3011\n]*)?\Z"
)
_DEFINITION = re.compile(r"""[ \t>]*(\[\^?\d{1,4}\]:[ \t]*(?:\S+(?:[ \t]+["'(][^\n]*)?)?[ \t]*)$""", re.M)
_MAY_DEFINE = re.compile(r"[ \t>]*\[\^?\d{0,4}(?:\](?::[^\n]*)?)?\Z")
_FORMULA = re.compile(
    r"\$\$(?!\$)[^$]+?\$\$|\$(?![\s$])(?:\\.|[^$\\\n])*?[^\s$\\]\$(?![\d$])|\\\([\s\S]+?\\\)|\\\[[\s\S]+?\\\]"
)
_MONEY = re.compile(r"\$\d[\d.,]*(?:\s|[-\u2013])")
# Directly behind a word brackets cite where it is a word of prose, and nothing goes on as code does.
_GLUED = re.compile(r"[A-Za-z0-9_$)\]]")
_WORD = re.compile(r"(?:(?<![\w.$>/\\])(?:[^\W\d_](?:[^\W\d_]|['\u2019-])+|\d[\d.,]*)|[)\]])\Z")
_CODE_GOES_ON = re.compile(r"\w|\.\w|->|\(|[ \t]*(?:[-+*/%|&^]?=|\+\+|--)")
_MOST_CHARS = 1_000  # of code, a formula or a link within a run; a sign that is not ended so far is a plain one
_WORD_CHARS = 60
_SURE_CHARS = 4


@dataclass(frozen=True)
class Found:
    """A mark in a run: text[start:end] with the white space before it, or a definition, which has no numbers."""

    start: int
    end: int
    numbers: tuple[int, ...]
    is_glued: bool = False


@dataclass(frozen=True)
class Scan:
    """What a run holds. n_sure: what stands before it stays so, whatever follows; is_left_open: something is begun."""

    found: tuple[Found, ...]
    n_sure: int
    is_left_open: bool


def scan(run: str) -> Scan:
    """The marks of a run that nothing goes on with."""
    return Scanner().scan(run, is_end=True)


class Scanner:
    """Reads one run that grows. What stays so, whatever follows, is read once."""

    def __init__(self) -> None:
        self._run, self._is_end = "", False
        self._at = 0
        self._open: int | None = None  # the first thing begun that is not ended
        self._unsure: int | None = None
        self._found: list[Found] = []
        self._chain = (-1, False, False)  # where the last brackets of numbers end, whether a mark, whether glued
        self._sure = (-1, 0, self._chain)  # where to go on from, how many marks stand before it, and the chain there

    def scan(self, run: str, *, is_end: bool = False) -> Scan:
        """The marks of the run, which begins with what was scanned before and may go on unless is_end."""
        self._run, self._is_end, self._open, self._unsure = run, is_end, None, None
        self._at, n_found, self._chain = self._sure
        del self._found[n_found:]
        if self._at < 0:
            self._begin_run()
        while token := _TOKEN.search(run, self._at):
            self._at = self._behind(token)
            self._keep()
        return Scan(tuple(self._found), min(self._doubts(), default=len(run)), self._open is not None)

    def _begin_run(self) -> None:
        self._at, defined = 0, _DEFINITION.match(self._run)
        if defined and (self._is_end or defined.end() < len(self._run)):
            self._found.append(Found(defined.start(1), defined.end(), ()))
            self._at = defined.end()
        elif not self._is_end and _MAY_DEFINE.match(self._run):
            self._unsure = 0

    def _doubts(self) -> list[int]:
        return [at for at in (self._open, self._unsure) if at is not None]

    def _keep(self) -> None:
        """Go on from here with the next piece, if nothing before is in doubt. A token at the end may go on itself."""
        if not self._doubts() and self._at < len(self._run):
            self._sure = self._at, len(self._found), self._chain

    def _behind(self, token: re.Match[str]) -> int:
        """Where to go on behind a token."""
        text, start = token[0], token.start()
        if text[0] == "`":
            return self._behind_code(token)
        if text[0] == "$" or text in ("\\(", "\\["):
            return self._behind_formula(token)
        if text[0] not in "[\u3010\uff3b":
            return token.end()
        if mark := _MARK.match(self._run, start, start + _MOST_CHARS):
            link = _LINK.match(self._run, mark.end())  # wide brackets too: they become plain ones
            end = link.end() if link else mark.end()
            self._take(mark, end)
            return end
        if not self._is_end and len(self._run) <= start + _MOST_CHARS and _OPEN.match(self._run, start):
            self._doubt(start)
        return token.end()

    def _behind_code(self, token: re.Match[str]) -> int:
        most = token.end() + _MOST_CHARS
        end = re.compile(rf"(?<!`){token[0]}(?!`)").search(self._run, token.end(), most)
        if end and (self._is_end or end.end() < len(self._run)):
            return end.end()
        if len(self._run) <= most:
            self._begin(token.start())
        return token.end()

    def _behind_formula(self, token: re.Match[str]) -> int:
        start, run = token.start(), self._run
        if _MONEY.match(run, start):
            return start + 1
        found = _FORMULA.match(run, start, start + _MOST_CHARS)
        if found and (self._is_end or found.end() < len(run)):
            return found.end()
        if len(run) <= start + _MOST_CHARS and (token[0] != "$" or "\n" not in run[start:]):
            self._begin(start)
        return token.end()

    def _begin(self, at: int) -> None:
        if not self._is_end and self._open is None:
            self._open = at

    def _doubt(self, at: int) -> None:
        if not self._is_end and self._unsure is None:
            self._unsure = at

    def _take(self, mark: re.Match[str], end: int) -> None:
        """Take brackets of numbers that end there, with a link behind them."""
        run, start = self._run, mark.start()
        if not self._is_end and (end == len(run) or _OPEN_LINK.match(run, end)):
            self._doubt(start)
        lead = start
        while lead and run[lead - 1] in " \t":
            lead -= 1
        if not lead or run[lead - 1] == "\n":
            lead = start
        before = run[max(0, start - _WORD_CHARS) : start]
        is_glued = lead == start and _GLUED.match(before[-1:]) is not None
        numbers = _numbers(mark[1] or mark[2] or mark[3])
        is_mark = bool(numbers) and not _NESTED.search(before)
        if is_glued and is_mark:
            is_mark, is_glued = self._cites(start, end, numbers)
        self._chain = (end, is_mark, is_glued)
        if is_mark:
            self._found.append(Found(lead, end, numbers, is_glued))

    def _cites(self, start: int, end: int, numbers: tuple[int, ...]) -> tuple[bool, bool]:
        """Whether brackets directly behind a word, or behind others, are a citation, and one that is glued."""
        rest = self._run[end : end + 40]
        if not self._is_end and "\n" not in rest and len(rest.lstrip(" \t")) < _SURE_CHARS:
            self._doubt(start)
        if self._chain[0] == start:
            return self._chain[1:]
        before = self._run[max(0, start - _WORD_CHARS) : start]
        return 0 not in numbers and bool(_WORD.search(before)) and not _CODE_GOES_ON.match(rest), True


def _numbers(told: str) -> tuple[int, ...]:
    """The numbers that are told, each once, with those between; none where it is a span of something else."""
    found: list[int] = []
    for part in re.split(r"[,;]", told):
        first, *more = (int(digits) for digits in re.findall(r"\d+", part))
        last = more[-1] if more else first
        if more and not 0 < first < last < first + 20 <= 200:
            return ()
        found += range(first, last + 1)
    return tuple(dict.fromkeys(found))
