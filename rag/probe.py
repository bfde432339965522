"""Whether an embedding model still is the one that made the vectors of a library: the vector of a text that never
changes is kept with them, and another model of the same name puts it elsewhere."""

from __future__ import annotations

import base64

import numpy as np

from rag.database import Database
from rag.embed import Embedder, Vector
from rag.index import Index

TEXT = "The ferry to the island leaves at seven, and whoever misses it waits for the evening tide."
_SAME = 0.99  # the cosine of what a model and its quantised copies make of it is above


def kept(database: Database, model: str) -> str:
    """What is kept of a model; empty for nothing."""
    with database.reading() as db:
        row = db.execute("SELECT value FROM state WHERE name = ?", (f"probe of {model}",)).fetchone()
    return row[0] if row else ""


def keep(database: Database, model: str, vector: Vector) -> None:
    """Keep what a model makes of the text."""
    value = base64.b64encode(np.asarray(vector, "<f4").tobytes()).decode()
    with database.writing() as db:
        db.execute("INSERT OR REPLACE INTO state (name, value) VALUES (?, ?)", (f"probe of {model}", value))


def is_other(known: str, vector: Vector) -> bool:
    """Whether another model than the one that is known made this of the text; never where none is."""
    old = np.frombuffer(base64.b64decode(known), "<f4")
    return bool(known) and (len(old) != len(vector) or float(old @ vector) < _SAME)


def renew(index: Index, embedder: Embedder) -> bool:
    """Forget the vectors that another model made under this name; whether there was one, so that all are to be made
    anew. Raises EmbedderAway."""
    model = embedder.model
    [vector] = embedder.embed([TEXT])
    known = kept(index, model)
    is_new = is_other(known, vector) or index.n_dims(model) not in {None, len(vector)}
    if is_new:
        index.forget_vectors(model)
        index.must_fill = True
    if is_new or not known:
        keep(index, model, vector)
    return is_new
