"""What a sitemap names (sitemaps.org): pages, and further sitemaps. Pure.

Runs in the child process. Its time grows with the list and no faster, whatever is left open in it; of a damaged list
what can be read is read, and that it is damaged is said.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from rag.extract.decode import NotText, decode
from rag.extract.limits import MAX_CHARS, Unreadable

_MOST_BYTES = 50_000_000  # unpacked, as sitemaps.org has it
# Each repeat is bounded and stops at the next tag, so none is tried over the whole list.
_TAG = re.compile(
    r"<([\w.-]{1,20}:)?(url|sitemap|loc|lastmod)(?:\s[^<>]{0,500})?>\s{0,100}(?:<!\[CDATA\[\s{0,100})?([^<\s]{0,2048})",
    re.IGNORECASE,
)
_ROOT = re.compile(r"<(/?)(?:[\w.-]{1,20}:)?(?:urlset|sitemapindex)[\s/>]", re.IGNORECASE)
_CHANGED = re.compile(r"[0-9T:.Z+-]{4,40}", re.IGNORECASE)
_ADDRESS = re.compile(r"https?://[^\s<]{1,2048}", re.IGNORECASE)
_WHOLE, _CUT_OFF = "whole", "cut off"


@dataclass(frozen=True)
class Listed:
    """An address that a sitemap names. changed: when its page was last changed, or empty; is_list: a sitemap itself."""

    address: str
    changed: str = ""
    is_list: bool = False


@dataclass(frozen=True)
class PageList:
    """What a sitemap names. is_whole: it has its end, so that what it does not name is no longer there."""

    entries: tuple[Listed, ...]
    is_whole: bool


def written(data: bytes) -> str:
    """A sitemap, packed or not, as lines: whether it is whole, then what it names, as much as a text may hold.

    Raises Unreadable.
    """
    data, is_whole = _unpacked(data)
    try:
        text = decode(data)
    except NotText:
        text = data.decode("utf-8", "replace")
    roots = [found[1] for found in _ROOT.finditer(text)]
    if roots:
        entries, is_whole = _entries(text), is_whole and "/" in roots
    elif _ADDRESS.match(text.lstrip()):
        entries = (Listed(line.strip()) for line in text.splitlines() if _ADDRESS.fullmatch(line.strip()))
    elif is_whole:
        raise Unreadable("is no list of pages: give the address of a sitemap.xml")
    else:
        raise Unreadable("is damaged: its beginning cannot be unpacked")
    lines = [_WHOLE if is_whole else _CUT_OFF]
    n_chars = 0
    for each in entries:
        line = f"{int(each.is_list)} {each.changed or '-'} {each.address}"
        n_chars += len(line) + 1
        if n_chars > MAX_CHARS - len(_CUT_OFF):
            break
        lines.append(line)
    return "\n".join(lines)


def parsed(text: str) -> PageList:
    """What written() wrote."""
    first, *lines = text.split("\n")
    told = (line.split(" ") for line in lines)
    entries = (Listed(address, "" if at == "-" else at, is_list == "1") for is_list, at, address in told)
    return PageList(tuple(entries), first == _WHOLE)


def _entries(text: str) -> Iterator[Listed]:
    """An entry begins with its tag and goes on to the next one; tags of other vocabularies in it are left out."""
    prefix, is_list, address, changed = None, False, "", ""
    for tag in _TAG.finditer(text):
        name, value = tag[2].lower(), tag[3].removesuffix("]]>")
        if name in {"url", "sitemap"}:
            if address:
                yield Listed(address, changed, is_list)
            prefix, is_list, address, changed = tag[1] or "", name == "sitemap", "", ""
        elif prefix == (tag[1] or "") and name == "loc":
            address = address or value.replace("&amp;", "&")
        elif prefix == (tag[1] or "") and _CHANGED.fullmatch(value):
            changed = changed or value
    if address:
        yield Listed(address, changed, is_list)


def _unpacked(data: bytes) -> tuple[bytes, bool]:
    """(a sitemap, which many keep packed, whether it is all there)."""
    if not data.startswith(b"\x1f\x8b"):
        return data, True
    packed, found = zlib.decompressobj(31), b""
    with suppress(zlib.error):
        found = packed.decompress(data, _MOST_BYTES)
    return found, packed.eof
