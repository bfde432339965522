"""A long document costs the index what it has, not its text once more for each of its chunks."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rag.shelves import Shelves
from tests.documents.shelf import WordEmbedder, document, is_sound, library, put

URI, N_CHARS = "long.txt", 200_000


def long_text(n_chars: int) -> str:
    """Of paragraphs of which each is another."""
    sentence = "The quick llama eats grass near the river bank. "
    paragraphs = (f"{number} {sentence * 9}\n\n" for number in range(n_chars))
    text = ""
    while len(text) < n_chars:
        text += next(paragraphs)
    return text


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Shelves]:
    made = library(tmp_path)
    made.add_shelf("owner", "farm")
    yield made
    made.close()


def peak_bytes(do: Callable[[], object]) -> int:
    tracemalloc.start()
    do()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def test_the_vectors_of_a_long_document_are_looked_up_with_one_copy_of_its_text(index: Shelves) -> None:
    put(index, 1, document(URI, long_text(N_CHARS)), WordEmbedder())
    assert peak_bytes(lambda: index.vectors_by_text(1, URI, "words")) < 6 * N_CHARS


def test_what_is_to_be_embedded_of_a_long_document_is_told_with_one_copy_of_its_text(index: Shelves) -> None:
    put(index, 1, document(URI, long_text(N_CHARS)))
    assert peak_bytes(lambda: index.without_vectors("words", 64)) < 3 * N_CHARS


def seconds(do: Callable[[], object]) -> float:
    """Of this thread's work alone, whatever else the machine does."""
    began = time.thread_time()
    do()
    return time.thread_time() - began


def test_a_long_document_comes_changes_and_goes_as_quickly_as_many_short_ones_of_its_length(index: Shelves) -> None:
    part = long_text(100_000)

    def all_of(uri: str, text: str) -> float:
        document_id = 0

        def come() -> None:
            nonlocal document_id
            document_id = put(index, 1, document(uri, text))

        return seconds(come) + seconds(come) + seconds(lambda: index.remove([document_id]))

    many = sum(all_of(f"{number}.txt", part) for number in range(10))
    assert all_of(URI, part * 10) < 2 * many
    assert is_sound(index)
