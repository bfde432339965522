"""Grammars of tool calls, judged by llama.cpp: each family's own syntax, forced or set off by its marker."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmserver.text.answer import AnswerParser, CallArguments, CallBegin
from llmserver.text.errors import BadSchema, UnknownTool
from llmserver.text.families import FAMILIES, GENERIC, HARMONY, Family
from llmserver.text.grammar import MAX_CALLS, Grammar, after_reasoning, for_tools, from_schema
from tests.server.grammars import accepts, is_grammar

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "unit": {"type": "string", "enum": ["C", "F"]},
                "days": {"type": "integer", "minimum": 1, "maximum": 7},
            },
            "required": ["city"],
        },
    },
}
TIME = {"type": "function", "function": {"name": "time"}}
TOOLS = [WEATHER, TIME]
BY_NAME = {family.name: family for family in (*FAMILIES, GENERIC)}
ALL = pytest.mark.parametrize("family", list(BY_NAME.values()), ids=lambda family: family.name)


def spoken(family: Family, name: str, arguments: dict[str, Any]) -> str:
    """A call as the family writes it."""
    layout, tags = family.calls.layout, family.calls.tags
    if layout:
        written = json.dumps(arguments, ensure_ascii=False)
        return f"{layout.open}{layout.before}{name}{layout.middle}{written}{layout.after}{layout.close}"
    assert tags
    inside = "".join(
        f"{tags.key_open}{key}{tags.key_end}\n{tags.value_open}{value}{tags.value_end}\n"
        for key, value in arguments.items()
    )
    return f"<tool_call>\n{tags.call_open}{name}{tags.name_end}{inside}{tags.call_close}\n</tool_call>"


@pytest.mark.model
@ALL
def test_a_forced_grammar_takes_the_familys_calls_and_nothing_else(family: Family) -> None:
    grammar = for_tools(family, TOOLS, choice="required")
    assert grammar
    assert accepts(grammar, spoken(family, "weather", {"city": "Z\u00fcrich", "unit": "C", "days": 7}))
    assert accepts(grammar, spoken(family, "weather", {"city": "Bern"}))
    assert accepts(grammar, spoken(family, "time", {}))
    assert not accepts(grammar, spoken(family, "weather", {"city": "Bern", "unit": "K"}))
    assert not accepts(grammar, spoken(family, "weather", {"city": "Bern", "days": 9}))
    assert not accepts(grammar, spoken(family, "weather", {}))
    assert not accepts(grammar, spoken(family, "other", {}))
    assert not accepts(grammar, "The weather is fine.")


@pytest.mark.model
@ALL
def test_what_the_grammar_allows_the_parser_reads(family: Family) -> None:
    answer = spoken(family, "weather", {"city": "Bern <3", "unit": "C", "days": 2})
    grammar = for_tools(family, TOOLS, choice="weather")
    assert grammar
    assert accepts(grammar, answer)
    parser = AnswerParser(family, tools=TOOLS, reasoning=True)
    deltas = parser.feed(answer) + parser.finish()
    assert [delta.name for delta in deltas if isinstance(delta, CallBegin)] == ["weather"]
    arguments = "".join(delta.text for delta in deltas if isinstance(delta, CallArguments))
    assert json.loads(arguments) == {"city": "Bern <3", "unit": "C", "days": 2}
    assert len(deltas) == 1 + sum(isinstance(delta, CallArguments) for delta in deltas)


@pytest.mark.model
@ALL
def test_an_auto_grammar_lets_text_through_and_binds_once_a_call_begins(family: Family) -> None:
    grammar = for_tools(family, TOOLS)
    assert grammar
    assert grammar.lazy
    before = "" if family.calls.is_bare and family is not GENERIC else "I look it up. "
    assert accepts(grammar, "Just text with { and <, no call.", whole=False)
    assert accepts(grammar, before + spoken(family, "weather", {"city": "Bern", "days": 3}))
    assert not accepts(grammar, before + spoken(family, "other", {}))
    assert not accepts(grammar, before + spoken(family, "weather", {"city": "Bern", "days": 8}))


@pytest.mark.model
@ALL
def test_the_trigger_fires_only_where_the_grammar_can_go_on(family: Family) -> None:
    """llama.cpp replays what follows the marker in the same token, and ends the process if the grammar refuses it."""
    grammar = for_tools(family, TOOLS)
    assert grammar
    opening = spoken(family, "weather", {"city": "x"})
    for junk in ("junk", "!!", ">>", "<", "\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\nx", "}}", '"', "\u00e9"):
        for end in range(1, 40):
            accepts(grammar, opening[:end] + junk, whole=False)


@pytest.mark.model
def test_a_named_choice_allows_that_tool_once() -> None:
    grammar = for_tools(GENERIC, TOOLS, choice="time")
    assert grammar
    assert accepts(grammar, spoken(GENERIC, "time", {}))
    assert not accepts(grammar, spoken(GENERIC, "weather", {"city": "Bern"}))
    assert not accepts(grammar, f"{spoken(GENERIC, 'time', {})}\n{spoken(GENERIC, 'time', {})}")


@pytest.mark.model
def test_parallel_calls_are_many_but_not_endless_and_can_be_forbidden() -> None:
    call = spoken(GENERIC, "time", {})
    parallel, single = (
        for_tools(GENERIC, TOOLS, choice="required"),
        for_tools(GENERIC, TOOLS, choice="required", parallel=False),
    )
    assert parallel
    assert single
    assert accepts(parallel, "\n".join([call] * MAX_CALLS))
    assert not accepts(parallel, "\n".join([call] * (MAX_CALLS + 1)))
    assert accepts(single, call)
    assert not accepts(single, f"{call}\n{call}")


@pytest.mark.model
def test_parallel_calls_of_list_families_stand_in_one_list() -> None:
    grammar = for_tools(BY_NAME["mistral"], TOOLS, choice="required")
    assert grammar
    assert accepts(
        grammar, '[TOOL_CALLS][{"name": "time", "arguments": {}}, {"name": "weather", "arguments": {"city": "B"}}]'
    )


def test_no_tools_or_choice_none_is_no_grammar_and_an_unknown_choice_is_named() -> None:
    assert for_tools(GENERIC, [], choice="required") is None
    assert for_tools(GENERIC, TOOLS, choice="none") is None
    with pytest.raises(UnknownTool, match="'moon', the tools are weather, time") as refusal:
        for_tools(GENERIC, TOOLS, choice="moon")
    assert (refusal.value.status, refusal.value.param) == (400, "tool_choice")


def test_a_tool_without_a_name_or_with_a_broken_schema_is_refused_with_its_field() -> None:
    for odd in ({"type": "function", "function": {}}, {"function": None}, "weather"):
        with pytest.raises(BadSchema, match="function"):
            for_tools(GENERIC, [odd])  # type: ignore[list-item]
    broken = {"function": {"name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "thing"}}}}}
    with pytest.raises(BadSchema) as refusal:
        for_tools(GENERIC, [broken])
    assert refusal.value.param == "tools.f.parameters"


@pytest.mark.model
def test_a_tool_schema_that_no_grammar_can_say_is_widened_not_refused() -> None:
    odd = {
        "function": {
            "name": "f",
            "parameters": {"type": "object", "properties": {"a": {"type": "array", "uniqueItems": True}}},
        }
    }
    grammar = for_tools(GENERIC, [odd], choice="required")
    assert grammar
    assert accepts(grammar, spoken(GENERIC, "f", {"a": [1, 1]}))


@pytest.mark.model
@pytest.mark.parametrize("family", [GENERIC, HARMONY], ids=lambda family: family.name)
def test_a_forced_grammar_can_leave_room_to_think_first(family: Family) -> None:
    grammar = for_tools(family, TOOLS, choice="required")
    assert grammar
    call, thought = spoken(family, "time", {}), family.thought
    may_think = after_reasoning(grammar, family, starts_inside=False)
    assert accepts(may_think, f"{thought.open}\nhm <{thought.close[:-1]} {{}}\n{thought.close}{thought.gap}{call}")
    assert accepts(may_think, call)
    assert not accepts(may_think, f"{thought.open}hm {call}")
    inside = after_reasoning(grammar, family, starts_inside=True)
    assert accepts(inside, f"hm{thought.close}{thought.gap}{call}")
    assert not accepts(inside, call)


@pytest.mark.model
def test_json_of_a_schema_can_follow_a_thought() -> None:
    grammar = after_reasoning(from_schema({"type": "integer"}), GENERIC, starts_inside=True)
    assert accepts(grammar, "one and one\n</think>\n\n2")
    assert not accepts(grammar, "one</think>two")


@pytest.mark.model
def test_json_of_a_family_with_channels_stands_in_its_final_channel() -> None:
    grammar = after_reasoning(from_schema({"type": "integer"}), HARMONY, starts_inside=False, is_content=True)
    final = "<|channel|>final<|message|>2"
    assert accepts(grammar, final)
    assert accepts(grammar, f"<|channel|>analysis<|message|>one<|end|><|start|>assistant{final}")
    assert not accepts(grammar, "2")


@pytest.mark.model
def test_a_grammar_from_outside_can_follow_a_thought_too() -> None:
    grammar = after_reasoning(Grammar('root ::= "yes" | "no"'), GENERIC, starts_inside=False)
    assert accepts(grammar, "<think>hm</think>yes")
    assert accepts(grammar, "no")


@pytest.mark.model
def test_llama_cpp_refuses_what_is_no_grammar() -> None:
    grammar = from_schema({})
    assert is_grammar(grammar)
    assert not is_grammar(Grammar("root ::= missing"))
