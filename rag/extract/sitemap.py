"""What a sitemap names (sitemaps.org): pages, and further sitemaps. Pure.

Runs in the child process. Its time grows with the list and no faster, whatever is left open in it; of a damaged list
what can be read is read.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from rag.extract.limits import MAX_CHARS

_MOST_BYTES = 50_000_000  # unpacked, as sitemaps.org has it
# Each repeat is bounded and stops at the next tag, so none is tried over the whole list.
_TAG = re.compile(
    r"<([\w.-]{1,20}:)?(url|sitemap|loc|lastmod)(?:\s[^<>]{0,500})?>\s{0,100}(?:<!\[CDATA\[\s{0,100})?([^<\s]{0,2048})",
    re.IGNORECASE,
)
_CHANGED = re.compile(r"[0-9T:.Z+-]{4,40}", re.IGNORECASE)


@dataclass(frozen=True)
class Listed:
    """An address that a sitemap names. changed: when its page was last changed, or empty; is_list: a sitemap itself."""

    address: str
    changed: str = ""
    is_list: bool = False


def written(data: bytes) -> str:
    """What a sitemap names, packed or not, one a line, as many as a text may hold."""
    lines: list[str] = []
    n_chars = 0
    for each in _entries(_unpacked(data).decode("utf-8", "replace")):
        line = f"{int(each.is_list)} {each.changed or '-'} {each.address}"
        n_chars += len(line) + 1
        if n_chars > MAX_CHARS:
            break
        lines.append(line)
    return "\n".join(lines)


def parsed(lines: Iterable[str]) -> Iterator[Listed]:
    """What written() wrote."""
    for line in lines:
        is_list, changed, address = line.split(" ")
        yield Listed(address, "" if changed == "-" else changed, is_list == "1")


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


def _unpacked(data: bytes) -> bytes:
    """Many sitemaps are kept packed."""
    if not data.startswith(b"\x1f\x8b"):
        return data
    with suppress(zlib.error):
        return zlib.decompressobj(31).decompress(data, _MOST_BYTES)
    return b""
