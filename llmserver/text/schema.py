"""Turn a JSON schema into grammar rules, in size linear to the schema.

The converter of llama_cpp.llama_grammar is not used: it drops numeric bounds, the length of patterned strings and all
constraints beside a list of types, turns {} into an object, confuses two $defs of the same last name, lists optional
properties in quadratic size and fails with AssertionError instead of a sentence. What no grammar can say is refused
when `strict`, else left out: then the grammar allows more than the schema, never less. Properties come in the schema's
order, and an object that lists properties is closed unless it says additionalProperties. Nothing is ever fetched.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from llmserver.text.errors import BadSchema
from llmserver.text.gbnf import MAX_REPEAT, Rules, class_char, json_literal, literal
from llmserver.text.numbers import MAX_DIGITS, integer_rule, number_rule
from llmserver.text.pattern import PatternError, pattern_rule
from llmserver.text.schema_parts import Nothing, Schema, constraints, count, is_type, merge, target, types_of

_INEXPRESSIBLE = (
    "not",
    "if",
    "patternProperties",
    "propertyNames",
    "contains",
    "uniqueItems",
    "multipleOf",
    "dependentRequired",
    "dependentSchemas",
    "dependencies",
    "$dynamicRef",
    "$recursiveRef",
)
_MAX_DEPTH = 100
_MAX_SCHEMAS = 20_000
_MOST_ITEMS = MAX_REPEAT * 500
_DATE = '[0-9]{4} "-" ("0" [1-9] | "1" [0-2]) "-" ("0" [1-9] | [12] [0-9] | "3" [01])'
_TIME = (
    '([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9] ":" [0-5] [0-9] ("." [0-9]{1,9})? '
    '("Z" | [-+] ([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9])'
)
_BYTE = '("25" [0-5] | "2" [0-4] [0-9] | "1" [0-9]{2} | [1-9] [0-9] | [0-9])'
_FORMATS = {
    "date": _DATE,
    "time": _TIME,
    "date-time": f'{_DATE} "T" {_TIME}',
    "uuid": '[0-9a-fA-F]{8} ("-" [0-9a-fA-F]{4}){3} "-" [0-9a-fA-F]{12}',
    "ipv4": f'{_BYTE} ("." {_BYTE}){{3}}',
    "email": '[a-zA-Z0-9._%+-]{1,64} "@" [a-zA-Z0-9-]{1,63} ("." [a-zA-Z0-9-]{1,63}){1,8}',
}


class SchemaRules:
    """Adds the rules of one schema document to a grammar."""

    def __init__(self, rules: Rules, document: Any, *, param: str, strict: bool) -> None:
        self._rules = rules
        self._document = document
        self._param = param
        self._strict = strict
        self._names: dict[int, str] = {}
        self._kept: list[Any] = []  # an id stands for an object only as long as the object lives
        self._depth = 0

    def rule(self) -> str:
        """The name of the rule that matches the whole document."""
        return self.rule_of(self._document)

    def rule_of(self, schema: Any) -> str:
        """The name of the rule that matches a part of the document."""
        return self._name(schema, "schema")

    def _fail(self, where: str, reason: str) -> BadSchema:
        return BadSchema(f"{where}: {reason}", param=self._param)

    def _name(self, schema: Any, where: str, open_here: frozenset[int] = frozenset()) -> str:
        """A rule name; `open_here` are the schemas entered since the last character: meeting one again never ends."""
        if schema is True or (isinstance(schema, Mapping) and not constraints(schema)):
            return self._rules.json("value")
        if not isinstance(schema, Mapping):
            raise self._fail(where, "nothing can match false" if schema is False else "a schema must be an object")
        key = id(schema)
        if key in open_here:
            raise self._fail(where, "a $ref that leads back to itself without anything between never ends")
        if key not in self._names:
            self._kept.append(schema)
            if len(self._kept) > _MAX_SCHEMAS or self._depth > _MAX_DEPTH:
                raise self._fail(where, f"deeper than {_MAX_DEPTH} levels or larger than {_MAX_SCHEMAS:,} schemas")
            self._names[key] = self._rules.reserve(where.rpartition("/")[2])
            self._depth += 1
            self._rules.define(self._names[key], self._body(schema, where, open_here | {key}))
            self._depth -= 1
        return self._names[key]

    def _body(self, schema: Schema, where: str, open_here: frozenset[int]) -> str:
        demanded = constraints(schema)
        if "$ref" in demanded and len(demanded) == 1:
            return self._name(target(self._document, demanded["$ref"], self._param), where, open_here)
        if "$ref" in demanded or "allOf" in demanded:
            only = demanded.get("allOf")
            if len(demanded) == 1 and isinstance(only, list) and len(only) == 1:
                return self._name(only[0], where, open_here)
            return self._name(self._flat(schema, where, open_here), where, open_here)
        for key in _INEXPRESSIBLE if self._strict else ():
            if demanded.get(key):
                raise self._fail(where, f"{key} cannot be expressed as a grammar")
        if "anyOf" in demanded or "oneOf" in demanded:
            return self._choice(demanded, where, open_here)
        types = types_of(schema, where, self._param)
        if "const" in demanded or "enum" in demanded:
            return self._values(demanded, types, where)
        return " | ".join(dict.fromkeys(self._typed(name, demanded, where) for name in types)) or self._rules.json(
            "value"
        )

    def _flat(self, schema: Any, where: str, open_here: frozenset[int]) -> dict[str, Any]:
        """The schema with its $ref and allOf merged in."""
        if schema is True:
            return {}
        if not isinstance(schema, Mapping):
            raise self._fail(where, "a schema must be an object")
        own = constraints(schema)
        parts = own.pop("allOf", [])
        if not isinstance(parts, list):
            raise self._fail(where, "allOf must be a list")
        if "$ref" in own:
            parts = [target(self._document, own.pop("$ref"), self._param), *parts]
        for part in parts:
            self._kept.append(part)
            if id(part) in open_here or len(self._kept) > _MAX_SCHEMAS:
                raise self._fail(where, "a $ref that leads back to itself never ends")
            try:
                own = merge(own, self._flat(part, where, open_here | {id(part)}))
            except Nothing:
                raise self._fail(where, "no value can satisfy all parts of allOf") from None
            except (TypeError, AttributeError, ValueError):
                raise self._fail(where, "allOf holds keywords of the wrong type") from None
        return own

    def _choice(self, demanded: dict[str, Any], where: str, open_here: frozenset[int]) -> str:
        key = "anyOf" if "anyOf" in demanded else "oneOf"
        beside = {name: value for name, value in demanded.items() if name != key}
        options = demanded[key]
        if not isinstance(options, list) or not options:
            raise self._fail(where, f"{key} must be a list of schemas")
        names: dict[str, None] = {}
        for n, option in enumerate(options):
            place = f"{where}/{key}/{n}"
            try:
                one = merge(self._flat(option, place, open_here), beside) if beside else option
            except Nothing:
                continue
            except (TypeError, AttributeError, ValueError):
                raise self._fail(place, "keywords of the wrong type") from None
            names[self._name(one, place, open_here)] = None
        if not names:
            raise self._fail(where, f"no value can satisfy any part of {key}")
        return " | ".join(names)

    def _values(self, demanded: dict[str, Any], types: list[str], where: str) -> str:
        values = [demanded["const"]] if "const" in demanded else demanded["enum"]
        if not isinstance(values, list):
            raise self._fail(where, "enum must be a list")
        fitting = [value for value in values if not types or is_type(value, types)]
        if not fitting:
            raise self._fail(where, "no value of enum or const is of the schema's type")
        return " | ".join(dict.fromkeys(json_literal(value) for value in fitting))

    def _typed(self, name: str, demanded: dict[str, Any], where: str) -> str:
        if name == "object":
            return self._object(demanded, where)
        if name == "array":
            return self._array(demanded, where)
        if name == "string":
            return self._string(demanded, where)
        if name in ("number", "integer"):
            return self._number(name, demanded, where)
        return self._rules.json(name)

    def _range(self, demanded: dict[str, Any], low: str, high: str, where: str) -> tuple[int, int | None]:
        least = count(demanded, low, where, self._param) or 0
        most = count(demanded, high, where, self._param)
        if most is not None and most < least:
            raise self._fail(where, f"{low} {least} is more than {high} {most}")
        if least > _MOST_ITEMS:
            raise self._fail(where, f"{low} may be {_MOST_ITEMS:,} at most, not {least:,}")
        return least, most

    def _object(self, demanded: dict[str, Any], where: str) -> str:
        properties, required = demanded.get("properties", {}), demanded.get("required", [])
        if not isinstance(properties, Mapping):
            raise self._fail(where, "properties must be an object")
        if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
            raise self._fail(where, "required must be a list of names")
        more = demanded.get("additionalProperties", not properties)
        known = {**properties, **{name: more or True for name in required if name not in properties}}
        least, most = self._range(demanded, "minProperties", "maxProperties", where)
        if known and (least > len(required) or most is not None) and self._strict:
            raise self._fail(where, "minProperties and maxProperties cannot be expressed beside properties")
        if not known and (least or most is not None) and more is not False:
            return self._sized_object(more, least, most, where)
        rest, first = self._others(more, list(known), where)
        for name in reversed(known):
            value = self._name(known[name], f"{where}/{name}")
            pair = self._rules.add(f'{json_literal(name)} ":" space {value}', f"{name}-pair")
            tail = self._rules.add(rest, "rest")
            if name in required:
                first, rest = f"{pair} {tail}", f'"," space {pair} {tail}'
            else:
                first, rest = f"{pair} {tail} | {first}", f'("," space {pair})? {tail}'
        return f'"{{" {self._rules.json("space")} ({first})'

    def _others(self, more: Any, known: list[str], where: str) -> tuple[str, str]:
        """How an object ends after its known properties: after some, and after none."""
        if more is False:
            return 'space "}"', '"}"'
        key = self._other_key(known) if known else self._rules.json("string")
        pair = self._rules.add(f'{key} ":" space {self._name(more, f"{where}/additionalProperties")}', "other")
        return f'("," space {pair})* space "}}"', f'{pair} ("," space {pair})* space "}}" | "}}"'

    def _sized_object(self, more: Any, least: int, most: int | None, where: str) -> str:
        pair = f'{self._rules.json("string")} ":" space {self._name(more, f"{where}/additionalProperties")}'
        return self._listed("{", self._rules.add(pair, "other"), "}", least, most)

    def _other_key(self, known: list[str]) -> str:
        """A JSON string that is none of the known keys: one rule for each beginning of a key."""
        self._rules.json("char")
        plain = [name for name in known if json_literal(name) == literal(f'"{name}"')]
        starts = dict.fromkeys(name[:end] for name in plain for end in range(len(name) + 1)) | {"": None}
        names = {start: self._rules.reserve("key") for start in starts}
        following: dict[str, list[str]] = {start: [] for start in names}
        for start in names:
            if start:
                following[start[:-1]].append(start[-1])
        for start, chars in following.items():
            excluded = "".join(class_char(char) for char in chars)
            ways = [f"{literal(char)} {names[start + char]}" for char in chars]
            ways.append(f'[^{excluded}"\\\\\\x00-\\x1F\\x7F] char* "\\""')
            ways.append('"\\\\" (["\\\\/bfnrt] | "u" [0-9a-fA-F]{4}) char* "\\""')
            self._rules.define(names[start], " | ".join(ways + ([] if start in plain else ['"\\""'])))
        return self._rules.add(f'"\\"" {names[""]}', "key")

    def _listed(self, begin: str, item: str, end: str, least: int, most: int | None) -> str:
        space = self._rules.json("space")
        if most == 0:
            return f"{literal(begin)} {space} {literal(end)}"
        again = self._rules.add(f'"," {space} {item}', "again")
        several = self._rules.repeat(again, max(least - 1, 0), None if most is None else most - 1)
        inside = f"{item} {several} {space}"
        return f"{literal(begin)} {space} {inside if least else f'({inside})?'} {literal(end)}"

    def _array(self, demanded: dict[str, Any], where: str) -> str:
        items = demanded.get("items", True)
        prefix = demanded.get("prefixItems", items if isinstance(items, list) else [])
        least, most = self._range(demanded, "minItems", "maxItems", where)
        if not prefix:
            if items is False:
                most = 0
            item = self._rules.json("value") if most == 0 else self._name(items, f"{where}/items")
            return self._listed("[", item, "]", least, most)
        if not isinstance(prefix, list):
            raise self._fail(where, "prefixItems must be a list")
        if most is not None and most < len(prefix):
            prefix = prefix[:most]
        space = self._rules.json("space")
        fixed = f' "," {space} '.join(self._name(one, f"{where}/{n}") for n, one in enumerate(prefix))
        if isinstance(items, list) or items is False or "items" not in demanded or most == len(prefix):
            return f'"[" {space} {fixed or chr(34) * 2} {space} "]"'
        again = self._rules.add(f'"," {space} {self._name(items, f"{where}/items")}', "again")
        spare = None if most is None else most - len(prefix)
        return f'"[" {space} {fixed} {self._rules.repeat(again, max(least - len(prefix), 0), spare)} {space} "]"'

    def _string(self, demanded: dict[str, Any], where: str) -> str:
        least, most = self._range(demanded, "minLength", "maxLength", where)
        pattern = demanded.get("pattern")
        if pattern is not None:
            if self._strict and (least or most is not None):
                raise self._fail(where, "minLength and maxLength cannot be expressed beside pattern: put them into it")
            try:
                return f'"\\"" {self._rules.add(pattern_rule(str(pattern), self._rules), "pattern")} "\\""'
            except PatternError as error:
                if self._strict:
                    raise self._fail(where, f"pattern {pattern!r} cannot be expressed: {error}") from None
        form = demanded.get("format")
        if isinstance(form, str) and form in _FORMATS and not least and most is None:
            return f'"\\"" {self._rules.add(_FORMATS[form], form)} "\\""'
        if not least and most is None:
            return self._rules.json("string")
        return f'"\\"" {self._rules.repeat(self._rules.json("char"), least, most)} "\\""'

    def _number(self, name: str, demanded: dict[str, Any], where: str) -> str:
        whole = name == "integer"
        low, above = self._edge(demanded, "inimum", 1, whole, where)
        high, below = self._edge(demanded, "aximum", -1, whole, where)
        if low is high is None:
            return self._rules.json(name)
        if low is not None and high is not None and (low > high or (low == high and (above or below))):
            raise self._fail(where, "no number lies between its bounds")
        if whole:
            return integer_rule(self._rules, low, high)
        return number_rule(self._rules, low, high, above=above, below=below)

    def _edge(self, demanded: dict[str, Any], key: str, sign: int, whole: bool, where: str) -> tuple[int | None, bool]:
        """A whole bound and whether it is itself excluded; `sign` -1 reads an upper bound as a lower one."""
        plain, strict = demanded.get(f"m{key}"), demanded.get(f"exclusiveM{key}")
        if isinstance(strict, bool):  # draft 4: a flag beside the bound
            plain, strict = (None, plain) if strict else (plain, None)
        edges: list[tuple[int, bool]] = []
        for value, is_open in ((plain, False), (strict, True)):
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise self._fail(where, f"a bound must be a number, not {value!r}")
            edge = sign * value
            is_whole = edge == math.floor(edge)
            if whole:
                edges.append((math.floor(edge) + 1 if is_open else math.ceil(edge), False))
            elif self._strict and not is_whole:
                raise self._fail(where, f"bounds of a number can be expressed if they are whole, {value} is not")
            else:
                edges.append((math.floor(edge), is_open and is_whole))
        edge, is_open = max(edges, default=(-(10**MAX_DIGITS), False))
        return (None, False) if edge <= -(10 ** (MAX_DIGITS - 1)) else (sign * edge, is_open)
