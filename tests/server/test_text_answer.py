"""Answers split into reasoning, text and tool calls: every family, every way to cut, every way to be broken."""

# ruff: noqa: E501, RUF001  # answers stand as models write them, DeepSeek with full-width bars
from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import count, pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from llmserver.text.answer import AnswerParser, CallArguments, CallBegin, Delta, Reasoning, Text
from llmserver.text.families import FAMILIES, GENERIC, HARMONY, Family

BY_NAME = {family.name: family for family in (*FAMILIES, GENERIC)}
CITY = '{"city": "Z\u00fcrich \U0001f999 {\\"}"}'
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"properties": {"city": {"type": "string"}}}}}
    for name in ("weather", "time")
]

# family, an answer with two calls, the text around them
SPOKEN = [
    (
        "hermes",
        '<tool_call>\n{"name": "weather", "arguments": %s}\n</tool_call>\n<tool_call>{"name":"time","arguments":{}}</tool_call>',
    ),
    ("hermes", '<tool_call>[{"name": "weather", "arguments": %s}, {"name": "time", "arguments": {}}]</tool_call>'),
    ("hermes", '<tool_call>{"arguments": %s, "name": "weather"}\n{"name": "time"}</tool_call>'),
    (
        "hermes",
        '<tool_call>{"type": "function", "name": "weather", "arguments": %s</tool_call><tool_call>{"name": "time", "arguments": null}</tool_call>',
    ),
    ("generic", '{"name": "weather", "arguments": %s} {"name": "time", "parameters": {}}'),
    ("llama-3", '{"name": "weather", "parameters": %s}; {"name": "time", "parameters": {}}'),
    (
        "llama-3",
        '<|python_tag|>{"type": "function", "function": {"name": "weather", "parameters": %s}}{"name": "time", "parameters": {}, "id": "x"}',
    ),
    (
        "mistral",
        '[TOOL_CALLS][{"name": "weather", "arguments": %s, "id": "abcdefghi"}, {"name": "time", "arguments": {}}]',
    ),
    ("mistral-args", "[TOOL_CALLS]weather[ARGS]%s[TOOL_CALLS]time[CALL_ID]abc123XYZ[ARGS]{}"),
    (
        "deepseek",
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>weather<｜tool▁sep｜>%s<｜tool▁call▁end｜><｜tool▁call▁begin｜>time<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
    ),
    (
        "deepseek-r1",
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>weather\n```json\n%s\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>time\n```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
    ),
    (
        "kimi",
        "<|tool_calls_section_begin|><|tool_call_begin|>functions.weather:0<|tool_call_argument_begin|>%s<|tool_call_end|><|tool_call_begin|>functions.time:1<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_calls_section_end|>",
    ),
    (
        "token-list",
        '<|tool_call|>[{"name": "weather", "arguments": %s}, {"name": "time", "arguments": {}}]<|/tool_call|>',
    ),
    ("nemotron", '<TOOLCALL>[{"name": "weather", "arguments": %s}, {"name": "time", "arguments": {}}]</TOOLCALL>'),
    (
        "command-r7b",
        '<|START_ACTION|>[{"tool_call_id": "0", "tool_name": "weather", "parameters": %s}, {"tool_call_id": "1", "tool_name": "time", "parameters": {}}]<|END_ACTION|>',
    ),
    ("function-tag", "<function=weather>%s</function>\n<function=time>{}</function>"),
    (
        "harmony",
        "<|channel|>commentary to=functions.weather <|constrain|>json<|message|>%s<|call|><|start|>assistant to=functions.time<|channel|>commentary json<|message|>{}<|call|>",
    ),
]
PLAIN_CITY = json.loads(CITY)["city"]
SPOKEN_TAGS = [
    (
        "qwen-coder",
        f"<tool_call>\n<function=weather>\n<parameter=city>\n{PLAIN_CITY}\n</parameter>\n</function>\n</tool_call>\n<tool_call><function=time></function></tool_call>",
    ),
    (
        "qwen-coder",
        f"<tool_call><function=weather><parameter=city>{PLAIN_CITY}</parameter></function><function=time></function></tool_call>",
    ),
    (
        "glm",
        f"<tool_call>weather\n<arg_key>city</arg_key>\n<arg_value>{PLAIN_CITY}</arg_value>\n</tool_call>\n<tool_call>time\n</tool_call>",
    ),
]
ANSWERS = [(name, spoken.replace("%s", CITY)) for name, spoken in SPOKEN] + SPOKEN_TAGS


def read(family: Family, pieces: Sequence[str], **settings: Any) -> list[Delta]:
    ids = count()
    options = {"tools": TOOLS, "reasoning": True, "new_id": lambda: f"id{next(ids)}", **settings}
    parser = AnswerParser(family, **options)
    deltas = [delta for piece in pieces for delta in parser.feed(piece)] + parser.finish()
    assert parser.n_calls == sum(isinstance(delta, CallBegin) for delta in deltas)
    return joined(deltas)


def joined(deltas: list[Delta]) -> list[Delta]:
    """Neighbours of one kind put together."""
    found: list[Delta] = []
    for delta in deltas:
        last = found[-1] if found else None
        if isinstance(delta, Text | Reasoning) and type(last) is type(delta):
            found[-1] = type(delta)(last.text + delta.text)  # type: ignore[union-attr]
        elif isinstance(delta, CallArguments) and isinstance(last, CallArguments) and last.index == delta.index:
            found[-1] = CallArguments(delta.index, last.text + delta.text)
        else:
            found.append(delta)
    return found


def calls(deltas: list[Delta]) -> list[tuple[str, Any]]:
    names = {delta.index: delta.name for delta in deltas if isinstance(delta, CallBegin)}
    return [
        (name, json.loads("".join(d.text for d in deltas if isinstance(d, CallArguments) and d.index == index)))
        for index, name in names.items()
    ]


def text_of(deltas: list[Delta]) -> str:
    return "".join(delta.text for delta in deltas if isinstance(delta, Text))


@pytest.mark.parametrize(("name", "answer"), ANSWERS, ids=lambda value: value[:30])
def test_each_family_calls_two_tools_in_its_own_words(name: str, answer: str) -> None:
    deltas = read(BY_NAME[name], list(answer))
    assert calls(deltas) == [("weather", json.loads(CITY)), ("time", {})]
    assert [delta.id for delta in deltas if isinstance(delta, CallBegin)] == ["id0", "id1"]
    assert text_of(deltas) == ""


@pytest.mark.parametrize(("name", "answer"), ANSWERS, ids=lambda value: value[:30])
def test_a_thought_and_text_before_calls_stay_what_they_are(name: str, answer: str) -> None:
    family = BY_NAME[name]
    preamble = "" if family.calls.is_bare else "Let me look."
    if family is HARMONY:
        preamble = "<|start|>assistant<|channel|>commentary<|message|>Let me look.<|end|><|start|>assistant"
    whole = f"{family.thought.open}\nhm {'{'} hm\n{family.thought.close}\n\n{preamble}{answer}"
    deltas = read(family, [whole])
    assert deltas[0] == Reasoning("hm { hm")
    assert text_of(deltas) == ("Let me look." if preamble else "")
    assert len(calls(deltas)) == 2


def pieces_of(text: str, places: list[int]) -> list[str]:
    edges = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    return [text[a:b] for a, b in pairwise(edges)]


PARTS = [
    "<think>", "</think>", "\n", " ", "a", "<", "{", "}", "[", "]", ",", '"', '"name": "weather"', '"arguments": ',
    '{"name": "weather", "arguments": {"x": 1}}', '{"name": "other", "arguments": {}}', '{"name": "weather"}',
    "<tool_call>", "</tool_call>", "<function=weather>", "</function>", "<parameter=city>", "</parameter>", "\\", "1",
    "[TOOL_CALLS]", "weather[ARGS]{}", "weather", "<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>", "```",
    "<|channel|>final<|message|>", "<|channel|>analysis<|message|>", "<|end|>", "<|start|>assistant",
    "<|channel|>commentary to=functions.weather<|message|>", "<|python_tag|>", "<arg_key>k</arg_key>", "<arg_value>",
]  # fmt: skip
wild = st.lists(st.sampled_from(PARTS), max_size=14).map("".join)
families = st.sampled_from([*FAMILIES, GENERIC])


@settings(max_examples=400)
@given(
    families, wild | st.sampled_from([answer for _, answer in ANSWERS]), st.lists(st.integers(0, 400)), st.booleans()
)
@example(HARMONY, "<|start|>assistant<|start|>assistant to=functions.weather<|message|>{}", list(range(60)), False)
def test_the_result_does_not_depend_on_how_the_text_was_cut(
    family: Family, answer: str, places: list[int], starts_inside: bool
) -> None:
    whole = read(family, [answer], starts_inside=starts_inside)
    assert read(family, pieces_of(answer, places), starts_inside=starts_inside) == whole
    assert read(family, list(answer), starts_inside=starts_inside) == whole


@settings(max_examples=300)
@given(families, wild, st.booleans())
def test_without_a_call_no_character_but_white_space_and_tags_is_lost(
    family: Family, answer: str, reasons: bool
) -> None:
    deltas = read(family, list(answer), tools=[{"function": {"name": "never"}}], reasoning=reasons)
    assert not any(isinstance(delta, CallBegin) for delta in deltas)
    left = "".join(delta.text for delta in deltas if isinstance(delta, Text | Reasoning))
    for tag in (*family.noise, family.thought.open, family.thought.close) if reasons else family.noise:
        left, answer = left.replace(tag, ""), answer.replace(tag, "")
    assert "".join(left.split()) == "".join(answer.split())


def test_plain_text_flows_at_once() -> None:
    parser = AnswerParser(BY_NAME["hermes"], tools=TOOLS, reasoning=True)
    assert [parser.feed(piece) for piece in ("Hi", " there", " 1 < 2")] == [
        [Text("Hi")],
        [Text(" there")],
        [Text(" 1 < 2")],
    ]


def test_reasoning_flows_at_once_and_white_space_around_it_is_trimmed() -> None:
    parser = AnswerParser(BY_NAME["hermes"], tools=False, reasoning=True)
    fed = [parser.feed(piece) for piece in ("<think>", "\n", "Well,", " so", ".\n", "</thi", "nk>", "\n\n", "Yes", "!")]
    assert fed == [
        [],
        [],
        [Reasoning("Well,")],
        [Reasoning(" so")],
        [Reasoning(".")],
        [],
        [],
        [],
        [Text("Yes")],
        [Text("!")],
    ]


def test_arguments_are_streamed_as_fragments_after_the_name() -> None:
    parser = AnswerParser(BY_NAME["hermes"], tools=TOOLS, reasoning=True, new_id=lambda: "c1")
    fed = [
        parser.feed(piece)
        for piece in (
            "<tool_call>",
            '\n{"name": "wea',
            'ther", "arguments": {',
            '"city": "B',
            'ern"}',
            "}\n</tool_call>",
        )
    ]
    assert fed == [
        [],
        [],
        [CallBegin(0, "c1", "weather"), CallArguments(0, "{")],
        [CallArguments(0, '"city": "B')],
        [CallArguments(0, 'ern"}')],
        [],
    ]


def test_long_string_parameters_of_tag_families_are_streamed_too() -> None:
    parser = AnswerParser(BY_NAME["qwen-coder"], tools=TOOLS, reasoning=True, new_id=lambda: "c1")
    parser.feed("<tool_call><function=weather><parameter=city>\n")
    assert parser.feed('say "hi"\nthen') == [CallArguments(0, 'say \\"hi\\"\\nthen')]


def test_tag_parameters_get_the_type_of_the_schema_or_of_their_look() -> None:
    tool = {
        "function": {"name": "f", "parameters": {"properties": {"s": {"type": "string"}, "n": {"type": "integer"}}}}
    }
    answer = "<tool_call><function=f><parameter=s>12</parameter><parameter=n>12</parameter><parameter=x>[1]</parameter><parameter=y>so</parameter></function></tool_call>"
    assert calls(read(BY_NAME["qwen-coder"], [answer], tools=[tool])) == [
        ("f", {"s": "12", "n": 12, "x": [1], "y": "so"})
    ]


@pytest.mark.parametrize(
    "answer",
    [
        '<tool_call>{"name": "unknown", "arguments": {}}</tool_call>',
        '<tool_call>{"name": "weather", "arguments": [1]}</tool_call>',
        "<tool_call>weather(city)</tool_call> and more",
        '<tool_call>{"name": weather}</tool_call>',
        '<tool_call>{"name": "wea',
        "<tool_call>",
        "<tool_c",
        'before <tool_call>{"city": 1}</tool_call> after',
    ],
)
def test_a_broken_or_unknown_call_is_text_again_whole(answer: str) -> None:
    assert read(BY_NAME["hermes"], list(answer)) == [Text(answer)]


def test_a_broken_call_does_not_hide_the_good_one_behind_it() -> None:
    deltas = read(BY_NAME["hermes"], ['<tool_call>oops <tool_call>{"name": "time", "arguments": {}}</tool_call> bye'])
    assert (text_of(deltas), calls(deltas)) == ("<tool_call>oops bye", [("time", {})])


def test_a_call_cut_off_by_max_tokens_keeps_its_unfinished_arguments() -> None:
    assert read(BY_NAME["hermes"], ['<tool_call>{"name": "weather", "arguments": {"city": "B']) == [
        CallBegin(0, "id0", "weather"),
        CallArguments(0, '{"city": "B'),
    ]


def test_arguments_that_are_a_json_string_are_unwrapped() -> None:
    answer = '<tool_call>{"name": "weather", "arguments": "{\\"city\\": \\"Bern\\"}"}</tool_call>'
    assert calls(read(BY_NAME["hermes"], [answer])) == [("weather", {"city": "Bern"})]


def test_a_json_answer_of_a_family_that_calls_in_bare_json_stays_text_and_flows() -> None:
    parser = AnswerParser(BY_NAME["llama-3"], tools=TOOLS, reasoning=False)
    assert parser.feed('{"title"') == [Text("{"), Text('"title"')]
    assert read(BY_NAME["llama-3"], ['{"name": "Bob", "parameters": {}}']) == [
        Text('{"name": "Bob", "parameters": {}}')
    ]
    assert read(BY_NAME["llama-3"], ["[1] a source"]) == [Text("[1] a source")]


def test_without_tools_and_reasoning_everything_is_text() -> None:
    answer = '<think>x</think><tool_call>{"name": "weather", "arguments": {}}</tool_call>'
    assert read(BY_NAME["hermes"], list(answer), tools=False, reasoning=False) == [Text(answer)]


def test_tools_true_takes_any_name() -> None:
    answer = '<tool_call>{"name": "anything", "arguments": {"a": 1}}</tool_call>'
    assert calls(read(BY_NAME["hermes"], [answer], tools=True)) == [("anything", {"a": 1})]


def test_an_answer_that_starts_inside_reasoning_needs_no_opening_tag() -> None:
    assert read(BY_NAME["hermes"], list("so\n</think>\n\nYes"), starts_inside=True) == [Reasoning("so"), Text("Yes")]
    assert BY_NAME["hermes"].opens_thought("<|im_start|>assistant\n<think>\n")
    assert not BY_NAME["hermes"].opens_thought("<think>\n\n</think>\n\n")


def test_the_opening_tag_in_the_middle_of_an_answer_is_text() -> None:
    assert read(BY_NAME["hermes"], ["Write <think> first"]) == [Text("Write <think> first")]


def test_harmony_channels_become_reasoning_and_content() -> None:
    answer = "<|channel|>analysis<|message|>Easy.<|end|><|start|>assistant<|channel|>final<|message|>Four."
    assert read(HARMONY, list(answer)) == [Reasoning("Easy."), Text("Four.")]


def test_hostile_nesting_does_not_raise() -> None:
    deep = '<tool_call>{"id": ' + "[" * 100_000
    assert text_of(read(BY_NAME["hermes"], [deep, "]" * 100_000 + "}"])).startswith("<tool_call>")
    assert read(BY_NAME["generic"], ["[" * 50_000])
    assert read(BY_NAME["hermes"], ["<tool_call>" * 5_000])


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_every_marker_is_listed_for_detokenising(family: Family) -> None:
    assert {*family.calls.begin, *family.calls.end, family.thought.open, *family.noise} <= set(family.specials)
