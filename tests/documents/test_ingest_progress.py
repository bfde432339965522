"""How far a run is, and what is kept of it when it ends early, whatever the sizes of its documents."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from rag import ingest, requests
from rag.chunk import Limits
from rag.embed import Vector
from rag.ingest import Ingest, Progress
from rag.shelves import Shelves
from tests.documents.shelf import WordEmbedder, is_sound
from tests.documents.test_ingest import Note, index, notes

__all__ = ["index"]  # the fixture of the neighbours

_TEXT_S = 0.1  # that the clock of these tests goes on for each text


class Clock:
    """Goes on by what is done alone: the run asks it in place of the machine's."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def go_on(self, seconds: float) -> None:
        self.now += seconds


class Later(Future[Any]):
    """What is done when somebody waits for it: no thread is ahead of the clock."""

    def __init__(self, task: Callable[[], Any]) -> None:
        super().__init__()
        self._task = task

    def do(self) -> None:
        if not self.done():
            self.set_result(self._task())


class Pool:
    """In place of threads."""

    def __init__(self, n_threads: int) -> None:
        self.n_threads = n_threads

    def submit(self, task: Callable[..., Any], *given: Any) -> Later:
        return Later(partial(task, *given))

    def end(self) -> None:
        """There is no thread to end."""


def waited(futures: Sequence[Later], _: float) -> SimpleNamespace:
    """In place of waiting."""
    for each in futures:
        each.do()
    return SimpleNamespace(not_done=())


class SlowEmbedder(WordEmbedder):
    """Takes its time for each text."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        self._clock.go_on(_TEXT_S * len(texts))
        return super().embed(texts)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(ingest, "time", SimpleNamespace(monotonic=made, time=time.time))
    monkeypatch.setattr(ingest, "Requests", Pool)
    monkeypatch.setattr(requests, "wait", waited)
    return made


def long_note(n_parts: int, uri: str = "long.md") -> Note:
    text = "\n\n".join(
        f"# Part {n}\n\n" + f"Llama {n} eats grass in the paddock and sleeps in barn {n}. " * 5 for n in range(n_parts)
    )
    return Note(uri, text)


def refreshed(index: Shelves, clock: Clock, items: Sequence[Note]) -> Iterator[tuple[Progress, float]]:
    """(what was told, the seconds that were left then) of a run of the source."""
    told: list[tuple[Progress, float]] = []
    run = Ingest(index, SlowEmbedder(clock))
    run.take(1, items, source_id=7, n_all=len(items), tell=lambda each: told.append((each, clock.now)))
    return ((each, clock.now - at) for each, at in told)


def wrong(pairs: Sequence[tuple[float | None, float]]) -> list[tuple[float | None, float]]:
    """Those (told, true) that are wrong by more than half and a fifth of the longest time."""
    slack = max(true_s for _, true_s in pairs) / 5
    return [
        (told_s, true_s)
        for told_s, true_s in pairs
        if told_s is None or not 0.5 * true_s - slack <= told_s <= 2 * true_s + slack
    ]


def test_the_time_left_of_a_refresh_is_that_of_what_is_new(index: Shelves, clock: Clock) -> None:
    old = notes(300)
    list(refreshed(index, clock, old))
    new = [long_note(12, f"new{n}.md") for n in range(40)]
    told = list(refreshed(index, clock, [*old, *new]))
    assert told[298][0].left_s is None  # nothing tells yet how long one takes
    after = [(each.left_s, left_s) for each, left_s in told if each.n_done > 301]
    assert after[0][1] > 30
    assert wrong(after) == []


def test_the_time_left_of_a_first_run_is_told_from_its_beginning(index: Shelves, clock: Clock) -> None:
    told = list(refreshed(index, clock, [long_note(12, f"{n}.md") for n in range(100)]))
    assert told[0][1] > 100
    assert wrong([(each.left_s, left_s) for each, left_s in told]) == []
    assert told[-1][0].left_s == 0


def test_a_refresh_of_which_little_changed_does_not_take_all_for_changed(index: Shelves, clock: Clock) -> None:
    items = [long_note(12, f"{n}.md") for n in range(100)]
    list(refreshed(index, clock, items))
    items[10].text += "\n\n# New\n\nThe gate is open."
    told = list(refreshed(index, clock, items))
    assert all((each.left_s or 0.0) < 30 for each, _ in told)


def test_a_long_document_says_how_far_it_is(index: Shelves, clock: Clock) -> None:
    told = list(refreshed(index, clock, [long_note(300)]))
    assert len(told) > 10
    n_chunks = [each.n_chunks for each, _ in told]
    assert n_chunks == sorted(n_chunks)
    assert n_chunks[-1] == index.n_vectors("words")[1]
    assert wrong([(each.left_s, left_s) for each, left_s in told[2:]]) == []


def test_what_is_made_of_a_long_document_is_kept_when_its_run_ends(index: Shelves) -> None:
    note, told = long_note(300), list[Progress]()
    report = Ingest(index, WordEmbedder()).take(1, [note], tell=told.append, is_cancelled=lambda: len(told) > 3)
    n_made, n_all = index.n_vectors("words")
    assert not report.is_whole
    assert 0 < n_made < n_all
    embedder = WordEmbedder()
    again = Ingest(index, embedder)
    assert again.take(1, [note]).n_same == 1
    assert again.fill() == len(embedder.asked) == n_all - n_made
    assert index.n_vectors("words") == (n_all, n_all)


def test_a_run_that_breaks_off_in_a_long_document_leaves_a_sound_index(index: Shelves) -> None:
    def broken(_: Progress) -> None:
        if index.n_vectors("words")[0] > 50:
            raise KeyboardInterrupt

    note = long_note(300)
    with pytest.raises(KeyboardInterrupt):
        Ingest(index, WordEmbedder()).take(1, [note], tell=broken)
    assert is_sound(index)
    assert index.n_vectors("words")[0] > 50
    assert index.document(1)[1].text == note.text


def test_a_change_of_a_long_document_costs_what_changed(index: Shelves) -> None:
    note, embedder = long_note(300), WordEmbedder()
    Ingest(index, embedder).take(1, [note])
    embedder.asked.clear()
    note.text = note.text.replace("# Part 7\n", "# Part seven\n").replace("barn 90.", "stable 90.")
    report = Ingest(index, embedder).take(1, [note])
    assert (report.n_changed, report.n_embedded, len(embedder.asked)) == (1, 2, 2)
    n_done, n_all = index.n_vectors("words")
    assert n_done == n_all == report.n_chunks


def too_long_note() -> Note:
    """A long one with a part that WordEmbedder(max_tokens=120) cannot read at once where a chunk has up to 220."""
    note = long_note(200)
    note.text += "\n\n# Last\n\n" + "The llama eats grass. " * 40
    return note


def test_a_long_document_whose_texts_are_too_long_is_cut_smaller(index: Shelves) -> None:
    note, embedder = too_long_note(), WordEmbedder(max_tokens=120)
    report = Ingest(index, embedder, Limits(max_tokens=220)).take(1, [note])
    n_done, n_all = index.n_vectors("words")
    assert n_done == n_all == report.n_chunks == len(index.chunks(1))
    assert "".join(note.text[each.start : each.end] for each in index.chunks(1)) == note.text


def test_a_long_document_deleted_before_it_is_cut_smaller_stays_away(index: Shelves) -> None:
    told: list[Progress] = []

    def tell(each: Progress) -> None:
        if not told:
            index.delete_document(1)
        told.append(each)

    run = Ingest(index, WordEmbedder(max_tokens=120), Limits(max_tokens=220))
    assert run.take(1, [too_long_note()], source_id=7, tell=tell).is_whole
    assert told and index.documents(1) == []


def test_an_embedder_that_leaves_in_a_long_document_costs_what_was_not_made(index: Shelves) -> None:
    class Leaving(WordEmbedder):
        def embed(self, texts: Sequence[str]) -> list[Vector]:
            self.is_away = len(self.asked) >= 100
            return super().embed(texts)

    report = Ingest(index, Leaving()).take(1, [long_note(300)])
    assert (report.is_whole, report.n_new, report.without_vectors) == (True, 1, "nobody answers")
    n_made, n_all = index.n_vectors("words")
    assert 100 <= n_made < n_all == report.n_chunks
