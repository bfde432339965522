"""Grammars that would end or freeze llama.cpp's parser are refused; ordinary ones pass."""

from __future__ import annotations

import json

import pytest

from llmserver.errors import RequestError
from llmserver.text import limits
from llmserver.text.grammar import JSON_OBJECT, from_schema

WIDE = {"type": "object", "properties": {f"field_{i}": {"type": ["string", "null"]} for i in range(60)}}
LISTS = {"type": "array", "items": {"type": "string", "maxLength": 200}, "maxItems": 50}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("root ::= " + "(" * 20_000 + '"a"' + ")" * 20_000, "brackets deeper than 200"),
        ("\n".join(f"r{i} ::= r{i + 1}" for i in range(6000)), "more than 5000 rules"),
        ('root ::= "' + "a" * 1000 + '"{2000}', "copy more than 1000000"),
        ("root ::= " + "[a-z]? " * 22, "optional items in a row"),
        ("root ::= " + "[a-z]{0,1} " * 22, "optional items in a row"),
        ('root ::= "' + "a" * 600_000 + '"', "600011 characters"),
        ('root ::= "a"{99999999999}', "nine digits"),
    ],
)
def test_what_the_parser_would_not_survive_is_refused_with_the_limit(text: str, said: str) -> None:
    with pytest.raises(RequestError, match=said) as caught:
        limits.check(text)
    assert caught.value.param == "grammar"


@pytest.mark.parametrize(
    "text",
    [
        'root ::= "' + "(" * 500 + '"',
        "root ::= [(]{3} # " + "(" * 500,
        'root ::= "a"? "b" "c"? "d" | "e"*',
        JSON_OBJECT.text,
        from_schema(WIDE).text,
        from_schema(LISTS).text,
    ],
    ids=["brackets in a text", "brackets in a class and a comment", "options", "json", "wide schema", "lists"],
)
def test_an_ordinary_grammar_passes(text: str) -> None:
    limits.check(text)


def test_a_schema_of_a_hundred_tools_passes() -> None:
    schema = {"anyOf": [WIDE | {"title": json.dumps(i)} for i in range(20)]}
    limits.check(from_schema(schema).text)
