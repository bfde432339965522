"""LoRA adapters come and go while their model answers, and nobody's is taken away."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmserver.engine.adapters import AdapterFile, Adapters, parse
from llmserver.errors import BadSettings, ModelFailed, RequestError, UnknownModel
from tests.server.engine_models import Play, World, player, use


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Runs a test over three models."""
    return player(tmp_path)


def test_an_adapter_of_the_settings_comes_with_its_model(play: Play) -> None:
    async def test(world: World) -> None:
        assert world.pool.known()[0].adapters == ("calm",)
        async with world.pool.use("a:calm") as used:
            assert used.adapter is not None
            assert (used.name, used.adapter.name, used.adapter.scale) == ("a:calm", "calm", 0.5)
        async with world.pool.use("a") as used:
            assert used.adapter is None

    play(test, adapters=["calm=/calm.gguf=0.5"])


def test_a_model_whose_adapter_is_broken_fails_and_leaves_nothing_in_memory(play: Play) -> None:
    async def test(world: World) -> None:
        world.opener.bad_adapters = {"calm"}
        with pytest.raises(ModelFailed, match=r"/calm\.gguf is no adapter"):
            await use(world.pool, "a")
        assert world.opener.told == ["open a", "free a"]
        assert world.pool.loaded() == []

    play(test, adapters=["calm=/calm.gguf"])


def test_an_adapter_added_while_others_answer_serves_the_next_request(play: Play) -> None:
    async def test(world: World) -> None:
        async with world.held("a"):
            name = await world.pool.add_adapter("a", AdapterFile("calm", "/calm.gguf"))
            assert name == "a:calm"
            assert await use(world.pool, name) == "a:calm"
            assert world.pool.known()[0].adapters == ("calm",)
            with pytest.raises(RequestError, match="adapter calm already"):
                await world.pool.add_adapter("a", AdapterFile("calm", "/other.gguf"))

    play(test)


def test_an_adapter_that_cannot_be_loaded_is_not_known_afterwards(play: Play) -> None:
    async def test(world: World) -> None:
        world.opener.bad_adapters = {"calm"}
        with pytest.raises(RequestError, match=r"/calm\.gguf"):
            await world.pool.add_adapter("a", AdapterFile("calm", "/calm.gguf"))
        with pytest.raises(UnknownModel):
            await use(world.pool, "a:calm")

    play(test)


def test_an_adapter_is_removed_after_the_last_request_that_uses_it(play: Play) -> None:
    async def test(world: World) -> None:
        await world.pool.add_adapter("a", AdapterFile("calm", "/calm.gguf"))
        async with world.held("a:calm"):
            async with world.held("a:calm"):
                await world.pool.remove_adapter("a", "calm")
                with pytest.raises(UnknownModel):
                    await use(world.pool, "a:calm")
            assert not any(what.startswith("remove") for what in world.opener.told)
        await world.until(lambda: any(what.startswith("remove calm") for what in world.opener.told))

    play(test)


def test_a_replaced_adapter_has_another_serial_while_the_old_one_still_answers(play: Play) -> None:
    async def test(world: World) -> None:
        await world.pool.add_adapter("a", AdapterFile("calm", "/old.gguf"))
        async with world.pool.use("a:calm") as old:
            await world.pool.remove_adapter("a", "calm")
            await world.pool.add_adapter("a", AdapterFile("calm", "/new.gguf"))
            async with world.pool.use("a:calm") as new:
                assert old.adapter is not None and new.adapter is not None
                assert old.adapter.serial != new.adapter.serial
        await world.until_told(f"remove calm {old.adapter.serial}")
        assert await use(world.pool, "a:calm") == "a:calm"

    play(test)


def test_removing_an_adapter_that_is_not_there_names_those_that_are(play: Play) -> None:
    async def test(world: World) -> None:
        with pytest.raises(RequestError, match="it has calm"):
            await world.pool.remove_adapter("a", "angry")
        with pytest.raises(UnknownModel):
            await world.pool.remove_adapter("nobody", "calm")

    play(test, adapters=["calm=/calm.gguf"])


def test_an_adapter_that_was_added_comes_back_with_its_model(play: Play) -> None:
    async def test(world: World) -> None:
        await world.pool.add_adapter("a", AdapterFile("calm", "/calm.gguf"))
        await use(world.pool, "b")
        assert world.state("a") == "unloaded"
        assert await use(world.pool, "a:calm") == "a:calm"

    play(test, ram_mib=1)


def test_an_added_adapter_whose_file_is_gone_does_not_keep_its_model_from_loading_again(play: Play) -> None:
    async def test(world: World) -> None:
        await world.pool.add_adapter("a", AdapterFile("calm", "/calm.gguf"))
        await use(world.pool, "b")
        world.opener.bad_adapters = {"calm"}
        assert await use(world.pool, "a") == "a"
        with pytest.raises(UnknownModel):
            await use(world.pool, "a:calm")

    play(test, ram_mib=1)


def test_the_adapter_setting_is_read_and_wrong_ones_are_named() -> None:
    assert parse("calm=/x.gguf") == AdapterFile("calm", "/x.gguf", 1.0)
    assert parse("calm=/x.gguf=0.25") == AdapterFile("calm", "/x.gguf", 0.25)
    for wrong in ("calm", "=/x", "calm=", "a:b=/x"):
        with pytest.raises(BadSettings, match="is not NAME=PATH"):
            parse(wrong)
    with pytest.raises(BadSettings, match="the scale must be a number, got 'big'"):
        parse("calm=/x=big")


def test_users_of_an_adapter_are_counted_until_the_last_one_left() -> None:
    adapters = Adapters()
    adapter = adapters.new(AdapterFile("calm", "/x"))
    adapters.add(adapter)
    adapters.enter(adapter)
    adapters.enter(adapter)
    assert adapters.remove("calm") is None
    assert (adapters.find("calm"), adapters.names()) == (None, ())
    assert [adapters.leave(adapter), adapters.leave(adapter)] == [False, True]
