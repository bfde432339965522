"""The library as a conversation asks for it: which shelves there are, and what a name begins. Opens it when asked."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from chatbot.core.mentions import parted
from chatbot.core.store_rows import OWNER
from chatbot.errors import BadRequest, ChatError, LibraryFailed, ModelAway

if TYPE_CHECKING:
    from chatbot.core.library import Door
    from rag.errors import RagError
    from rag.shelves import Shelf

_MOST_NAMED = 12


class Shelves:
    """The shelves that this terminal may ask."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def all(self) -> list[Shelf]:
        """Every one with the name that means it alone, by name. Raises ChatError."""
        from rag.errors import RagError

        if not self._door.is_there():
            return []
        try:
            return self._door.shelves(OWNER)
        except RagError as why:
            raise failure(why) from why

    def checked(self, names: str) -> str:
        """The names of shelves with commas between them, as the shelves are called. Raises BadRequest for no such."""
        there = {each.name.casefold(): each.name for each in (*self._plain(), *self.all())}
        wanted = parted(names, there.values())
        for name in wanted:
            if name.casefold() not in there and not self.asked(name):
                listed = ", ".join(each.name for each in self.all())
                known = f"those there are: {listed}" if listed else "chat library add NAME FOLDER begins one"
                raise BadRequest(f"there is no shelf {name}; {known}")
        return ", ".join(there.get(name.casefold(), name) for name in wanted)

    def asked(self, names: str) -> set[int]:
        """The ids of the shelves that names with commas between them mean. Raises ChatError."""
        from chatbot.core.library.names import meant

        plain, known = self._plain(), [each.name for each in self.all()]
        return {each.id for name in parted(names, known) for each in meant(name, plain, self._door.people())}

    def _plain(self) -> list[Shelf]:
        """Every one with its own name."""
        return self._door.open().index.shelves(OWNER) if self.all() else []

    def beginning(self, typed: str) -> list[tuple[str, str]]:
        """What a mention may be that begins so: names of shelves, then titles on them; each with what it is."""
        from chatbot.core.library.names import titled
        from rag.errors import RagError

        found = [(each.name, "shelf") for each in self.all() if each.name.casefold().startswith(typed.casefold())]
        with suppress(RagError):
            for shelf in self.all() if typed else ():
                documents = titled(self._door.open(), shelf.id, typed, _MOST_NAMED)
                found += [(each.title, f"on {shelf.name}") for each in documents]
        return found[:_MOST_NAMED]


def failure(why: RagError) -> ChatError:
    """What the library said, with the exit status that the terminal has for it."""
    from rag.errors import EmbedderAway, UnknownShelf

    if isinstance(why, EmbedderAway):
        return ModelAway(why.message)
    return BadRequest(why.message) if isinstance(why, UnknownShelf) else LibraryFailed(why.message, why.code)
