"""Every field of a request: what is accepted changes what the engine is asked, what is wrong is refused by name."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from llama_cpp.server import types as stock

from llmserver.api.chat_fields import ChatBody
from llmserver.api.completion_fields import CompletionBody
from llmserver.engine.request import Adapter, Request
from llmserver.text.grammar import JSON_OBJECT, Grammar
from tests.server.fake_service import BOS, FIM, Api, events_in, fresh_api, text_of

KIND = {"chat": ChatBody, "complete": CompletionBody}
GBNF = 'root ::= "yes"'
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
USER = {"role": "user", "content": "x"}


def sampled(**changed: Any) -> Callable[[Request], Request]:
    return lambda base: replace(base, sampling=replace(base.sampling, **changed))


# field: (value, what it makes of the request without it)
SAMPLING: dict[str, tuple[Any, Callable[[Request], Request]]] = {
    "temperature": (0.3, sampled(temperature=0.3)),
    "top_k": (7, sampled(top_k=7)),
    "top_p": (0.5, sampled(top_p=0.5)),
    "min_p": (0, sampled(min_p=0)),
    "typical_p": (0.9, sampled(typical_p=0.9)),
    "repeat_penalty": (1.1, sampled(repeat_penalty=1.1)),
    "repeat_last_n": (-1, sampled(repeat_last_n=512)),
    "presence_penalty": (1.5, sampled(presence_penalty=1.5)),
    "frequency_penalty": (-2, sampled(frequency_penalty=-2)),
    "mirostat_mode": (2, sampled(mirostat_mode=2)),
    "mirostat_tau": (4.0, sampled(mirostat_tau=4.0)),
    "mirostat_eta": (0.2, sampled(mirostat_eta=0.2)),
    "seed": (42, sampled(seed=42)),
    "logit_bias": ({"65": -100, "66": 2.5}, sampled(logit_bias={65: -math.inf, 66: 2.5})),
    "grammar": (GBNF, sampled(grammar=Grammar(GBNF))),
    "ignore_eos": (True, sampled(ignore_eos=True)),
    "min_tokens": (3, sampled(min_tokens=3)),
    "model": ("tiny:pirate", lambda base: replace(base, adapter=Adapter("pirate"))),
    "stop": ("end", lambda base: replace(base, stop=("end",))),
    "max_tokens": (5, lambda base: replace(base, max_tokens=5)),
}
CHANGES = {
    "chat": {
        **SAMPLING,
        "max_completion_tokens": (5, lambda base: replace(base, max_tokens=5)),
        "logprobs": (True, lambda base: replace(base, n_logprobs=0)),
        "response_format": ({"type": "json_object"}, sampled(grammar=JSON_OBJECT)),
    },
    "complete": {
        **SAMPLING,
        "logprobs": (3, lambda base: replace(base, n_logprobs=3)),
        "prompt": ([65, 66], lambda base: replace(base, tokens=(65, 66))),
        "suffix": ("!", lambda base: replace(base, tokens=(BOS, FIM[0], 104, 105, FIM[1], 33, FIM[2]))),
    },
}
NO_EFFECT = {
    "user",
    "metadata",
    "service_tier",
    "prompt_cache_key",
    "safety_identifier",
    "store",
    "parallel_tool_calls",
}
REFUSED = {"functions", "function_call"}
ELSEWHERE = {  # a test of its own, here or in the files about chat, completions and streams
    *("messages", "tools", "tool_choice", "top_logprobs", "logit_bias_type", "reasoning_format"),
    *("reasoning_effort", "enable_thinking", "chat_template_kwargs"),
    *("n", "best_of", "echo", "stream", "stream_options", "return_progress"),
}


@pytest.fixture
def api() -> Api:
    return fresh_api()


def asked(api: Api, route: str, **fields: Any) -> Request:
    """The request that reaches the engine."""
    answer = getattr(api, route)(**fields)
    assert answer.status_code == 200, answer.text
    return api.service.requests[-1]


@pytest.mark.parametrize("route", KIND)
def test_every_field_is_covered_here(route: str) -> None:
    known = set(CHANGES[route]) | NO_EFFECT | REFUSED | ELSEWHERE
    assert set(KIND[route].model_fields) <= known


@pytest.mark.parametrize(
    ("route", "theirs"),
    [("chat", stock.CreateChatCompletionRequest), ("complete", stock.CreateCompletionRequest)],
)
def test_every_field_of_llama_cpp_server_is_known(route: str, theirs: Any) -> None:
    assert set(theirs.model_fields) <= set(KIND[route].model_fields)


@pytest.mark.parametrize(("route", "field"), [(route, field) for route in CHANGES for field in CHANGES[route]])
def test_an_accepted_field_changes_what_the_engine_is_asked(api: Api, route: str, field: str) -> None:
    value, expected = CHANGES[route][field]
    base = asked(api, route)
    changed = asked(api, route, **{field: value})
    assert changed == expected(base)
    assert changed != base


@pytest.mark.parametrize(("route", "field"), [(r, f) for r in KIND for f in KIND[r].model_fields if f not in REFUSED])
def test_null_is_the_default(api: Api, route: str, field: str) -> None:
    if field in {"messages", "prompt"}:
        return
    base = asked(api, route)
    if (route, field) == ("complete", "max_tokens"):
        assert (base.max_tokens, asked(api, route, max_tokens=None).max_tokens) == (16, None)
    else:
        assert asked(api, route, **{field: None}) == base


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("user", "me"),
        ("metadata", {"a": "b"}),
        ("service_tier", "auto"),
        ("prompt_cache_key", "k"),
        ("safety_identifier", "s"),
        ("store", False),
        ("parallel_tool_calls", True),
        ("response_format", {"type": "text"}),
        ("tools", []),
        ("stop", []),
        ("seed", -1),
    ],
)
def test_what_is_accepted_without_effect_has_none(api: Api, field: str, value: Any) -> None:
    assert asked(api, "chat", **{field: value}) == asked(api, "chat")


def test_logit_bias_takes_texts_too(api: Api) -> None:
    request = asked(api, "chat", logit_bias={"AB": 5}, logit_bias_type="tokens")
    assert request.sampling.logit_bias == {65: 5, 66: 5}
    assert asked(api, "chat", logit_bias={"65": 5}, logit_bias_type="input_ids").sampling.logit_bias == {65: 5}


def test_seeds_of_several_answers_count_up_and_stay_in_range(api: Api) -> None:
    asked(api, "chat", n=3, seed=2**32 - 2)
    assert [request.sampling.seed for request in api.service.requests[-3:]] == [2**32 - 2, 0, 1]


def test_template_variables_reach_the_template(api: Api) -> None:
    source = "{{ reasoning_effort }}/{{ enable_thinking }}/{{ mood }}/{{ messages[0]['content'] }}"
    api.service.info = replace(api.service.info, chat_template=source, add_bos=False)
    assert text_of(asked(api, "chat", reasoning_effort="low")) == "low///hi"
    assert text_of(asked(api, "chat", reasoning_effort="none")) == "none/False//hi"
    assert text_of(asked(api, "chat", enable_thinking=True)) == "/True//hi"
    assert text_of(asked(api, "chat", enable_thinking=True, chat_template_kwargs={"mood": 1})) == "/True/1/hi"


def chat_with(**fields: Any) -> tuple[str, dict[str, Any]]:
    return "chat", fields


def text_with(**fields: Any) -> tuple[str, dict[str, Any]]:
    return "complete", fields


WRONG = [
    (chat_with(temperature="1"), "temperature", 'a number, got "1"'),
    (chat_with(temperature=True), "temperature", "a number, got true"),
    (chat_with(temperature=10.5), "temperature", "between 0 and 10, got 10.5"),
    (chat_with(temperature=-0.1), "temperature", "between 0 and 10"),
    (chat_with(top_k=1.0), "top_k", "a whole number, got 1.0"),
    (chat_with(top_k=-1), "top_k", "between 0 and 2,147,483,647, got -1"),
    (chat_with(top_p=1.1), "top_p", "between 0 and 1"),
    (chat_with(min_p=-1), "min_p", "between 0 and 1"),
    (chat_with(typical_p=2), "typical_p", "between 0 and 1"),
    (chat_with(repeat_penalty=0), "repeat_penalty", "between 0.01 and 10"),
    (chat_with(repeat_last_n=-2), "repeat_last_n", "between -1 and"),
    (chat_with(presence_penalty=2.1), "presence_penalty", "between -2 and 2"),
    (chat_with(frequency_penalty="x"), "frequency_penalty", "a number"),
    (chat_with(mirostat_mode=3), "mirostat_mode", "between 0 and 2"),
    (chat_with(mirostat_tau=11), "mirostat_tau", "between 0 and 10"),
    (chat_with(mirostat_eta=0), "mirostat_eta", "between 0.001 and 1"),
    (chat_with(seed=2**63), "seed", "between -9,223,372,036,854,775,808 and 9,223,372,036,854,775,807"),
    (chat_with(seed=10**30), "seed", "between"),
    (chat_with(seed=True), "seed", "a whole number, got true"),
    (chat_with(logit_bias={"65": 101}), "logit_bias.65", "between -100 and 100"),
    (chat_with(logit_bias={"264": 1}), "logit_bias", "0 to 263"),
    (chat_with(logit_bias={"-1": 1}), "logit_bias", "0 to 263"),
    (chat_with(logit_bias={"word": 1}), "logit_bias", "no token id"),
    (chat_with(logit_bias=[1]), "logit_bias", "an object, got a list of 1"),
    (chat_with(logit_bias={"9" * 30: 1}), "logit_bias", "0 to 263"),
    (chat_with(logit_bias_type="tokens"), "logit_bias_type", "needs logit_bias"),
    (chat_with(logit_bias={"1": 1}, logit_bias_type="x"), "logit_bias_type", "'input_ids' or 'tokens', got \"x\""),
    (chat_with(grammar=""), "grammar", "must not be empty"),
    (chat_with(grammar=5), "grammar", "a text, got 5"),
    (chat_with(ignore_eos=1), "ignore_eos", "true or false, got 1"),
    (chat_with(min_tokens=-1), "min_tokens", "between 0"),
    (chat_with(min_tokens=6, max_tokens=5), "min_tokens", "at most max_tokens (5), got 6"),
    (chat_with(model=""), "model", "must not be empty"),
    (chat_with(model=["tiny"]), "model", "a text"),
    (chat_with(stop=5), "stop", "a text or a list, got 5"),
    (chat_with(stop=""), "stop", "must not be empty"),
    (chat_with(stop=["a", ""]), "stop.1", "must not be empty"),
    (chat_with(stop=["a", 5]), "stop.1", "a text, got 5"),
    (chat_with(stop=["x"] * 17), "stop", "at most 16 entries, got a list of 17"),
    (chat_with(stream="yes"), "stream", "true or false"),
    (chat_with(stream_options={"include_usage": True}), "stream_options", "needs stream: true"),
    (chat_with(stream=True, stream_options={"usage": True}), "stream_options.usage", "unknown field"),
    (chat_with(stream=True, stream_options=[]), "stream_options", "an object"),
    (chat_with(return_progress=1), "return_progress", "true or false"),
    (chat_with(n=0), "n", "between 1 and 8, got 0"),
    (chat_with(n=9), "n", "between 1 and 8, got 9"),
    (chat_with(user=5), "user", "a text"),
    (chat_with(max_tokens=0), "max_tokens", "between 1 and"),
    (chat_with(max_tokens=5, max_completion_tokens=6), "max_completion_tokens", "differs from max_tokens"),
    (chat_with(max_completion_tokens=0), "max_completion_tokens", "between 1 and"),
    (chat_with(logprobs=1), "logprobs", "true or false"),
    (chat_with(logprobs=True, top_logprobs=21), "top_logprobs", "between 0 and 20"),
    (chat_with(top_logprobs=2), "top_logprobs", "needs logprobs: true"),
    (chat_with(reasoning_effort="huge"), "reasoning_effort", "'low', 'medium'"),
    (chat_with(reasoning_format="deepseek"), "reasoning_format", "'auto' or 'none'"),
    (chat_with(enable_thinking="no"), "enable_thinking", "true or false"),
    (chat_with(chat_template_kwargs=[]), "chat_template_kwargs", "an object"),
    (chat_with(chat_template_kwargs={"messages": []}), "chat_template_kwargs", "messages"),
    (chat_with(store=True), "store", "nothing is stored here"),
    (chat_with(metadata={"a": 1}), "metadata.a", "a text"),
    (chat_with(service_tier="priority"), "service_tier", "'auto' or 'default'"),
    (chat_with(prompt_cache_key=1), "prompt_cache_key", "a text"),
    (chat_with(safety_identifier=1), "safety_identifier", "a text"),
    (chat_with(functions=[]), "functions", "send tools"),
    (chat_with(function_call="auto"), "function_call", "tool_choice"),
    (chat_with(tempratur=1), "tempratur", "unknown field"),
    (chat_with(parallel_tool_calls="no"), "parallel_tool_calls", "true or false"),
    (chat_with(messages=[]), "messages", "1 or more entries"),
    (chat_with(messages="hi"), "messages", 'a list, got "hi"'),
    (chat_with(messages=["hi"]), "messages.0", 'an object, got "hi"'),
    (chat_with(messages=[{"content": "x"}]), "messages.0.role", "Field required"),
    (chat_with(messages=[{"role": "human", "content": "x"}]), "messages.0.role", "'user', 'assistant' or 'tool'"),
    (chat_with(messages=[{"role": "function", "content": "x"}]), "messages.0.role", "'tool', got \"function\""),
    (chat_with(messages=[USER, {"role": "user"}]), "messages.1.content", "a text or a list of parts, got null"),
    (chat_with(messages=[{**USER, "content": 5}]), "messages.0.content", "a text or a list, got 5"),
    (chat_with(messages=[{**USER, "content": [{"text": "x"}]}]), "messages.0.content.0.type", "Field required"),
    (chat_with(messages=[{**USER, "content": [{"type": "text"}]}]), "messages.0.content.0.text", "Field required"),
    (
        chat_with(messages=[{**USER, "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]),
        "messages.0.content.0.type",
        "--engine stock",
    ),
    (chat_with(messages=[{**USER, "weight": 1}]), "messages.0.weight", "unknown field"),
    (chat_with(messages=[{**USER, "tool_call_id": "a"}]), "messages.0.tool_call_id", "only a tool message"),
    (
        chat_with(messages=[{**USER, "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}]),
        "messages.0.tool_calls",
        "only an assistant message",
    ),
    (
        chat_with(messages=[USER, {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {}}}]}]),
        "messages.1.tool_calls.0.function.arguments",
        "a text",
    ),
    (
        chat_with(messages=[USER, {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": ""}}]}]),
        "messages.1",
        "followed by a tool message",
    ),
    (chat_with(tools={}), "tools", "a list, got an object"),
    (chat_with(tools=[TOOL, {"type": "function", "function": {"name": "a b"}}]), "tools.1.function.name", "must match"),
    (chat_with(tools=[{"type": "web", "function": {"name": "a"}}]), "tools.0.type", "'function'"),
    (chat_with(tools=[TOOL, TOOL]), "tools.1.function.name", "another tool"),
    (chat_with(tools=[TOOL] * 129), "tools", "at most 128 entries"),
    (chat_with(tool_choice="required"), "tool_choice", "needs tools"),
    (chat_with(tool_choice="always"), "tool_choice", "'none', 'auto' or 'required', got \"always\""),
    (chat_with(tools=[TOOL], tool_choice={"type": "function"}), "tool_choice.function", "Field required"),
    (
        chat_with(tools=[TOOL], tool_choice={"type": "function", "function": {"name": "other"}}),
        "tool_choice.function.name",
        "none of the tools: look",
    ),
    (chat_with(response_format={"type": "xml"}), "response_format.type", "'text', 'json_object' or 'json_schema'"),
    (chat_with(response_format={"type": "json_schema"}), "response_format.json_schema", "json_schema"),
    (
        chat_with(response_format={"type": "json_schema", "json_schema": {"name": "x"}}),
        "response_format.json_schema.schema",
        "Field required",
    ),
    (chat_with(response_format={"type": "text", "schema": {}}), "response_format.schema", "json_object only"),
    (chat_with(response_format={"type": "json_object"}, grammar=GBNF), "response_format", "with grammar"),
    (chat_with(response_format={"type": "json_object"}, tools=[TOOL]), "response_format", "tool_choice none"),
    (chat_with(grammar=GBNF, tools=[TOOL]), "grammar", "tool_choice none"),
    (text_with(prompt=None), "prompt", "a list of token ids"),
    (text_with(prompt={}), "prompt", "a list of token ids"),
    (text_with(prompt=[]), "prompt", "1 or more"),
    (text_with(prompt=[True]), "prompt.0", "a text, got true"),
    (text_with(prompt=["a", 1]), "prompt.1", "a text, got 1"),
    (text_with(prompt=[1, "a"]), "prompt.1", "a whole number"),
    (text_with(prompt=[[1], []]), "prompt.1", "1 or more"),
    (text_with(prompt=[-1]), "prompt.0", "at least 0"),
    (text_with(prompt=[1, 264]), "prompt.1", "0 to 263"),
    (text_with(prompt=[[1], [2, 264]], echo=True), "prompt.1.1", "0 to 263"),
    (text_with(prompt=["x"] * 33), "prompt", "at most 32 prompts"),
    (text_with(prompt=["x"] * 10, n=8), "prompt", "at most 4 prompts"),
    (text_with(max_tokens=0), "max_tokens", "together with echo"),
    (text_with(max_tokens=-1), "max_tokens", "between 0 and"),
    (text_with(best_of=9), "best_of", "between 1 and 8"),
    (text_with(n=3, best_of=2), "best_of", "n (3) or more, got 2"),
    (text_with(best_of=2, stream=True), "best_of", "stream"),
    (text_with(echo="yes"), "echo", "true or false"),
    (text_with(logprobs=21), "logprobs", "between 0 and 20"),
    (text_with(logprobs=True), "logprobs", "a whole number"),
    (text_with(suffix=1), "suffix", "a text"),
    (text_with(suffix="x", echo=True, logprobs=1), "suffix", "echo and logprobs"),
    (text_with(messages=[]), "messages", "unknown field"),
]


@pytest.mark.parametrize(("sent", "param", "says"), WRONG, ids=lambda part: json.dumps(part)[:60])
def test_a_wrong_field_is_refused_by_name_with_what_it_may_be(
    api: Api, sent: tuple[str, dict[str, Any]], param: str, says: str
) -> None:
    route, fields = sent
    answer = getattr(api, route)(**fields)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["param"] == param
    assert says in error["message"]
    assert not any(name in error["message"] for name in ("Body", "Message", "Input should", "pydantic", "="))
    assert api.service.requests == []


def test_every_field_has_a_wrong_value_above() -> None:
    tried = {param.split(".")[0] for _, param, _ in WRONG}
    assert {field for kind in KIND.values() for field in kind.model_fields} - tried == set()


def test_messages_of_the_openai_sdk_come_back_as_they_left(api: Api) -> None:
    (first,) = api.chat().json()["choices"]
    answer = api.chat(messages=[USER, {**first["message"], "annotations": [], "audio": None}, USER])
    assert answer.status_code == 200
    assert "assistant\nHello world" in text_of(api.service.requests[-1])


def test_a_stream_tells_its_token_counts_only_when_asked(api: Api) -> None:
    without = events_in(api.chat(stream=True))
    assert not any("usage" in event for event in without[:-1])
    counted = events_in(api.chat(stream=True, stream_options={"include_usage": True}))
    assert [event["usage"] for event in counted[:-2]] == [None] * (len(counted) - 2)
    assert counted[-2]["choices"] == []
    assert counted[-2]["usage"]["total_tokens"] == 33


@pytest.mark.parametrize("kind", KIND.values(), ids=KIND)
def test_every_field_is_documented(kind: Any) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "http-api.md").read_text(encoding="utf-8")
    for field in kind.model_fields:
        assert re.search(rf"`{field}[`:.]", page), field
