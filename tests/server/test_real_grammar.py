"""Grammars over the real model: what they allow is all that comes, however hot the sampling."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from llmserver.engine.request import Sampling
from llmserver.text.families import GENERIC
from llmserver.text.grammar import JSON_OBJECT, Grammar, for_tools, from_schema
from tests.server.real_engine import GREEDY, Engine, chat

pytestmark = pytest.mark.model

HOT = Sampling(temperature=1.5, top_k=100, top_p=1.0, min_p=0.02)
PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 4},
        "age": {"type": "integer", "minimum": 0, "maximum": 130},
        "mood": {"enum": ["glad", "sad"]},
    },
    "required": ["name", "age", "mood"],
    "additionalProperties": False,
}
SEEDS = 20
LIST: dict[str, Any] = {"type": "array", "items": {"type": ["boolean", "null"]}, "minItems": 2, "maxItems": 4}
TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": "look_up",
            "parameters": {
                "type": "object",
                "properties": {"n": {"type": "integer", "minimum": 1, "maximum": 99}},
                "required": ["n"],
                "additionalProperties": False,
            },
        },
    }
]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    made = Engine(n_ctx=2048)
    yield made
    made.backend.free()


def is_person(value: Any) -> bool:
    return (
        list(value) == ["name", "age", "mood"]
        and len(value["name"]) <= 4
        and isinstance(value["age"], int)
        and 0 <= value["age"] <= 130
        and value["mood"] in ("glad", "sad")
    )


def is_list(value: Any) -> bool:
    return isinstance(value, list) and 2 <= len(value) <= 4 and all(item in (True, False, None) for item in value)


@pytest.mark.parametrize(("schema", "fits"), [(PERSON, is_person), (LIST, is_list)], ids=["object", "list"])
def test_answers_of_a_schema_parse_and_fit_whatever_the_seed(
    engine: Engine, schema: dict[str, Any], fits: Callable[[Any], bool]
) -> None:
    grammar = from_schema(schema)
    prompt = chat("Tell me about a person, as JSON.")
    numbers = [engine.ask(prompt, 80, sampling=replace(HOT, seed=seed, grammar=grammar)) for seed in range(SEEDS)]
    engine.run()
    texts = [engine.text(number) for number in numbers]
    for number, text in zip(numbers, texts, strict=True):
        assert engine.end(number).reason == "stop", text
        assert fits(json.loads(text)), text
    assert len(set(texts)) > 3, "the seeds changed nothing"


def test_json_object_is_one_unless_the_limit_cuts_it(engine: Engine) -> None:
    hot = replace(HOT, grammar=JSON_OBJECT)
    numbers = [engine.ask(chat("JSON, please."), 30, sampling=replace(hot, seed=seed)) for seed in range(3)]
    engine.run()
    for number in numbers:
        text = engine.text(number)
        assert text.lstrip().startswith("{")
        if engine.end(number).reason == "stop":
            assert isinstance(json.loads(text), dict)


def test_gbnf_holds_at_every_temperature(engine: Engine) -> None:
    grammar = Grammar('root ::= item{3}\nitem ::= [a-f] "-" [0-9]{1,3} ";"')
    numbers = [engine.ask("x", 40, sampling=replace(HOT, temperature=2.5, seed=s, grammar=grammar)) for s in range(6)]
    numbers.append(engine.ask("x", 40, sampling=replace(GREEDY, grammar=grammar)))
    engine.run()
    for number in numbers:
        assert re.fullmatch(r"([a-f]-[0-9]{1,3};){3}", engine.text(number))


def is_call(text: str) -> bool:
    """Whether the text is one call of the tool and nothing else."""
    found = re.fullmatch(r"\s*<tool_call>\s*(\{.*\})\s*</tool_call>\s*", text, re.DOTALL)
    call = json.loads(found[1]) if found else {}
    return list(call) == ["name", "arguments"] and call["name"] == "look_up" and 1 <= call["arguments"]["n"] <= 99


def test_forced_tool_calls_are_calls(engine: Engine) -> None:
    grammar = for_tools(GENERIC, TOOLS, choice="required", parallel=False)
    prompt = chat("Look number 7 up.")
    numbers = [engine.ask(prompt, 60, sampling=replace(HOT, seed=seed, grammar=grammar)) for seed in range(2)]
    engine.run()
    for number in numbers:
        assert is_call(engine.text(number)), engine.text(number)


def test_lazy_grammar_leaves_plain_text_alone(engine: Engine) -> None:
    lazy = for_tools(GENERIC, TOOLS, choice="auto")
    assert lazy is not None
    assert lazy.lazy
    prompt = chat("Tell me a story about rain.")
    engine.answer(prompt, 1)  # both find it read
    assert engine.answer(prompt, 16, sampling=replace(GREEDY, grammar=lazy)) == engine.answer(prompt, 16)


def test_lazy_grammar_rules_from_its_trigger_on_and_not_before(engine: Engine) -> None:
    prompt = chat("Tell me a story about the sea.")
    engine.answer(prompt, 1)
    free = engine.answer(prompt, 16)
    word = f" {free.split()[5]}"
    assert free.count(word) == 1
    grammar = Grammar(f'root ::= "{word}" "!"{{3}} " end"', lazy=True, triggers=(f"({word})$",))
    ruled = engine.answer(prompt, 24, sampling=replace(GREEDY, grammar=grammar))
    assert ruled == f"{free.partition(word)[0]}{word}!!! end"


def test_call_that_the_model_begins_itself_is_held_to_the_tools(engine: Engine) -> None:
    """The conversation makes it call `find_it` again; the grammar knows `look_up` only."""
    turns = []
    for n in (3, 5, 8):
        call = {"name": "find_it", "arguments": {"number": n}}
        turns += [f"Find {n}.", f"<tool_call>\n{json.dumps(call)}\n</tool_call>"]
    prompt = chat(*turns, "Find 9.")
    lazy = for_tools(GENERIC, TOOLS, choice="auto", parallel=False)
    assert "find_it" in engine.answer(prompt, 24)
    numbers = [engine.ask(prompt, 60, sampling=replace(GREEDY, grammar=lazy))]
    numbers += [engine.ask(prompt, 60, sampling=Sampling(temperature=0.5, seed=s, grammar=lazy)) for s in range(1)]
    engine.run()
    called = [engine.text(number) for number in numbers if "<tool_call>" in engine.text(number)]
    assert called
    assert all(map(is_call, called)), called
