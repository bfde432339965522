"""From which score on a passage may answer, for any embedding model: where its cosines lie is measured, not known.

Some models give 0.1 to texts that have nothing to do with each other, others 0.7. A few questions with their answers
tell where a model puts what belongs together and what does not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rag.database import Database
from rag.embed import Embedder
from rag.errors import LibraryBroken

PAIRS = (
    ("How long are eggs boiled until they are hard?", "Put the eggs in boiling water for nine to ten minutes."),
    ("When is the town library open?", "The reading room opens at ten and closes at six, on Saturdays at two."),
    ("Why does bread dough rise?", "Yeast eats sugar and gives off gas, whose bubbles make the dough grow."),
    ("How do I change a flat tyre?", "Loosen the nuts, jack up the car, take the wheel off and put the spare one on."),
    ("What does a doctor measure with a stethoscope?", "It lets a physician listen to the heart and the lungs."),
    (
        "How can I save a file under another name?",
        "Choose Save as in the File menu and type a new name for it.",
    ),
    ("Who decides on the club's budget?", "The members vote on the yearly budget at the general meeting in March."),
    ("Which planet is the largest?", "Jupiter has more mass than all other planets of the solar system together."),
    ("How often should a cactus be watered?", "Water it every two weeks in summer and hardly at all in winter."),
    ("What is the notice period of the contract?", "Either party may end this agreement with three months' notice."),
    (
        "How is the printer connected to the network?",
        "Open its menu, choose Wireless and enter your router's key.",
    ),
    (
        "Why did the Roman empire fall?",
        "Historians name invasions, debts and its division into east and west.",
    ),
)


_LEAST_RIGHT = 11  # questions that are nearest to their own answer, of a model that knows what texts mean
# In spreads above what is unrelated: 39 of 40 questions with an answer lie above (docs/decisions/0011-index.md).
_GATE = 0.94
_SENTENCE = 0.8  # what counts of the nearest sentence's cosine; the rest is the passage's own
_WORDS = 0.4  # what all words of the question add, in spreads
_WORDS_GATE = 0.2  # the same where there are no vectors: the share of the question's words


@dataclass(frozen=True)
class Scale:
    """The mean cosine of a question with another's answer, and with its own."""

    unrelated: float
    related: float

    @property
    def min_score(self) -> float:
        """The score of a passage, its words weighed in, below which it answers nothing."""
        return self.unrelated + _GATE * self.spread

    def score(self, cosine: float, nearest: float | None, words: float) -> float:
        """How well a passage answers.

        nearest: the cosine of its nearest sentence; words: its share of the question's words.
        """
        sentence = cosine if nearest is None else max(cosine, nearest)
        return cosine + _SENTENCE * (sentence - cosine) + _WORDS * self.spread * words

    def of_words(self, shares: NDArray[np.float32]) -> NDArray[np.float32]:
        """Shares of the question's words as scores, for chunks without vectors: the same gate holds for them."""
        below = shares / _WORDS_GATE * self.min_score
        above = self.min_score + (shares - _WORDS_GATE) / (1 - _WORDS_GATE) * (1 - self.min_score)
        return np.where(shares > _WORDS_GATE, above, below).astype(np.float32)

    @property
    def spread(self) -> float:
        """How far apart they are, at least a little."""
        return max(0.05, self.related - self.unrelated)


# Measured as measured() does, so that nobody is asked.
_KNOWN: Mapping[str, Scale] = {"all-minilm-l6-v2": Scale(0.03, 0.53)}

TYPICAL = _KNOWN["all-minilm-l6-v2"]  # where nobody can be asked


def known(model: str) -> Scale | None:
    """The scale of a model that is known by its name."""
    return next((scale for name, scale in _KNOWN.items() if name in model.casefold()), None)


def kept(database: Database, model: str) -> Scale | None:
    """The scale of a model that is known by its name, or was measured before and is kept with the library."""
    if (found := known(model)) is not None:
        return found
    with database.reading() as db:
        row = db.execute("SELECT value FROM state WHERE name = ?", (f"scale of {model}",)).fetchone()
    return None if row is None else Scale(*json.loads(row[0]))


def measured(embedder: Embedder) -> Scale:
    """The scale of a model, asked of it; the typical one where it does not tell what belongs together.

    Raises EmbedderAway.
    """
    vectors = np.array(embedder.embed([text for pair in PAIRS for text in pair]), np.float32)
    cosines = vectors[::2] @ vectors[1::2].T
    is_own = np.eye(len(PAIRS), dtype=np.bool_)
    n_right = int((cosines.argmax(axis=1) == np.arange(len(PAIRS))).sum())
    if n_right < _LEAST_RIGHT:
        return TYPICAL
    return Scale(float(cosines[~is_own].mean()), float(cosines[is_own].mean()))


def of_library(database: Database, embedder: Embedder, model: str) -> Scale:
    """The scale of a model: known, or measured now and kept with the library. Raises EmbedderAway."""
    found = kept(database, model)
    if found is None:
        found = measured(embedder)
        value = json.dumps([found.unrelated, found.related])
        with suppress(LibraryBroken), database.writing() as db:  # on a full disk: it is measured again
            db.execute("INSERT OR REPLACE INTO state (name, value) VALUES (?, ?)", (f"scale of {model}", value))
    return found
