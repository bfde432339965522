"""Documents and questions of made-up words, distributed as words are, and vectors of chance: for figures of speed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from rag.documents import Document
from rag.embed import Vector

N_DIMS = 384
_N_WORDS = 30_000
_SENTENCE = 12
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


class Made:
    """The same for the same seed."""

    def __init__(self, seed: int = 7) -> None:
        self._chance = np.random.default_rng(seed)
        sizes = self._chance.integers(3, 10, _N_WORDS)
        self._words = np.array(["".join(self._chance.choice(list(_LETTERS), size)) for size in sizes])
        shares = 1 / np.arange(2, _N_WORDS + 2)  # the second word half as often as the first, the third a third
        self._sums = np.cumsum(shares / shares.sum())

    def words(self, n_words: int) -> list[str]:
        """Words as they come in texts: few of them very often."""
        return self._words[np.searchsorted(self._sums, self._chance.random(n_words))].tolist()  # type: ignore[no-any-return]

    def document(self, number: int, n_words: int) -> Document:
        """A document of short sentences in paragraphs."""
        listed = self.words(n_words)
        said = [" ".join(listed[at : at + _SENTENCE]) + "." for at in range(0, n_words, _SENTENCE)]
        text = "\n\n".join(" ".join(said[at : at + 4]) for at in range(0, len(said), 4))
        return Document(f"made:{number}", f"Document {number}", text, "text", f"{number:064x}")

    def documents(self, n_documents: int, n_words: int) -> Iterator[Document]:
        """So many documents, one at a time."""
        return (self.document(number, n_words) for number in range(n_documents))

    def questions(self, n_questions: int) -> list[str]:
        """Questions of three to eight words."""
        return [" ".join(self.words(int(self._chance.integers(3, 9)))) for _ in range(n_questions)]

    def vectors(self, n_vectors: int) -> list[Vector]:
        """Vectors of length one."""
        made = self._chance.standard_normal((n_vectors, N_DIMS), np.float32)
        return list(made / np.linalg.norm(made, axis=1, keepdims=True))


class MadeEmbedder:
    """Vectors of chance at once, for whatever text."""

    def __init__(self, made: Made) -> None:
        self.model = "made"
        self._made = made

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        """A vector for each text."""
        return self._made.vectors(len(texts))
