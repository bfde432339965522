"""The batched engine through the openai SDK with the embedded model. Nothing here asserts what the model knows."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest

from tests.processes import MODEL, Process, llmserver, running
from tests.server.real import CHAT, FIXED, MESSAGES, N_VOCAB, NAME, client_of, get, n_tokens, post, text_of

pytestmark = pytest.mark.model

PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 10}, "age": {"type": "integer", "maximum": 99}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
TOOL: Any = {"type": "function", "function": {"name": "look_up", "description": "Look up.", "parameters": PERSON}}
SAME = {"grammar": 'root ::= "a 🦙 says 世界 and e\u0301"'}


@pytest.fixture(scope="module")
def client() -> Iterator[openai.OpenAI]:
    """A server of its own: where others have left the same prompt, computed in other batches, texts may part."""
    with running(llmserver()) as process, client_of(process) as made:
        made.chat.completions.create(**CHAT, max_tokens=1)  # from here on every test finds this prompt read
        yield made


# Chat


def test_a_streamed_answer_is_the_same_text_in_pieces(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(**CHAT, max_tokens=32)
    chunks = list(client.chat.completions.create(**CHAT, max_tokens=32, stream=True))
    assert whole.choices[0].message.content
    assert text_of(chunks) == whole.choices[0].message.content
    assert len(chunks) > 5
    assert [chunk.choices[0].finish_reason for chunk in chunks][-1] == whole.choices[0].finish_reason == "length"
    assert {chunk.choices[0].finish_reason for chunk in chunks[:-1]} == {None}
    assert chunks[0].choices[0].delta.role == whole.choices[0].message.role == "assistant"


def test_usage_and_timings_count_the_prompt_the_answer_and_what_was_cached(client: openai.OpenAI) -> None:
    first = client.chat.completions.create(**CHAT, max_tokens=8)
    options: Any = {"include_usage": True}
    chunks = list(client.chat.completions.create(**CHAT, max_tokens=8, stream=True, stream_options=options))
    usage = chunks[-1].usage
    assert usage and first.usage and usage.prompt_tokens_details
    assert (usage.prompt_tokens, usage.completion_tokens) == (first.usage.prompt_tokens, 8)
    assert usage.total_tokens == usage.prompt_tokens + 8
    assert usage.prompt_tokens_details.cached_tokens == usage.prompt_tokens - 1
    timings = first.model_extra["timings"] if first.model_extra else {}
    assert timings["predicted_n"] == 8
    assert timings["prompt_n"] + timings["cache_n"] == first.usage.prompt_tokens
    assert timings["predicted_ms"] > 0


def test_a_stop_string_ends_the_answer_before_it_also_when_tokens_split_it(client: openai.OpenAI) -> None:
    text = client.chat.completions.create(**CHAT, max_tokens=32).choices[0].message.content or ""
    begin = text.index(" ", 20) - 2
    stop = text[begin : begin + 9]  # from within a word to within another
    expected = text.partition(stop)[0]
    whole = client.chat.completions.create(**CHAT, max_tokens=32, stop=[stop, "never said"])
    chunks = list(client.chat.completions.create(**CHAT, max_tokens=32, stop=stop, stream=True))
    assert whole.choices[0].message.content == text_of(chunks) == expected
    assert whole.choices[0].finish_reason == chunks[-1].choices[0].finish_reason == "stop"


def test_characters_that_are_split_over_tokens_arrive_whole(client: openai.OpenAI) -> None:
    chunks = list(client.chat.completions.create(**CHAT, max_tokens=60, stream=True, extra_body=SAME))
    assert text_of(chunks) == "a 🦙 says 世界 and e\u0301"
    assert "\ufffd" not in "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


def test_n_answers_differ_by_seed_and_repeat_with_it(client: openai.OpenAI) -> None:
    hot: dict[str, Any] = {"model": NAME, "messages": MESSAGES, "temperature": 1.2, "max_tokens": 12, "n": 3}
    first, again = (client.chat.completions.create(**hot, seed=5) for _ in range(2))
    texts = [choice.message.content for choice in first.choices]
    assert [choice.index for choice in first.choices] == [0, 1, 2]
    assert len(set(texts)) == 3
    assert first.usage and first.usage.completion_tokens <= 36
    assert again.usage and again.usage.prompt_tokens == first.usage.prompt_tokens
    chunks = list(client.chat.completions.create(**hot, stream=True))
    assert {choice.index for chunk in chunks for choice in chunk.choices} == {0, 1, 2}
    assert sum(choice.finish_reason is not None for chunk in chunks for choice in chunk.choices) == 3


def test_log_probabilities_add_up_and_name_the_alternatives(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(**CHAT, max_tokens=6, logprobs=True, top_logprobs=3)
    assert whole.choices[0].logprobs
    entries = whole.choices[0].logprobs.content or []
    assert len(entries) == 6
    assert "".join(entry.token for entry in entries) == whole.choices[0].message.content
    for entry in entries:
        assert bytes(entry.bytes or []).decode() == entry.token
        assert entry.top_logprobs[0].token == entry.token  # greedy
        assert sum(math.exp(top.logprob) for top in entry.top_logprobs) <= 1.0001
        assert entry.logprob == entry.top_logprobs[0].logprob <= 0
    chunks = list(client.chat.completions.create(**CHAT, max_tokens=6, logprobs=True, stream=True))
    streamed = [e.token for c in chunks if c.choices[0].logprobs for e in c.choices[0].logprobs.content or []]
    assert streamed == [entry.token for entry in entries]


def test_logit_bias_by_id_and_by_text(client: openai.OpenAI, real_server: Process) -> None:
    (token,) = post(real_server, "/extras/tokenize", {"input": " sea"})[1]["tokens"]
    for bias, extra in (({str(token): 100}, {}), ({" sea": 100}, {"logit_bias_type": "tokens"})):
        forced: Any = client.chat.completions.create(**CHAT, max_tokens=3, logit_bias=bias, extra_body=extra)
        assert forced.choices[0].message.content == " sea sea sea"
    banned = client.chat.completions.create(**CHAT, max_tokens=24, logit_bias={str(token): -100})
    assert " sea " not in (banned.choices[0].message.content or "")


@pytest.mark.parametrize("stream", [False, True])
def test_json_schema_json_object_and_gbnf_hold(client: openai.OpenAI, stream: bool) -> None:
    def ask(**fields: Any) -> str:
        hot = CHAT | {"temperature": 1.3, "max_tokens": 60, "stream": stream}
        answer: Any = client.chat.completions.create(**hot, **fields)
        return text_of(list(answer)) if stream else answer.choices[0].message.content

    named = {"name": "person", "schema": PERSON, "strict": True}
    person = json.loads(ask(response_format={"type": "json_schema", "json_schema": named}))
    assert list(person) == ["name", "age"]
    assert ask(response_format={"type": "json_object"}).lstrip().startswith("{")
    assert ask(extra_body={"grammar": 'root ::= "yes" | "no"'}) in {"yes", "no"}


def test_a_required_tool_is_called_streamed_and_not_and_its_result_is_read(client: openai.OpenAI) -> None:
    ask: dict[str, Any] = CHAT | {"tools": [TOOL], "tool_choice": "required", "parallel_tool_calls": False}
    whole = client.chat.completions.create(**ask, max_tokens=120).choices[0]
    assert whole.finish_reason == "tool_calls"
    (call,) = whole.message.tool_calls or []
    assert call.type == "function"
    assert call.function.name == "look_up"
    assert list(json.loads(call.function.arguments)) == ["name", "age"]

    chunks = list(client.chat.completions.create(**ask, max_tokens=120, stream=True))
    parts = [part for chunk in chunks for part in chunk.choices[0].delta.tool_calls or []]
    assert parts[0].function and parts[0].function.name == "look_up"
    arguments = "".join(part.function.arguments or "" for part in parts if part.function)
    assert list(json.loads(arguments)) == ["name", "age"]
    assert chunks[-1].choices[0].finish_reason == "tool_calls"
    assert not text_of(chunks).strip()

    said: list[Any] = [*MESSAGES, whole.message.model_dump(exclude_none=True)]
    result: Any = {"role": "tool", "tool_call_id": call.id, "content": "found"}
    answer = client.chat.completions.create(**FIXED, messages=[*said, result], tools=[TOOL], max_tokens=8)
    assert answer.usage and answer.usage.completion_tokens


def test_many_requests_at_once_are_all_answered(client: openai.OpenAI) -> None:
    with ThreadPoolExecutor(12) as pool:
        made = [pool.submit(client.completions.create, **FIXED, prompt=f"{i} and", max_tokens=6) for i in range(12)]
        assert [answer.result(120).choices[0].finish_reason for answer in made] == ["length"] * 12


# Text


def test_several_prompts_several_answers_in_order(client: openai.OpenAI, real_server: Process) -> None:
    prompts = ["Once upon a time", "The sea is"]
    both = client.completions.create(**FIXED, prompt=prompts, max_tokens=4, n=2, echo=True)
    assert [choice.index for choice in both.choices] == [0, 1, 2, 3]
    begins = [prompt for prompt in prompts for _ in range(2)]
    assert [choice.text.startswith(begin) for choice, begin in zip(both.choices, begins, strict=True)] == [True] * 4
    assert both.usage
    assert both.usage.prompt_tokens == sum(n_tokens(real_server, prompt) for prompt in prompts)
    assert both.usage.completion_tokens == 16
    chunks = list(client.completions.create(**FIXED, prompt=prompts, max_tokens=4, echo=True, stream=True))
    for i, prompt in enumerate(prompts):
        assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices[0].index == i).startswith(prompt)


def test_best_of_gives_the_likelier_answer(client: openai.OpenAI) -> None:
    two_words = {"grammar": 'root ::= " sea" | " xylophone"'}
    hot: Any = {"model": NAME, "prompt": "The", "temperature": 10, "seed": 3, "extra_body": two_words}
    every = client.completions.create(**hot, n=8, logprobs=0).choices
    assert len({choice.text for choice in every}) == 2
    values = {choice.text: choice.logprobs.token_logprobs or [] for choice in every if choice.logprobs}
    likelier = max(values, key=lambda text: sum(values[text]) / len(values[text]))  # type: ignore[arg-type]
    best = client.completions.create(**hot, best_of=8)
    assert [choice.text for choice in best.choices] == [likelier]


def test_echo_begins_with_the_prompt_and_tells_its_log_probabilities(client: openai.OpenAI) -> None:
    echoed = client.completions.create(**FIXED, prompt="The sea is", max_tokens=3, echo=True, logprobs=1).choices[0]
    assert echoed.text.startswith("The sea is")
    assert echoed.logprobs and echoed.logprobs.tokens and echoed.logprobs.token_logprobs
    assert "".join(echoed.logprobs.tokens) == echoed.text
    assert echoed.logprobs.token_logprobs[0] is None
    assert all(value is not None and value <= 0 for value in echoed.logprobs.token_logprobs[1:])
    for at, token in zip(echoed.logprobs.text_offset or [], echoed.logprobs.tokens, strict=True):
        assert echoed.text[at:].startswith(token)
    scored = client.completions.create(**FIXED, prompt="The sea is", max_tokens=0, echo=True, logprobs=1).choices[0]
    assert scored.text == "The sea is"


def test_a_prompt_of_tokens_is_the_prompt_of_its_text(client: openai.OpenAI, real_server: Process) -> None:
    tokens = post(real_server, "/extras/tokenize", {"input": "Once upon a time"})[1]["tokens"]
    client.completions.create(**FIXED, prompt=tokens, max_tokens=1)  # both find it read
    text, same = (
        client.completions.create(**FIXED, prompt=prompt, max_tokens=8) for prompt in ("Once upon a time", tokens)
    )
    assert text.choices[0].text == same.choices[0].text


# What else it offers


def test_tokens_can_be_counted_and_turned_back_into_text(real_server: Process) -> None:
    text = "Grüße, 世界! 🦙"
    status, found = post(real_server, "/extras/tokenize", {"input": text})
    assert (status, len(found["tokens"])) == (200, n_tokens(real_server, text))
    assert post(real_server, "/extras/detokenize", {"tokens": found["tokens"]}) == (200, {"text": text})
    status, half = post(real_server, "/extras/detokenize", {"tokens": found["tokens"][-1:]})
    assert (status, "\ufffd" in half["text"]) == (200, True)


def test_the_model_has_one_name_everywhere_and_says_what_it_is(client: openai.OpenAI, real_server: Process) -> None:
    assert [model.id for model in client.models.list()] == [NAME]
    assert client.models.retrieve(NAME).id == NAME
    assert client.completions.create(**FIXED, prompt="0", max_tokens=1).model == NAME
    status, unnamed = post(real_server, "/v1/completions", {"prompt": "0", "max_tokens": 1})
    assert (status, unnamed["model"]) == (200, NAME)
    assert str(MODEL.parent) not in json.dumps(unnamed)
    meta = get(real_server, "/v1/models")[1]["data"][0]["meta"]
    assert (meta["state"], meta["n_ctx"], meta["n_vocab"], meta["demo"]) == ("ok", 4096, N_VOCAB, True)
