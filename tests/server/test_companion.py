"""The embedding model beside the chat model: which one, how it is served, and that it is in nobody's way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openai
import pytest

from llmserver.engine.pool import kind_of
from llmserver.errors import BadSettings, ModelFileMissing
from llmserver.library import companion
from llmserver.library.catalog import Catalog, Model
from llmserver.library.cli import main
from llmserver.settings import ModelOptions, ServerOptions, ServeSettings, load
from tests.processes import llmserver, running
from tests.server.engine_models import Play, World, player, use
from tests.server.tinybert import write_bert


def settings(*models: ModelOptions, **server: Any) -> ServeSettings:
    return ServeSettings(ServerOptions(**server), models or (chat(),))


def chat(**changes: Any) -> ModelOptions:
    return ModelOptions(model="chat.gguf", model_alias="chat", n_threads=3, **changes)


KNOWN = Catalog(
    tuple(
        Model(name, name, f"{name}.gguf", 1, 64, "MIT", "1M", "cpu", "A note.", kind=kind, repo="a/b")
        for name, kind in (("talker", "chat"), ("small", "embedding"), ("large", "embedding"), ("ranker", "rerank"))
    )
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def test_best_embedding_model_that_is_here_is_served_on_the_processor_with_its_own_limit(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("N_CTX", "9999")  # what the environment says is for the chat model
    assert companion.add(settings(), KNOWN, folder).models == settings().models
    write_bert(folder / "small.gguf", n_ctx=96)
    write_bert(folder / "talker.gguf")
    found = companion.add(settings(), KNOWN, folder)
    assert found.companions == ("small",) and [model.model_alias for model in found.models] == ["chat", "small"]
    options = found.models[1]
    assert (options.n_ctx, options.n_batch, options.n_ubatch, options.n_threads) == (96, 96, 96, 3)
    assert (options.embedding, options.n_gpu_layers, options.cache_ram_mib) == (True, 0, 0)
    write_bert(folder / "large.gguf", n_ctx=2048)
    best = companion.add(settings(), KNOWN, folder)
    assert best.companions == ("large", "small") and best.models[1].n_batch == 512  # an index of the small one goes on


def test_what_the_owner_chose_counts(folder: Path) -> None:
    for name in ("small", "large"):
        write_bert(folder / f"{name}.gguf")
    other = write_bert(folder / "other.gguf")
    assert companion.add(settings(embedding_model="small"), KNOWN, folder).companions == ("small", "large")
    assert companion.add(settings(embedding_model=str(other)), KNOWN, folder).companions == ("other", "large", "small")
    assert companion.add(settings(embedding_model="off"), KNOWN, folder).companions == ()
    mine = ModelOptions(model=str(other), model_alias="mine", embedding=True)
    assert companion.add(settings(chat(), mine), KNOWN, folder).companions == ()
    both = companion.add(settings(chat(), mine, embedding_model="small"), KNOWN, folder)
    assert both.companions == ("small", "large")
    assert companion.add(settings(engine="stock"), KNOWN, folder).companions == ()


def test_reranker_that_is_here_is_served_after_the_models_that_embed(folder: Path) -> None:
    write_bert(folder / "ranker.gguf", ranks=True)
    write_bert(folder / "small.gguf")
    found = companion.add(settings(), KNOWN, folder)
    assert found.companions == ("small", "ranker")
    assert [kind_of(model) for model in found.models] == ["chat", "embedding", "rerank"]


def test_embedding_model_that_cannot_be_had_is_said(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ModelFileMissing, match="not here yet: get it with `python -m llmserver models pull small`"):
        companion.add(settings(embedding_model="small"), KNOWN, folder)
    with pytest.raises(ModelFileMissing, match="nowhere"):
        companion.add(settings(embedding_model=str(folder / "nowhere.gguf")), KNOWN, folder)
    with pytest.raises(BadSettings, match="needs --engine batched"):
        companion.add(settings(embedding_model="small", engine="stock"), KNOWN, folder)
    (folder / "small.gguf").write_bytes(b"GGUF")
    assert companion.add(settings(), KNOWN, folder).companions == ()  # the chat starts all the same
    assert "small is not served: " in caplog.text and "small.gguf" in caplog.text
    with pytest.raises(BadSettings, match="talker makes no embeddings: take one of small, large"):
        companion.add(settings(embedding_model="talker"), KNOWN, folder)
    with pytest.raises(BadSettings, match="did you mean small"):
        companion.add(settings(embedding_model="smal"), KNOWN, folder)


def test_setting_is_read_like_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load([]).server.embedding_model == "auto"
    monkeypatch.setenv("LLMSERVER_EMBEDDING_MODEL", "off")
    assert load([]).server.embedding_model == "off"
    assert load(["--embedding_model", "bge-m3"]).server.embedding_model == "bge-m3"


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Runs a test over three models."""
    return player(tmp_path)


def test_companion_is_loaded_where_there_is_no_room_and_unloads_nobody(play: Play) -> None:
    async def test(world: World) -> None:
        assert [await use(world.pool, name) for name in ("a", "c")] == ["a", "c"]
        assert world.opener.told == ["open a", "free a", "open c"]  # of the others one has room
        assert await use(world.pool, "b") == "b"
        assert world.opener.told[3:] == ["open b"] and world.state("c") == "ok"

    play(test, ram_mib=1, companions=("b",))


def test_companion_makes_room_when_idle_and_nobody_waits_for_it_when_busy(play: Play) -> None:
    async def test(world: World) -> None:
        async with world.held("b"):
            assert await use(world.pool, "a") == "a"  # it would have waited for ever
            assert world.opener.told == ["open b", "open a"]
        assert await use(world.pool, "c") == "c"
        await world.until_told("free b")

    play(test, ram_mib=1, max_wait_s=10_000, companions=("b",))


def test_request_without_a_model_gets_one_that_does_what_the_route_is_for(play: Play) -> None:
    async def test(world: World) -> None:
        for name in (None, "", "default"):
            async with world.pool.use(name, "embedding") as used:
                assert used.name == "b"
            async with world.pool.use(name, "rerank") as used:  # none is there: the default says what it is
                assert used.name == "a"

    play(test, companions=("b",))


@pytest.mark.parametrize("words", [("use", "all-minilm-l6-v2"), ("pull", "--use", "bge-m3")])
def test_model_that_cannot_chat_does_not_become_the_default(
    folder: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    write_bert(folder / "all-minilm-l6-v2-Q8_0.gguf")
    assert main(["--models-dir", str(folder), *words]) == 2
    assert f"{words[-1]} cannot chat: it needs no --use" in capsys.readouterr().err
    assert not (folder / "default.gguf").is_symlink()


@pytest.mark.model
def test_one_process_serves_the_chat_model_and_the_embedding_model_that_is_loaded_when_asked(tmp_path: Path) -> None:
    path = write_bert(tmp_path / "tiny.gguf", n_ctx=64)
    with (
        running(llmserver("--embedding_model", str(path))) as process,
        openai.OpenAI(base_url=f"{process.url}/v1", api_key="none", max_retries=0, timeout=120) as client,
    ):
        chat_entry, entry, *_ = (model.to_dict() for model in client.models.list())  # then what lies in models/
        assert entry["id"] == "tiny" and entry["meta"]["capabilities"] == ["embedding"]  # type: ignore[index]
        assert entry["meta"]["state"] == "unloaded"  # type: ignore[index]
        found = client.embeddings.create(model="tiny", input=["the sea", "bread"], encoding_format="float")
        assert [len(each.embedding) for each in found.data] == [32, 32]
        with pytest.raises(openai.BadRequestError, match="82 tokens, this model reads 64 at once") as why:
            client.embeddings.create(model="tiny", input="sea " * 80)
        assert why.value.code == "context_length_exceeded"
        now = {model.id: model.to_dict()["meta"]["state"] for model in client.models.list()}  # type: ignore[index]
        assert {"tiny": "ok", chat_entry["id"]: "ok"}.items() <= now.items()
        with pytest.raises(openai.BadRequestError, match="tiny makes embeddings"):
            client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "hi"}])
