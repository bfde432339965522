"""The filters and tests of chat templates that look at one value, each within the budget.

Of jinja2's own those are missing that lay out pages (batch, center, filesizeformat, groupby, pprint, slice, striptags,
truncate, urlencode, urlize, wordcount, wordwrap, xmlattr), ask for HTML (forceescape) or answer by chance (random).
"""

from __future__ import annotations

import json
import math
import operator
import re
from typing import Any, cast

from jinja2 import Undefined
from jinja2.tests import TESTS as JINJAS_TESTS
from markupsafe import escape

from llmserver.text.budget import budget, fits, holds, items_of, joined, text_of, weigh
from llmserver.text.errors import TemplateRefused
from llmserver.text.methods import binary, check_search, pairs_of, percent, replaced, split_lines
from llmserver.text.sequences import Function, few, folded, same

_MOST_DIGITS = 1_000
_MOST_INDENT = 100
_WORD = re.compile(r"[^-\s({\[<]+")


def _text(name: str) -> Function:
    method = getattr(str, name)
    return lambda value: budget().made(method(text_of(value)))


def _title(value: Any) -> str:
    text = text_of(value)
    holds(len(text))
    return str(budget().made(_WORD.sub(lambda word: word[0][0].upper() + word[0][1:].lower(), text)))


def _trim(value: Any, chars: Any = None) -> str:
    text = text_of(value)
    check_search(text, chars)
    return str(budget().made(text.strip(chars)))


def _replace(value: Any, old: Any, new: Any, count: int | None = None) -> str:
    return replaced(text_of(value), text_of(old), text_of(new), -1 if count is None else count)


def _indent(value: Any, width: Any = 4, first: bool = False, blank: bool = False) -> str:
    """Lines but the first begin with blanks, or with a text; empty ones only if asked for."""
    if isinstance(width, int):
        if width > _MOST_INDENT:
            raise TemplateRefused(f"the chat template indents by more than {_MOST_INDENT} blanks")
        width = " " * width
    lines = split_lines(text_of(value) + "\n")
    fits(sum(map(len, lines)) + len(lines) * (len(width) + 1))
    rest = [width + line if line or blank else line for line in lines[1:]]
    return joined("\n", [width + lines[0] if first else lines[0], *rest])


def _escape(value: Any) -> str:
    text = text_of(value)
    fits(len(text) + 4 * sum(text.count(one) for one in "&<>'\""))
    return str(budget().made(str(escape(text))))


def _default(value: Any, default_value: Any = "", boolean: bool = False) -> Any:
    return default_value if isinstance(value, Undefined) or (boolean and not value) else value


def _first(value: Any) -> Any:
    return next(iter(value), Undefined("the list is empty"))


def _last(value: Any) -> Any:
    items = value if isinstance(value, str | list | tuple) else items_of(value)
    return items[-1] if items else Undefined("the list is empty")


def _reverse(value: Any) -> Any:
    return budget().made(value[::-1] if isinstance(value, str) else items_of(value)[::-1])


def _int(value: Any, default: Any = 0, base: int = 10) -> Any:
    try:
        if isinstance(value, str):
            short = value if len(value) <= _MOST_DIGITS else ""
            try:
                return int(short, base)
            except ValueError:
                return int(float(short))
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return default


def _float(value: Any, default: Any = 0.0) -> Any:
    try:
        return float(value if not isinstance(value, str) or len(value) <= _MOST_DIGITS else "")
    except (TypeError, ValueError, OverflowError):
        return default


def _round(value: float, precision: int = 0, method: str = "common") -> Any:
    if abs(precision) > 30:
        raise TemplateRefused("the chat template rounds to more than 30 digits")
    if method == "common":
        return round(value, precision)
    way = {"ceil": math.ceil, "floor": math.floor}[method]
    return way(value * 10**precision) / 10**precision


def _items(value: Any) -> list[Any]:
    if isinstance(value, Undefined):
        return []
    if not isinstance(value, dict):
        raise TypeError("items are those of an object")
    return pairs_of(value)


def _dictsort(value: Any, case_sensitive: bool = False, by: str = "key", reverse: bool = False) -> list[Any]:
    part = {"key": 0, "value": 1}[by]
    pairs = few(weigh(_items(value)))
    fold = same if case_sensitive else folded
    return sorted(pairs, key=lambda pair: fold(pair[part]), reverse=bool(reverse))


def _tojson(
    value: Any,
    indent: int | None = None,
    ensure_ascii: bool = False,
    separators: Any = None,
    sort_keys: bool = False,
) -> str:
    """JSON as models know it: no HTML escapes, characters as they are."""
    if (isinstance(indent, int) and indent > _MOST_INDENT) or len(str(weigh(separators))) > _MOST_INDENT:
        raise TemplateRefused(f"the chat template writes JSON with more than {_MOST_INDENT} blanks between")
    if indent is not None and not isinstance(indent, int):
        raise TemplateRefused("the chat template indents JSON by something that is no number")
    encoder = json.JSONEncoder(
        indent=indent, ensure_ascii=bool(ensure_ascii), separators=separators, sort_keys=bool(sort_keys)
    )
    weigh(value)
    if indent is None:
        return str(budget().made(encoder.encode(value)))
    parts = []
    for part in encoder.iterencode(value):  # indenting is slow
        budget().take(8 + len(part))
        parts.append(part)
    return joined("", parts)


FILTERS: dict[str, Function] = {
    "abs": abs,
    "capitalize": _text("capitalize"),
    "count": len,
    "d": _default,
    "default": _default,
    "dictsort": _dictsort,
    "e": _escape,
    "escape": _escape,
    "first": _first,
    "float": _float,
    "format": lambda value, *args, **kwargs: percent(text_of(value), kwargs or args),
    "indent": _indent,
    "int": _int,
    "items": _items,
    "last": _last,
    "length": len,
    "list": items_of,
    "lower": _text("lower"),
    "replace": _replace,
    "reverse": _reverse,
    "round": _round,
    "safe": text_of,
    "string": text_of,
    "title": _title,
    "tojson": _tojson,
    "trim": _trim,
    "upper": _text("upper"),
}


def _number(value: Any) -> Any:
    if not isinstance(value, int | float):
        raise TypeError(f"a number is expected, not {type(value).__name__}")
    return value


def _compared(operation: Function) -> Function:
    return lambda left, right: operation(weigh(left), weigh(right))


_PLAIN_TESTS = (
    *("boolean", "callable", "defined", "false", "float", "integer", "iterable", "mapping", "none", "number"),
    *("sameas", "sequence", "string", "true", "undefined"),
)
_COMPARE: dict[Function, tuple[str, ...]] = {
    operator.eq: ("eq", "==", "equalto"),
    operator.ne: ("ne", "!="),
    operator.gt: ("gt", ">", "greaterthan"),
    operator.ge: ("ge", ">="),
    operator.lt: ("lt", "<", "lessthan"),
    operator.le: ("le", "<="),
    lambda item, items: item in items: ("in",),
}
TESTS: dict[str, Function] = {
    **{name: cast(Function, JINJAS_TESTS[name]) for name in _PLAIN_TESTS},
    **{name: _compared(operation) for operation, names in _COMPARE.items() for name in names},
    "divisibleby": lambda value, by: binary("%", _number(value), _number(by)) == 0,
    "even": lambda value: _number(value) % 2 == 0,
    "odd": lambda value: _number(value) % 2 == 1,
    "lower": lambda value: text_of(value).islower(),
    "upper": lambda value: text_of(value).isupper(),
}
