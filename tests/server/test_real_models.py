"""Several real models in one process: one writes, one embeds, one ranks; none disturbs another. Over HTTP."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest

from llmserver.api.embeddings import unit
from llmserver.engine.llama.embed import EmbedBackend, load_embed
from llmserver.engine.llama.vocab import Vocab
from llmserver.settings import ModelOptions
from tests.processes import MODEL, Process, free_port, running
from tests.server.lora import write_lora
from tests.server.test_metrics import read
from tests.server.tinybert import write_bert

pytestmark = pytest.mark.model

KEY = "key-4711"
TEXTS = [
    "the sea",
    "a river and a mountain",
    "bread!",
    "piano music, 2 hours",
    "x",
    "the the the",
    "of a mountain of bread",
]
STORY: Any = [{"role": "user", "content": "Tell me a story about the sea."}]
N_EMBD = 32
NOISE = 2e-3  # llama.cpp has kernels of float16 tables, and others for more rows: so far apart are the same inputs


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, exact_model: Path) -> Path:
    path = tmp_path_factory.mktemp("house")
    (path / "chat.gguf").symlink_to(exact_model)
    write_bert(path / "embed.gguf", n_embd=N_EMBD)
    write_bert(path / "rank.gguf", ranks=True, seed=50)
    write_lora(path / "pirate.gguf", seed=1)
    (path / "keys.txt").write_text(f"# of the house\n{KEY}\n")
    models = [
        {"model": str(path / "chat.gguf"), "model_alias": "chat", "n_ctx": 1024},
        {"model": str(path / "embed.gguf"), "model_alias": "embed", "embedding": True},
        {"model": str(path / "rank.gguf"), "model_alias": "rank", "embedding": True, "pooling": "rank"},
    ]
    (path / "config.json").write_text(json.dumps({"models": models, "api_key_file": str(path / "keys.txt")}))
    return path


@pytest.fixture(scope="module")
def house(folder: Path) -> Iterator[Process]:
    port = free_port()
    args = ("-m", "llmserver", "--config_file", str(folder / "config.json"), "--port", str(port))
    with running(Process(*args, port=port)) as process:
        yield process
        assert KEY not in process.output


@pytest.fixture
def client(house: Process) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{house.url}/v1", api_key=KEY, max_retries=0, timeout=120) as made:
        yield made


def ask(house: Process, method: str, path: str, body: object = None) -> tuple[int, Any]:
    """Status and body of a request that the SDK does not know."""
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{house.url}{path}", data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read().decode()
            return answer.status, json.loads(text) if answer.headers["content-type"].endswith("json") else text
    except urllib.error.HTTPError as refused:
        return refused.code, json.loads(refused.read())


def tell(client: openai.OpenAI, model: str = "chat", **fields: Any) -> str:
    answer = client.chat.completions.create(model=model, messages=STORY, temperature=0, **{"max_tokens": 24, **fields})
    return answer.choices[0].message.content or ""


def loaded(path: Path, **options: Any) -> tuple[Vocab, EmbedBackend]:
    _, vocab, backend = load_embed(ModelOptions(model=str(path), model_alias="m", **options), "embedding")
    return vocab, backend


# Without HTTP


def test_inputs_of_a_batch_get_what_each_gets_alone(folder: Path) -> None:
    vocab, backend = loaded(folder / "embed.gguf")
    prompts = [vocab.tokenize(text, bos=True, special=False) for text in TEXTS]
    alone = [backend.run([prompt])[0] for prompt in prompts]
    for order in (prompts, prompts[::-1], [*prompts, *prompts]):
        wanted = [alone[prompts.index(prompt)] for prompt in order]
        for vector, other in zip(backend.run(order), wanted, strict=True):
            assert np.abs(unit(vector) - unit(other)).max() < NOISE
    near = [np.abs(unit(one) - unit(other)).max() for i, one in enumerate(alone) for other in alone[:i]]
    assert min(near) > 10 * NOISE
    backend.free()


def test_what_an_input_becomes_does_not_depend_on_its_neighbours_words(folder: Path) -> None:
    vocab, backend = loaded(folder / "embed.gguf")
    first, *others = [vocab.tokenize(text, bos=True, special=False) for text in TEXTS]
    changed = [[2, *(token + 1 for token in other[1:-1]), 3] for other in others]
    assert np.array_equal(backend.run([first, *others])[0], backend.run([first, *changed])[0])  # to the last bit
    backend.free()


def test_the_longest_input_of_the_room_is_computed_and_its_place_in_a_batch_does_not_matter(folder: Path) -> None:
    _, backend = loaded(folder / "embed.gguf", n_ctx=4096, n_batch=2048)
    assert (backend.room.n_most, backend.room.n_batch) == (128, 2048)  # 128 positions are all that the model has
    longest = [2, *[5 + i % 40 for i in range(126)], 3]
    (vector,) = backend.run([longest])
    beside = backend.run([[2, 7, 3], longest])[1]
    assert np.abs(unit(vector) - unit(beside)).max() < NOISE
    backend.free()


@pytest.mark.parametrize("pooling", ["cls", "last", "mean"])
def test_the_setting_of_the_pooling_changes_the_vector(folder: Path, pooling: str) -> None:
    vocab, backend = loaded(folder / "embed.gguf", pooling=pooling)
    prompt = vocab.tokenize("the sea", bos=True, special=False)
    (found,) = backend.run([prompt])
    backend.free()
    _, own = loaded(folder / "embed.gguf")
    (mean,) = own.run([prompt])
    assert np.allclose(unit(found), unit(mean), atol=1e-6) == (pooling == "mean")
    own.free()


def test_a_chat_models_weights_embed_too_by_the_mean_of_its_tokens() -> None:
    vocab, backend = loaded(MODEL, n_ctx=512, embedding=True)
    assert backend.memory_bytes > 0 and backend.n_out == 576
    prompts = [vocab.tokenize(text, bos=True, special=False) for text in ("Hello there", "The sea is blue and deep.")]
    together = backend.run(prompts)
    for vector, prompt in zip(together, prompts, strict=True):
        assert unit(vector) @ unit(backend.run([prompt])[0]) > 0.999  # its weights are of 4 bits: see test_real_engine
    backend.free()


def test_a_rerankers_pair_is_what_llama_server_writes(folder: Path) -> None:
    vocab, backend = loaded(folder / "rank.gguf", pooling="rank")
    sea, bread = (vocab.tokenize(text, bos=False, special=False) for text in ("the sea", "bread"))
    assert backend.pair("the sea", "bread") == [2, *sea, 3, *bread]  # [CLS] query [SEP] document
    assert 3 not in backend.pair("[SEP]", "x")[1:4]  # what a person writes is never a special token
    backend.free()


# Over HTTP


def test_the_sdk_gets_the_same_vectors_in_one_request_or_many(client: openai.OpenAI) -> None:
    together = [entry.embedding for entry in client.embeddings.create(model="embed", input=TEXTS).data]
    with ThreadPoolExecutor(8) as pool:
        alone = list(pool.map(lambda t: client.embeddings.create(model="embed", input=t).data[0].embedding, TEXTS * 4))
    for one, other in zip(together * 4, alone, strict=True):
        assert np.linalg.norm(one) == pytest.approx(1, abs=1e-6)
        assert one == pytest.approx(other, abs=NOISE)
    short = client.embeddings.create(model="embed", input=TEXTS[0], dimensions=5).data[0].embedding
    assert short == pytest.approx(unit(np.array(together[0][:5], np.float32)), abs=NOISE)
    many = client.embeddings.create(model="embed", input=TEXTS * 40)
    assert [entry.index for entry in many.data] == list(range(280))
    assert many.data[279].embedding == pytest.approx(together[6], abs=NOISE)


def test_an_input_that_is_too_long_is_a_400_and_the_process_lives(house: Process, client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.embeddings.create(model="embed", input=["a", "x " * 300])
    assert "302 tokens, this model reads 128 at once" in refused.value.message
    assert len(client.embeddings.create(model="embed", input="x " * 126).data) == 1
    assert house.is_healthy()


def test_documents_are_ranked_by_the_models_own_scores(house: Process, folder: Path) -> None:
    status, answer = ask(house, "POST", "/v1/rerank", {"model": "rank", "query": "the sea", "documents": TEXTS})
    _, backend = loaded(folder / "rank.gguf", pooling="rank")
    scores = [float(backend.run([backend.pair("the sea", text)])[0][0]) for text in TEXTS]
    backend.free()
    assert status == 200
    assert [result["index"] for result in answer["results"]] == sorted(range(len(TEXTS)), key=lambda i: -scores[i])
    for result in answer["results"]:
        assert result["relevance_score"] == pytest.approx(scores[result["index"]], abs=0.02)


def test_a_chat_goes_on_with_the_same_text_while_others_embed(client: openai.OpenAI) -> None:
    quiet = tell(client, max_tokens=48)
    stop, n_done = threading.Event(), 0

    def embed() -> int:
        n = 0
        while not stop.is_set():
            client.embeddings.create(model="embed", input=TEXTS * 5)
            n += 1
        return n

    with ThreadPoolExecutor(3) as pool:
        busy = [pool.submit(embed) for _ in range(3)]
        warm = tell(client, max_tokens=48)
        stop.set()
        n_done = sum(one.result() for one in busy)
    assert warm == tell(client, max_tokens=48)
    assert len(quiet) > 40 and n_done > 3


def test_a_response_is_a_chat_in_other_words(client: openai.OpenAI) -> None:
    whole = client.responses.create(model="chat", input=STORY, temperature=0, max_output_tokens=24)
    with client.responses.stream(model="chat", input=STORY, temperature=0, max_output_tokens=24) as stream:
        kinds = [event.type for event in stream]
    assert whole.status == "incomplete" and whole.incomplete_details
    assert whole.usage and whole.usage.output_tokens == 24
    assert kinds[0] == "response.created" and kinds[-1] == "response.incomplete"
    assert whole.output_text == tell(client)
    picked = client.responses.create(
        model="chat",
        input="A number?",
        text={
            "format": {
                "type": "json_schema",
                "name": "n",
                "schema": {
                    "type": "object",
                    "properties": {"n": {"type": "integer"}},
                    "required": ["n"],
                    "additionalProperties": False,
                },
            }
        },
        max_output_tokens=64,
    )
    assert isinstance(json.loads(picked.output_text)["n"], int)


def test_an_adapter_comes_and_goes_while_answers_flow(house: Process, client: openai.OpenAI) -> None:
    base = tell(client)
    stream = client.chat.completions.create(
        model="chat", messages=STORY, temperature=0, max_tokens=400, stream=True, extra_body={"min_tokens": 400}
    )
    next(iter(stream))
    assert ask(house, "POST", "/v1/adapters", {"model": "chat", "name": "pirate", "path": "pirate.gguf"})[0] == 201
    pirate = tell(client, "chat:pirate")
    using = client.chat.completions.create(
        model="chat:pirate", messages=STORY, temperature=0, max_tokens=60, stream=True, extra_body={"min_tokens": 60}
    )
    next(iter(using))
    assert ask(house, "DELETE", "/v1/adapters/pirate?model=chat")[0] == 200
    with pytest.raises(openai.NotFoundError):
        tell(client, "chat:pirate")
    assert list(using)[-1].choices[0].finish_reason == "length"  # who had begun is served to the end
    assert list(stream)[-1].choices[0].finish_reason == "length"
    assert pirate != base and tell(client) == base


def test_a_chat_model_is_no_adapter(house: Process, folder: Path) -> None:
    status, answer = ask(house, "POST", "/v1/adapters", {"name": "bert", "path": "embed.gguf"})
    assert (status, answer["error"]["param"]) == (400, "path")
    assert house.is_healthy()


def test_metrics_and_plan_tell_what_happened(house: Process, client: openai.OpenAI, exact_model: Path) -> None:
    tell(client)
    client.embeddings.create(model="embed", input="a")
    status, text = ask(house, "GET", "/metrics")
    found = read(text)
    assert status == 200
    assert found["llmserver_generated_tokens_total", "chat"] >= 24
    assert found["llmserver_requests_total", "chat", "length"] >= 1
    assert found["llmserver_inter_token_seconds_count", "chat"] >= 23
    assert found["llmserver_kv_cells", "chat"] == 1024 >= found["llmserver_kv_cells_used", "chat"] > 0
    assert found["llmserver_requests_total", "embed", "done"] >= 1
    _, plan = ask(house, "GET", "/plan")
    chat, embed, _ = plan["models"]
    assert chat["file_bytes"] == exact_model.stat().st_size
    assert chat["kv_bytes"] == pytest.approx(1024 * 2 * 30 * 192 * 2, rel=0.2)  # float16 keys and values of 30 layers
    lies, took = chat["placement"], chat["placement"]["allocated"]["CPU"]
    assert lies["planned"]["ram"]["kv"] == pytest.approx(took["kv"], rel=0.01) == chat["kv_bytes"]
    assert (lies["n_gpu_layers"], lies["kv"], lies["planned"]["card"]["weights"]) == (0, "f16", 0)
    assert lies["planned"]["ram"]["weights"] == pytest.approx(chat["file_bytes"], rel=0.02)
    assert took["compute"] > 0 and took["output"] > 0
    assert chat["planned_bytes"] > chat["kv_bytes"] and embed["state"] == "ok" and embed["kv_bytes"] is None
    assert plan["memory"]["process_bytes"] > 50_000_000
    assert urllib.request.urlopen(f"{house.url}/health", timeout=10).status == 200
