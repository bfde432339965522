"""Several models in one process: loaded when asked for, never taken from a request, out of the way when idle."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from llmserver.engine.pool import Pool
from llmserver.engine.request import Failed, Request
from llmserver.errors import ModelFailed, QueueTimeout, StartupError, Stopping, UnknownModel
from llmserver.settings import ServerOptions, ServeSettings
from tests.server.engine_models import Play, World, player, use
from tests.server.engine_threads import SOON_S, Gate


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Runs a test over three models."""
    return player(tmp_path)


def test_a_model_is_loaded_when_it_is_asked_for_and_then_stays(play: Play) -> None:
    async def test(world: World) -> None:
        assert world.state("b") == "unloaded"
        assert [await use(world.pool, name) for name in ("b", "b", None, "")] == ["b", "b", "a", "a"]
        assert world.opener.told == ["open b", "open a"]
        assert [known.state for known in world.pool.known()] == ["ok", "ok", "unloaded"]
        assert len(world.pool.loaded()) == 2

    play(test)


def test_an_unknown_name_is_refused_with_the_names_there_are(play: Play) -> None:
    async def test(world: World) -> None:
        for name in ("gpt-4", "a:nobody", "nobody:calm", "a:", ":calm"):
            with pytest.raises(UnknownModel) as why:
                await use(world.pool, name)
            assert why.value.status == 404
            assert all(f" {known}" in why.value.message for known in ("a", "a:calm", "b", "c"))
        assert world.opener.told == []

    play(test, adapters=["calm=/calm.gguf"])


@pytest.mark.parametrize(
    ("kind", "said"),
    [("chat", "use a or a:calm or b"), ("embedding", "use c"), ("rerank", "and none that could do this"), ("", "or c")],
)
def test_an_unknown_name_is_refused_with_those_that_can_do_what_was_asked(play: Play, kind: str, said: str) -> None:
    async def test(world: World) -> None:
        with pytest.raises(UnknownModel) as why:
            async with world.pool.use("gone", kind):
                pass
        assert why.value.message.endswith(said)

    play(test, adapters=["calm=/calm.gguf"], companions=("c",))


def test_requests_that_come_at_once_wait_for_one_load(play: Play) -> None:
    async def test(world: World) -> None:
        world.opener.gate = threading.Event()
        requests = [asyncio.ensure_future(use(world.pool, "b")) for _ in range(5)]
        await world.until_told("open b")
        assert world.state("b") == "loading"
        world.opener.gate.set()
        assert await asyncio.gather(*requests) == ["b"] * 5
        assert world.opener.told == ["open b"]

    play(test)


def test_a_load_that_fails_answers_everybody_and_can_be_tried_again(play: Play) -> None:
    async def test(world: World) -> None:
        world.opener.broken = {"b"}
        answers = await asyncio.gather(*(use(world.pool, "b") for _ in range(3)), return_exceptions=True)
        assert all(isinstance(answer, ModelFailed) and "b is no model" in answer.message for answer in answers)
        assert world.state("b") == "failed"
        world.opener.broken = set()
        assert await use(world.pool, "b") == "b"
        assert world.state("b") == "ok"

    play(test)


def test_a_load_with_a_bug_leaves_the_model_to_be_tried_again(play: Play) -> None:
    async def test(world: World) -> None:
        good, world.opener.open = world.opener.open, lambda options: 1 / 0  # type: ignore[assignment]
        with pytest.raises(ZeroDivisionError):
            await use(world.pool, "b")
        world.opener.open = good  # type: ignore[method-assign]
        assert await use(world.pool, "b") == "b"

    play(test)


def test_a_client_that_leaves_while_a_model_loads_does_not_make_it_load_twice(play: Play) -> None:
    async def test(world: World) -> None:
        world.opener.gate = threading.Event()
        first = asyncio.ensure_future(use(world.pool, "b"))
        await world.until_told("open b")
        first.cancel()
        with suppress(asyncio.CancelledError):
            await first
        second = asyncio.ensure_future(use(world.pool, "b"))
        await asyncio.sleep(0)
        world.opener.gate.set()
        assert await second == "b"
        assert world.opener.told == ["open b"]
        assert len(world.pool.loaded()) == len(world.opener.services) == 1

    play(test)


def test_the_default_model_can_be_loaded_before_there_are_requests(play: Play) -> None:
    async def test(world: World) -> None:
        await asyncio.to_thread(world.pool.load_default)
        assert world.state("a") == "ok"
        world.opener.broken = {"a"}
        with pytest.raises(StartupError):
            Pool(ServeSettings(ServerOptions(), (world.pool.default.options,)), world.opener).load_default()

    play(test)


# -- memory and time


def test_an_idle_model_is_unloaded_after_its_time_to_live(play: Play) -> None:
    async def test(world: World) -> None:
        await use(world.pool, "b")
        await world.until_told("free b")
        assert world.state("b") == "unloaded"
        assert await use(world.pool, "b") == "b"

    play(test, ttl_s=0.05)


def test_a_first_model_that_nobody_asks_is_unloaded_too(play: Play) -> None:
    async def test(world: World) -> None:
        world.pool.attach(asyncio.get_running_loop())
        await asyncio.to_thread(world.pool.load_default)
        await world.until_told("free a")
        assert world.state("a") == "unloaded"
        assert await use(world.pool) == "a"

    play(test, ttl_s=0.05)


def test_a_model_in_use_outlives_its_time_to_live(play: Play) -> None:
    async def test(world: World) -> None:
        async with world.held("b"):
            await use(world.pool, "b")
            await use(world.pool, "a")
            await world.until_told("free a")
            assert world.state("b") == "ok"
        await world.until_told("free b")

    play(test, ttl_s=0.05)


def test_a_request_that_comes_in_the_moment_of_unloading_keeps_the_model(play: Play) -> None:
    async def test(world: World) -> None:
        await use(world.pool, "b")
        world.pool._expire(world.pool._slots["b"])
        async with world.pool.use("b") as used:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert used.service is world.pool._slots["b"].service, "it was unloaded under the request"
            assert await use(world.pool, "b") == "b"

    play(test, ttl_s=0.01)


def test_a_model_that_is_still_being_unloaded_is_loaded_again_afterwards(play: Play) -> None:
    async def test(world: World) -> None:
        async with world.pool.use("b") as used:
            go = threading.Event()
            used.service.call(lambda: go.wait(SOON_S))
        await world.until(lambda: world.state("b") == "unloaded")
        again = asyncio.ensure_future(use(world.pool, "b"))
        for _ in range(5):
            await asyncio.sleep(0)
        assert world.opener.told == ["open b"]
        go.set()
        assert await again == "b"
        assert world.opener.told[:3] == ["open b", "free b", "open b"]

    play(test, ttl_s=0.02)


def test_the_model_used_longest_ago_makes_room(play: Play) -> None:
    async def test(world: World) -> None:
        for name in ("a", "b", "a", "c"):
            await use(world.pool, name)
        assert [world.state(name) for name in "abc"] == ["ok", "unloaded", "ok"]
        assert world.opener.told == ["open a", "open b", "free b", "open c"]

    play(test, ram_mib=2)


def test_a_model_too_large_for_the_bound_is_loaded_alone(play: Play) -> None:
    async def test(world: World) -> None:
        await use(world.pool, "a")
        await use(world.pool, "b")
        assert [world.state(name) for name in "ab"] == ["unloaded", "ok"]

    play(test, ram_mib=1)


def test_a_model_in_use_is_not_unloaded_for_another(play: Play) -> None:
    async def test(world: World) -> None:
        await use(world.pool, "a")
        async with world.held("a"):
            await use(world.pool, "b")
            await use(world.pool, "c")
            assert [world.state(name) for name in "abc"] == ["ok", "unloaded", "ok"]

    play(test, ram_mib=2)


def test_who_needs_memory_waits_for_a_busy_model_to_be_free(play: Play) -> None:
    async def test(world: World) -> None:
        async with world.held("a"):
            waiting = asyncio.ensure_future(use(world.pool, "b"))
            while world.state("b") != "loading":
                await asyncio.sleep(0)
            for _ in range(5):
                await asyncio.sleep(0)
            assert not waiting.done()
            assert world.state("a") == "ok"
        assert await waiting == "b"
        assert world.opener.told == ["open a", "free a", "open b"]

    play(test, ram_mib=1)


def test_who_waits_for_memory_too_long_is_told_to_try_again(play: Play) -> None:
    async def test(world: World) -> None:
        async with world.held("a"):
            with pytest.raises(QueueTimeout, match="no memory for b") as why:
                await use(world.pool, "b")
            assert why.value.status == 503
            assert world.state("b") == "unloaded"
        assert await use(world.pool, "b") == "b"

    play(test, ram_mib=1, max_wait_s=0.05)


def test_models_asked_for_at_once_do_not_outgrow_the_memory_together(play: Play) -> None:
    async def test(world: World) -> None:
        most = 0

        def count() -> None:
            nonlocal most
            most = max(most, sum(1 if what.startswith("open") else -1 for what in world.opener.told))
            tell()

        tell, world.opener.on_change = world.opener.on_change, count
        for _ in range(3):
            assert await asyncio.gather(*(use(world.pool, name) for name in "abc")) == ["a", "b", "c"]
        assert most == 2

    play(test, ram_mib=2)


def test_a_pool_that_stops_answers_everybody_and_refuses_who_comes(play: Play) -> None:
    async def test(world: World) -> None:
        streams, gate = [], Gate()
        for name in "ab":
            async with world.pool.use(name) as used:
                used.service.backend.gate = gate
                streams.append(used.service.submit(Request((1, 2))))
        world.pool.refuse()
        with pytest.raises(Stopping):
            await use(world.pool, "a")
        world.pool.stop(0.0)
        gate.let_through(2)
        for stream in streams:
            end = [event async for batch in stream for event in batch][-1]
            assert isinstance(end, Failed)
            assert isinstance(end.error, Stopping)
        await asyncio.to_thread(world.pool.stop, SOON_S)
        assert world.opener.told == ["open a", "open b"], "somebody may still read the vocabulary"

    play(test)


def test_default_is_a_name_for_the_first_model(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        async with world.pool.use("default") as by_name, world.pool.use(None) as without:
            assert by_name.name == without.name == "a"

    player(tmp_path)(test)
