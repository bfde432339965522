"""llama_cpp.server's own app behind `--engine stock`: what only concerns it, with our errors around it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest

from tests.processes import Process, llmserver, running
from tests.server.real import CHAT, ENDLESS, FIXED, N_VOCAB, NAME, client_of, get, n_tokens, post, refused, text_of

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def stock() -> Iterator[Process]:
    with running(llmserver("--engine", "stock", "--n_ctx", "4096")) as process:
        yield process


@pytest.fixture(scope="module")
def client(stock: Process) -> Iterator[openai.OpenAI]:
    with client_of(stock) as made:
        yield made


def test_a_streamed_answer_is_the_same_text_in_pieces(client: openai.OpenAI) -> None:
    client.chat.completions.create(**CHAT, max_tokens=1)  # both begin with the prompt read
    whole = client.chat.completions.create(**CHAT, max_tokens=12)
    chunks = list(client.chat.completions.create(**CHAT, max_tokens=12, stream=True))
    assert text_of(chunks) == whole.choices[0].message.content
    assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason == "length"


def test_a_text_completion_and_a_grammar_work(client: openai.OpenAI, stock: Process) -> None:
    answer = client.completions.create(**FIXED, prompt="The sea is", max_tokens=4)
    assert answer.usage
    assert answer.usage.prompt_tokens == n_tokens(stock, "The sea is")
    chosen = client.chat.completions.create(**CHAT, max_tokens=8, extra_body={"grammar": 'root ::= "yes" | "no"'})
    assert chosen.choices[0].message.content in {"yes", "no"}
    assert [model.id for model in client.models.list()] == [NAME]


def test_a_prompt_that_cannot_fit_is_refused_streamed_or_not(client: openai.OpenAI) -> None:
    messages: list[Any] = [{"role": "user", "content": "x " * 20_000}]
    error = refused(lambda: client.chat.completions.create(**FIXED, messages=messages))
    assert (error.status_code, error.code) == (400, "context_length_exceeded")
    with pytest.raises(openai.APIError) as caught:
        list(client.chat.completions.create(**FIXED, messages=messages, stream=True))
    assert caught.value.code == "context_length_exceeded"
    assert "4096" in caught.value.message


# What llama.cpp answers with the end of the process, or the library with a 500.
BAD_REQUESTS: list[tuple[str, Any, str | None]] = [
    ("/v1/chat/completions", CHAT | {"grammar": "nonsense ::"}, "grammar"),
    ("/v1/chat/completions", CHAT | {"grammar": 'x ::= "no root"'}, "grammar"),
    ("/v1/chat/completions", CHAT | {"grammar": 'root ::= root "for ever"'}, "grammar"),
    ("/v1/chat/completions", CHAT | {"logit_bias": {"word": 1}}, "logit_bias"),
    ("/v1/chat/completions", CHAT | {"logprobs": True}, "logprobs"),
    ("/v1/chat/completions", b'{"messages": [{"role": "user", "content": "\\ud800"}]}', None),
    ("/v1/chat/completions", b"{nope", None),
    ("/v1/completions", {"prompt": ""}, "prompt"),
    ("/v1/completions", {"prompt": []}, "prompt"),
    ("/v1/completions", {"prompt": ["a", "b"]}, "prompt"),
    ("/v1/completions", {"prompt": "a", "logprobs": 2}, "logprobs"),
    ("/v1/embeddings", {"input": "a"}, None),
    ("/extras/detokenize", {"tokens": [-1]}, "tokens"),
    ("/extras/detokenize", {"tokens": [N_VOCAB]}, "tokens"),
    ("/extras/detokenize", {"tokens": [10**20]}, "tokens"),
]


@pytest.mark.parametrize(("path", "body", "param"), BAD_REQUESTS)
def test_a_bad_request_is_refused_and_ends_nothing(stock: Process, path: str, body: Any, param: str) -> None:
    status, answer = post(stock, path, body)
    assert (status, answer["error"]["param"]) == (400, param), answer
    assert stock.is_healthy()


@pytest.mark.parametrize("wrong", [{"grammar": "nonsense ::"}, {"logit_bias": {"word": 1}}])
def test_a_bad_request_for_a_stream_ends_it_with_the_error(client: openai.OpenAI, wrong: dict[str, Any]) -> None:
    with pytest.raises(openai.APIError) as caught:
        list(client.chat.completions.create(**CHAT, stream=True, extra_body=wrong))
    assert caught.value.param == next(iter(wrong))


def test_models_and_health_answer_in_the_middle_of_a_stream_and_do_not_cut_it(
    client: openai.OpenAI, stock: Process
) -> None:
    stream = client.chat.completions.create(**CHAT, max_tokens=80, stream=True, extra_body={"min_tokens": 80})
    chunks = [next(stream), next(stream)]
    for path in ("/v1/models", "/health", "/v1/models"):
        began = time.monotonic()
        assert get(stock, path)[0] == 200
        assert time.monotonic() - began < 0.5
    chunks += list(stream)
    assert chunks[-1].choices[0].finish_reason == "length"
    assert len(chunks) > 40


def test_a_second_request_waits_for_a_stream_and_does_not_cut_it(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(**CHAT, max_tokens=40, stream=True, extra_body={"min_tokens": 40})
    chunks = [next(stream), next(stream)]
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(client.completions.create, **FIXED, prompt="0", max_tokens=2)
        chunks += list(stream)
        assert second.result(30).choices[0].finish_reason == "length"
    assert chunks[-1].choices[0].finish_reason == "length"


def test_a_client_that_vanishes_holds_nobody_up(client: openai.OpenAI, stock: Process) -> None:
    with client_of(stock) as other:
        stream = other.chat.completions.create(**ENDLESS)
        next(stream)
        stream.close()
    patient = client.with_options(timeout=5)
    assert patient.chat.completions.create(**CHAT, max_tokens=1).choices
