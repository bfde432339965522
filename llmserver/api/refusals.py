"""Say in one sentence which field of a request is wrong, what it may be and what it was.

Knows pydantic's kinds of errors, and shows none of its names to a client.
"""

from __future__ import annotations

import json
from typing import Any

from llmserver.errors import RequestError

TAG = "="  # how the tags of our unions begin, so that they can be told from field names
_MAX_SHOWN = 60
_TEXTS = {
    "missing": "Field required",
    "extra_forbidden": "unknown field; GET /docs lists the known ones",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": "must be a text",
    "list_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "literal_error": "must be {expected}",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must match {pattern}",
    "too_short": "must have {min_length} or more entries",
    "too_long": "must have at most {max_length} entries",
}
_SHOWS_NO_VALUE = {"missing", "extra_forbidden", "string_too_long"}


def wrong_field(first: dict[str, Any]) -> RequestError:
    """The error for the first thing that pydantic found wrong with a body."""
    if first["type"] == "json_invalid":
        return RequestError(f"the body is not valid JSON: {first.get('ctx', {}).get('error', first['msg'])}")
    facts = first.get("ctx", {})
    parts = [str(part) for part in first["loc"] if not str(part).startswith(TAG)]
    where = ".".join([*parts[parts[:1] == ["body"] :], *filter(None, [facts.get("field")])]) or "body"
    text = _TEXTS.get(first["type"], first["msg"]).format_map(_Known(facts))
    if str(first["loc"][-1]).startswith(TAG) and first["type"] == "list_type":
        text = "must be a text or a list"
    if first["type"] not in _SHOWS_NO_VALUE and not facts.get("is_told"):
        text += f", got {shown(first['input'])}"
    return RequestError(f"{where}: {text}", param=where)


class _Known(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return f"{{{key}}}"


def shown(value: Any) -> str:
    """A value as JSON has it, cut short; of a list or an object only what it is."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if value is None or isinstance(value, (bool, int, float, str)):
        text = json.dumps(value)
        return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."
    return "something that is no JSON"
