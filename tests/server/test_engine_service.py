"""A model's front on the event loop: streams that end once, readers that do not disturb each other, honest refusals."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from llmserver.engine.fake import FakeBackend, fake_traits, next_token
from llmserver.engine.plan import Limits
from llmserver.engine.request import Adapter, Event, Failed, Finished, Request, Sampling, Token
from llmserver.engine.service import Service, Stream
from llmserver.errors import ContextExceeded, EngineFailed, QueueFull, RequestError, Stopping
from llmserver.text.grammar import Grammar
from tests.server.engine_threads import INFO, SOON_S, Gate, Words


@contextmanager
def serving(backend: FakeBackend | None = None, limits: Limits | None = None, **options: Any) -> Iterator[Service]:
    """A service over a fake model; it has stopped when the block has ended."""
    service = Service(INFO, Words(), backend or FakeBackend(), limits or Limits(), **options)
    try:
        yield service
    finally:
        service.backend.gate = None
        assert service.stop(SOON_S)


def soon(work: Callable[[], Awaitable[None]]) -> None:
    """Run a test on an event loop; fail if it hangs."""

    async def main() -> None:
        await asyncio.wait_for(work(), SOON_S)

    asyncio.run(main())


async def read(stream: Stream) -> list[Event]:
    """Every event to the stream's end."""
    return [event async for batch in stream for event in batch]


async def at_gate(gate: Gate) -> None:
    """Wait until a step has come to the gate."""
    await asyncio.to_thread(gate.reached)


def gated() -> tuple[FakeBackend, Gate]:
    backend, gate = FakeBackend(), Gate()
    backend.gate = gate  # type: ignore[assignment]
    return backend, gate


def failure(events: list[Event]) -> Exception:
    """Why a stream ended; nothing else may be its end."""
    assert [type(event) for event in events if isinstance(event, Finished | Failed)] == [Failed]
    assert isinstance(events[-1], Failed)
    return events[-1].error


def test_a_stream_gives_the_answer_in_order_and_ends_once() -> None:
    async def work() -> None:
        with serving() as service:
            stream = service.submit(Request((1, 2, 3), max_tokens=4))
            events = await read(stream)
            assert [type(event) for event in events] == [Token] * 4 + [Finished]
            tokens = [event.token for event in events if isinstance(event, Token)]
            assert tokens[1] == next_token([1, 2, 3, tokens[0]], None, 64)
            assert not stream.is_open
            assert await read(stream) == []
            assert service.n_open == 0

    soon(work)


def test_forty_streams_at_once_get_what_each_gets_alone() -> None:
    async def work() -> None:
        backend = FakeBackend(fake_traits(n_cells=60, n_seq=4))
        with serving(backend, Limits(n_parallel=4, cache_bytes=10_000)) as service:
            prompts = [(1, 2, k % 7 + 1, k % 3 + 1) for k in range(40)]
            streams = [service.submit(Request(prompt, max_tokens=9)) for prompt in prompts]
            answers = await asyncio.gather(*map(read, streams))
            for prompt, events in zip(prompts, answers, strict=True):
                text = list(prompt)
                for _ in range(9):
                    text.append(next_token(text, None, 64))
                assert [event.token for event in events if isinstance(event, Token)] == text[4:]

    soon(work)


def test_a_reader_that_never_reads_does_not_stop_the_others() -> None:
    async def work() -> None:
        with serving() as service:
            lazy = service.submit(Request((1, 2), max_tokens=20))
            events = await read(service.submit(Request((3, 4), max_tokens=30)))
            assert isinstance(events[-1], Finished)
            assert len(await read(lazy)) >= 21, "what it did not read is still there"

    soon(work)


def test_a_cancelled_stream_ends_for_its_reader_and_frees_its_place() -> None:
    async def work() -> None:
        backend, gate = gated()
        with serving(backend, Limits(n_parallel=1)) as service:
            stream, waiting = service.submit(Request((1, 2))), service.submit(Request((3, 4), max_tokens=1))
            reader = asyncio.ensure_future(read(stream))
            await at_gate(gate)
            stream.cancel()
            stream.cancel()
            assert [event for event in await reader if isinstance(event, Finished | Failed)] == []
            gate.let_through(2)
            assert isinstance((await read(waiting))[-1], Finished)
            waiting.cancel()
            assert len(backend.steps) == 2, "one step of the cancelled one, one of the other"
            assert service.n_open == 0

    soon(work)


def test_events_of_a_cancelled_stream_that_are_under_way_are_dropped() -> None:
    async def work() -> None:
        backend, gate = gated()
        with serving(backend) as service:
            stream = service.submit(Request((1, 2), max_tokens=3))
            gate.let_through(9)
            for _ in range(3):
                gate.reached()  # it blocks this loop, so that nothing is delivered meanwhile
            service.call(lambda: None).result(SOON_S)
            stream.cancel()
            assert await read(stream) == []
            assert isinstance((await read(service.submit(Request((1, 2), max_tokens=1))))[-1], Finished)

    soon(work)


def test_twenty_streams_end_once_each_when_the_server_stops() -> None:
    async def work() -> None:
        backend, gate = gated()
        with serving(backend, Limits(n_parallel=4)) as service:
            readers = [asyncio.ensure_future(read(service.submit(Request((1, 2, k + 1))))) for k in range(20)]
            gate.let_through(2)
            for _ in range(3):
                await at_gate(gate)
            assert not service.stop(0.0), "a step is at the gate"
            gate.let_through(1)
            answers = await asyncio.gather(*readers)
            assert all(isinstance(failure(events), Stopping) for events in answers)

    soon(work)


def test_a_service_that_refuses_finishes_what_it_began() -> None:
    async def work() -> None:
        backend, gate = gated()
        with serving(backend) as service:
            stream = service.submit(Request((1, 2), max_tokens=2))
            service.refuse()
            with pytest.raises(Stopping) as why:
                service.submit(Request((1, 2)))
            assert (why.value.status, why.value.headers) == (503, {"Retry-After": "5"})
            gate.let_through(2)
            assert isinstance((await read(stream))[-1], Finished)

    soon(work)


def test_a_stop_that_takes_too_long_says_so() -> None:
    async def work() -> None:
        backend, gate = gated()
        with serving(backend) as service:
            stream = service.submit(Request((1, 2)))
            await at_gate(gate)
            assert not service.stop(0.01)
            gate.let_through()
            assert isinstance(failure(await read(stream)), Stopping)

    soon(work)


def test_requests_beyond_the_queue_are_refused_at_the_door() -> None:
    async def work() -> None:
        backend, gate = gated()
        with serving(backend, Limits(n_parallel=2, max_queue=3)) as service:
            streams = [service.submit(Request((1, 2), max_tokens=1)) for _ in range(5)]
            with pytest.raises(QueueFull, match="5 requests are being answered or wait, 5 may") as why:
                service.submit(Request((1, 2)))
            assert why.value.retry_after_s == 2
            streams.pop().cancel()
            streams.append(service.submit(Request((1, 2), max_tokens=1)))
            gate.let_through(99)
            assert all(isinstance(events[-1], Finished) for events in [await read(stream) for stream in streams])

    soon(work)


def test_what_cannot_work_is_refused_before_it_waits() -> None:
    async def work() -> None:
        with serving() as service:
            with pytest.raises(ContextExceeded, match="64 tokens, this model holds 64"):
                service.submit(Request((1,) * 64))
            with pytest.raises(RequestError, match="grammar"):
                service.submit(Request((1,), sampling=Sampling(grammar=Grammar("broken"))))
            assert service.n_open == 0

    soon(work)


def test_a_bug_in_the_engine_answers_every_stream_and_the_next_one() -> None:
    class Broken(FakeBackend):
        def run(self, plan: Any) -> Any:
            raise ZeroDivisionError

    async def work() -> None:
        crashed = asyncio.Event()
        loop = asyncio.get_running_loop()
        with serving(Broken(), on_crash=lambda: loop.call_soon_threadsafe(crashed.set)) as service:
            streams = [service.submit(Request((1, 2, k))) for k in (1, 2, 3)]
            answers = [await read(stream) for stream in streams]
            assert all(isinstance(failure(events), EngineFailed) for events in answers)
            await crashed.wait()
            assert isinstance(failure(await read(service.submit(Request((1, 2))))), EngineFailed)

    soon(work)


def test_an_event_loop_that_was_closed_does_not_end_the_engine() -> None:
    backend, gate = gated()
    with serving(backend) as service:

        async def leave() -> None:
            service.submit(Request((1, 2), max_tokens=3))
            await at_gate(gate)

        soon(leave)
        gate.let_through(3)
        service.call(lambda: None).result(SOON_S)

        async def come_back() -> None:
            gate.let_through(9)
            stream = service.submit(Request((3, 4), max_tokens=2))
            assert isinstance((await read(stream))[-1], Finished)

        soon(come_back)


def test_the_counts_are_those_of_the_engine() -> None:
    async def work() -> None:
        backend, gate = gated()
        limits = Limits(n_parallel=1, cache_bytes=5000)
        with serving(backend, limits) as service:
            streams = [service.submit(Request((1, 2, 3), max_tokens=2)) for _ in range(2)]
            await at_gate(gate)
            stats = service.stats()
            assert (stats.running, stats.waiting, stats.cells_used, stats.cells_total) == (1, 1, 3, 64)
            assert (stats.host_limit_bytes, stats.host_entries, stats.preempted) == (5000, 0, 0)
            gate.let_through(9)
            for stream in streams:
                await read(stream)
            stats = service.stats()
            assert (stats.running, stats.waiting) == (0, 0)
            assert stats.idle_sequences >= 1

    soon(work)


def test_what_was_computed_under_an_adapter_is_forgotten_on_request() -> None:
    async def work() -> None:
        with serving() as service:
            tuned = Adapter("x", 1.0, 1)
            request = Request((1,) * 20, max_tokens=1, adapter=tuned)
            ends = []
            for forget in (False, False, True):
                if forget:
                    await asyncio.wrap_future(service.forget(tuned))
                ends.append((await read(service.submit(request)))[-1])
            assert [end.usage.cached_tokens for end in ends if isinstance(end, Finished)] == [0, 19, 0]

    soon(work)


def test_text_becomes_tokens_and_text_again() -> None:
    with serving() as service:
        assert service.tokenize("ab", bos=True, special=False) == [1, 97, 98]
        assert service.detokenize([97, 98], special=False) == b"ab"
        assert service.pieces()[97] == b"a"
