"""The global functions of chat templates, each within the budget. jinja2's cycler and lipsum are not among them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jinja2.sandbox import safe_range
from jinja2.utils import Namespace

from llmserver.text.budget import budget, text_of
from llmserver.text.errors import TemplateRefused

Function = Callable[..., Any]
_MOST_DATE = 200


def _joiner(sep: str = ", ") -> Function:
    """A function that says nothing when it is first called, and `sep` from then on."""
    is_first = True

    def say() -> str:
        nonlocal is_first
        says, is_first = "" if is_first else sep, False
        return says

    return say


def _namespace(*args: Any, **kwargs: Any) -> Namespace:
    return _Namespace(_dict(*args, **kwargs))


class _Namespace(Namespace):
    """As jinja2's, but writes nothing of what is in it: that may be itself."""

    def __repr__(self) -> str:
        return "<Namespace>"


def _dict(*args: Any, **kwargs: Any) -> dict[str, Any]:
    given = args[0] if args else {}
    if len(args) > 1 or not isinstance(given, dict):
        raise TypeError("dict takes an object, and values by name")
    return dict(budget().made({**given, **kwargs}))


def _raise_exception(message: Any = "") -> None:
    raise TemplateRefused(text_of(message))


def functions_of(strftime: Callable[[str], str]) -> dict[str, Function]:
    """The global functions; strftime is the clock of those templates that write a date."""

    def strftime_now(form: str) -> str:
        if len(form) > _MOST_DATE:
            raise TemplateRefused(f"the chat template writes a date in more than {_MOST_DATE} characters")
        return str(budget().made(strftime(form)))

    return {
        "range": lambda *args: safe_range(*args),
        "dict": _dict,
        "namespace": _namespace,
        "joiner": _joiner,
        "raise_exception": _raise_exception,
        "strftime_now": strftime_now,
    }
