"""Chat completions: the exact shape of chunks and answers, tools, reasoning, formats; streamed equals whole."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from llmserver.text.grammar import JSON_OBJECT
from tests.server.fake_service import BOS, CHATML, PIECES, Api, events_in, fresh_api, says, text_of

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tell the weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
HERMES = CHATML.replace("{% for", "{% if tools %}{{ tools | tojson }}<tool_call>{% endif %}{% for", 1)
THINKS = CHATML + "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}"
CALLS = (
    'Let me look.\n<tool_call>\n{"name": "weather", "arguments": {"city": "Köln"}}\n</tool_call>\n'
    '<tool_call>\n{"name": "weather", "arguments": {"city": "Ulm"}}\n</tool_call>'
)
ANSWERS = ["Hello world", "Grüße 😀 漢字", "", "<think>two\nlines</think>\n\nDone.", CALLS, 'quote " \\ \u2028 end']


@pytest.fixture
def api() -> Api:
    return fresh_api()


def folded(events: list[Any]) -> list[dict[str, Any]]:
    """The choices that a stream's chunks add up to."""
    found: dict[int, dict[str, Any]] = {}
    assert events[-1] == "[DONE]"
    for chunk in events[:-1]:
        for choice in chunk["choices"]:
            at = found.setdefault(choice["index"], {"index": choice["index"], "message": {}, "logprobs": None})
            message, delta = at["message"], choice["delta"]
            for key in ("role", "content", "reasoning_content"):
                if key in delta:
                    message[key] = message.get(key, "") + delta[key]
            for call in delta.get("tool_calls", ()):
                calls = message.setdefault("tool_calls", [])
                if call["index"] == len(calls):
                    calls.append({"id": call["id"], "type": call["type"], "function": dict(call["function"])})
                else:
                    calls[call["index"]]["function"]["arguments"] += call["function"]["arguments"]
            if choice["logprobs"]:
                at["logprobs"] = at["logprobs"] or {"content": [], "refusal": None}
                at["logprobs"]["content"] += choice["logprobs"]["content"]
            at["finish_reason"] = choice["finish_reason"]
    return [found[index] for index in sorted(found)]


def comparable(choice: dict[str, Any]) -> dict[str, Any]:
    message = {key: value for key, value in choice["message"].items() if key != "refusal"}
    message["content"] = message["content"] or ""
    for call in message.get("tool_calls", ()):
        assert re.fullmatch(r"call_[0-9a-f]{24}", call.pop("id"))
    has_logprobs = choice["logprobs"] and choice["logprobs"]["content"]
    return {**choice, "message": message, "logprobs": choice["logprobs"] if has_logprobs else None}


@pytest.mark.parametrize("per_batch", [1, 5])
@pytest.mark.parametrize("extra", [{}, {"n": 2}, {"logprobs": True, "top_logprobs": 2}, {"max_tokens": 7}])
@pytest.mark.parametrize("text", ANSWERS)
def test_a_streamed_answer_equals_the_whole_one(api: Api, text: str, extra: dict[str, Any], per_batch: int) -> None:
    api.service.info = replace(api.service.info, chat_template=HERMES)
    api.service.scripts = [says(text, per_batch=per_batch)]
    fields = {"tools": [WEATHER], **extra}
    whole = api.chat(**fields).json()["choices"]
    streamed = folded(events_in(api.chat(stream=True, **fields)))
    assert list(map(comparable, streamed)) == list(map(comparable, whole))
    assert len(whole) == extra.get("n", 1)


def test_chunks_have_exactly_openais_shape(api: Api) -> None:
    api.service.scripts = [says("ab", cached=4)]
    *chunks, done = events_in(api.chat(stream=True, stream_options={"include_usage": True}))
    head = {"object": "chat.completion.chunk", "model": "tiny"}
    for chunk in chunks:
        assert re.fullmatch(r"chatcmpl-[0-9a-f]{24}", chunk.pop("id"))
        assert chunk.pop("created") > 1_700_000_000
        assert chunk.pop("system_fingerprint").startswith("paddock-")
        assert {key: chunk.pop(key) for key in head} == head

    def delta(value: dict[str, Any], reason: str | None = None) -> list[dict[str, Any]]:
        return [{"index": 0, "delta": value, "logprobs": None, "finish_reason": reason}]

    assert chunks[3].pop("timings") == {
        "cache_n": 4,
        "prompt_n": 18,
        "prompt_ms": 5.0,
        "prompt_per_token_ms": 0.278,
        "prompt_per_second": 3600.0,
        "predicted_n": 2,
        "predicted_ms": 10.0,
        "predicted_per_token_ms": 5.0,
        "predicted_per_second": 200.0,
    }
    assert chunks == [
        {"choices": delta({"role": "assistant", "content": ""}), "usage": None},
        {"choices": delta({"content": "a"}), "usage": None},
        {"choices": delta({"content": "b"}), "usage": None},
        {"choices": delta({}, "stop"), "usage": None},
        {
            "choices": [],
            "usage": {
                "prompt_tokens": 22,
                "completion_tokens": 2,
                "total_tokens": 24,
                "prompt_tokens_details": {"cached_tokens": 4},
            },
        },
    ]
    assert done == "[DONE]"


def test_a_whole_answer_has_exactly_openais_shape(api: Api) -> None:
    body = api.chat(model="tiny:pirate").json()
    assert list(body) == ["id", "object", "created", "model", "system_fingerprint", "choices", "usage", "timings"]
    assert (body["object"], body["model"]) == ("chat.completion", "tiny:pirate")
    message = {"role": "assistant", "content": "Hello world", "refusal": None}
    assert body["choices"] == [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}]
    assert body["usage"]["prompt_tokens"] == len(api.service.requests[0].tokens)


def test_log_probabilities_name_each_token_with_its_bytes_and_alternatives(api: Api) -> None:
    api.service.scripts = [says("é")]
    (choice,) = api.chat(logprobs=True, top_logprobs=1).json()["choices"]
    top = [{"token": "A", "logprob": -0.65, "bytes": [65]}]
    assert choice["logprobs"] == {
        "content": [
            {"token": "�", "logprob": -1.95, "bytes": [0xC3], "top_logprobs": top},
            {"token": "�", "logprob": -1.69, "bytes": [0xA9], "top_logprobs": top},
        ],
        "refusal": None,
    }


def test_an_answer_cut_at_max_tokens_says_length(api: Api) -> None:
    (choice,) = api.chat(max_tokens=5).json()["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("Hello", "length")


def test_several_answers_come_in_one_stream_by_index_and_the_prompt_counts_once(api: Api) -> None:
    api.service.scripts = [says("one"), says("two, longer"), says("three")]
    events = events_in(api.chat(n=3, stream=True, stream_options={"include_usage": True}))
    assert [choice["message"]["content"] for choice in folded(events)] == ["one", "two, longer", "three"]
    assert len({event["id"] for event in events[:-1]}) == 1
    assert [sum("timings" in event for event in events[:-1]), events[-2]["usage"]["prompt_tokens"]] == [1, 22]
    assert events[-2]["usage"]["completion_tokens"] == len("onetwo, longerthree")


def test_reasoning_leaves_as_reasoning_content(api: Api) -> None:
    api.service.scripts = [says("<think>hmm</think>\n\nYes.")]
    (choice,) = api.chat().json()["choices"]
    assert (choice["message"]["reasoning_content"], choice["message"]["content"]) == ("hmm", "Yes.")
    (choice,) = api.chat(reasoning_format="none").json()["choices"]
    assert choice["message"]["content"] == "<think>hmm</think>\n\nYes."
    assert "reasoning_content" not in choice["message"]


def test_an_answer_to_a_prompt_that_opened_the_thought_begins_inside_it(api: Api) -> None:
    api.service.info = replace(api.service.info, chat_template=CHATML + "<think>\n")
    api.service.scripts = [says("hmm</think>Yes.")]
    (choice,) = api.chat().json()["choices"]
    assert (choice["message"]["reasoning_content"], choice["message"]["content"]) == ("hmm", "Yes.")


def test_special_tokens_that_mark_thoughts_stay_visible(api: Api) -> None:
    api.chat()
    assert {PIECES[token] for token in api.service.requests[0].preserved} == {b"<think>", b"</think>"}


@pytest.mark.parametrize("stream", [False, True])
def test_tool_calls_leave_as_calls_with_fragments_of_arguments(api: Api, stream: bool) -> None:
    api.service.info = replace(api.service.info, chat_template=HERMES)
    api.service.scripts = [says(CALLS)]
    answer = api.chat(tools=[WEATHER], stream=stream)
    (choice,) = folded(events_in(answer)) if stream else answer.json()["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"].strip() == "Let me look."
    calls = choice["message"]["tool_calls"]
    assert [json.loads(call["function"]["arguments"])["city"] for call in calls] == ["Köln", "Ulm"]
    assert {call["function"]["name"] for call in calls} == {"weather"}
    assert "Tell the weather." in text_of(api.service.requests[0])


def test_the_first_delta_of_a_call_has_id_type_and_name_and_later_ones_only_arguments(api: Api) -> None:
    api.service.scripts = [says('<tool_call>{"name": "weather", "arguments": {"city": "Ulm"}}</tool_call>')]
    events = events_in(api.chat(tools=[WEATHER], stream=True))
    first, *later = [
        call for event in events[:-1] for c in event["choices"] for call in c["delta"].get("tool_calls", ())
    ]
    assert (first["index"], first["type"], first["function"]) == (0, "function", {"name": "weather", "arguments": ""})
    assert len(later) > 1
    assert all(set(call) == {"index", "function"} and set(call["function"]) == {"arguments"} for call in later)


def test_tool_choice_decides_the_grammar(api: Api) -> None:
    def grammar(**fields: Any) -> Any:
        assert api.chat(tools=[WEATHER], **fields).status_code == 200
        return api.service.requests[-1].sampling.grammar

    assert grammar().lazy
    assert grammar(tool_choice="none") is None
    assert not grammar(tool_choice="required").lazy
    named = grammar(tool_choice={"type": "function", "function": {"name": "weather"}})
    assert (named.lazy, "weather" in named.text) == (False, True)
    assert grammar(parallel_tool_calls=False) != grammar(parallel_tool_calls=True)


def test_with_tool_choice_none_calls_are_text_and_tools_are_not_told(api: Api) -> None:
    api.service.scripts = [says(CALLS)]
    (choice,) = api.chat(tools=[WEATHER], tool_choice="none").json()["choices"]
    assert choice["message"]["content"] == CALLS
    assert "Tell the weather." not in text_of(api.service.requests[0])


def test_calls_and_their_results_are_told_to_the_model(api: Api) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Ulm"}'}}
    answer = api.chat(
        messages=[
            {"role": "developer", "content": [{"type": "text", "text": "be"}, {"type": "text", "text": "kind"}]},
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
        ],
        tools=[WEATHER],
    )
    prompt = text_of(api.service.requests[0])
    assert answer.status_code == 200
    assert all(part in prompt for part in ("system\nbe\nkind", '"city": "Ulm"', "sunny"))


SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


def test_response_format_decides_the_grammar(api: Api) -> None:
    def grammar(response_format: dict[str, Any]) -> Any:
        answer = api.chat(response_format=response_format)
        assert answer.status_code == 200, answer.text
        return api.service.requests[-1].sampling.grammar

    assert grammar({"type": "text"}) is None
    assert grammar({"type": "json_object"}) == JSON_OBJECT
    by_schema = grammar({"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA, "strict": True}})
    assert '\\"a\\"' in by_schema.text
    assert grammar({"type": "json_object", "schema": SCHEMA}) == by_schema


def test_a_schema_that_no_grammar_can_say_is_refused_when_strict(api: Api) -> None:
    schema = {"type": "object", "properties": {"a": {"not": {"type": "string"}}}}
    shape = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": True}}
    answer = api.chat(response_format=shape)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_schema")
    shape["json_schema"]["strict"] = False  # type: ignore[index]
    assert api.chat(response_format=shape).status_code == 200


def test_a_model_that_thinks_may_do_so_before_a_forced_answer(api: Api) -> None:
    api.service.info = replace(api.service.info, chat_template=THINKS)
    shape = {"type": "json_object"}
    api.chat(response_format=shape)
    assert "</think>" in api.service.requests[-1].sampling.grammar.text
    api.chat(response_format=shape, enable_thinking=False)
    assert api.service.requests[-1].sampling.grammar == JSON_OBJECT


def test_a_last_assistant_message_is_continued(api: Api) -> None:
    api.chat(messages=[{"role": "user", "content": "hi"}, {"role": "assistant", "content": "Hel"}])
    assert text_of(api.service.requests[0]).endswith("<|im_start|>assistant\nHel")


@pytest.mark.parametrize(
    ("template", "add_bos", "n_bos"), [(CHATML, True, 1), ("{{ bos_token }}" + CHATML, True, 1), (CHATML, False, 0)]
)
def test_a_prompt_has_one_begin_token_or_none(api: Api, template: str, add_bos: bool, n_bos: int) -> None:
    api.service.info = replace(api.service.info, chat_template=template, add_bos=add_bos)
    api.chat()
    assert api.service.requests[0].tokens.count(BOS) == n_bos


def test_a_model_without_a_template_cannot_chat(api: Api) -> None:
    api.service.info = replace(api.service.info, chat_template="")
    answer = api.chat()
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "no_chat_template")
    assert not api.service.requests


def test_settings_of_a_model_name_another_template(api: Api) -> None:
    api.pool.settings = api.pool.settings.model_copy(update={"chat_format": "gemma"})
    api.chat()
    assert text_of(api.service.requests[0]) == "<s><start_of_turn>user\nhi<end_of_turn>\n<start_of_turn>model\n"


def test_a_template_that_refuses_is_a_400_in_its_own_words(api: Api) -> None:
    api.service.info = replace(api.service.info, chat_template="{{ raise_exception('no robots here') }}")
    answer = api.chat()
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "template_refused")
    assert "no robots here" in answer.json()["error"]["message"]


def test_an_embedding_model_writes_no_text(api: Api) -> None:
    for answer in (api.chat(model="embed"), api.complete(model="embed")):
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "model")


def test_an_unknown_model_is_a_404_that_lists_the_known_ones(api: Api) -> None:
    error = api.chat(model="gpt-4o").json()["error"]
    assert (error["code"], error["param"]) == ("model_not_found", "model")
    assert "tiny:pirate" in error["message"]


def test_a_long_conversation_is_prepared_beside_the_event_loop(api: Api) -> None:
    assert api.chat(messages=[{"role": "user", "content": "x" * 30_000}]).status_code == 200
    assert len(api.service.requests[0].tokens) > 30_000


def test_requests_are_told_apart_by_key_and_without_one_by_address() -> None:
    api = Api("--api_key", "secret")
    assert api.chat().status_code == 401
    answer = api.post(
        "/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}]}, authorization="Bearer secret"
    )
    assert answer.status_code == 200
    owner = api.service.requests[0].owner
    assert (owner.startswith("key "), "secret" in owner) == (True, False)
    other = Api()
    other.chat()
    assert other.service.requests[0].owner == "address testclient"
