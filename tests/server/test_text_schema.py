"""JSON schemas to grammars, judged by llama.cpp: what fits is accepted, what does not fit is rejected."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmserver.text.errors import BadSchema
from llmserver.text.grammar import JSON_OBJECT, from_schema
from tests.server.grammars import accepts, is_grammar

POINT = {"type": "object", "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}}, "required": ["x", "y"]}
OPTIONAL = {
    "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}, "c": {"type": "integer"}},
    "required": ["b"],
}
TREE = {
    "$ref": "#/$defs/node",
    "$defs": {
        "node": {
            "type": "object",
            "properties": {"v": {"type": "integer"}, "kids": {"type": "array", "items": {"$ref": "#/$defs/node"}}},
            "required": ["v"],
        }
    },
}
SAME_LAST_NAME = {
    "properties": {"p": {"$ref": "#/a/string"}, "q": {"$ref": "#/b/string"}},
    "required": ["p", "q"],
    "a": {"string": {"type": "integer"}},
    "b": {"string": {"type": "boolean"}},
}
ALL_OF = {
    "allOf": [
        {"$ref": "#/$defs/named"},
        {"properties": {"age": {"type": "integer"}, "name": {"maxLength": 3}}, "required": ["age"]},
    ],
    "$defs": {"named": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}},
}
EXTRA = {
    "properties": {"id": {"type": "integer"}, "idle": {"type": "boolean"}},
    "additionalProperties": {"type": "string"},
}
ONE_REF = {
    "type": "object",
    "properties": {"next": {"allOf": [{"$ref": "#"}], "description": "as pydantic 1 writes it"}},
}

# schema, texts that fit, texts that do not
CASES: list[tuple[Any, list[str], list[str]]] = [
    ({}, ["1", '"a"', "[]", "{}", "null", '{"a": [1, {"b": null}]}', "-1.5e3"], ["", "{", "[1,]", "nul", "01"]),
    (True, ["1"], ["x"]),
    (POINT, ['{"x": 1, "y": -2}', '{"x":1,"y":2}', '{\n  "x": 1,\n  "y": 2\n}'], ['{"x": 1}', '{"x": "1", "y": 2}']),
    (POINT, [], ['{"x": 1, "y": 2, "z": 3}', '{"y": 1, "x": 2}', "{}"]),
    (
        OPTIONAL,
        ['{"b": 1}', '{"a": 1, "b": 2}', '{"b": 1, "c": 2}', '{"a": 1, "b": 2, "c": 3}'],
        ["{}", '{"a": 1}', '{, "b": 1}', '{"b": 1,}', '{"c": 1, "b": 2}'],
    ),
    ({"properties": {"a": {}, "b": {}}}, ["{}", '{"a": 1}', '{"b": 1}', '{"a": 1, "b": 2}'], ['{"a": 1 "b": 2}', "1"]),
    ({"type": "object"}, ["{}", '{"any": [1]}'], ["[]", "1"]),
    ({"type": "object", "properties": {}, "additionalProperties": False}, ["{}"], ['{"a": 1}']),
    ({"type": "object", "additionalProperties": {"type": "integer"}}, ['{"a": 1, "b": 2}'], ['{"a": "1"}']),
    ({"type": "object", "minProperties": 1, "maxProperties": 2}, ['{"a": 1}', '{"a":1,"b":2}'], ["{}"]),
    (
        EXTRA,
        ["{}", '{"id": 1}', '{"x": "s"}', '{"id": 1, "idle": true, "i": "s", "ida": "t"}', '{"": "s"}', '{"\\n": "s"}'],
        ['{"id": "s"}', '{"x": 1}', '{"id": 1, "id": "s"}', '{"idle": "s"}'],
    ),
    ({"enum": ["red", 3, None, {"a": [1]}]}, ['"red"', "3", "null", '{"a": [1]}'], ['"blue"', "4"]),
    ({"type": "string", "enum": ["a", 1]}, ['"a"'], ["1"]),
    ({"const": 'say "hi"\n'}, ['"say \\"hi\\"\\n"'], ['"say']),
    ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, ["1", "null"], ['"a"']),
    ({"oneOf": [{"const": "a"}, POINT]}, ['"a"', '{"x": 1, "y": 2}'], ['"b"']),
    (
        {"properties": {"k": {"type": "string"}}, "anyOf": [{"required": ["k"]}, {"properties": {"n": {"const": 1}}}]},
        ['{"k": "a"}', '{"n": 1}', "{}"],
        ['{"n": 2}'],
    ),
    ({"type": ["string", "null"], "maxLength": 2}, ['"ab"', "null"], ['"abc"', "1"]),
    ({"type": "string", "nullable": True}, ['"ab"', "null"], ["1"]),
    (
        TREE,
        ['{"v": 1}', '{"v": 1, "kids": [{"v": 2, "kids": []}, {"v": 3}]}'],
        ['{"v": 1, "kids": [1]}', '{"kids": []}'],
    ),
    (SAME_LAST_NAME, ['{"p": 1, "q": true}'], ['{"p": true, "q": 1}', '{"p": "a", "q": "b"}']),
    (ALL_OF, ['{"name": "bob", "age": 3}'], ['{"name": "bobby", "age": 3}', '{"name": "bob"}']),
    (ONE_REF, ["{}", '{"next": {"next": {}}}'], ['{"next": 1}']),
    (
        {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 3},
        ["[1, 2]", "[1,2,3]"],
        ["[1]", "[1,2,3,4]"],
    ),
    ({"type": "array", "maxItems": 0}, ["[]"], ["[1]"]),
    ({"type": "array", "items": False}, ["[]"], ["[1]"]),
    ({"prefixItems": [{"type": "integer"}, {"type": "string"}]}, ['[1, "a"]'], ["[1]", '["a", 1]', '[1, "a", 2]']),
    (
        {"prefixItems": [{"const": 1}], "items": {"const": 2}, "maxItems": 3},
        ["[1]", "[1, 2, 2]"],
        ["[1, 2, 2, 2]", "[2]"],
    ),
    (
        {"type": "string", "minLength": 2, "maxLength": 3},
        ['"ab"', '"\U0001f999\u6f22\u00e9"', '"\\n\\u00e9"'],
        ['"a"', '"abcd"'],
    ),
    (
        {"type": "string", "minLength": 2500, "maxLength": 4200},
        [f'"{"ab" * 1250}"', f'"{"a" * 4200}"'],
        [f'"{"a" * 2499}"', f'"{"a" * 4201}"'],
    ),
    (
        {"type": "integer", "minimum": 0, "maximum": 255},
        ["0", "9", "99", "255", "199"],
        ["-1", "256", "1000", "1.5", "007"],
    ),
    ({"type": "integer", "minimum": -12, "maximum": 7}, ["-12", "-1", "0", "7"], ["-13", "8", "-20", "10"]),
    ({"type": "integer", "exclusiveMinimum": 9, "maximum": 1234}, ["10", "1234", "999"], ["9", "1235", "0"]),
    ({"type": "integer", "minimum": 18}, ["18", "20", "99999"], ["17", "1", "-20"]),
    ({"type": "integer", "maximum": -3}, ["-3", "-10"], ["-2", "3", "0"]),
    ({"type": "integer", "exclusiveMaximum": 5, "minimum": 4}, ["4"], ["5", "3"]),
    ({"type": "number", "minimum": 0, "maximum": 1}, ["0", "0.5", "1", "1.0"], ["1.01", "-0.1", "2"]),
    ({"type": "number", "exclusiveMinimum": 0}, ["0.01", "1", "12.5"], ["0", "0.0", "-1"]),
    ({"type": "number", "minimum": -2, "exclusiveMaximum": 3}, ["-2", "-1.9", "0.1", "2.9"], ["-2.1", "3", "3.0"]),
    ({"type": "number"}, ["1e10", "-0.5", "12"], ["1.", ".5", "+1"]),
    ({"type": "string", "format": "date"}, ['"2024-02-29"'], ['"2024-13-01"', '"x"']),
    ({"type": "string", "format": "uuid"}, ['"123e4567-e89b-12d3-a456-426614174000"'], ['"123"']),
    ({"type": "string", "format": "ipv4"}, ['"192.168.0.255"'], ['"256.1.1.1"', '"1.2.3"']),
    ({"type": "string", "format": "unknown-to-us"}, ['"anything"'], ["1"]),
    (
        {"properties": {"\u0646\u0627\u0645": {"type": "string"}, 'q"\\': {"type": "null"}}},
        ['{"\u0646\u0627\u0645": "\u00e9"}', '{"q\\"\\\\": null}'],
        ['{"nam": "x"}'],
    ),
]
PATTERNS: list[tuple[str, list[str], list[str]]] = [
    (r"^[A-Z]{2,3}-\d+$", ["AB-1", "ABC-123"], ["A-1", "ABCD-1", "AB-", "xAB-1"]),
    (r"\d{3}", ["123", "ab123cd"], ["12", "a1b2c3"]),
    (r"^(yes|no)$", ["yes", "no"], ["maybe", "yesno"]),
    (r"^a|b$", ["ax", "xb"], ["xa", "bx"]),
    (r'^"[^"]*"\\?$', ['"in quotes"', '"x"\\'], ["bare"]),
    (r"^[^a-c]+$", ["xyz", "lin\nxyz", '"'], ["xaz"]),
    (r"^\w+@\w+\.(?:com|org)$", ["me@site.org"], ["me@site.net", "me"]),
    (r"^(?P<y>\d{4})/(\d\d)?$", ["2024/", "2024/01"], ["2024/1"]),
    (r"^[\w.\-\]]+$", ["a.b-c]"], ["a b"]),
    (r"^.{2}$", ["a\u6f22"], ["a", "abc"]),
    (r"^x*?y+$", ["xxyy", "y"], ["xx"]),
    (r"^\u00e9\t$", ["\u00e9\t"], ["e\t"]),
]


@pytest.mark.model
@pytest.mark.parametrize(("schema", "good", "bad"), CASES, ids=lambda value: str(value)[:60])
def test_llama_cpp_accepts_what_fits_the_schema_and_nothing_else(schema: Any, good: list[str], bad: list[str]) -> None:
    grammar = from_schema(schema)
    assert [text for text in good if not accepts(grammar, text)] == []
    assert [text for text in bad if accepts(grammar, text)] == []


@pytest.mark.model
@pytest.mark.parametrize(("pattern", "good", "bad"), PATTERNS, ids=lambda value: str(value)[:40])
def test_a_pattern_accepts_what_the_regular_expression_finds(pattern: str, good: list[str], bad: list[str]) -> None:
    grammar = from_schema({"type": "string", "pattern": pattern})
    assert [text for text in good if not accepts(grammar, json.dumps(text, ensure_ascii=False))] == []
    assert [text for text in bad if accepts(grammar, json.dumps(text, ensure_ascii=False))] == []


@pytest.mark.model
def test_json_object_is_any_object_and_only_an_object() -> None:
    assert accepts(JSON_OBJECT, '{"a": [1, 2.5, "x\\n", null, {"b": true}]}')
    assert not accepts(JSON_OBJECT, "[1]")
    assert not accepts(JSON_OBJECT, '{"a": 1', whole=True)


@pytest.mark.parametrize(
    ("schema", "word"),
    [
        ({"$ref": "https://example.com/schema.json"}, "within the schema"),
        ({"$ref": "#/$defs/missing"}, "missing"),
        ({"$ref": "#"}, "never ends"),
        ({"$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}, {}]}}, "$ref": "#/$defs/a"}, "never ends"),
        ({"$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}, {"x": 1}]}}, "$ref": "#/$defs/a"}, "never ends"),
        ({"type": "strin"}, "type must be"),
        ({"type": {}}, "type must be"),
        ({"type": []}, "type must be"),
        ({"properties": []}, "properties must be"),
        ({"properties": {"a": 1}}, "must be an object"),
        ({"properties": {"a": {}}, "required": "a"}, "required must be"),
        ({"type": "string", "minLength": -1}, "minLength"),
        ({"type": "string", "minLength": 5, "maxLength": 4}, "more than"),
        ({"type": "array", "minItems": "2"}, "minItems"),
        ({"type": "array", "minItems": 10**9}, "1,000,000"),
        ({"type": "integer", "minimum": 3, "maximum": 2}, "between"),
        ({"type": "number", "minimum": 0.5}, "whole"),
        ({"type": "number", "minimum": "1"}, "number"),
        ({"enum": []}, "enum"),
        ({"enum": "abc"}, "enum"),
        ({"anyOf": []}, "anyOf"),
        ({"allOf": [{"type": "string"}, {"type": "integer"}]}, "allOf"),
        ({"allOf": [{"minLength": 1}, {"minLength": "x"}]}, "allOf"),
        ({"not": {"type": "string"}}, "not"),
        ({"type": "string", "pattern": "(?=a)b"}, "look-around"),
        ({"type": "string", "pattern": "(a"}, "missing"),
        ({"type": "string", "pattern": "a{3,1}"}, "repeat"),
        ({"type": "string", "pattern": "["}, "early"),
        ({"type": "string", "pattern": "(" * 2000}, "deeply"),
        (False, "false"),
        ([], "must be an object"),
        ({"prefixItems": {}, "items": 3}, "must be"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_a_schema_no_grammar_can_express_is_refused_with_the_field_and_the_reason(schema: Any, word: str) -> None:
    with pytest.raises(BadSchema) as refusal:
        from_schema(schema, param="response_format.json_schema.schema")
    assert word in refusal.value.message
    assert (refusal.value.status, refusal.value.param) == (400, "response_format.json_schema.schema")


@pytest.mark.model
def test_what_cannot_be_expressed_widens_the_grammar_when_not_strict() -> None:
    schema = {"type": "string", "pattern": "^(?!x)a", "maxLength": 3}
    assert accepts(from_schema(schema, strict=False), '"abc"')
    assert accepts(from_schema({"type": "number", "minimum": 0.5}, strict=False), "0.7")
    assert accepts(from_schema({"type": "array", "uniqueItems": True}, strict=False), "[1]")


@pytest.mark.model
def test_a_grammar_grows_with_its_schema_and_not_faster() -> None:
    def grammar(n: int) -> str:
        return from_schema({"properties": {f"property{i}": {"type": "string"} for i in range(n)}}).text

    assert len(grammar(200)) < 2.6 * len(grammar(100))
    nested: dict[str, Any] = {"type": "integer"}
    for _ in range(45):
        nested = {
            "type": "object",
            "properties": {"k": nested, "l": {"type": "array", "items": nested, "maxItems": 90}},
        }
    assert len(from_schema(nested).text) < 40_000
    assert accepts(from_schema(nested), '{"k": {"l": [{}, {}]}}')


@pytest.mark.model
def test_half_a_character_in_a_schema_is_still_a_grammar() -> None:
    assert is_grammar(from_schema({"enum": ["a\ud83d", "b"], "type": "string"}))


def test_a_schema_nested_too_deeply_is_refused_instead_of_overflowing() -> None:
    nested: dict[str, Any] = {}
    for _ in range(5000):
        nested = {"type": "array", "items": nested}
    with pytest.raises(BadSchema, match="deeper"):
        from_schema(nested)


def test_allof_that_doubles_at_every_step_is_refused_instead_of_exploding() -> None:
    definitions: dict[str, Any] = {f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(40)}
    definitions["d40"] = {"type": "object"}
    with pytest.raises(BadSchema):
        from_schema({"$defs": definitions, "$ref": "#/$defs/d0"})


WORDS = ["type", "properties", "required", "items", "prefixItems", "enum", "const", "anyOf", "allOf", "$ref", "pattern"]
WORDS += ["minimum", "maximum", "exclusiveMinimum", "minLength", "maxLength", "minItems", "maxItems", "format"]
WORDS += ["additionalProperties", "minProperties", "nullable", "not", "$defs"]
VALUES = [
    "string",
    "object",
    "array",
    "integer",
    "number",
    "null",
    "#",
    "#/$defs/a",
    "a",
    "date",
    "^[a-z]+$",
    "(",
    "\\d{2}",
]
leaves = st.sampled_from([*VALUES, *WORDS]) | st.integers(-9, 3000) | st.booleans() | st.none() | st.floats(-3, 3)
anything = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=2), inner, max_size=5)
    ),
    max_leaves=25,
)


@pytest.mark.model
@settings(max_examples=400, deadline=None)
@given(anything, st.booleans())
def test_any_json_at_all_is_a_grammar_llama_cpp_takes_or_a_refusal(schema: Any, strict: bool) -> None:
    try:
        grammar = from_schema(schema, strict=strict)
    except BadSchema:
        return
    assert is_grammar(grammar), grammar.text


BOUND = st.none() | st.integers(-1200, 1200)


@pytest.mark.model
@settings(max_examples=300, deadline=None)
@given(BOUND, BOUND, st.integers(-1300, 1300), st.booleans(), st.booleans(), st.sampled_from([0.0, 0.5]))
def test_numbers_are_accepted_exactly_between_their_bounds(
    low: int | None, high: int | None, number: int, above: bool, below: bool, part: float
) -> None:
    schema: dict[str, Any] = {"type": "number" if part else "integer"}
    schema |= {} if low is None else {"exclusiveMinimum" if above else "minimum": low}
    schema |= {} if high is None else {"exclusiveMaximum" if below else "maximum": high}
    value = number + part if part else number
    fits = (low is None or value > low or (value == low and not above)) and (
        high is None or value < high or (value == high and not below)
    )
    try:
        grammar = from_schema(schema)
    except BadSchema:
        assert not fits
        return
    assert accepts(grammar, json.dumps(value)) == fits
