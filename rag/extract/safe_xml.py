"""Walk through XML that a stranger wrote: in pieces, without a tree in memory, without entities of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from xml.parsers import expat

Start = Callable[[str, Mapping[str, str]], None]
_MOST_DEPTH = 500


class BadXml(ValueError):
    """It is no XML, or it declares entities, or it is nested without end."""


def walk(pieces: Iterable[bytes], start: Start, end: Callable[[str], None], text: Callable[[str], None]) -> None:
    """Call start(name, attributes), text and end(name) in the order of the document; names are without namespace.

    A document type is refused before its entities are defined: they make gigabytes of a line, or read files.
    """
    parser = expat.ParserCreate()
    parser.buffer_text = True
    depth = 0

    def refuse(*_: object) -> None:
        raise BadXml

    def begin(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _MOST_DEPTH:
            raise BadXml
        start(local(name), attributes)

    def finish(name: str) -> None:
        nonlocal depth
        depth -= 1
        end(local(name))

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = begin, finish, text
    try:
        for piece in pieces:
            parser.Parse(piece, False)
        parser.Parse(b"", True)
    except (expat.ExpatError, LookupError, UnicodeError) as why:
        raise BadXml from why


def local(name: str) -> str:
    """A name without its prefix."""
    return name.rpartition(":")[2]
