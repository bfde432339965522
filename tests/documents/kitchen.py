"""A folder about cooking, and a library that has read it."""

from __future__ import annotations

from pathlib import Path

from rag.extract import read
from rag.library import Library
from tests.documents.shelf import WordEmbedder

ANNA, QUESTION = "anna", "How long are eggs boiled?"


def kitchen(parent: Path) -> Path:
    """The folder."""
    made = parent / "kitchen"
    made.mkdir()
    for name, text in (("eggs.md", "Eggs are boiled for nine minutes."), ("bread.md", "Bread is baked for an hour.")):
        (made / name).write_text(text)
    return made


def cooking(path: Path, embedder: WordEmbedder, folder: Path) -> Library:
    """A library whose one shelf is read whole, and was searched."""
    made = Library(path, embedder, read=read)
    shelf_id = made.index.add_shelf(ANNA, "cooking").id
    made.refresh(made.add_source(ANNA, shelf_id, "folder", str(folder)).id)
    assert made.search(QUESTION, [shelf_id])[0].cosine is not None
    return made
