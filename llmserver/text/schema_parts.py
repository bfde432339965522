"""Read JSON schemas before they become rules: references, allOf, and keywords of the right type.

It decides what a schema means once its parts are put together, and refuses what is malformed; it writes no grammar.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from llmserver.text.errors import BadSchema

Schema = Mapping[str, Any]
TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")
# Words that describe and never forbid anything.
ANNOTATIONS = frozenset(
    (
        "$schema",
        "$id",
        "$comment",
        "$defs",
        "definitions",
        "$anchor",
        "title",
        "description",
        "default",
        "examples",
        "example",
        "deprecated",
        "readOnly",
        "writeOnly",
        "discriminator",
        "nullable",
        "strict",
    )
)
_IMPLIED = {
    "object": ("properties", "required", "additionalProperties", "minProperties", "maxProperties"),
    "array": ("items", "prefixItems", "minItems", "maxItems"),
    "string": ("pattern", "minLength", "maxLength", "format"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
}
_LARGER = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_SMALLER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")


class Nothing(Exception):  # a fact about two schemas, not a fault
    """No value satisfies both schemas."""


def target(root: Schema, ref: object, param: str) -> Any:
    """What a local reference points at; other documents are never fetched."""
    if not isinstance(ref, str) or not (ref == "#" or ref.startswith("#/")):
        raise BadSchema(f"$ref {ref!r}: only references within the schema ('#/...') are followed", param=param)
    found: Any = root
    for part in ref.split("/")[1:]:
        key = unquote(part).replace("~1", "/").replace("~0", "~")
        try:
            found = found[int(key)] if isinstance(found, list) else found[key]
        except (KeyError, IndexError, ValueError, TypeError):
            raise BadSchema(f"$ref {ref!r} points at nothing: there is no {key!r}", param=param) from None
    return found


def constraints(schema: Schema) -> dict[str, Any]:
    """The keywords that forbid something."""
    return {key: value for key, value in schema.items() if key not in ANNOTATIONS}


def types_of(schema: Schema, where: str, param: str) -> list[str]:
    """The JSON types a schema allows; without `type`, those its other keywords speak of; none means any."""
    named = schema.get("type")
    if named is None:
        return [name for name, keys in _IMPLIED.items() if any(key in schema for key in keys)]
    types = [named] if isinstance(named, str) else named
    if not isinstance(types, list) or not types or not all(name in TYPES for name in types):
        raise BadSchema(f"{where}: type must be of {', '.join(TYPES)}, not {named!r}", param=param)
    if schema.get("nullable") is True and "null" not in types:
        return [*types, "null"]
    return list(dict.fromkeys(types))


def is_type(value: object, types: list[str]) -> bool:
    """Whether a JSON value is of one of these types."""
    if isinstance(value, bool):
        return "boolean" in types
    if isinstance(value, int | float):
        return "number" in types or ("integer" in types and float(value).is_integer())
    kinds = {str: "string", list: "array", dict: "object", type(None): "null"}
    return kinds.get(type(value), "") in types


def count(schema: Schema, key: str, where: str, param: str, default: int | None = None) -> int | None:
    """A keyword that counts: a whole number of 0 or more."""
    value = schema.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0 or value != int(value):
        raise BadSchema(f"{where}: {key} must be a whole number of 0 or more, not {value!r}", param=param)
    return int(value)


def merge(one: Schema, other: Schema) -> dict[str, Any]:
    """One schema that demands what both demand."""
    merged = constraints(one)
    for key, value in constraints(other).items():
        merged[key] = _both(key, merged[key], value) if key in merged and merged[key] != value else value
    return merged


def _both(key: str, one: Any, other: Any) -> Any:
    if key == "type":
        return _common_types(one, other)
    if key == "enum":
        shared = [value for value in one if value in other]
        if not shared:
            raise Nothing
        return shared
    if key == "required":
        return list(dict.fromkeys([*one, *other]))
    if key == "properties":
        shared_keys = {name: {"allOf": [one[name], other[name]]} for name in one if name in other}
        return {**one, **other, **shared_keys}
    if key in _LARGER:
        return max(one, other)
    if key in _SMALLER:
        return min(one, other)
    if key in ("items", "additionalProperties"):
        return _both_schemas(one, other)
    raise Nothing


def _common_types(one: Any, other: Any) -> list[str]:
    first = [one] if isinstance(one, str) else list(one)
    second = [other] if isinstance(other, str) else list(other)
    shared = [name for name in first if name in second or (name == "integer" and "number" in second)]
    shared += [name for name in second if name == "integer" and "number" in first and name not in shared]
    if not shared:
        raise Nothing
    return shared


def _both_schemas(one: Any, other: Any) -> Any:
    if one is False or other is False:
        return False
    if one is True or other is True:
        return other if one is True else one
    return {"allOf": [one, other]}
