"""The filters of chat templates that look into the items of a list, each within the budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

from jinja2 import Undefined
from jinja2.exceptions import TemplateRuntimeError

from llmserver.text.budget import budget, items_of, joined, text_of, weigh
from llmserver.text.errors import TemplateRefused
from llmserver.text.methods import binary

Function = Callable[..., Any]
_NOTHING: Any = object()
_MOST_SORTED = 100_000


class Values(Protocol):
    """How filters look into values: as the template's own brackets do."""

    def getitem(self, obj: Any, argument: Any) -> Any:
        """obj[argument], undefined where there is none."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        """obj.attribute, undefined where there is none."""


def at(values: Values, attribute: Any, default: Any = _NOTHING) -> Function:
    """A function that takes `a.b.0` from a value."""
    if isinstance(attribute, int):
        path: list[Any] = [attribute]
    else:
        path = [int(part) if part.isdecimal() else part for part in text_of(attribute).split(".", 20)]

    def take(value: Any) -> Any:
        for part in path:
            value = values.getitem(value, part)
            if isinstance(value, Undefined) and default is not _NOTHING:
                return default
        return value

    return take


class Sequences:
    """Filters that look into the items of a list. `tests` and `filters`: what select and map can be told to use."""

    def __init__(self, values: Values, filters: dict[str, Function], tests: dict[str, Function]) -> None:
        self._values, self._filters, self._tests = values, filters, tests

    def table(self) -> dict[str, Function]:
        """The filters by their names."""
        return {
            "attr": lambda value, name: self._values.getattr(value, text_of(name)),
            "map": self.map,
            "select": partial(self._select, wants=True),
            "reject": partial(self._select, wants=False),
            "selectattr": partial(self._select_attribute, wants=True),
            "rejectattr": partial(self._select_attribute, wants=False),
            "join": self.join,
            "sort": self.sort,
            "unique": self.unique,
            "min": partial(self._extreme, pick=min),
            "max": partial(self._extreme, pick=max),
            "sum": self.sum,
        }

    def map(self, value: Any, *args: Any, **kwargs: Any) -> list[Any]:
        """An attribute of each item, or what a filter makes of it."""
        if "attribute" in kwargs:
            change = at(self._values, kwargs["attribute"], kwargs.get("default", _NOTHING))
        else:
            change, args = _named(self._filters, "filter", args), args[1:]
            change = partial(_applied, change, args, kwargs)
        return [change(item) for item in budget().counted(items_of(value))]

    def _select(self, value: Any, *args: Any, wants: bool) -> list[Any]:
        test = _named(self._tests, "test", args) if args else bool
        return [item for item in budget().counted(items_of(value)) if bool(test(item, *args[1:])) is wants]

    def _select_attribute(self, value: Any, attribute: Any, *args: Any, wants: bool) -> list[Any]:
        test, take = _named(self._tests, "test", args) if args else bool, at(self._values, attribute)
        return [item for item in budget().counted(items_of(value)) if bool(test(take(item), *args[1:])) is wants]

    def join(self, value: Any, d: Any = "", attribute: Any = None) -> str:
        """All items as one text."""
        items = items_of(value)
        if attribute is not None:
            items = list(map(at(self._values, attribute), items))
        return joined(text_of(d), [text_of(item) for item in items])

    def _keys(self, items: list[Any], attribute: Any, case_sensitive: bool) -> list[Any]:
        """What each item is ordered by."""
        paths = [None] if attribute is None else text_of(attribute).split(",", 20)
        takes = [at(self._values, path) if path is not None else same for path in paths]
        fold = same if case_sensitive else folded
        keys = [[fold(take(item)) for take in takes] for item in budget().counted(items)]
        weigh(keys)
        return keys if len(takes) > 1 else [key[0] for key in keys]

    def sort(self, value: Any, reverse: bool = False, case_sensitive: bool = False, attribute: Any = None) -> list[Any]:
        """The items in order."""
        items = few(items_of(value))
        keys = self._keys(items, attribute, case_sensitive)
        return [items[n] for n in sorted(range(len(items)), key=keys.__getitem__, reverse=bool(reverse))]

    def unique(self, value: Any, case_sensitive: bool = False, attribute: Any = None) -> list[Any]:
        """The items without those whose like was there before."""
        items = few(items_of(value))
        found: dict[Any, Any] = {}
        for key, item in zip(self._keys(items, attribute, case_sensitive), items, strict=True):
            found.setdefault(key, item)
        return list(found.values())

    def _extreme(self, value: Any, case_sensitive: bool = False, attribute: Any = None, *, pick: Function) -> Any:
        items = items_of(value)
        keys = self._keys(items, attribute, case_sensitive)
        return items[pick(range(len(items)), key=keys.__getitem__)] if items else Undefined("the list is empty")

    def sum(self, value: Any, attribute: Any = None, start: Any = 0) -> Any:
        """The sum of the items."""
        take = same if attribute is None else at(self._values, attribute)
        for item in budget().counted(items_of(value)):
            start = binary("+", start, take(item))
        return start


def _named(table: Mapping[str, Function], kind: str, args: tuple[Any, ...]) -> Function:
    name = text_of(args[0]) if args else ""
    if name not in table:
        raise TemplateRuntimeError(f"there is no {kind} named {name[:100]!r}")
    return table[name]


def _applied(change: Function, args: tuple[Any, ...], kwargs: dict[str, Any], item: Any) -> Any:
    return change(item, *args, **kwargs)


def same(value: Any) -> Any:
    """The value."""
    return value


def folded(value: Any) -> Any:
    """What texts are ordered by where case does not count."""
    return value.lower() if isinstance(value, str) else value


def few(items: list[Any]) -> list[Any]:
    """The items, if so many can be sorted."""
    if len(items) > _MOST_SORTED:
        raise TemplateRefused(f"the chat template sorts a list of more than {_MOST_SORTED:,} items")
    return items
