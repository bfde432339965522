"""A library with one shelf of anna's, and a folder to put on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rag.extract import read
from rag.library import Library
from tests.documents.shelf import WordEmbedder


@pytest.fixture
def embedder() -> WordEmbedder:
    return WordEmbedder()


@pytest.fixture
def library(tmp_path: Path, embedder: WordEmbedder) -> Iterator[Library]:
    made = Library(tmp_path / "library.db", embedder, read=read)
    yield made
    made.close()


@pytest.fixture
def shelf_id(library: Library) -> int:
    return library.index.add_shelf("anna", "farm").id


@pytest.fixture
def farm(tmp_path: Path) -> Path:
    """A folder of three documents and one that cannot be read."""
    root = tmp_path / "farm"
    (root / "deep").mkdir(parents=True)
    (root / "llama.md").write_text("# Llama\n\nA llama eats grass in the paddock.")
    (root / "deep/horse.txt").write_text("A horse sleeps standing in the barn.")
    (root / "deep/goat.txt").write_text("A goat climbs on the roof.")
    (root / "broken.pdf").write_bytes(b"%PDF-1.7 broken")
    return root
