"""Packing of inputs and the life of an embedding service: everybody gets an answer, once, and nobody starves."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmserver.engine.embed import Item, Packer, Room
from llmserver.engine.embed_service import EmbedService
from llmserver.engine.plan import Limits
from llmserver.errors import ContextExceeded, EngineFailed, QueueFull, QueueTimeout, Stopping
from tests.server.fake_models import ROOM, FakeEmbedBackend, Words, vector_of
from tests.server.fake_service import INFO


def prompts_of(*sizes: int) -> list[list[int]]:
    return [[i + 1] * size for i, size in enumerate(sizes)]


def drained(packer: Packer) -> list[tuple[Item, ...]]:
    batches = []
    while batch := packer.take():
        batches.append(batch)
    return batches


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.lists(st.integers(1, 64), min_size=1, max_size=9)), max_size=8),
    st.sets(st.integers(0, 7)),
)
def test_every_input_is_taken_once_in_batches_that_fit(asked: list[tuple[str, list[int]]], gone: set[int]) -> None:
    packer = Packer(ROOM)
    for number, (owner, sizes) in enumerate(asked):
        packer.add(number, prompts_of(*sizes), owner, 0.0)
    for number in gone:
        packer.remove(number)
    batches = drained(packer)
    for batch in batches:
        n_tokens = sum(len(item.tokens) for item in batch)
        assert len(batch) <= ROOM.n_seq
        assert n_tokens <= ROOM.n_target or len(batch) == 1
        assert n_tokens <= ROOM.n_most
    taken = Counter((item.request, item.index, len(item.tokens)) for batch in batches for item in batch)
    wanted = Counter(
        (number, i, size)
        for number, (_, sizes) in enumerate(asked)
        if number not in gone
        for i, size in enumerate(sizes)
    )
    assert taken == wanted
    assert packer.is_idle


def test_a_question_does_not_wait_for_a_whole_library() -> None:
    packer = Packer(ROOM)
    packer.add(1, prompts_of(*[8] * 1000), "library", 0.0)
    packer.take()
    packer.add(2, prompts_of(4), "reader", 0.0)
    assert 2 in [item.request for item in packer.take()]


def test_owners_take_turns_however_many_requests_each_has() -> None:
    packer = Packer(replace(ROOM, n_seq=2))
    for number in range(8):
        packer.add(number, prompts_of(2, 2, 2), "many", 0.0)
    packer.add(9, prompts_of(2, 2, 2), "one", 0.0)
    owners = [[item.request == 9 for item in packer.take()] for _ in range(3)]
    assert all(sorted(pair) == [False, True] for pair in owners)


def test_a_long_input_that_did_not_fit_comes_first_in_the_next_batch() -> None:
    packer = Packer(ROOM)
    packer.add(1, prompts_of(*[10] * 20), "a", 0.0)
    packer.add(2, prompts_of(60), "b", 0.0)
    first, second = packer.take(), packer.take()
    assert 2 in {first[0].request, second[0].request}


def test_only_requests_that_were_not_begun_expire() -> None:
    packer = Packer(ROOM)
    packer.add(1, prompts_of(30, 30), "a", 0.0)
    packer.take()
    packer.add(2, prompts_of(30), "a", 5.0)
    assert packer.expired(20.0, 10.0) == [2]
    assert packer.waited_s(2, 20.0) == 15.0


# The service

LIMITS = Limits(n_parallel=1, max_queue=2, max_wait_s=30.0)


@asynccontextmanager
async def running(backend: FakeEmbedBackend, **options: Any) -> AsyncIterator[EmbedService]:
    service = EmbedService(replace(INFO, kind="embedding"), Words(), backend, LIMITS, **options)
    try:
        yield service
    finally:
        backend.gate.set()
        assert await asyncio.to_thread(service.stop, 5.0)


async def until_reached(backend: FakeEmbedBackend) -> None:
    assert await asyncio.to_thread(backend.reached.wait, 10)


def test_vectors_come_in_the_order_of_their_inputs() -> None:
    async def main() -> None:
        async with running(FakeEmbedBackend()) as service:
            asked = prompts_of(5, 60, 1, 20, 30)
            for vector, prompt in zip(await service.embed(asked, "me"), asked, strict=True):
                assert np.array_equal(vector, vector_of(prompt))
            assert await service.embed([], "me") == []
            assert service.n_open == 0

    asyncio.run(main())


def test_concurrent_requests_share_batches_and_get_their_own_vectors() -> None:
    async def main() -> None:
        backend = FakeEmbedBackend()
        backend.gate.clear()
        async with running(backend) as service:
            first = asyncio.ensure_future(service.embed([[1]], "a"))
            await until_reached(backend)
            others = [asyncio.ensure_future(service.embed([[n, n]], "a")) for n in (2, 3)]
            await asyncio.sleep(0)
            backend.gate.set()
            assert np.array_equal((await first)[0], vector_of([1]))
            for n, other in zip((2, 3), others, strict=True):
                assert np.array_equal((await other)[0], vector_of([n, n]))
        assert backend.batches == [[[1]], [[2, 2], [3, 3]]]
        assert backend.is_free

    asyncio.run(main())


def test_too_long_an_input_is_refused_with_both_numbers_and_the_setting() -> None:
    async def main() -> None:
        async with running(FakeEmbedBackend()) as service:
            with pytest.raises(ContextExceeded) as refused:
                await service.embed([[1], [1] * 65], "me")
            assert refused.value.param == "input.1"
            assert "65 tokens, this model reads 64 at once" in refused.value.message
            assert "--n_batch 256" in refused.value.message and "--n_ctx" not in refused.value.message
            with pytest.raises(ContextExceeded) as hopeless:
                await service.embed([[1] * 300], "me", param="documents")
            assert hopeless.value.message.endswith("shorten it")

    asyncio.run(main())


def test_a_full_queue_refuses_with_a_time_to_come_back() -> None:
    async def main() -> None:
        backend = FakeEmbedBackend()
        backend.gate.clear()
        async with running(backend) as service:
            waiting = [asyncio.ensure_future(service.embed([[n]], "a")) for n in range(3)]
            await until_reached(backend)
            with pytest.raises(QueueFull) as refused:
                await service.embed([[9]], "a")
            assert refused.value.headers == {"Retry-After": "3"}
            backend.gate.set()
            assert len(await asyncio.gather(*waiting)) == 3

    asyncio.run(main())


def test_who_stops_waiting_is_not_computed_for() -> None:
    async def main() -> None:
        backend = FakeEmbedBackend()
        backend.gate.clear()
        async with running(backend) as service:
            first = asyncio.ensure_future(service.embed([[1]], "a"))
            await until_reached(backend)
            gone = asyncio.ensure_future(service.embed([[2], [3]], "a"))
            await asyncio.sleep(0)
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)
            backend.gate.set()
            await first
            assert len(await service.embed([[4]], "a")) == 1
        assert backend.batches == [[[1]], [[4]]]

    asyncio.run(main())


def test_a_failed_batch_is_tried_again_one_by_one_and_only_the_guilty_fails() -> None:
    class Picky(FakeEmbedBackend):
        def run(self, prompts: Any) -> list[Any]:
            if [13] in prompts:
                raise EngineFailed("no thirteens")
            return super().run(prompts)

    async def main() -> None:
        backend = Picky()
        backend.gate.clear()
        async with running(backend) as service:
            first = asyncio.ensure_future(service.embed([[1]], "a"))
            await until_reached(backend)
            bad = asyncio.ensure_future(service.embed([[13], [14]], "a"))
            good = asyncio.ensure_future(service.embed([[2]], "b"))
            await asyncio.sleep(0)
            backend.gate.set()
            await first
            with pytest.raises(EngineFailed, match="no thirteens"):
                await bad
            assert np.array_equal((await good)[0], vector_of([2]))
            assert service.stats().running == service.stats().waiting == 0

    asyncio.run(main())


def test_a_request_waits_no_longer_than_it_may() -> None:
    async def main() -> None:
        backend = FakeEmbedBackend()
        backend.gate.clear()
        service = EmbedService(INFO, Words(), backend, replace(LIMITS, max_wait_s=0.0))
        first = asyncio.ensure_future(service.embed([[1]], "a"))
        late = asyncio.ensure_future(service.embed([[2]], "a"))
        ended = await asyncio.gather(first, late, return_exceptions=True)
        backend.gate.set()
        assert await asyncio.to_thread(service.stop, 5.0)
        assert any(isinstance(end, QueueTimeout) for end in ended)

    asyncio.run(main())


def test_stopping_answers_whoever_is_left() -> None:
    async def main() -> None:
        backend = FakeEmbedBackend()
        backend.gate.clear()
        async with running(backend) as service:
            first = asyncio.ensure_future(service.embed([[1]], "a"))
            await until_reached(backend)
            second = asyncio.ensure_future(service.embed([[2]], "a"))
            await asyncio.sleep(0)
            stopped = asyncio.ensure_future(asyncio.to_thread(service.stop, 5.0))
            while service._worker._inbox.qsize() < 2:  # the second request, and that it is to stop
                await asyncio.sleep(0)
            backend.gate.set()
            assert await stopped
            ended = await asyncio.gather(first, second, return_exceptions=True)
            assert all(isinstance(end, (Stopping, list)) for end in ended)
            assert isinstance(ended[1], Stopping)
            with pytest.raises(Stopping):
                await service.embed([[3]], "a")

    asyncio.run(main())


def test_a_bug_in_the_loop_answers_everybody_and_is_reported() -> None:
    async def main() -> None:
        backend, crashed = FakeEmbedBackend(), threading.Event()
        backend.to_raise = [RuntimeError("a bug")]
        service = EmbedService(INFO, Words(), backend, LIMITS, on_crash=crashed.set)
        with pytest.raises(EngineFailed):
            await service.embed([[1]], "a")
        assert crashed.is_set()
        with pytest.raises(EngineFailed):
            await service.embed([[1]], "a")
        assert await asyncio.to_thread(service.stop, 5.0)

    asyncio.run(main())


def test_the_smallest_room_still_takes_the_longest_input() -> None:
    packer = Packer(Room(n_most=64, n_target=1, n_seq=1, n_batch=64, n_ctx=64, n_ctx_train=64))
    packer.add(1, prompts_of(64, 64), "a", 0.0)
    assert [len(batch) for batch in drained(packer)] == [1, 1]
