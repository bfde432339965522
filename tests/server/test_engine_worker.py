"""The engine's thread: everybody is answered once, whatever a request, a client or the loop itself does."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from llmserver.engine.fake import FakeBackend, fake_traits
from llmserver.engine.plan import Limits, Plan, Result
from llmserver.engine.request import Event, Failed, Finished, Reading, Request, Token
from llmserver.engine.turns import Turns
from llmserver.engine.worker import Worker
from llmserver.errors import ContextExceeded, EngineFailed, QueueFull, Stopping
from tests.server.engine_threads import SOON_S, Gate, Sink


@contextmanager
def working(backend: FakeBackend, limits: Limits | None = None, **options: Any) -> Iterator[tuple[Worker, Sink]]:
    """A worker and what it says; it has ended when the block has."""
    sink = Sink()
    worker = Worker(backend, limits or Limits(), sink, **options)
    worker.start()
    try:
        yield worker, sink
    finally:
        backend.gate = None
        worker.stop()
        assert worker.join(SOON_S)


def gated(**traits: Any) -> tuple[FakeBackend, Gate]:
    """A backend whose steps are let through one by one."""
    backend, gate = FakeBackend(fake_traits(**traits)), Gate()
    backend.gate = gate  # type: ignore[assignment]
    return backend, gate


def submit(worker: Worker, backend: FakeBackend, number: int, tokens: Sequence[int], **fields: Any) -> None:
    """A request on the way a service sends it."""
    request = Request(tuple(tokens), **fields)
    backend.open(number, request)
    worker.submit(number, request)


def test_events_come_in_order_and_the_end_comes_once() -> None:
    backend = FakeBackend(fake_traits(n_batch=8))
    with working(backend) as (worker, sink):
        submit(worker, backend, 1, [1] * 20, max_tokens=3)
        sink.wait_for_ends(1)
    kinds = [type(event) for event in sink.of(1)]
    assert kinds == [Reading, Reading, Token, Token, Token, Finished]
    assert not backend.open_requests


def test_the_events_of_a_step_are_handed_over_together() -> None:
    backend = FakeBackend(fake_traits(n_cells=200, n_batch=64))
    with working(backend) as (worker, sink):
        go = threading.Event()
        worker.call(lambda: go.wait(SOON_S))
        for number in (1, 2, 3):
            submit(worker, backend, number, [number] * 5, max_tokens=2)
        go.set()
        sink.wait_for_ends(1, 2, 3)
    assert sink.batches == [[1, 2, 3], [1, 1, 2, 2, 3, 3]]


def test_a_request_cancelled_in_the_queue_is_never_computed() -> None:
    backend, gate = gated()
    with working(backend, Limits(n_parallel=1)) as (worker, sink):
        submit(worker, backend, 1, [1] * 5, max_tokens=3)
        submit(worker, backend, 2, [2] * 5, max_tokens=3)
        gate.reached()
        worker.cancel(2)
        gate.let_through(3)
        sink.wait_for_ends(1)
        assert worker.call(lambda: worker.scheduler.is_idle).result(SOON_S)
        assert not backend.open_requests
    assert {work.request for plan in backend.steps for work in plan.work} == {1}
    assert not sink.ends(2)


@pytest.mark.parametrize(("n_before", "phase"), [(0, "the first step"), (1, "prefill"), (5, "decoding")])
def test_a_cancelled_request_is_gone_within_the_step_that_runs(n_before: int, phase: str) -> None:
    backend, gate = gated(n_batch=16)
    with working(backend) as (worker, sink):
        submit(worker, backend, 1, [1] * 40)
        gate.let_through(n_before)
        for _ in range(n_before + 1):
            gate.reached()
        worker.cancel(1)
        gate.let_through()
        assert worker.call(lambda: worker.scheduler.is_idle).result(SOON_S)
        assert len(backend.steps) == n_before + 1
        assert not backend.open_requests
    assert not sink.ends(1), phase


def test_cancelling_twice_or_after_the_end_does_no_harm() -> None:
    backend = FakeBackend()
    with working(backend) as (worker, sink):
        submit(worker, backend, 1, [1] * 5, max_tokens=1)
        sink.wait_for_ends(1)
        worker.cancel(1)
        worker.cancel(1)
        worker.cancel(99)
        submit(worker, backend, 2, [1] * 5, max_tokens=1)
        sink.wait_for_ends(2)
    assert len(sink.ends(1)) == 1


def test_a_sampler_that_fails_fails_its_request_and_the_others_and_later_ones_work() -> None:
    backend = FakeBackend(fake_traits(n_cells=200))
    backend.sampler_errors[2] = EngineFailed("no token is allowed")
    with working(backend) as (worker, sink):
        for number in (1, 2, 3):
            submit(worker, backend, number, [number] * 5, max_tokens=4)
        sink.wait_for_ends(1, 2, 3)
        submit(worker, backend, 4, [4] * 5, max_tokens=4)
        sink.wait_for_ends(4)
    assert [type(sink.ends(number)[0]) for number in (1, 2, 3, 4)] == [Finished, Failed, Finished, Finished]


def test_a_request_that_the_scheduler_refuses_is_answered_and_what_it_opened_is_closed() -> None:
    backend, gate = gated()
    with working(backend, Limits(n_parallel=1, max_queue=1)) as (worker, sink):
        submit(worker, backend, 1, [1] * 5, max_tokens=3)
        gate.reached()
        for number in (2, 3):
            submit(worker, backend, number, [number] * 5, max_tokens=1)
        submit(worker, backend, 4, [4] * 500)
        gate.let_through(9)
        sink.wait_for_ends(1, 2, 3, 4)
        assert not backend.open_requests
    ends = {number: sink.ends(number) for number in (3, 4)}
    assert isinstance(ends[3][0], Failed) and isinstance(ends[3][0].error, QueueFull)
    assert isinstance(ends[4][0], Failed) and isinstance(ends[4][0].error, ContextExceeded)
    assert all(len(end) == 1 for end in ends.values())


class Broken(FakeBackend):
    """Has a bug."""

    def run(self, plan: Plan) -> Result:
        if self.gate is not None:
            self.gate.wait(SOON_S)
        raise ZeroDivisionError("a bug")


@pytest.fixture
def crashed() -> Iterator[tuple[Worker, Sink, Broken]]:
    """A worker whose loop failed while three requests ran and two waited."""
    backend, gate, sink, is_over = Broken(), Gate(), Sink(), threading.Event()
    backend.gate = gate  # type: ignore[assignment]
    worker = Worker(backend, Limits(n_parallel=3), sink, on_crash=is_over.set)
    worker.start()
    for number in range(1, 6):
        submit(worker, backend, number, [number] * 5, max_tokens=4)
    gate.reached()
    gate.let_through()
    assert is_over.wait(SOON_S)
    assert worker.join(SOON_S)
    yield worker, sink, backend


def test_a_bug_in_the_loop_answers_everybody_once_and_is_reported(crashed: tuple[Worker, Sink, Broken]) -> None:
    _, sink, _ = crashed
    for number in range(1, 6):
        (end,) = sink.ends(number)
        assert isinstance(end, Failed)
        assert isinstance(end.error, EngineFailed)
        assert "send the request again" in end.error.message


def test_requests_after_a_crash_are_answered_and_calls_do_not_hang(crashed: tuple[Worker, Sink, Broken]) -> None:
    worker, sink, backend = crashed
    submit(worker, backend, 9, [1] * 5)
    sink.wait_for_ends(9)
    assert isinstance(sink.ends(9)[0], Failed)
    with pytest.raises(EngineFailed):
        worker.call(lambda: 1).result(SOON_S)
    worker.cancel(9)
    worker.stop()


def test_twenty_streams_end_once_each_when_the_server_stops() -> None:
    backend, gate = gated(n_cells=2000)
    with working(backend, Limits(n_parallel=8)) as (worker, sink):
        for number in range(1, 21):
            submit(worker, backend, number, [number] * 5)
        gate.let_through(3)
        for _ in range(4):
            gate.reached()
        worker.stop()
        gate.let_through()
        assert worker.join(SOON_S)
    for number in range(1, 21):
        (end,) = sink.ends(number)
        assert isinstance(end, Failed)
        assert isinstance(end.error, Stopping)
        assert isinstance(sink.of(number)[-1], Failed), "nothing comes after the end"
    assert not backend.open_requests


def test_a_worker_that_stopped_answers_what_still_comes() -> None:
    backend = FakeBackend()
    with working(backend) as (worker, sink):
        worker.stop(Stopping("bye"))
        assert worker.join(SOON_S)
        worker.submit(1, Request((1, 2, 3)))
        sink.wait_for_ends(1)
        (end,) = sink.ends(1)
        assert isinstance(end, Failed)
        assert isinstance(end.error, Stopping)
        with pytest.raises(Stopping):
            worker.call(lambda: 1).result(SOON_S)


def test_what_comes_right_behind_a_stop_is_answered_too() -> None:
    with working(FakeBackend()) as (worker, sink):
        go = threading.Event()
        worker.call(lambda: go.wait(SOON_S))
        worker.stop(Stopping("bye"))
        worker.submit(1, Request((1, 2, 3)))
        late = worker.call(lambda: 1)
        go.set()
        sink.wait_for_ends(1)
        with pytest.raises(Stopping):
            late.result(SOON_S)
    assert len(sink.ends(1)) == 1


def test_the_model_is_freed_by_the_thread_that_used_it() -> None:
    freed_by: list[str] = []

    class Freed(FakeBackend):
        def free(self) -> None:
            freed_by.append(threading.current_thread().name)

    with working(Freed()) as (worker, _):
        assert worker.call(lambda: threading.current_thread().name).result(SOON_S) == "engine"
        assert not freed_by
    assert freed_by == ["engine"]


def test_a_call_that_fails_tells_its_caller_and_the_engine_goes_on() -> None:
    backend = FakeBackend()
    with working(backend) as (worker, sink):
        with pytest.raises(KeyError):
            worker.call(lambda: {}["nothing"]).result(SOON_S)
        submit(worker, backend, 1, [1] * 5, max_tokens=1)
        sink.wait_for_ends(1)


def test_a_call_whose_caller_left_is_not_made_and_the_engine_goes_on() -> None:
    backend, called = FakeBackend(), []
    with working(backend) as (worker, sink):
        go = threading.Event()
        worker.call(lambda: go.wait(SOON_S))
        left = worker.call(lambda: called.append(1))
        assert left.cancel()
        go.set()
        submit(worker, backend, 1, [1] * 5, max_tokens=1)
        sink.wait_for_ends(1)
    assert called == []


class Listener:
    """An observer that writes down what it hears."""

    def __init__(self) -> None:
        self.steps: list[tuple[Plan, Result]] = []
        self.events: list[tuple[int, Event]] = []
        self.times: list[float] = []
        self.gone: list[int] = []

    def stepped(self, plan: Plan, result: Result) -> None:
        self.steps.append((plan, result))

    def sent(self, events: Sequence[tuple[int, Event]], now: float) -> None:
        self.events += events
        self.times.append(now)

    def cancelled(self, number: int) -> None:
        self.gone.append(number)


def test_observers_hear_of_each_step_and_of_all_events() -> None:
    backend, one, other = FakeBackend(), Listener(), Listener()
    with working(backend, observers=[one, other]) as (worker, sink):
        submit(worker, backend, 1, [1] * 5, max_tokens=3)
        sink.wait_for_ends(1)
    for listener in (one, other):
        assert [plan for plan, _ in listener.steps] == backend.steps
        assert listener.events == sink.events
        assert listener.times == sorted(listener.times)


def test_observers_hear_of_cancels_that_cut_something_off() -> None:
    (backend, gate), listener = gated(), Listener()
    with working(backend, Limits(n_parallel=1), observers=[listener]) as (worker, sink):
        for number in (1, 2, 3):
            submit(worker, backend, number, [number] * 5, max_tokens=2)
        gate.reached()
        for number in (1, 2, 99):
            worker.cancel(number)
        gate.let_through(9)
        sink.wait_for_ends(3)
        worker.cancel(3)
        worker.call(lambda: None).result(SOON_S)
    assert listener.gone == [1, 2]


def test_a_step_is_made_in_the_models_turn_only() -> None:
    turns, seen = Turns(), []

    class Watching(FakeBackend):
        def run(self, plan: Plan) -> Result:
            seen.append(turns._is_taken)
            return super().run(plan)

    backend = Watching()
    with working(backend, turn=turns) as (worker, sink):
        submit(worker, backend, 1, [1] * 5, max_tokens=3)
        sink.wait_for_ends(1)
    assert seen == [True] * 3
    assert not turns._is_taken


def test_turns_are_passed_on_in_the_order_of_asking() -> None:
    turns, order, threads = Turns(), [], []
    with turns:
        for k in range(5):
            thread = threading.Thread(target=lambda k=k: _take_one(turns, order, k))
            thread.start()
            threads.append(thread)
            while len(turns._line) <= k:
                thread.join(0.001)
    for thread in threads:
        thread.join(SOON_S)
    assert order == [0, 1, 2, 3, 4]


def _take_one(turns: Turns, order: list[int], k: int) -> None:
    with turns:
        order.append(k)


def test_a_turn_belongs_to_one_at_a_time_even_when_its_holder_fails() -> None:
    turns, inside, most = Turns(), [], []

    def work() -> None:
        for _ in range(200):
            try:
                with turns:
                    inside.append(1)
                    most.append(len(inside))
                    inside.pop()
                    raise KeyError
            except KeyError:
                pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON_S)
    assert most == [1] * 800
