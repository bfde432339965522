"""What a host asks of programs that read it: robots.txt, read as RFC 9309 says. The longest rule that fits decides."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit, urlunsplit

from rag.errors import SourceFailed
from rag.sources import Fetch

_AGENT = "paddock"
_MOST_BYTES = 512_000  # RFC 9309, 2.5: as much at least
_MOST_STARRED = 2_000  # rules with a star: each is tried on each path
_LONGEST_WAIT_S = 10.0
_NAME = re.compile(r"[a-z_-]+|\*")
_NUMBER = re.compile(r"\d{1,9}(?:\.\d{1,9})?")
_ENCODED = re.compile(r"%[0-9A-Fa-f]{2}")
_PLAIN = re.compile(r"[!-$&-~]*")
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]")
_ASCII = "".join(map(chr, range(0x21, 0x7F)))


class Robots:
    """The rules of one host. One that has no robots.txt asks nothing.

    Raises SourceFailed when the host cannot be asked.
    """

    def __init__(self, address: str, fetch: Fetch) -> None:
        parts = urlsplit(address)
        text = ""
        try:
            came = fetch(urlunsplit((parts.scheme, parts.netloc, "/robots.txt", "", "")))
            text = came.body[:_MOST_BYTES].decode("utf-8-sig", "replace")
        except SourceFailed as why:
            if not 400 <= why.status < 500:  # RFC 9309, 2.3.1: who cannot be asked has allowed nothing
                raise SourceFailed(f"robots.txt, which says what may be read there, cannot be: {why.message}") from why
        asked = _asked_of(text, _AGENT)
        self._wait_s = min(asked.wait_s, _LONGEST_WAIT_S)
        self._whole, self._beginnings = asked.whole, asked.beginnings
        self._lengths = sorted(set(map(len, asked.beginnings)), reverse=True)
        self._starred = sorted(asked.starred.values(), key=lambda rule: (-rule.n_chars, not rule.allows))

    def allows(self, address: str) -> bool:
        """Whether we may ask for it."""
        parts = urlsplit(address)
        path = _spelled(urlunsplit(("", "", parts.path or "/", parts.query, "")))
        path = path.replace("*", "%2A").replace("$", "%24")  # what a rule means with them is another thing
        return max(self._fitting(path), default=(0, True))[1]

    def _fitting(self, path: str) -> Iterator[tuple[int, bool]]:
        """(its length, whether it allows) of the longest rule of each kind. Of two that are as long the one that allows
        decides."""
        if path in self._whole:
            yield len(path) + 1, self._whole[path]
        found = next((path[:n] for n in self._lengths if path[:n] in self._beginnings), None)
        if found is not None:
            yield len(found), self._beginnings[found]
        rule = next((rule for rule in self._starred if rule.fits(path)), None)
        if rule is not None:
            yield rule.n_chars, rule.allows

    def wait_s(self, least: float) -> float:
        """Seconds between two pages: what the host asks for, within reason."""
        return max(least, self._wait_s)


@dataclass(frozen=True)
class _Rule:
    """A rule with stars, of n_chars. parts: what stands between its stars; is_whole: the path ends with it."""

    allows: bool
    n_chars: int
    parts: tuple[str, ...]
    is_whole: bool

    def fits(self, path: str) -> bool:
        """Whether a path begins as it says. It never goes back: no rule of a stranger costs more than its length."""
        if not path.startswith(self.parts[0]):
            return False
        at = len(self.parts[0])
        for number, part in enumerate(self.parts[1:], 2):
            if self.is_whole and number == len(self.parts):
                return len(path) - at >= len(part) and path.endswith(part)
            at = path.find(part, at)
            if at < 0:
                return False
            at += len(part)
        return not self.is_whole or at == len(path)


@dataclass
class _Asked:
    """What is asked of one program, or of all: whether paths may be read that are, or begin, so, and rules with stars.
    wait_s: between two pages."""

    whole: dict[str, bool] = field(default_factory=dict)
    beginnings: dict[str, bool] = field(default_factory=dict)
    starred: dict[tuple[str, bool], _Rule] = field(default_factory=dict)
    wait_s: float = 0.0


def _asked_of(text: str, agent: str) -> _Asked:
    """What is asked of a program by its name, else of all."""
    groups: dict[str, _Asked] = {}
    now: set[str] = set()
    are_names = False
    for line in re.split(r"[\r\n]+", text):
        name, _, value = (part.strip() for part in line.partition("#")[0].partition(":"))
        name = name.lower()
        if name == "user-agent":
            found = _NAME.match(value.lower())
            now = {*(now if are_names else ()), found[0] if found else ""} & {agent, "*"}
            groups |= {each: _Asked() for each in now if each not in groups}
            are_names = True
        elif name in {"allow", "disallow", "crawl-delay"}:
            are_names = False
            for each in now:
                _take(groups[each], name, value)
    return groups.get(agent) or groups.get("*") or _Asked()


def _take(group: _Asked, name: str, value: str) -> None:
    if name == "crawl-delay":
        group.wait_s = float(value) if _NUMBER.fullmatch(value) else group.wait_s
    elif value:
        pattern, allows = _spelled(value), name == "allow"
        is_whole = pattern.endswith("$")
        beginning, *others = pattern.removesuffix("$").replace("$", "%24").split("*")
        if not others:
            kept = group.whole if is_whole else group.beginnings
            kept[beginning] = allows or kept.get(beginning, False)
        elif len(group.starred) < _MOST_STARRED:
            group.starred[pattern, allows] = _Rule(allows, len(pattern), (beginning, *others), is_whole)
        elif not allows:  # of more than anybody needs, what is forbidden is so whatever stands behind its first star
            group.beginnings.setdefault(beginning, False)


def _spelled(path: str) -> str:
    """A path in its one plain spelling: what need not be encoded is not, and what must be is."""
    if _PLAIN.fullmatch(path):
        return path

    def one(found: re.Match[str]) -> str:
        letter = chr(int(found[0][1:], 16))
        return letter if _UNRESERVED.fullmatch(letter) else found[0].upper()

    return quote(_ENCODED.sub(one, path), safe=_ASCII)
