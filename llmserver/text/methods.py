"""What chat templates may ask of texts, lists and objects: these methods and no others, each within the budget."""

from __future__ import annotations

import operator
import re
import string
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jinja2.runtime import LoopContext

from llmserver.text.budget import (
    MAX_BITS,
    MAX_COMPARES,
    MAX_ITEMS,
    budget,
    fits,
    holds,
    items_of,
    joined,
    text_of,
    weigh,
)
from llmserver.text.errors import TemplateRefused

_MAX_FORMAT = 10_000  # characters of a text with % or {} in it
_MAX_WIDTH = 1_000
_PIECE_BYTES = 64  # a short text and its place in a list
_LINE_ENDS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
_PERCENT = re.compile(r"%(?:\([^)]*\))?[-#0 +]*(\*|\d*)(?:\.(\*|\d*))?[hlL]?(.?)", re.DOTALL)
_BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "//": operator.floordiv,
    "**": operator.pow, "%": operator.mod,
}  # fmt: skip


class Method:
    """A method that a template has taken from a value and may call."""

    __slots__ = ("_function", "_value")

    def __init__(self, function: Callable[..., Any], value: Any) -> None:
        self._function, self._value = function, value

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(self._value, *args, **kwargs)

    def __repr__(self) -> str:
        return "<method>"


def _plain(name: str, *, kind: type = str) -> Callable[..., Any]:
    """A method that takes time by the size of its value and arguments, and makes nothing much larger."""
    method = getattr(kind, name)

    def call(value: Any, *args: Any) -> Any:
        if kind is not str:
            weigh(value)
        for arg in args:
            weigh(arg)
        return budget().made(method(value, *args))

    return call


def _search(name: str) -> Callable[..., Any]:
    """A method that compares each character of the text with each of its argument."""
    method = getattr(str, name)

    def call(value: str, *args: Any) -> Any:
        check_search(value, args[0] if args else None)
        return budget().made(method(value, *args))

    return call


def check_search(text: str, sought: Any) -> None:
    """Refuse a search that would take too long."""
    if isinstance(sought, str) and len(text) * len(sought) > MAX_COMPARES:
        raise TemplateRefused("the chat template searches a long text for a long text")


def _split(name: str) -> Callable[..., Any]:
    method = getattr(str, name)

    def call(value: str, sep: Any = None, maxsplit: int = -1) -> list[str]:
        if name == "rsplit":
            check_search(value, sep)
        found: list[str] = method(value, sep, maxsplit if 0 <= maxsplit < MAX_ITEMS else MAX_ITEMS)
        holds(len(found))
        budget().take(len(found) * _PIECE_BYTES + 4 * len(value))
        return found

    return call


def split_lines(value: str, keepends: bool = False) -> list[str]:
    """str.splitlines."""
    if len(value) > MAX_ITEMS:
        holds(sum(value.count(end) for end in _LINE_ENDS))
    found = value.splitlines(keepends)
    budget().take(len(found) * _PIECE_BYTES + 4 * len(value))
    return found


def _partition(name: str) -> Callable[..., Any]:
    method = getattr(str, name)

    def call(value: str, sep: str) -> Any:
        check_search(value, sep if name == "rpartition" else None)
        budget().take(4 * len(value) + _PIECE_BYTES)
        return method(value, sep)

    return call


def replaced(value: str, old: str, new: str, count: int = -1) -> str:
    """str.replace."""
    n = value.count(old)
    fits(len(value) + (n if count < 0 else min(n, count)) * (len(new) - len(old)))
    return str(budget().made(value.replace(old, new, count)))


def _pad(name: str) -> Callable[..., Any]:
    method = getattr(str, name)

    def call(value: str, width: int, *fill: str) -> Any:
        fits(width)
        return budget().made(method(value, width, *fill))

    return call


class _Formatter(string.Formatter):
    """str.format for plain values: no way into them, and nothing wide."""

    def get_field(self, field_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        budget().step()
        if "." in field_name or "[" in field_name:
            raise TemplateRefused("the chat template formats an attribute of a value: only values can be formatted")
        key = int(field_name) if field_name.isdecimal() else field_name
        return self.get_value(key, args, kwargs), key

    def convert_field(self, value: Any, conversion: str | None) -> Any:
        if conversion is None:
            return value
        return budget().made(repr(value)) if conversion == "r" and isinstance(value, str) else text_of(value)

    def format_field(self, value: Any, format_spec: str) -> Any:
        if len(format_spec) > 30 or any(int(n) > _MAX_WIDTH for n in re.findall(r"\d+", format_spec)):
            raise TemplateRefused(f"the chat template formats a value wider than {_MAX_WIDTH:,} characters")
        plain = value if isinstance(value, int | float) else text_of(value)
        return budget().made(format(plain, format_spec))


def _format(value: str, *args: Any, **kwargs: Any) -> str:
    _check_format(value)
    return str(budget().made(_Formatter().vformat(value, args, kwargs)))


def _check_format(value: str) -> None:
    if len(value) > _MAX_FORMAT:
        raise TemplateRefused(f"the chat template formats a text of more than {_MAX_FORMAT:,} characters")


def percent(value: str, values: Any) -> str:
    """The % operator of a text."""
    _check_format(value)
    n = 0
    for found in _PERCENT.finditer(value):
        n += 1
        sizes = [one for one in found.group(1, 2) if one]
        if "*" in sizes or any(len(one) > 4 or int(one) > _MAX_WIDTH for one in sizes):
            raise TemplateRefused(f"the chat template formats a value wider than {_MAX_WIDTH:,} characters")
        if found[3] in ("r", "a"):
            raise TemplateRefused(f"the chat template formats with %{found[3]}: %s and numbers can be formatted")
    given = (*values, values) if isinstance(values, tuple) else (values,)
    given = (*values.values(), values) if isinstance(values, dict) else given
    longest = max(len(text_of(one)) for one in given)
    fits(len(value) + n * (longest + _MAX_WIDTH))
    return str(budget().made(value % values))


def binary(sign: str, left: Any, right: Any) -> Any:
    """An operator between two values."""
    if isinstance(left, str) and sign == "%":
        return percent(left, right)
    if isinstance(left, int) and isinstance(right, int):
        _check_number(sign, left, right)
    elif sign == "*":
        for many, times in ((left, right), (right, left)):
            if isinstance(times, int) and isinstance(many, str | list | tuple):
                (fits if isinstance(many, str) else holds)(len(many) * times)
    elif sign == "+" and isinstance(left, str | list | tuple) and isinstance(right, str | list | tuple):
        (fits if isinstance(left, str) else holds)(len(left) + len(right))
    return budget().made(_BINARY[sign](left, right))


def _check_number(sign: str, left: int, right: int) -> None:
    n = left.bit_length() + right.bit_length()
    if sign == "**":
        n = left.bit_length() * abs(right)
    if n > MAX_BITS:
        raise TemplateRefused(f"the chat template computes a number of more than {MAX_BITS:,} bits")


def key_of(value: Any) -> Any:
    """The value, if it can be a key."""
    return weigh(value) if isinstance(value, tuple) else value


def _append(value: list[Any], item: Any) -> None:
    holds(len(value) + 1)
    budget().take(16)
    value.append(item)


def _get(value: dict[Any, Any], key: Any, default: Any = None) -> Any:
    return value.get(key_of(key), default)


def pairs_of(value: dict[Any, Any]) -> list[tuple[Any, Any]]:
    """The items of an object."""
    budget().take(_PIECE_BYTES * len(value))
    return list(value.items())


def _changed(value: LoopContext, *seen: Any) -> bool:
    return value.changed(*(weigh(one) for one in seen))


def _cycle(value: LoopContext, *items: Any) -> Any:
    return value.cycle(*items)


_SAME_SIZE = ("capitalize", "casefold", "lower", "swapcase", "title", "upper", "removeprefix", "removesuffix")
_TELLS = (
    *("isalnum", "isalpha", "isascii", "isdecimal", "isdigit", "islower", "isnumeric", "isspace", "istitle", "isupper"),
    *("count", "find", "index", "startswith", "endswith"),
)
_STR: dict[str, Callable[..., Any]] = {
    **{name: _plain(name) for name in (*_SAME_SIZE, *_TELLS)},
    **{name: _search(name) for name in ("strip", "lstrip", "rstrip", "rfind", "rindex")},
    **{name: _pad(name) for name in ("center", "ljust", "rjust", "zfill")},
    **{name: _split(name) for name in ("split", "rsplit")},
    **{name: _partition(name) for name in ("partition", "rpartition")},
    "splitlines": split_lines,
    "replace": replaced,
    "join": lambda value, items: joined(value, items_of(items)),
    "format": _format,
}
_LIST: dict[str, Callable[..., Any]] = {
    **{name: _plain(name, kind=list) for name in ("index", "count")},
    "append": _append,
    "pop": lambda value, at=-1: value.pop(at),
    "copy": items_of,
}
_TUPLE: dict[str, Callable[..., Any]] = {name: _plain(name, kind=tuple) for name in ("index", "count")}
_DICT: dict[str, Callable[..., Any]] = {
    "get": _get,
    "items": pairs_of,
    "keys": items_of,
    "values": lambda value: items_of(list(value.values())),
    "copy": lambda value: budget().made(dict(value)),
}
_LOOP: dict[str, Callable[..., Any]] = {"changed": _changed, "cycle": _cycle}
METHODS: dict[type, dict[str, Callable[..., Any]]] = {
    str: _STR, list: _LIST, tuple: _TUPLE, dict: _DICT, LoopContext: _LOOP
}  # fmt: skip
