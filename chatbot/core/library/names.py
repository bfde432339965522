"""What shelves are called where several that a user may read have one name, and which documents a name begins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from chatbot.core import mentions

if TYPE_CHECKING:
    from rag.library import Kept, Library
    from rag.shelves import Shelf

_MOST_ALIKE = 200


def called(shelves: Sequence[Shelf], people: Mapping[str, str]) -> list[Shelf]:
    """The shelves, each with the name that means it alone: name@owner for another's whose name one more has.

    people: names of users by their ids; a shelf whose owner has none keeps its name.
    """
    counts = Counter(shelf.name.casefold() for shelf in shelves)
    return [
        replace(shelf, name=f"{shelf.name}@{people[shelf.owner_id]}")
        if counts[shelf.name.casefold()] > 1 and not shelf.is_own and people.get(shelf.owner_id)
        else shelf
        for shelf in shelves
    ]


def meant(name: str, shelves: Sequence[Shelf], people: Mapping[str, str]) -> list[Shelf]:
    """The shelves that a name means, as they are called: the one that is called so, a user's own first, or else all
    that others share under the name, or else those that were called so before."""
    wanted, all_called = name.strip().casefold(), called(shelves, people)
    exact = [each for each in all_called if each.name.casefold() == wanted]
    own = [each for each in exact if each.is_own]
    pairs = zip(shelves, all_called, strict=True)
    shared = [each for plain, each in pairs if plain.name.casefold() == wanted]
    return own or exact or shared or _once(name, all_called, people)


def _once(name: str, shelves: Sequence[Shelf], people: Mapping[str, str]) -> list[Shelf]:
    """The shelves that had a name before, or name@owner: a user's own first, or else all that others share."""
    plain, at, owner = name.strip().rpartition("@")
    found = [each for each in shelves if each.was_called(name)] or [
        each
        for each in shelves
        if at and each.was_called(plain) and people.get(each.owner_id, "").casefold() == owner.casefold()
    ]
    return [each for each in found if each.is_own] or found


def titled(library: Library, shelf_id: int, typed: str, n_most: int) -> list[Kept]:
    """The first documents of a shelf whose title has what was typed, its own quotes and line breaks left out."""
    wanted = mentions.called(typed)
    found = {
        kept.id: kept
        for text in mentions.sought(wanted)
        for kept in library.documents(shelf_id, limit=_MOST_ALIKE, text=text)
        if wanted in mentions.called(kept.title)
    }
    return list(found.values())[:n_most]
