"""What of the library a message asks: the shelves of its chat, what it names with #, files too long to be sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import unquote

from chatbot.core import mentions
from chatbot.core.events import Attached
from chatbot.core.files import clean_name
from chatbot.core.library import follow
from chatbot.core.library.grounds import passages_of
from chatbot.core.library.names import called, meant
from chatbot.core.mentions import Name
from rag.answer import Depth, Question
from rag.errors import RagError

if TYPE_CHECKING:
    from chatbot.core.library import Door
    from chatbot.core.turn import Turn
    from rag.library import Library
    from rag.shelves import Shelf

_MOST_NAMES = 16
_MOST_ALIKE = 200
_NO_WORDS = "What do these documents say?"


@dataclass(frozen=True)
class Asked:
    """A question and where to look. files: of the chat, named by their ids where the message names them; is_sure: a
    person asked for the library, and is told when it has no answer; without that a file is asked as far as it goes."""

    question: Question
    depth: Depth
    shelves: tuple[Shelf, ...] = ()
    documents: tuple[Name, ...] = ()
    files: tuple[Attached, ...] = ()
    named: frozenset[str] = frozenset()
    is_sure: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """The shelves by name, those of single documents too."""
        return tuple(dict.fromkeys((*(each.name for each in self.shelves), *(each.shelf for each in self.documents))))

    @property
    def file_names(self) -> tuple[str, ...]:
        """The files of the chat by name."""
        return tuple(dict.fromkeys(clean_name(each.name) for each in self.files))


@dataclass(frozen=True)
class _Said:
    """What a text names, and the text without the marks. unknown: a name that it begins with and that nothing has."""

    names: Sequence[Name]
    plain: str
    unknown: str = ""


def asked_of(turn: Turn, long: Sequence[Attached], door: Door, tell: Callable[[str], None]) -> Asked | None:
    """What a turn asks of the library; None for nothing, and for mere thanks. tell hears of a name that nothing has.

    Raises UnknownShelf, LibraryFailed.
    """
    *before, text = [message.own for message in turn.messages if message.role == "user"]
    files = {each.id: each for message in turn.messages for each in message.files}
    chosen = _chosen(turn, door)
    said = _said(text, list(files.values()), door, turn.owner_id)
    if not (said.names or chosen) and before and follow.leans(said.plain):
        earlier = _said(before[-1], list(files.values()), door, turn.owner_id)
        said = replace(said, names=earlier.names, unknown=said.unknown or earlier.unknown)
    named = [str(each.id) for each in said.names if each.kind == "file"]
    wanted = tuple(dict.fromkeys((*(files[each] for each in named), *long)))
    is_asked = bool(said.names or wanted or (chosen and follow.asks(said.plain)))
    if said.unknown and not turn.continues:
        tell(_unknown(said.unknown, door.shelves(turn.owner_id), is_asked=is_asked))
    if not is_asked:
        return None
    shelves = _shelves(chosen, [each for each in said.names if each.kind == "shelf"], door, turn.owner_id)
    documents = tuple(each for each in said.names if each.kind == "document")
    pinned = passages_of(turn.grounds) if turn.continues else {}
    question = Question(said.plain or _NO_WORDS, follow.sought(said.plain or _NO_WORDS, before), pinned)
    depth = Depth.QUICK if pinned else Depth(turn.options.depth or "quick")
    is_sure = bool(shelves or documents or said.names)
    return Asked(question, depth, shelves, documents, wanted, frozenset(named), is_sure=is_sure)


def is_named(turn: Turn, door: Door) -> bool:
    """Whether the last message names a shelf or a document."""
    try:
        named = _said(turn.messages[-1].own, (), door, turn.owner_id).names
    except RagError:  # a library that cannot be read is asked by nobody here
        return False
    return bool(named)


def _unknown(name: str, shelves: Sequence[Shelf], *, is_asked: bool) -> str:
    """What a person hears who named what there is not."""
    names = ", ".join(dict.fromkeys(shelf.name for shelf in shelves))
    there = f"The shelves there are: {names}." if names else "There is no shelf."
    return f"Nothing is called #{name}{'' if is_asked else ', so the library was not asked'}. {there}"


def _chosen(turn: Turn, door: Door) -> list[str]:
    """The names of the shelves that the chat asks."""
    names = turn.options.shelves
    shelves = door.shelves(turn.owner_id) if "," in names else []
    return mentions.parted(names, [shelf.name for shelf in shelves])


def _shelves(chosen: Sequence[str], named: Sequence[Name], door: Door, owner_id: str) -> tuple[Shelf, ...]:
    """The shelves that these names mean, each once, as it is called. Raises UnknownShelf."""
    index, people = door.open().index, door.people()
    readable = index.shelves(owner_id)
    found: list[Shelf] = []
    for name in (*chosen, *(each.name for each in named)):
        found += meant(name, readable, people) or [index.shelf(owner_id, name)]
    return tuple({shelf.id: shelf for shelf in found}.values())


def _said(text: str, files: Sequence[Attached], door: Door, owner_id: str) -> _Said:
    """What a text names, and what it says besides."""
    words = mentions.words(text)[:_MOST_NAMES]
    if not words:
        return _Said([], text)
    names = [Name(each.name, "file", each.id) for each in files]
    if not door.is_there():
        return _Said(*mentions.find(text, names))
    names += _names(door, owner_id, words)
    return _Said(*mentions.find(text, names), mentions.unknown(text, names))


def _names(door: Door, owner_id: str, words: Sequence[str]) -> Iterator[Name]:
    """The shelves that this user may read, and the documents on them that one of the words calls by name."""
    library = door.open()
    readable = library.index.shelves(owner_id)
    for plain, shelf in zip(readable, called(readable, door.people()), strict=True):
        yield from (Name(name, "shelf", shelf.id) for name in dict.fromkeys((plain.name, shelf.name)))
        for word in words:
            yield from _documents(library, shelf, word)
    now = {mentions.called(each.name) for each in readable}
    for shelf in readable:
        yield from (Name(name, "shelf", shelf.id) for name in shelf.earlier if mentions.called(name) not in now)


def _documents(library: Library, shelf: Shelf, word: str) -> list[Name]:
    """The documents of a shelf that a word calls by name."""
    found: list[Name] = []
    for text in mentions.sought(word):
        for kept in library.documents(shelf.id, limit=_MOST_ALIKE, text=text) if not found else ():
            names = {kept.title, unquote(kept.uri.rstrip("/").rpartition("/")[2].removeprefix("file:"))}
            found += [Name(name, "document", kept.id, shelf.name) for name in names if mentions.called(name) == word]
    return found
