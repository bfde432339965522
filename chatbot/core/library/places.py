"""Where an answer is looked for: on shelves, in documents, in files of the chat, which get a shelf that nobody sees."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import TYPE_CHECKING

from chatbot.core.events import Attached
from chatbot.core.library import overview
from chatbot.core.library.grounds import with_text
from chatbot.core.library.searching import Searching
from rag.documents import Passage, merged, page_of
from rag.errors import DocumentRefused, EmbedderAway, UnknownShelf

if TYPE_CHECKING:
    from rag.library import Library
    from rag.shelves import Shelf

_FILL_S = 30.0  # so long a question waits for the vectors of a file that was just added; then its words have to do
_FILE = "chat:"


@dataclass(frozen=True)
class Places:
    """What one user may read of a library. is_kept: whether files of the chat may be written to its file; best hears
    the best score of each search; called: what shelves are called, by their ids, where their own name means several."""

    library: Library
    owner_id: str
    searching: Searching
    best: Callable[[float], None]
    is_kept: bool = True
    called: Mapping[int, str] = field(default_factory=dict)

    def find(
        self,
        question: str,
        shelf_ids: Collection[int],
        document_ids: Collection[int],
        n_most: int,
        min_score: float = -math.inf,
    ) -> list[Passage]:
        """The best passages of these shelves and of these documents, best first, in turn where both are asked."""
        found: list[list[Passage]] = []
        if shelf_ids:
            found.append(self.searching.passages(question, shelf_ids, n_most, None, min_score))
        if document_ids:
            theirs = {self.library.shelf_of(self.owner_id, each) for each in document_ids}
            found.append(self.searching.passages(question, theirs, n_most, document_ids, min_score))
        in_turn = [each for row in zip_longest(*found) for each in row if each is not None]
        if in_turn:
            self.best(max(each.score for each in in_turn))
        return [self._shown(each) for each in merged(in_turn)[:n_most]]

    def file(self, file: Attached) -> int | None:
        """The document of a file of the chat, if it is there."""
        shelf = self._hidden()
        listed = self.library.documents(shelf.id, text=f"{_FILE}{file.id}")
        return next((each.id for each in listed if each.uri == f"{_FILE}{file.id}"), None)

    def add_file(self, file: Attached, is_cancelled: Callable[[], bool]) -> int:
        """Put a file of the chat where it can be searched."""
        shelf = self._hidden()
        uri, text = f"{_FILE}{file.id}", _searchable(file)
        document_id = self.library.add_text(self.owner_id, shelf.id, uri, file.name, text, file.kind)
        deadline = time.monotonic() + _FILL_S
        with suppress(EmbedderAway):
            self.library.fill(is_cancelled=lambda: is_cancelled() or time.monotonic() > deadline)
        return document_id

    def _hidden(self) -> Shelf:
        """The shelf of the chats' files, in memory alone where they are not kept."""
        if not self.is_kept:
            self.library.index.leave_disk()
        return self.library.index.hidden_shelf(self.owner_id)

    def whole(self, document_ids: Sequence[int], n_chars: int) -> list[Passage]:
        """Documents in their order, as passages; none where they have more characters than these."""
        n_all = sum(len(self.library.document(self.owner_id, each)[1].text) for each in document_ids)
        return [part for each in document_ids for part in self._parts(each)] if n_all <= n_chars else []

    def overview(self, document_ids: Sequence[int], n_tokens: int) -> list[Passage]:
        """What tells most of documents as a whole: the beginning of each, and parts of the rest that lie apart."""
        return [part for each in document_ids for part in overview.of(self._parts(each), n_tokens // len(document_ids))]

    def _parts(self, document_id: int) -> list[Passage]:
        """All of a document, as passages."""
        found: list[Passage] = []
        shelf_id, document = self.library.document(self.owner_id, document_id)
        shelf = self.library.index.readable(self.owner_id, shelf_id)
        for each in self.library.index.chunks(document_id):
            text, page = document.text[each.start : each.end], page_of(document.pages, each.start)
            place = (shelf.name, document.uri, document.title, each.headings)
            if text.strip():
                found.append(self._shown(Passage(document_id, *place, text, each.start, each.end, 1.0, page)))
        return found

    def reread(self, passages: Mapping[int, Passage]) -> dict[int, Passage]:
        """Passages of which the beginning is kept, as their documents have them, as long as these are there."""
        found = dict(passages)
        for number, passage in passages.items():
            with suppress(UnknownShelf):
                found[number] = with_text(passage, self.library.document(self.owner_id, passage.document_id)[1].text)
        return found

    def _shown(self, passage: Passage) -> Passage:
        """A passage as people see it: the shelf of files has no name, one of several of a name has its owner's."""
        if passage.uri.startswith(_FILE):
            return replace(passage, shelf="")
        with suppress(UnknownShelf):  # deleted meanwhile
            shelf_id = self.library.index.shelf_of(passage.document_id) if self.called else 0
            return replace(passage, shelf=self.called.get(shelf_id, passage.shelf))
        return passage


def _searchable(file: Attached) -> str:
    """Its text, the values of a table or of JSON with their names."""
    from rag.extract import searchable

    try:
        return searchable(file.text, file.kind)
    except DocumentRefused:  # it was read as such a file once, but its text alone is none
        return file.text
