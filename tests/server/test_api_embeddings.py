"""Embeddings and ranks over HTTP: all forms of input, both encodings, every refusal; the openai SDK as a client."""

from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import openai
import pytest
from starlette.testclient import TestClient

from llmserver.engine.plan import Limits
from llmserver.errors import EngineFailed
from tests.processes import until
from tests.server.fake_models import N_EMBD, Engine, make_models, serving, vector_of
from tests.server.fake_service import HERE


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[TestClient, Engine]]:
    app, engine = make_models()
    with TestClient(app, base_url=HERE) as client:
        yield client, engine


@pytest.fixture
def client(served: tuple[TestClient, Engine]) -> TestClient:
    return served[0]


def embed(client: TestClient, **fields: Any) -> Any:
    return client.post("/v1/embeddings", json={"model": "embed", **fields})


def unit(tokens: list[int], n: int = N_EMBD) -> Any:
    vector = vector_of(tokens)[:n].astype(np.float64)
    return vector / np.linalg.norm(vector)


def tokens_of(text: str) -> list[int]:
    return [256, *text.encode(), 257]


def refusal(answer: Any) -> tuple[int, str, str]:
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return answer.status_code, error["param"], error["message"]


@pytest.mark.parametrize(
    ("given", "tokens"),
    [
        ("hello", [tokens_of("hello")]),
        (["one", "two", "one"], [tokens_of("one"), tokens_of("two"), tokens_of("one")]),
        ([5, 6, 7], [[5, 6, 7]]),
        ([[5, 6], [7]], [[5, 6], [7]]),
        ("", [[256, 257]]),
    ],
)
def test_each_form_of_input_gives_unit_vectors_in_its_order(client: TestClient, given: Any, tokens: Any) -> None:
    answer = embed(client, input=given).json()
    n_tokens = sum(map(len, tokens))
    assert answer["usage"] == {"prompt_tokens": n_tokens, "total_tokens": n_tokens}
    assert (answer["object"], answer["model"]) == ("list", "embed")
    assert [entry["index"] for entry in answer["data"]] == list(range(len(tokens)))
    for entry, prompt in zip(answer["data"], tokens, strict=True):
        assert entry["object"] == "embedding"
        assert np.linalg.norm(entry["embedding"]) == pytest.approx(1.0, abs=1e-6)
        assert entry["embedding"] == pytest.approx(unit(prompt), abs=1e-6)


def test_base64_holds_the_same_numbers_as_little_endian_floats(client: TestClient) -> None:
    floats = embed(client, input="hello", encoding_format="float").json()["data"][0]["embedding"]
    encoded = embed(client, input="hello", encoding_format="base64").json()["data"][0]["embedding"]
    assert np.frombuffer(base64.b64decode(encoded), "<f4") == pytest.approx(floats, abs=1e-8)


@pytest.mark.parametrize("n", [1, 3, N_EMBD])
def test_dimensions_cut_the_vector_and_make_it_a_unit_again(client: TestClient, n: int) -> None:
    vector = embed(client, input="hello", dimensions=n).json()["data"][0]["embedding"]
    assert vector == pytest.approx(unit(tokens_of("hello"), n), abs=1e-6)


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({}, "input", "Field required"),
        ({"input": []}, "input", "1 or more"),
        ({"input": [[]]}, "input.0", "1 or more"),
        ({"input": [1, "a"]}, "input.1", "whole number"),
        ({"input": ["a", 1]}, "input.1", "must be a text"),
        ({"input": [-1]}, "input.0", "at least 0"),
        ({"input": [True]}, "input.0", "must be a text"),
        ({"input": [5, 999]}, "input.1", "999 is no token of this model: 0 to 263"),
        ({"input": [[5], [6, 264]]}, "input.1.1", "264 is no token"),
        ({"input": {"a": 1}}, "input", "must be a text"),
        ({"input": "a", "encoding_format": "hex"}, "encoding_format", "'float' or 'base64'"),
        ({"input": "a", "dimensions": 0}, "dimensions", "at least 1"),
        ({"input": "a", "dimensions": 9}, "dimensions", "at most 8 with embed, got 9"),
        ({"input": "a", "dimensions": 2.5}, "dimensions", "whole number"),
        ({"input": "a", "temperature": 1}, "temperature", "unknown field"),
        ({"input": ["a"] * 2049}, "input", "at most 2048"),
    ],
)
def test_wrong_fields_are_refused_by_name(client: TestClient, fields: Any, param: str, words: str) -> None:
    status, named, message = refusal(embed(client, **fields))
    assert (status, named) == (400, param)
    assert words in message


def test_an_input_that_is_too_long_is_refused_with_both_numbers(client: TestClient) -> None:
    answer = embed(client, input=["short", "x" * 63])
    status, param, message = refusal(answer)
    assert (status, param, answer.json()["error"]["code"]) == (400, "input.1", "context_length_exceeded")
    assert "65 tokens" in message and "64" in message and "--n_batch" in message


def test_a_failed_batch_is_a_500_and_the_next_request_works(served: tuple[TestClient, Engine]) -> None:
    client, engine = served
    embed(client, input="hello")
    engine.opener.backends["embed"].to_raise = [EngineFailed("the model could not")]
    assert embed(client, input="hello").status_code == 500
    assert embed(client, input="hello").status_code == 200


# Which model does what


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/v1/embeddings", {"model": "tiny", "input": "a"}, "tiny writes text, this route needs one that makes"),
        ("/v1/embeddings", {"model": "tiny", "input": "a"}, "ask embed"),
        ("/v1/rerank", {"model": "embed", "query": "q", "documents": ["a"]}, "ask rank"),
        ("/v1/responses", {"model": "embed", "input": "a"}, "embed makes embeddings, this route needs one that writes"),
        ("/v1/chat/completions", {"model": "embed", "messages": [{"role": "user", "content": "a"}]}, "ask tiny"),
        ("/v1/completions", {"model": "rank", "prompt": "a"}, "rank ranks documents"),
    ],
)
def test_a_model_of_another_kind_is_refused_with_those_that_can(
    client: TestClient, path: str, body: Any, words: str
) -> None:
    status, param, message = refusal(client.post(path, json=body))
    assert (status, param) == (400, "model")
    assert words in message


def test_without_a_name_the_first_model_of_the_routes_kind_answers(client: TestClient) -> None:
    for model in ({}, {"model": None}, {"model": "default"}):
        assert client.post("/v1/embeddings", json={"input": "a", **model}).json()["model"] == "embed"
        ranked = client.post("/v1/rerank", json={"query": "q", "documents": ["a"], **model})
        assert ranked.json()["model"] == "rank"


def test_an_unknown_model_is_a_404_that_lists_those_that_make_embeddings(client: TestClient) -> None:
    status, _, message = refusal(embed(client, model="nobody", input="a"))
    assert status == 404
    assert message.endswith("use embed")


def test_models_tells_of_each_kind(client: TestClient) -> None:
    entries = {entry["id"]: entry["meta"] for entry in client.get("/v1/models").json()["data"]}
    assert [entries[name]["capabilities"][0] for name in ("tiny", "embed", "rank")] == ["chat", "embedding", "rerank"]


# Ranks


def rerank(client: TestClient, path: str = "/v1/rerank", **fields: Any) -> Any:
    return client.post(path, json={"model": "rank", "query": "q", **fields})


def scores_of(documents: list[str]) -> list[float]:
    return [float(vector_of([256, *b"q", 257, *text.encode()], 1)[0]) for text in documents]


@pytest.mark.parametrize("path", ["/v1/rerank", "/rerank"])
def test_documents_come_back_best_first(client: TestClient, path: str) -> None:
    documents = ["river", "sea", "stone", "tree"]
    answer = rerank(client, path, documents=[documents[0], {"text": documents[1]}, *documents[2:]]).json()
    scores = scores_of(documents)
    order = sorted(range(4), key=lambda i: -scores[i])
    assert [result["index"] for result in answer["results"]] == order
    assert [result["relevance_score"] for result in answer["results"]] == [scores[i] for i in order]
    assert "document" not in answer["results"][0]
    n_tokens = sum(3 + len(text) for text in documents)
    assert answer["usage"] == {"prompt_tokens": n_tokens, "total_tokens": n_tokens}
    assert (answer["object"], answer["model"]) == ("list", "rank")


def test_top_n_and_return_documents(client: TestClient) -> None:
    documents = ["river", "sea", "stone", "tree"]
    results = rerank(client, documents=documents, top_n=2, return_documents=True).json()["results"]
    assert len(results) == 2
    assert all(result["document"] == {"text": documents[result["index"]]} for result in results)
    assert len(rerank(client, documents=documents, top_n=99).json()["results"]) == 4


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "documents"),
        ({"documents": []}, "documents"),
        ({"documents": ["a"], "query": ""}, "query"),
        ({"documents": [{"title": "a"}]}, "documents.0.text"),
        ({"documents": ["a"], "top_n": 0}, "top_n"),
        ({"documents": ["a"], "max_chunks_per_doc": 1}, "max_chunks_per_doc"),
        ({"documents": ["a", "x" * 100]}, "documents.1"),
    ],
)
def test_wrong_fields_of_a_rerank_are_refused_by_name(client: TestClient, fields: Any, param: str) -> None:
    assert refusal(rerank(client, **fields))[:2] == (400, param)


# Clients


def test_the_openai_sdk_gets_its_vectors() -> None:
    app, _ = make_models()
    with serving(app) as url, openai.OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as sdk:
        # without encoding_format the SDK asks for base64 and decodes it
        answer = sdk.embeddings.create(model="embed", input=["one", "two"], dimensions=4)
        plain = sdk.embeddings.create(model="embed", input=["one", "two"], dimensions=4, encoding_format="float")
        for one, other, text in zip(answer.data, plain.data, ["one", "two"], strict=True):
            assert one.embedding == pytest.approx(unit(tokens_of(text), 4), abs=1e-6)
            assert one.embedding == pytest.approx(other.embedding, abs=1e-6)
        with pytest.raises(openai.BadRequestError) as refused:
            sdk.embeddings.create(model="tiny", input="one")
        assert "ask embed" in refused.value.message


def test_a_client_that_goes_away_is_not_computed_for() -> None:
    app, engine = make_models(limits=Limits(n_parallel=1, max_queue=4))
    with serving(app) as url, openai.OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as sdk:
        sdk.embeddings.create(model="embed", input="warm")
        backend, service = engine.opener.backends["embed"], engine.opener.opened["embed"]
        backend.gate.clear()
        backend.reached.clear()
        left = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
        body = json.dumps({"model": "embed", "input": ["a", "b", "c", "d", "e", "f"]})
        left.request("POST", "/v1/embeddings", body, {"Content-Type": "application/json"})
        assert backend.reached.wait(10)
        left.close()
        until(lambda: service.n_open == 0, "the end of a request whose client is gone")
        backend.gate.set()
        sdk.embeddings.create(model="embed", input="after")
        assert engine.metrics.of("embed").outcomes == {"cancelled": 1, "done": 2}
