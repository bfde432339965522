"""Text completions: prompts in four forms, best_of, echo, filling in the middle. Also tokens and models."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from llama_cpp.server import types as stock

from llmserver.engine.request import Finished, Token
from tests.server.fake_service import BOS, FIM, Api, events_in, events_of, fresh_api, says


@pytest.fixture
def api() -> Api:
    return fresh_api()


def folded(events: list[Any]) -> list[dict[str, Any]]:
    """The choices that a stream's chunks add up to."""
    found: dict[int, dict[str, Any]] = {}
    for chunk in events[:-1]:
        for choice in chunk["choices"]:
            at = found.setdefault(choice["index"], {"text": "", "index": choice["index"], "logprobs": None})
            at["text"] += choice["text"]
            at["finish_reason"] = choice["finish_reason"]
            if choice["logprobs"]:
                at["logprobs"] = at["logprobs"] or {key: [] for key in choice["logprobs"]}
                for key, values in choice["logprobs"].items():
                    at["logprobs"][key] += values
    return [found[index] for index in sorted(found)]


EXTRAS = ("tokenize", "tokenize/count", "detokenize")
SHAPES: list[dict[str, Any]] = [
    {},
    {"max_tokens": 3},
    {"n": 3, "seed": 1},
    {"prompt": ["a", "bc"], "n": 2},
    {"prompt": [[97], [98, 99]], "echo": True},
    {"echo": True, "logprobs": 2},
    {"prompt": [104, 105], "echo": True, "logprobs": 0},
    {"logprobs": 2},
    {"echo": True, "max_tokens": 0, "logprobs": 1},
    {"suffix": "!", "echo": True},
]


@pytest.mark.parametrize("text", ["Hello world", "漢字 😀", "x"])
@pytest.mark.parametrize("fields", SHAPES, ids=str)
def test_a_streamed_answer_equals_the_whole_one(api: Api, fields: dict[str, Any], text: str) -> None:
    api.service.scripts = [says(text)]
    whole = api.complete(**fields).json()["choices"]
    assert folded(events_in(api.complete(stream=True, **fields))) == whole


def test_an_answer_has_exactly_openais_shape(api: Api) -> None:
    body = api.complete(max_tokens=5).json()
    assert list(body) == ["id", "object", "created", "model", "system_fingerprint", "choices", "usage", "timings"]
    assert re.fullmatch(r"cmpl-[0-9a-f]{24}", body["id"])
    assert (body["object"], body["model"]) == ("text_completion", "tiny")
    assert body["choices"] == [{"text": "Hello", "index": 0, "logprobs": None, "finish_reason": "length"}]
    assert body["usage"] == {
        "prompt_tokens": 3,
        "completion_tokens": 5,
        "total_tokens": 8,
        "prompt_tokens_details": {"cached_tokens": 0},
    }


def test_chunks_have_exactly_openais_shape(api: Api) -> None:
    api.service.scripts = [says("a")]
    first, last, usage, done = events_in(api.complete(stream=True, stream_options={"include_usage": True}))
    head = {key: first[key] for key in ("id", "object", "created", "model", "system_fingerprint")}
    choice = {"text": "a", "index": 0, "logprobs": None, "finish_reason": None}
    assert first == {**head, "choices": [choice], "usage": None}
    timings = last.pop("timings")
    assert last == {**head, "choices": [{**choice, "text": "", "finish_reason": "stop"}], "usage": None}
    assert usage == {**head, "choices": [], "usage": usage["usage"]}
    assert (timings["predicted_n"], usage["usage"]["completion_tokens"], done) == (1, 1, "[DONE]")


@pytest.mark.parametrize(
    ("prompt", "tokens"),
    [
        ("hi", [(BOS, 104, 105)]),
        ("<s>hi", [(BOS, BOS, 104, 105)]),
        ("", [(BOS,)]),
        (["a", "b"], [(BOS, 97), (BOS, 98)]),
        ([97, 98], [(97, 98)]),
        ([[97], [98, BOS]], [(97,), (98, BOS)]),
    ],
)
def test_a_prompt_is_a_text_or_tokens_or_several(api: Api, prompt: Any, tokens: list[tuple[int, ...]]) -> None:
    assert len(api.complete(prompt=prompt).json()["choices"]) == len(tokens)
    assert [request.tokens for request in api.service.requests] == tokens


def test_an_empty_prompt_needs_a_model_that_can_begin(api: Api) -> None:
    api.service.info = replace(api.service.info, add_bos=False)
    answer = api.complete(prompt="")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "prompt")


def test_several_prompts_and_answers_count_each_prompt_once(api: Api) -> None:
    body = api.complete(prompt=["a", "bc"], n=2).json()
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2, 3]
    assert body["usage"]["prompt_tokens"] == 2 + 3
    assert body["usage"]["completion_tokens"] == 4 * 11


def test_best_of_gives_the_likeliest_answers_best_first(api: Api) -> None:
    api.service.scripts = [says("zz"), says("AAAA"), says("mm")]
    body = api.complete(n=2, best_of=3, seed=5).json()
    assert [(choice["index"], choice["text"]) for choice in body["choices"]] == [(0, "AAAA"), (1, "mm")]
    assert body["choices"][0]["logprobs"] is None
    assert [request.sampling.seed for request in api.service.requests] == [5, 6, 7]
    assert body["usage"]["completion_tokens"] == 8


def test_log_probabilities_have_the_legacy_shape_and_begin_after_the_hidden_token(api: Api) -> None:
    (choice,) = api.complete(prompt="é", echo=True, logprobs=1, max_tokens=1).json()["choices"]
    assert choice["text"] == "éH"
    assert choice["logprobs"] == {
        "tokens": ["�", "�", "H"],
        "token_logprobs": [-1.95, -1.69, -0.72],
        "top_logprobs": [{"A": -0.65, "�": -1.95}, {"A": -0.65, "�": -1.69}, {"A": -0.65, "H": -0.72}],
        "text_offset": [0, 0, 1],
    }
    assert api.service.requests[0].prompt_logprobs


def test_the_first_token_of_a_prompt_of_tokens_has_no_log_probability(api: Api) -> None:
    (choice,) = api.complete(prompt=[65, 66], echo=True, logprobs=0, max_tokens=0).json()["choices"]
    assert (choice["text"], choice["finish_reason"]) == ("AB", "length")
    assert choice["logprobs"]["token_logprobs"] == [None, -0.66]
    assert choice["logprobs"]["top_logprobs"] == [None, {"B": -0.66}]
    assert api.service.requests[0].max_tokens == 0


def test_a_probability_of_zero_is_a_number_that_json_has(api: Api) -> None:
    async def script(request: Any) -> Any:
        (token, end) = events_of("x", request)
        assert isinstance(token, Token) and isinstance(end, Finished) and token.logprob
        yield [token._replace(logprob=replace(token.logprob, value=float("-inf"))), end]

    api.service.scripts = [script]
    assert api.complete(logprobs=0).json()["choices"][0]["logprobs"]["token_logprobs"] == [-9999.0]
    assert api.chat(logprobs=True).json()["choices"][0]["logprobs"]["content"][0]["logprob"] == -9999.0


def test_a_suffix_asks_to_fill_in_the_middle_and_special_texts_in_it_are_plain(api: Api) -> None:
    api.complete(prompt="a<s>", suffix="b")
    assert api.service.requests[0].tokens == (BOS, FIM[0], *b"a<s>", FIM[1], *b"b", FIM[2])
    api.complete(prompt=[97], suffix="")
    assert api.service.requests[1].tokens == (FIM[0], 97, FIM[1], FIM[2])


def test_a_model_that_cannot_fill_in_the_middle_says_so(api: Api) -> None:
    api.service.info = replace(api.service.info, fim=None)
    answer = api.complete(suffix="b")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "suffix")


def test_tokens_and_texts_turn_into_each_other(api: Api) -> None:
    tokens = api.post("/extras/tokenize", {"input": "hé<s>"}).json()
    assert tokens == {"tokens": [BOS, *"hé".encode(), BOS]}
    assert api.post("/extras/tokenize/count", {"input": "hé<s>"}).json() == {"count": 5}
    assert api.post("/extras/detokenize", {**tokens, "model": "tiny"}).json() == {"text": "hé"}
    assert api.post("/extras/detokenize", {"tokens": [0xC3]}).json() == {"text": "�"}
    assert api.post("/extras/detokenize", {"tokens": []}).json() == {"text": ""}
    assert api.post("/extras/tokenize", {"input": "x" * 30_000}).json()["tokens"] == [BOS, *b"x" * 30_000]
    assert set(stock.TokenizeInputRequest.model_fields) == {"model", "input"}


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/extras/tokenize", {}, "input"),
        ("/extras/tokenize", {"input": 5}, "input"),
        ("/extras/tokenize/count", {"input": "x", "special": True}, "special"),
        ("/extras/detokenize", {"tokens": [65, 264]}, "tokens.1"),
        ("/extras/detokenize", {"tokens": [-1]}, "tokens.0"),
        ("/extras/detokenize", {"tokens": ["65"]}, "tokens.0"),
        ("/extras/detokenize", {"tokens": "65"}, "tokens"),
    ],
)
def test_wrong_tokens_and_texts_are_refused_by_name(api: Api, path: str, body: Any, param: str) -> None:
    answer = api.post(path, body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_models_tell_state_size_and_what_they_can(api: Api) -> None:
    entries = {entry["id"]: entry for entry in api.client.get("/v1/models").json()["data"]}
    assert list(entries) == ["tiny", "tiny:pirate", "embed", "away"]
    assert entries["tiny"]["meta"] == {
        "state": "ok",
        "kind": "chat",
        "capabilities": ["chat", "completion", "fill_in_the_middle"],
        "demo": False,
        "n_ctx": 512,
        "n_ctx_train": 1024,
        "n_vocab": 264,
        "n_embd": 16,
        "size_bytes": 1000,
    }
    assert entries["tiny:pirate"]["parent"] == "tiny"
    assert entries["embed"]["meta"]["capabilities"] == ["embedding"]
    assert (entries["away"]["meta"]["state"], "n_ctx" in entries["away"]["meta"]) == ("unloaded", False)


def test_what_a_template_can_say_is_among_the_capabilities(api: Api) -> None:
    source = "{% if tools %}{{ tools | tojson }}{% endif %}{{ messages[0].content }}{{ enable_thinking }}"
    api.service.info = replace(api.service.info, chat_template=source, fim=None)
    (entry, *_) = api.client.get("/v1/models").json()["data"]
    assert entry["meta"]["capabilities"] == ["chat", "completion", "tools", "reasoning"]
    api.service.info = replace(api.service.info, chat_template="{% broken")
    assert api.client.get("/v1/models/tiny").json()["meta"]["capabilities"] == ["chat", "completion"]


def test_one_model_is_told_by_its_name(api: Api) -> None:
    assert api.client.get("/v1/models/tiny:pirate").json()["id"] == "tiny:pirate"
    answer = api.client.get("/v1/models/gpt-4o")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
    assert "tiny:pirate" in answer.json()["error"]["message"]


def test_every_route_needs_the_key_and_is_in_the_openapi_document() -> None:
    api = Api("--api_key", "secret")
    paths = api.client.get("/openapi.json").json()["paths"]
    for path in ("/v1/chat/completions", "/v1/completions", *(f"/extras/{name}" for name in EXTRAS)):
        assert "requestBody" in paths[path]["post"]
        assert api.post(path, {}).status_code == 401
