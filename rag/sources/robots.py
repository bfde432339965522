"""What a host asks of programs that read it: robots.txt, read as RFC 9309 says. The longest rule that fits decides."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit, urlunsplit

from rag.errors import SourceFailed
from rag.sources import Fetch

_AGENT = "paddock"
_MOST_BYTES = 500_000
_LONGEST_WAIT_S = 10.0
_NAME = re.compile(r"[a-z_-]+|\*")
_NUMBER = re.compile(r"\d{1,9}(?:\.\d{1,9})?")
_ENCODED = re.compile(r"%[0-9A-Fa-f]{2}")
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
        # The longest first; of two that are as long the one that allows.
        self._rules = sorted(asked.rules, key=lambda rule: (-rule.n_chars, not rule.allows))

    def allows(self, address: str) -> bool:
        """Whether we may ask for it."""
        parts = urlsplit(address)
        path = _spelled(urlunsplit(("", "", parts.path or "/", parts.query, "")))
        path = path.replace("*", "%2A").replace("$", "%24")  # what a rule means with them is another thing
        return next((rule.allows for rule in self._rules if rule.fits(path)), True)

    def wait_s(self, least: float) -> float:
        """Seconds between two pages: what the host asks for, within reason."""
        return max(least, self._wait_s)


@dataclass(frozen=True)
class _Rule:
    """A rule of n_chars. parts: what stands between its stars; is_whole: the path ends with it."""

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
    """What is asked of one program, or of all. wait_s: between two pages."""

    rules: list[_Rule] = field(default_factory=list)
    wait_s: float = 0.0


def _asked_of(text: str, agent: str) -> _Asked:
    """What is asked of a program by its name, else of all."""
    groups: dict[str, _Asked] = {}
    now: list[_Asked] = []
    are_names = False
    for line in re.split(r"[\r\n]+", text):
        name, _, value = (part.strip() for part in line.partition("#")[0].partition(":"))
        name = name.lower()
        if name == "user-agent":
            found = _NAME.match(value.lower())
            now = [*(now if are_names else []), groups.setdefault(found[0] if found else "", _Asked())]
            are_names = True
        elif name in {"allow", "disallow", "crawl-delay"}:
            are_names = False
            for group in now:
                _take(group, name, value)
    return groups.get(agent) or groups.get("*") or _Asked()


def _take(group: _Asked, name: str, value: str) -> None:
    if name == "crawl-delay":
        group.wait_s = float(value) if _NUMBER.fullmatch(value) else group.wait_s
    elif value:
        pattern = _spelled(value)
        parts = pattern.removesuffix("$").replace("$", "%24").split("*")
        group.rules.append(_Rule(name == "allow", len(pattern), tuple(parts), pattern.endswith("$")))


def _spelled(path: str) -> str:
    """A path in its one plain spelling: what need not be encoded is not, and what must be is."""

    def one(found: re.Match[str]) -> str:
        letter = chr(int(found[0][1:], 16))
        return letter if _UNRESERVED.fullmatch(letter) else found[0].upper()

    return _ENCODED.sub(one, quote(path, safe=_ASCII))
