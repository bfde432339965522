"""Responses: items in, items out, typed events whose sum is the whole object; the openai SDK as a client."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from typing import Any

import openai
import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter
from starlette.testclient import TestClient

from llmserver.engine.request import Event, Failed, Request, Token
from llmserver.errors import EngineFailed, QueueFull
from llmserver.text.grammar import JSON_OBJECT
from tests.server.fake_models import make_models, serving
from tests.server.fake_service import HERE, FakeService, says, text_of
from tests.server.test_api_chat import ANSWERS, CALLS, HERMES

WEATHER: Any = {
    "type": "function",
    "name": "weather",
    "description": "Tell the weather.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "strict": False,
}


STREAM_EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


class Api:
    """A client, and the fake model behind it."""

    def __init__(self) -> None:
        app, engine = make_models()
        self.app, self.service = app, engine.opener.opened["tiny"]
        self.client = TestClient(app, base_url=HERE)

    def ask(self, **fields: Any) -> Any:
        return self.client.post("/v1/responses", json={"input": "hi", **fields})


@pytest.fixture(scope="module")
def shared() -> Api:
    return Api()


@pytest.fixture
def api(shared: Api) -> Api:
    FakeService.__init__(shared.service)
    shared.service.info = replace(shared.service.info, chat_template=HERMES)
    return shared


def events_in(answer: Any) -> list[dict[str, Any]]:
    """The events of a stream, each under its own name."""
    assert answer.status_code == 200, answer.text
    found = []
    for block in filter(None, answer.text.split("\n\n")):
        name, data = block.split("\n")
        found.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {found[-1]['type']}"
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    return found


def without_ids(value: Any) -> Any:
    if isinstance(value, dict):
        gone = {"id", "item_id", "call_id", "created_at", "completed_at"}
        return {key: without_ids(part) for key, part in value.items() if key not in gone}
    return [without_ids(part) for part in value] if isinstance(value, list) else value


# The answer


@pytest.mark.parametrize("per_batch", [1, 5])
@pytest.mark.parametrize("extra", [{}, {"max_output_tokens": 7}])
@pytest.mark.parametrize("text", ANSWERS)
def test_a_streamed_response_ends_with_the_whole_one(api: Api, text: str, extra: Any, per_batch: int) -> None:
    api.service.scripts = [says(text, per_batch=per_batch)]
    fields = {"tools": [WEATHER], **extra}
    whole = api.ask(**fields).json()
    events = events_in(api.ask(stream=True, **fields))
    assert events[-1]["type"] == f"response.{whole['status']}"
    assert without_ids(events[-1]["response"]) == without_ids(whole)
    Response.model_validate(whole)


@pytest.mark.parametrize("text", ANSWERS)
def test_events_tell_each_item_from_its_begin_to_its_end(api: Api, text: str) -> None:
    api.service.scripts = [says(text)]
    events = events_in(api.ask(stream=True, tools=[WEATHER]))
    assert [event["type"] for event in events[:2]] == ["response.created", "response.in_progress"]
    assert events[0]["response"]["status"] == "in_progress" and events[0]["response"]["output"] == []
    for event in events:
        STREAM_EVENT.validate_python(event)
    output = events[-1]["response"]["output"]
    for index, item in enumerate(output):
        own = [event for event in events if event.get("output_index") == index]
        kinds = [event["type"] for event in own]
        assert (kinds[0], kinds[-1]) == ("response.output_item.added", "response.output_item.done")
        assert own[0]["item"]["status"] == "in_progress" and own[-1]["item"] == item
        assert {event["item_id"] for event in own[1:-1]} == {item["id"]}
        told = "".join(event.get("delta", "") for event in own)
        if item["type"] == "function_call":
            assert told == item["arguments"] and kinds[-2] == "response.function_call_arguments.done"
            assert own[0]["item"]["arguments"] == ""
        else:
            assert told == item["content"][0]["text"]
            assert kinds[1] == "response.content_part.added" and kinds[-2] == "response.content_part.done"
            assert own[-3]["text"] == told
    assert [e["output_index"] for e in events if "output_index" in e] == sorted(
        e["output_index"] for e in events if "output_index" in e
    )


def test_a_text_is_one_message_with_counts(api: Api) -> None:
    api.service.scripts = [says("Hello world", cached=4)]
    answer = api.ask(metadata={"a": "b"}, temperature=0.5).json()
    (message,) = answer["output"]
    assert message["content"] == [{"type": "output_text", "text": "Hello world", "annotations": [], "logprobs": []}]
    assert (message["role"], message["status"], answer["status"]) == ("assistant", "completed", "completed")
    assert answer["usage"] == {
        "input_tokens": 22,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 18},
        "output_tokens": 11,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 33,
    }
    assert (answer["metadata"], answer["temperature"], answer["store"]) == ({"a": "b"}, 0.5, False)
    assert answer["id"].startswith("resp_") and message["id"].startswith("msg_")


def test_a_cut_answer_is_incomplete_and_says_why(api: Api) -> None:
    answer = api.ask(max_output_tokens=5).json()
    assert (answer["status"], answer["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert answer["output"][0]["status"] == "incomplete"
    assert answer["output"][0]["content"][0]["text"] == "Hello"


def test_reasoning_is_an_item_of_its_own(api: Api) -> None:
    api.service.scripts = [says("<think>two\nlines</think>\n\nDone.")]
    thought, message = api.ask().json()["output"]
    assert (thought["type"], thought["summary"]) == ("reasoning", [])
    assert thought["content"] == [{"type": "reasoning_text", "text": "two\nlines"}]
    assert message["content"][0]["text"] == "Done."


def test_calls_are_items_and_the_text_before_them_is_one(api: Api) -> None:
    api.service.scripts = [says(CALLS)]
    message, first, second = api.ask(tools=[WEATHER]).json()["output"]
    assert message["content"][0]["text"].strip() == "Let me look."
    assert [json.loads(call["arguments"]) for call in (first, second)] == [{"city": "Köln"}, {"city": "Ulm"}]
    assert first["call_id"].startswith("call_") and first["call_id"] != second["call_id"]


# The prompt


def test_items_become_the_messages_of_the_chat(api: Api) -> None:
    api.ask(
        instructions="Be brief.",
        input=[
            {"role": "user", "content": [{"type": "input_text", "text": "one"}, {"type": "input_text", "text": "two"}]},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "three"}]},
            {"role": "developer", "content": "four"},
            {"role": "user", "content": "five"},
        ],
    )
    prompt = text_of(api.service.requests[0])
    order = ["system\nBe brief.", "user\none\ntwo", "assistant\nthree", "four", "user\nfive"]
    at = [prompt.index(part) for part in order]
    assert at == sorted(at)
    chat = {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "one\ntwo"},
            {"role": "assistant", "content": "three"},
            {"role": "developer", "content": "four"},
            {"role": "user", "content": "five"},
        ]
    }
    api.client.post("/v1/chat/completions", json=chat)
    assert text_of(api.service.requests[1]) == prompt


def test_the_output_of_one_response_is_input_of_the_next(api: Api) -> None:
    api.service.scripts = [says(f"<think>hm</think>{CALLS}"), says("Sunny.")]
    first = api.ask(tools=[WEATHER]).json()
    calls = [item for item in first["output"] if item["type"] == "function_call"]
    results = [
        {"type": "function_call_output", "call_id": call["call_id"], "output": f"sun {i}"}
        for i, call in enumerate(calls)
    ]
    conversation = [{"role": "user", "content": "hi"}, *first["output"], *results]
    assert api.ask(tools=[WEATHER], input=conversation).json()["output"][0]["content"][0]["text"] == "Sunny."
    prompt = text_of(api.service.requests[1])
    assert "Let me look." in prompt and "Köln" in prompt and "sun 0" in prompt and "sun 1" in prompt


@pytest.mark.parametrize(
    ("fields", "attribute", "value"),
    [
        ({"temperature": 0}, "temperature", 0.0),
        ({"top_p": 0.3}, "top_p", 0.3),
        ({"seed": 7}, "seed", 7),
        ({"top_k": 3}, "top_k", 3),
    ],
)
def test_sampling_fields_reach_the_engine(api: Api, fields: Any, attribute: str, value: Any) -> None:
    api.ask(**fields)
    assert getattr(api.service.requests[0].sampling, attribute) == value


def test_a_format_becomes_a_grammar(api: Api) -> None:
    api.ask(text={"format": {"type": "json_object"}})
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    api.ask(text={"format": {"type": "json_schema", "name": "x", "schema": schema, "strict": True}})
    first, second = (request.sampling.grammar for request in api.service.requests)
    assert first is not None and first.text == JSON_OBJECT.text
    assert second is not None and second.text != first.text


def test_a_tool_can_be_forced(api: Api) -> None:
    api.ask(tools=[WEATHER], tool_choice={"type": "function", "name": "weather"})
    api.ask(tools=[WEATHER], tool_choice="none")
    forced, plain = (request.sampling.grammar for request in api.service.requests)
    assert forced is not None and not forced.lazy
    assert plain is None


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"input": ""}, "input", "must not be empty"),
        ({"input": []}, "input", "1 or more"),
        ({"input": 5}, "input", "must be a text or a list"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input.0.content.0.type", "--engine st"),
        ({"input": [{"role": "bot", "content": "a"}]}, "input.0.role", "'user'"),
        ({"input": [{"type": "file_search_call"}]}, "input.0.type", "must be 'message'"),
        ({"input": [{"type": "reasoning", "summary": []}]}, "input", "must hold a message"),
        ({"input": [{"type": "function_call", "name": "a", "arguments": "{}"}]}, "input.0.call_id", "required"),
        (
            {"input": [{"type": "function_call", "call_id": "c", "name": "a", "arguments": "{}"}]},
            "input",
            "tool message",
        ),
        ({"previous_response_id": "resp_1"}, "previous_response_id", "nothing is stored"),
        ({"conversation": "conv_1"}, "conversation", "nothing is stored"),
        ({"store": True}, "store", "nothing is stored"),
        ({"background": True}, "background", "nothing is stored"),
        ({"truncation": "auto"}, "truncation", "'disabled'"),
        ({"tools": [{"type": "web_search"}]}, "tools.0.type", "must be 'function'"),
        ({"tools": [WEATHER, WEATHER]}, "tools.1.name", "another tool"),
        (
            {"tools": [WEATHER], "tool_choice": {"type": "function", "name": "x"}},
            "tool_choice.name",
            "none of the tools",
        ),
        ({"tool_choice": "required"}, "tool_choice", "needs tools"),
        ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format.schema", "required"),
        ({"text": {"format": {"type": "text", "schema": {}}}}, "text.format.schema", "json_schema only"),
        ({"tools": [WEATHER], "text": {"format": {"type": "json_object"}}}, "text.format", "cannot be combined"),
        (
            {"text": {"format": {"type": "json_schema", "name": "x", "schema": {"type": "no"}}}},
            "text.format.schema",
            "",
        ),
        ({"temperature": 11}, "temperature", "between 0 and 10"),
        ({"max_output_tokens": 0}, "max_output_tokens", "between 1"),
        ({"reasoning": {"effort": "much"}}, "reasoning.effort", "'low'"),
        ({"max_tokens": 5}, "max_tokens", "unknown field"),
        ({"min_tokens": 9, "max_output_tokens": 5}, "min_tokens", "at most"),
        ({"metadata": {"a": 1}}, "metadata.a", "must be a text"),
    ],
)
def test_wrong_fields_are_refused_by_the_names_they_have_here(api: Api, fields: Any, param: str, words: str) -> None:
    answer = api.ask(**fields)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, param), error
    assert words.lower() in error["message"].lower()
    assert api.service.requests == []


# What goes wrong on the way


async def breaks(request: Request) -> AsyncIterator[Sequence[Event]]:
    yield [Token(72, "Hel")]
    yield [Failed(EngineFailed("the model broke"))]


async def fails(request: Request) -> AsyncIterator[Sequence[Event]]:
    yield [Failed(EngineFailed("the model broke"))]


def test_an_answer_that_breaks_off_ends_with_response_failed(api: Api) -> None:
    api.service.scripts = [breaks]
    last = events_in(api.ask(stream=True))[-1]
    assert last["type"] == "response.failed"
    assert last["response"]["status"] == "failed"
    assert last["response"]["error"] == {"code": "engine_failed", "message": "the model broke"}
    assert last["response"]["output"][0]["content"][0]["text"] == "Hel"


@pytest.mark.parametrize("stream", [True, False])
def test_what_fails_before_the_first_byte_is_a_plain_error(api: Api, stream: bool) -> None:
    api.service.scripts = [fails]
    assert api.ask(stream=stream).status_code == 500
    api.service.to_raise = [QueueFull("full", retry_after_s=3)]
    refused = api.ask(stream=stream)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "3")
    assert all(stream.cancelled.is_set() or stream.has_ended for stream in api.service.streams)


# The SDK


@pytest.fixture(scope="module")
def sdk(shared: Api) -> Iterator[openai.OpenAI]:
    with serving(shared.app) as url, openai.OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as client:
        yield client


class City(BaseModel):
    """What the SDK parses an answer into."""

    name: str
    people: int


def test_the_sdk_creates_streams_and_parses(api: Api, sdk: openai.OpenAI) -> None:
    api.service.scripts = [says("<think>hm</think>Grüße \u2028 😀")]
    whole = sdk.responses.create(model="tiny", input="hi", instructions="Be kind.", max_output_tokens=100)
    assert whole.output_text == "Grüße \u2028 😀"
    assert whole.usage and whole.usage.output_tokens_details.reasoning_tokens == 2
    with sdk.responses.stream(model="tiny", input="hi") as stream:
        texts = [event.delta for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert "".join(texts) == final.output_text == whole.output_text
    api.service.scripts = [says('{"name": "Ulm", "people": 120000}')]
    parsed = sdk.responses.parse(model="tiny", input="hi", text_format=City)
    assert parsed.output_parsed == City(name="Ulm", people=120000)
    with sdk.responses.stream(model="tiny", input="hi", text_format=City) as stream:
        assert stream.get_final_response().output_parsed == City(name="Ulm", people=120000)


def test_the_sdk_calls_tools_and_hands_their_results_back(api: Api, sdk: openai.OpenAI) -> None:
    api.service.scripts = [says(CALLS), says("Sunny.")]
    asked: list[Any] = [{"role": "user", "content": "hi"}]
    with sdk.responses.stream(model="tiny", input=asked, tools=[WEATHER]) as stream:
        snapshots = [e.snapshot for e in stream if e.type == "response.function_call_arguments.delta"]
        first = stream.get_final_response()
    calls = [item for item in first.output if item.type == "function_call"]
    assert json.loads(snapshots[-1]) == json.loads(calls[1].arguments) == {"city": "Ulm"}
    asked += first.output
    asked += [{"type": "function_call_output", "call_id": call.call_id, "output": "sun"} for call in calls]
    second = sdk.responses.create(model="tiny", input=asked, tools=[WEATHER])
    assert second.output_text == "Sunny."


def test_the_sdk_sees_a_failure_in_a_stream(api: Api, sdk: openai.OpenAI) -> None:
    api.service.scripts = [breaks]
    kinds = [event.type for event in sdk.responses.create(model="tiny", input="hi", stream=True)]
    assert kinds[-1] == "response.failed"


def test_a_client_that_goes_away_stops_the_answer(api: Api, sdk: openai.OpenAI) -> None:
    api.service.scripts = [says("word " * 400)]
    with sdk.responses.create(model="tiny", input="hi", stream=True) as stream:
        next(iter(stream))
    assert api.service.streams[0].cancelled.wait(10)
