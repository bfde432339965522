"""Runs of the library in the background: few at once, one a source, and none that fails ends another."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from chatbot.web import library_runs
from chatbot.web.library_runs import FILL, Runs
from rag.errors import RagError, SourceFailed
from rag.ingest import Progress
from tests.fakes import WAIT_S, Gate
from tests.processes import until


class Sources:
    """A library whose sources do what a test says."""

    def __init__(self) -> None:
        self.does: dict[int, Callable[..., None]] = {}
        self.begun: list[int] = []
        self.n_filled = 0
        self.ends: dict[int, str] = {}
        self.changed = threading.Condition()

    def __call__(self) -> Any:
        return self

    def source(self, source_id: int) -> int:
        return source_id

    def fill(self, tell: Callable[[int, int], None], is_cancelled: Callable[[], bool]) -> int:
        self.n_filled += 1
        return 0

    def refresh(
        self,
        source_id: int,
        tell: Callable[[Progress], None],
        is_cancelled: Callable[[], bool],
        is_leaving: Callable[[], bool],
    ) -> None:
        self.begun.append(source_id)
        end = "failed"
        try:
            self.does.get(source_id, lambda *_: None)(tell, is_cancelled, is_leaving)
            end = "left" if is_leaving() else "stopped" if is_cancelled() else "ok"
        finally:
            with self.changed:
                self.ends[source_id] = end
                self.changed.notify_all()

    def until_ended(self, *source_ids: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: self.ends.keys() >= set(source_ids), WAIT_S), self.ends


@pytest.fixture
def sources() -> Sources:
    return Sources()


@pytest.fixture
def told() -> list[int]:
    return []


@pytest.fixture
def runs(sources: Sources, told: list[int]) -> Iterator[Runs]:
    made = Runs(sources, told.append, lambda _: None)
    yield made
    made.close()


def held(gate: Gate) -> Callable[..., None]:
    """A run that waits at a gate, and ends when it is told to."""

    def run(tell: Any, is_cancelled: Callable[[], bool], is_leaving: Callable[[], bool]) -> None:
        while not gate.pass_through(0.01):
            if is_cancelled() or is_leaving():
                return

    return run


def fails(*_: object) -> None:
    raise ZeroDivisionError


def refuses(*_: object) -> None:
    raise SourceFailed("is not there")


def test_a_run_that_fails_ends_no_other(runs: Runs, sources: Sources) -> None:
    sources.does = dict.fromkeys((1, 2, 3), fails) | {4: refuses}
    for source_id in (1, 2, 3, 4, 5):
        runs.start(source_id)
    sources.until_ended(1, 2, 3, 4, 5)
    assert (sources.ends[3], sources.ends[4], sources.ends[5]) == ("failed", "failed", "ok")


def test_two_run_at_once_and_a_source_has_one_run(runs: Runs, sources: Sources) -> None:
    gates = {n: Gate() for n in (1, 2, 3)}
    sources.does = {n: held(gate) for n, gate in gates.items()}
    for source_id in (1, 1, 2, 3):
        runs.start(source_id)
    gates[1].wait_until_reached()
    gates[2].wait_until_reached()
    assert sorted(sources.begun) == [1, 2] and runs.is_running(3)
    gates[1].open()
    gates[3].wait_until_reached()
    assert sources.begun[2:] == [3]
    gates[2].open()
    gates[3].open()
    sources.until_ended(1, 2, 3)


def test_a_run_that_waits_is_stopped_before_it_begins(runs: Runs, sources: Sources) -> None:
    gates = [Gate(), Gate()]
    sources.does = {1: held(gates[0]), 2: held(gates[1])}
    for source_id in (1, 2, 3):
        runs.start(source_id)
    for gate in gates:
        gate.wait_until_reached()
    assert runs.stop(3) and not runs.is_running(3)
    for gate in gates:
        gate.open()
    runs.start(4)
    sources.until_ended(1, 2, 4)
    assert 3 not in sources.begun


def test_a_stopped_run_that_is_asked_for_again_begins_anew(runs: Runs, sources: Sources) -> None:
    gate, second = Gate(), Gate()
    ways = [gate, second]

    def first_slow(*args: Any) -> None:
        way = ways.pop(0)
        way.pass_through(WAIT_S)

    sources.does = {1: first_slow}
    runs.start(1)
    gate.wait_until_reached()
    assert runs.stop(1)
    runs.start(1)
    gate.open()
    second.wait_until_reached()
    second.open()
    sources.until_ended(1)
    assert sources.begun == [1, 1]


def test_stop_may_wait_for_the_end(runs: Runs, sources: Sources) -> None:
    gate = Gate()
    sources.does = {1: held(gate)}
    runs.start(1)
    gate.wait_until_reached()
    assert runs.stop(1, wait_s=WAIT_S)
    assert (sources.ends, runs.is_running(1), runs.stop(1)) == ({1: "stopped"}, False, False)


def test_a_run_that_ends_is_followed_by_the_vectors_that_are_missing_and_one_that_was_stopped_is_not(
    runs: Runs, sources: Sources
) -> None:
    gate = Gate()
    sources.does = {1: held(gate)}
    runs.start(1)
    gate.wait_until_reached()
    assert runs.stop(1, wait_s=WAIT_S)
    assert not sources.n_filled
    runs.start(2)
    sources.until_ended(2)
    until(lambda: sources.n_filled == 1 and not runs.is_running(FILL), "the vectors")


def test_the_end_of_the_server_leaves_runs_to_the_next_start(runs: Runs, sources: Sources) -> None:
    gate = Gate()
    sources.does = {1: held(gate)}
    runs.start(1)
    gate.wait_until_reached()
    assert runs.close()
    assert sources.ends == {1: "left"}
    runs.start(2)
    assert not runs.is_running(2)


def test_a_run_that_hangs_does_not_hold_the_end_of_the_server(
    runs: Runs, sources: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library_runs, "_LEAVE_S", 0.05)
    gate = Gate()
    sources.does = {1: lambda *_: gate.pass_through(WAIT_S)}
    runs.start(1)
    gate.wait_until_reached()
    assert not runs.close()
    gate.open()


def progress(n: int) -> Progress:
    return Progress(n, 100, n, None, f"file:{n}")


def test_progress_is_told_at_most_twice_a_second(
    runs: Runs, sources: Sources, told: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter(n / 100 for n in range(1_000, 2_000))
    seen: list[Any] = []

    def run(tell: Callable[[Progress], None], *_: object) -> None:
        monkeypatch.setattr(library_runs.time, "monotonic", lambda: next(times))
        for n in range(1, 101):  # one second in steps of ten milliseconds
            tell(progress(n))
        seen.append(runs.progress(1))
        monkeypatch.undo()

    sources.does = {1: run}
    runs.start(1)
    sources.until_ended(1)
    assert seen[0].n_done == 100
    assert told.count(1) in {3, 4}  # that it waits, twice while it goes on, that it has ended


def test_who_may_store_no_more_ends_the_run(sources: Sources, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library_runs, "_TELL_EVERY_S", 0.0)
    asked: list[int] = []

    def may_go_on(source: Any) -> None:
        asked.append(source)
        if len(asked) == 3:
            raise SourceFailed("all is full")

    reasons: list[RagError] = []

    def run(tell: Callable[[Progress], None], *_: object) -> None:
        try:
            for n in range(10):
                tell(progress(n))
        except RagError as why:
            reasons.append(why)
            raise

    runs = Runs(sources, lambda _: None, may_go_on)
    sources.does = {1: run}
    runs.start(1)
    sources.until_ended(1)
    runs.close()
    assert ([why.message for why in reasons], len(asked)) == (["all is full"], 3)
