"""Run a chat template the way Hugging Face's templates expect, with an end to its output and to its loops.

A template comes out of a model file that somebody made: jinja2's sandbox keeps it from Python, a budget of steps and
characters keeps it from running away. Filters on huge strings are not counted: this is a fence and no prison.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from llmserver.text.errors import BadTemplate, TemplateRefused

MAX_STEPS = 400_000
_CALL_STEPS = 4  # what a call costs, measured in loop rounds
MAX_CHARS = 16_000_000
_BUDGET = "paddock_budget"


class _Budget:
    """What one rendering may still use; counts loop rounds and calls."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = MAX_STEPS

    def step(self, n: int = 1) -> None:
        self._left -= n
        if self._left < 0:
            raise TemplateRefused(f"the chat template does not end: it was stopped after {MAX_STEPS:,} steps")

    def counted(self, items: Iterable[Any]) -> Iterator[Any]:
        for item in items:
            self.step()
            yield item


class _Count(NodeTransformer):
    """Sends what every loop runs over through the budget."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802  # jinja2's name
        self.generic_visit(node)
        count = nodes.Getattr(nodes.Name(_BUDGET, "load"), "counted", "load")
        node.iter = nodes.Call(count, [node.iter], [], None, None)
        return node


class _Generation(Extension):
    """`{% generation %}` marks text for training; here it is only its content."""

    tags = {"generation"}  # noqa: RUF012  # jinja2 wants a plain set

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset(("*", "**", "+"))

    def _generate(self, source: nodes.Template, *args: Any, **kwargs: Any) -> str:
        tree = _Count().visit(source)
        tree.set_environment(self)
        return super()._generate(tree, *args, **kwargs)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Templates of some models collect messages in lists of their own; what they are given is a copy."""
        return (isinstance(obj, list) and attr in ("append", "pop")) or super().is_safe_attribute(obj, attr, value)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805  # as jinja2 does
        budget = __context.get(_BUDGET)
        if isinstance(budget, _Budget):
            budget.step(_CALL_STEPS)
        return super().call(__context, __obj, *args, **kwargs)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "**" and isinstance(right, int | float) and abs(right) > 64:
            raise TemplateRefused("the chat template raises to a power above 64")
        if operator == "*" and _size(left) * _size(right) > MAX_CHARS:
            raise TemplateRefused("the chat template repeats a text too often")
        if operator == "+" and _size(left) + _size(right) > MAX_CHARS and isinstance(left, str | list):
            raise TemplateRefused("the chat template joins texts that are too long")
        return super().call_binop(context, operator, left, right)


def _size(value: Any) -> int:
    """Length of a text or list; of a number, itself: what multiplying with it would cost."""
    if isinstance(value, str | list | tuple):
        return len(value)
    return abs(value) if isinstance(value, int) else 1


def _tojson(value: Any, indent: int | None = None, ensure_ascii: bool = False, **kwargs: Any) -> str:
    """JSON as models know it: no HTML escapes, characters as they are."""
    return json.dumps(value, indent=indent, ensure_ascii=ensure_ascii, **kwargs)


def _raise_exception(message: object = "") -> None:
    raise TemplateRefused(str(message))


class Compiled:
    """A compiled template: `strftime` is the clock that templates with a date in them ask."""

    def __init__(self, source: str, strftime: Callable[[str], str] = time.strftime) -> None:
        environment = _Environment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", _Generation]
        )
        environment.filters["tojson"] = _tojson
        environment.globals |= {"raise_exception": _raise_exception, "strftime_now": strftime}
        try:
            self._template = environment.from_string(source)
        except (jinja2.TemplateError, SyntaxError, ValueError, TypeError, RecursionError) as error:
            raise BadTemplate(f"the chat template cannot be compiled: {error}") from None

    def render(self, context: Mapping[str, Any]) -> str:
        """Render once; TemplateRefused carries whatever the template raised."""
        parts: list[str] = []
        size = 0
        try:
            for part in self._template.generate({**context, _BUDGET: _Budget()}):
                parts.append(part)
                size += len(part)
                if size > MAX_CHARS:
                    raise TemplateRefused(f"the chat template wrote more than {MAX_CHARS:,} characters")
        except TemplateRefused:
            raise
        except RecursionError:
            raise TemplateRefused("the chat template calls itself too deeply") from None
        except Exception as error:  # noqa: BLE001  # whatever a template does in the sandbox is the template's refusal
            raise TemplateRefused(f"the chat template failed: {type(error).__name__}: {error}") from None
        return "".join(parts)
