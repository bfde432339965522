"""Every refusal of the real process leaves in one envelope and ends nothing; what the log may hold and who may ask."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.processes import MODEL, Process, free_port, running, until
from tests.server.real import CHAT, FIXED, N_VOCAB, NAME, client_of, get, n_tokens, post, refused, text_of

pytestmark = pytest.mark.model

KEY = "sekret-8c1f"
MARKER = "xylophone-marker-7731"


@pytest.fixture(scope="module")
def client(real_server: Process) -> Iterator[openai.OpenAI]:
    with client_of(real_server) as made:
        yield made


def test_an_unknown_model_is_not_found_and_the_known_ones_are_named(client: openai.OpenAI) -> None:
    for stream in (False, True):
        error = refused(lambda: client.chat.completions.create(**CHAT | {"model": "gpt-4"}, stream=stream))  # noqa: B023
        assert isinstance(error, openai.NotFoundError)
        assert (error.code, error.param) == ("model_not_found", "model")
        assert "gpt-4" in error.message
        assert NAME in error.message


def test_a_wrong_type_is_a_bad_request_that_names_the_field(client: openai.OpenAI) -> None:
    error = refused(lambda: client.chat.completions.create(**CHAT | {"temperature": "hot"}))
    assert isinstance(error, openai.BadRequestError)
    assert (error.param, error.code, error.type) == ("temperature", "invalid_request", "invalid_request_error")
    error = refused(lambda: client.chat.completions.create(**FIXED, messages="hello"))  # type: ignore[arg-type]
    assert (error.status_code, error.param) == (400, "messages")


def test_an_unknown_route_is_not_found(client: openai.OpenAI) -> None:
    error = refused(lambda: client.moderations.create(input="x"))
    assert isinstance(error, openai.NotFoundError)
    assert error.code == "unknown_route"


def test_a_prompt_that_cannot_fit_is_refused_with_both_numbers(client: openai.OpenAI, real_server: Process) -> None:
    prompt = "word " * 5000
    n_prompt, n_ctx = n_tokens(real_server, prompt), get(real_server, "/health")[1]["model"]["n_ctx"]
    error = refused(lambda: client.completions.create(**FIXED, prompt=prompt))
    assert isinstance(error, openai.BadRequestError)
    assert error.code == "context_length_exceeded"
    assert f"{n_prompt} tokens" in error.message
    assert f"holds {n_ctx}" in error.message
    assert int(error.message.split("--n_ctx ")[1].split("'")[0]) > n_prompt


@pytest.mark.parametrize("n_words", [5000, 500_000])
def test_a_prompt_that_cannot_fit_is_refused_before_the_first_byte_of_a_stream(
    client: openai.OpenAI, n_words: int
) -> None:
    messages: list[Any] = [{"role": "user", "content": "x " * n_words}]
    error = refused(lambda: client.chat.completions.create(**FIXED, messages=messages, stream=True))
    assert (error.status_code, error.code, error.param) == (400, "context_length_exceeded", "messages")
    assert "4096" in error.message.replace(",", "")
    assert client.chat.completions.create(**CHAT, max_tokens=1).choices


# What llama.cpp answers with the end of the process, and what contradicts itself.
CHATS: list[tuple[dict[str, Any] | bytes, str | None]] = [
    ({"grammar": "nonsense ::"}, "grammar"),
    ({"grammar": 'x ::= "no root"'}, "grammar"),
    ({"grammar": 'root ::= root "for ever"'}, "grammar"),
    ({"logit_bias": {"word": 1}}, "logit_bias"),
    ({"logit_bias": {str(N_VOCAB): 1}}, "logit_bias"),
    ({"top_logprobs": 2}, "top_logprobs"),
    ({"n": 100}, "n"),
    ({"temperature": -1}, "temperature"),
    ({"no_such_field": 1}, "no_such_field"),
    ({"messages": []}, "messages"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    (b'{"messages": [{"role": "user", "content": "\\ud800"}]}', "messages.0.content"),
    (b"{nope", None),
    (b"[]", "body"),
]
OTHERS: list[tuple[str, dict[str, Any], str | None]] = [
    ("/v1/completions", {"prompt": ""}, "prompt"),
    ("/v1/completions", {"prompt": []}, "prompt"),
    ("/v1/completions", {"prompt": [N_VOCAB]}, "prompt.0"),
    ("/v1/completions", {"prompt": "a", "suffix": "b"}, "suffix"),
    ("/v1/completions", {"prompt": "a", "best_of": 2, "stream": True}, "best_of"),
    ("/v1/embeddings", {"input": "a"}, "model"),
    ("/extras/detokenize", {"tokens": [-1]}, "tokens.0"),
    ("/extras/detokenize", {"tokens": [N_VOCAB]}, "tokens.0"),
    ("/extras/detokenize", {"tokens": [10**20]}, "tokens.0"),
    ("/extras/tokenize", {"text": "a"}, "input"),
]


def assert_refused(process: Process, path: str, body: Any, param: str | None) -> None:
    status, answer = post(process, path, body)
    assert list(answer) == ["error"]
    assert list(answer["error"]) == ["message", "type", "param", "code"]
    assert (status, answer["error"]["param"]) == (400, param), answer
    assert process.is_healthy()


@pytest.mark.parametrize(("body", "param"), CHATS)
@pytest.mark.parametrize("stream", [False, True])
def test_a_bad_chat_is_refused_and_ends_nothing(real_server: Process, body: Any, param: str, stream: bool) -> None:
    full = body if isinstance(body, bytes) else CHAT | {"stream": stream} | body
    assert_refused(real_server, "/v1/chat/completions", full, param)


@pytest.mark.parametrize(("path", "body", "param"), OTHERS)
def test_a_bad_request_is_refused_and_ends_nothing(real_server: Process, path: str, body: Any, param: str) -> None:
    assert_refused(real_server, path, body, param)


@pytest.fixture(scope="module")
def talkative(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A server from a YAML file: two models of which one is missing, a key, and the most talkative log."""
    config = tmp_path_factory.mktemp("config") / "server.yaml"
    port = free_port()
    config.write_text(
        f"port: {port}\napi_key: {KEY}\nlog_level: debug\nmodels:\n"
        f"  - {{model: {MODEL}, n_ctx: 512}}\n  - {{model: /nowhere/missing.gguf}}\n"
    )
    with running(Process("-m", "llmserver", "--config_file", str(config), port=port)) as process:
        yield process


def test_the_key_is_asked_for_on_every_route_that_does_something(talkative: Process) -> None:
    with client_of(talkative, KEY) as known, client_of(talkative, f"{KEY}x") as stranger:
        assert known.completions.create(**FIXED, prompt="0", max_tokens=1).choices
        for ask in (
            lambda: stranger.completions.create(**FIXED, prompt="0", max_tokens=1),
            lambda: stranger.chat.completions.create(**CHAT, max_tokens=1),
            lambda: stranger.chat.completions.create(**CHAT, max_tokens=1, stream=True),
            lambda: stranger.embeddings.create(model=NAME, input="0"),
            lambda: stranger.models.list(),
        ):
            error = refused(ask)
            assert isinstance(error, openai.AuthenticationError)
            assert (error.code, error.type) == ("invalid_api_key", "authentication_error")
    assert post(talkative, "/extras/tokenize", {"input": "0"})[0] == 401
    assert post(talkative, "/extras/detokenize", {"tokens": [0]})[0] == 401


def test_a_model_that_cannot_be_loaded_is_said_so_and_the_other_still_answers(
    talkative: Process,
) -> None:
    with client_of(talkative, KEY, timeout_s=20) as client:
        assert [model.id for model in client.models.list()] == [NAME, "missing"]
        with pytest.raises(openai.APIError) as caught:
            list(client.chat.completions.create(**CHAT | {"model": "missing"}, max_tokens=1, stream=True))
        assert caught.value.code == "model_failed"
        assert "/nowhere" in caught.value.message
        assert refused(lambda: client.completions.create(**FIXED | {"model": "missing"}, prompt="0")).status_code == 503
        assert client.chat.completions.create(**CHAT, max_tokens=1).choices  # on the connection that had the error
    assert "Traceback" not in talkative.output


def test_the_log_holds_neither_messages_nor_answers_nor_the_key(talkative: Process) -> None:
    ask: dict[str, Any] = FIXED | {"messages": [{"role": "user", "content": MARKER}], "max_tokens": 24}
    echo = {"grammar": f'root ::= "{MARKER}-said"'}
    with client_of(talkative, KEY) as client, client_of(talkative, f"{KEY}x") as stranger:
        assert client.chat.completions.create(**ask, extra_body=echo).choices[0].message.content == f"{MARKER}-said"
        assert text_of(list(client.chat.completions.create(**ask, extra_body=echo, stream=True))) == f"{MARKER}-said"
        refused(lambda: client.chat.completions.create(**ask | {"temperature": MARKER}))
        refused(lambda: client.completions.create(**FIXED, prompt=MARKER * 1000))
        refused(lambda: stranger.chat.completions.create(**ask))
    until(lambda: talkative.output.count("POST /v1/chat/completions") >= 4, "the access log's lines")
    assert MARKER not in talkative.output
    assert "chat.completion.chunk" not in talkative.output  # a stream's pieces are shorter than the marker
    assert KEY not in talkative.output
