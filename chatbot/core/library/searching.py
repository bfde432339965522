"""Search the library for one question, by words alone once nobody makes embeddings."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from rag.documents import Passage
from rag.errors import EmbedderAway

if TYPE_CHECKING:
    from rag.embed import Vector
    from rag.library import Library
    from rag.search import Search


_BY_WORDS = "This was found by words alone, not by what they mean"


class Searching:
    """The searches of one look. tell hears, once, why words alone search; chosen: the score that a setting asks for."""

    def __init__(self, library: Library, tell: Callable[[str], None], chosen: float | None = None) -> None:
        self._library, self._tell, self._chosen = library, tell, chosen
        self._is_away = False
        self._is_told = False

    def passages(
        self,
        question: str,
        shelf_ids: Collection[int],
        n_most: int,
        document_ids: Collection[int] | None = None,
        min_score: float = -math.inf,
    ) -> list[Passage]:
        """The passages that fit best, best first. min_score: of what may answer."""
        if not self._is_away:
            try:
                found = self._library.search(question, shelf_ids, n_most, document_ids, min_score)
                self._tell_of_words(found)
                return found
            except EmbedderAway as why:
                self._go_without(why)
        return self._by_words.passages(question, shelf_ids, n_most, document_ids)

    def _tell_of_words(self, found: Sequence[Passage]) -> None:
        """Say so where words alone found, though there are embeddings: none of these, or of another model."""
        by_words = bool(found) and all(each.cosine is None for each in found)
        if by_words and not self._is_told and self._library.has_vectors():
            self._is_told = True
            self._tell(f"{_BY_WORDS}: the embeddings of these documents are still to be made.")

    def min_score(self) -> float:
        """The score below which nothing answers, on the scale of the scores that this look gives."""
        if self._chosen is not None:
            return self._chosen
        if not self._is_away:
            try:
                return self._library.min_score()
            except EmbedderAway as why:
                self._go_without(why)
        return self._by_words.min_score()

    def _go_without(self, why: EmbedderAway) -> None:
        self._is_away = True
        self._tell(f"{_BY_WORDS}: {why.message}.")

    @cached_property
    def _by_words(self) -> Search:
        from rag.search import Search

        return Search(self._library.index, _Nobody())


class _Nobody:
    """Makes no embeddings, of no model: what asks it has the words."""

    model = ""

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        """Raises EmbedderAway."""
        raise EmbedderAway("nobody makes embeddings")
