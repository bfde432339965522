"""Find what a message names with #name or #"two words": shelves, documents, files of the chat. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

_MENTION = re.compile(r"(?<![\w#&/])#(?:\"([^\"\n]{1,200})\"|([^\s\"#][^\s\"]{0,199}))")
_BEHIND = ".,;:!?)]}'*_>"  # may stand right behind a name that is none of it
_BLANKS = re.compile(r"\s*")
_MOST_LEADING = 100  # names that a message begins with; nobody writes more of them
_NO_NAME = re.compile(r"\d+\b|https?:")
# What code begins with: a script's first line, a style sheet's rule, a colour, what the C preprocessor reads.
_CODE = re.compile(
    r"!.*|.*[{};=<>].*|(?=.*\d)[\da-f]{3,8}"
    r"|include|import|define|undef|if|ifn?def|elif|else|endif|pragma|error|warning|line",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Name:
    """Something that can be named. kind: shelf, document or file; id: its own in the library or the chat; shelf: the
    one that a document stands on."""

    name: str
    kind: str
    id: int | str
    shelf: str = ""


def called(name: str) -> str:
    """A name as it is compared: without quotes, in small letters, one blank for any white space."""
    return _plain(name).casefold()


def written(name: str) -> str:
    """What a person writes to name something."""
    return f"#{name}" if re.fullmatch(r'[^\s"#]+', name) else f'#"{_plain(name)}"'


def words(text: str) -> list[str]:
    """All that a message may name, each as it would have to be called, in small letters."""
    return list(dict.fromkeys(word.casefold() for found in _MENTION.finditer(text) for word, _ in _readings(found)))


def find(text: str, names: Iterable[Name]) -> tuple[list[Name], str]:
    """(what the message names, the text without the marks). Words that name nothing stay as they are.

    Names at the beginning and the end go; within a sentence they stay as plain words.
    """
    known: dict[str, list[Name]] = {}
    for each in names:
        known.setdefault(called(each.name), []).append(each)
    found: list[Name] = []
    spans: list[tuple[int, int, str]] = []
    for place in _MENTION.finditer(text):
        meant = next(((word, end) for word, end in _readings(place) if word.casefold() in known), None)
        if meant is not None:
            found += known[meant[0].casefold()]
            spans.append((place.start(), meant[1], meant[0]))
    return list(dict.fromkeys(found)), _without(text, spans)


def sought(word: str) -> list[str]:
    """By what a library is asked for what is called so: quotes and line breaks of a title stand around its words, so
    that the longest of these finds it too."""
    return list(dict.fromkeys((word, max(re.findall(r"\w+", word), key=len, default=word))))


def parted(names: str, known: Collection[str]) -> list[str]:
    """The names in a list with commas between them. One that is known may hold commas itself."""
    parts, folded, found = names.split(","), {each.casefold() for each in known}, []
    while parts:
        ends = (n for n in range(len(parts), 1, -1) if ",".join(parts[:n]).strip().casefold() in folded)
        n_parts = next(ends, 1)
        found.append(",".join(parts[:n_parts]).strip())
        parts = parts[n_parts:]
    return [name for name in found if name]


def behind(text: str) -> str:
    """What a message says behind the names that it begins with: all of it, where it says nothing else.

    Whether anything has these names is not known here; addresses and numbers are none.
    """
    at = _past_blanks(text, 0)
    for place in _leading(text):
        at = _past_blanks(text, place.end())
    return text[at:] or text


def unknown(text: str, names: Iterable[Name]) -> str:
    """The first name that a message begins with and that nothing has, or nothing. Code is none."""
    known = {called(each.name) for each in names}
    for place in _leading(text):
        read = [word for word, _ in _readings(place)]
        if known.isdisjoint(word.casefold() for word in read):
            return "" if _CODE.fullmatch(read[-1]) or not re.search(r"\w", read[-1]) else read[-1]
    return ""


def _leading(text: str) -> Iterator[re.Match[str]]:
    """The mentions that a message begins with; addresses and numbers are none."""
    at = _past_blanks(text, 0)
    for _ in range(_MOST_LEADING):
        place = _MENTION.match(text, at)
        if not place or _NO_NAME.match(place[2] or ""):
            return
        yield place
        at = _past_blanks(text, place.end())


def _plain(name: str) -> str:
    return " ".join(name.replace('"', "").split())


def _past_blanks(text: str, at: int) -> int:
    blanks = _BLANKS.match(text, at)
    return blanks.end() if blanks else at


def _readings(found: re.Match[str]) -> Iterator[tuple[str, int]]:
    """What a mention may be meant as, with where it ends: all of it, or less the marks behind it."""
    if found[1] is not None:
        yield " ".join(found[1].split()), found.end()
        return
    word = found[2]
    while word:
        yield word, found.start(2) + len(word)
        if word[-1] not in _BEHIND:
            return
        word = word[:-1]


def _without(text: str, spans: Sequence[tuple[int, int, str]]) -> str:
    begin, end = 0, len(text)
    inner = list(spans)
    while inner and not text[begin : inner[0][0]].strip():
        begin = inner.pop(0)[1]
    while inner and not text[inner[-1][1] : end].strip(" \t\n.?!,:;"):
        start, stop, _ = inner.pop()
        text, end = text[:start].rstrip(" \t\n,;:") + text[stop:], start
    out, at = [], begin
    for start, stop, word in inner:
        out += [text[at:start], word]
        at = stop
    return "".join((*out, text[at:])).strip(" \t\n,:;") if spans else text
