"""Run a chat template the way Hugging Face's templates expect, and never for long, whatever is in it.

A template comes out of a model file that somebody made. It is compiled only if it is small and made of known parts; it
reaches values only through methods.py and filters.py, and budget.py counts what it does. jinja2 does the rest.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import FunctionType
from typing import Any, cast

from jinja2 import Undefined, nodes, pass_context
from jinja2.compiler import CodeGenerator
from jinja2.ext import Extension
from jinja2.lexer import Token, TokenStream
from jinja2.parser import Parser
from jinja2.runtime import Context, LoopContext, Macro
from jinja2.sandbox import SandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

from llmserver.errors import LlmServerError
from llmserver.text.budget import CALL_STEPS, Clock, budget, fits, joined, spending, text_of, weigh
from llmserver.text.errors import BadTemplate, TemplateRefused
from llmserver.text.filters import FILTERS, TESTS
from llmserver.text.functions import functions_of
from llmserver.text.methods import METHODS, Method, binary, key_of
from llmserver.text.sequences import Sequences

MAX_SOURCE = 131_072  # characters; the longest known templates have 40,000
MAX_NODES = 25_000
MAX_NAMES = 500
MAX_NESTING = 100  # the compiler calls itself for each level, and Python ends that at 1,000 calls
MAX_LOOPS = 15  # in one another
MAX_ELIFS = 200
MAX_CODE = 1_000_000  # characters of Python that a template may become
_MOST_SAID = 600  # characters of an error
# Filters of our own for what has no name in the language: the blanks keep templates from naming them.
_COUNTED, _WEIGHED, _MADE, _JOINED, _KEY = " counted", " weighed", " made", " joined", " key"
_KNOWN = frozenset((
    *(nodes.Template, nodes.Output, nodes.For, nodes.If, nodes.Macro, nodes.CallBlock, nodes.FilterBlock, nodes.With),
    *(nodes.ExprStmt, nodes.Assign, nodes.AssignBlock, nodes.Continue, nodes.Break, nodes.Scope),
    *(nodes.Name, nodes.NSRef, nodes.Const, nodes.TemplateData, nodes.Tuple, nodes.List, nodes.Dict, nodes.Pair),
    *(nodes.Keyword, nodes.CondExpr, nodes.Filter, nodes.Test, nodes.Call, nodes.Getitem, nodes.Getattr, nodes.Slice),
    *(nodes.Concat, nodes.Compare, nodes.Operand, *nodes.BinExpr.__subclasses__()),
    *nodes.UnaryExpr.__subclasses__(),
))  # fmt: skip
_LOOP = frozenset(
    ("index", "index0", "revindex", "revindex0", "first", "last", "length", "previtem", "nextitem", "depth", "depth0")
)
_MACRO = frozenset(("name", "arguments", "catch_kwargs", "catch_varargs", "caller"))
_CALLABLE = (Method, Macro, LoopContext, FunctionType, Undefined)


class _Fence(NodeTransformer):
    """Sends what would escape the budget through filters that count it."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802  # jinja2's names
        self.generic_visit(node)
        node.iter = _through(_COUNTED, node.iter)
        return node

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        sides: list[nodes.Compare | nodes.Operand] = [node, *node.ops]
        for side in sides:
            if not isinstance(side.expr, nodes.Const):
                side.expr = _through(_WEIGHED, side.expr)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _through(_JOINED, nodes.Tuple(node.nodes, "load", lineno=node.lineno))

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _through(_MADE, node) if isinstance(node.arg, nodes.Slice) else node

    def visit_List(self, node: nodes.List) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _through(_MADE, node) if node.items else node

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _through(_MADE, node) if node.items and node.ctx == "load" else node

    def visit_Dict(self, node: nodes.Dict) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        for pair in node.items:
            if not isinstance(pair.key, nodes.Const):
                pair.key = _through(_KEY, pair.key)
        return _through(_MADE, node) if node.items else node

    def visit_Output(self, node: nodes.Output) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        node.nodes = [
            nodes.TemplateData(one.value, lineno=one.lineno)
            if isinstance(one, nodes.Const) and isinstance(one.value, str)
            else one
            for one in node.nodes
        ]
        return node


def _through(name: str, node: nodes.Node) -> nodes.Filter:
    return nodes.Filter(cast(nodes.Expr, node), name, [], [], None, None, lineno=node.lineno)


def _joined(values: tuple[Any, ...]) -> str:
    return joined("", [text_of(value) for value in values])


class _Generation(Extension):
    """`{% generation %}` marks text for training; here it is only its content."""

    tags = {"generation"}  # noqa: RUF012  # jinja2 wants a plain set

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    def filter_stream(self, stream: TokenStream) -> Iterator[Token]:
        look: Callable[[], None] = self.environment.look  # type: ignore[attr-defined]
        for token in stream:
            look()
            yield token


class _Generator(CodeGenerator):
    """Looks at the clock."""

    def writeline(self, x: str, node: nodes.Node | None = None, extra: int = 0) -> None:
        self.environment.look()  # type: ignore[attr-defined]
        super().writeline(x, node, extra)


class _Environment(SandboxedEnvironment):
    """jinja2's, with every way to a value and every operation that could grow replaced."""

    code_generator_class = _Generator
    intercepted_binops = frozenset(("+", "-", "*", "/", "//", "%", "**"))

    def __init__(self, strftime: Callable[[str], str]) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=["jinja2.ext.loopcontrols", _Generation],
            optimized=False,  # nothing of a template is computed while it is compiled
            finalize=pass_context(lambda _, value: text_of(value)),
        )
        self._clock = Clock()
        named, tests = dict(FILTERS), dict(TESTS)
        named |= Sequences(self, named, tests).table()
        internal = {_COUNTED: lambda items: budget().counted(items), _WEIGHED: weigh, _JOINED: _joined, _KEY: key_of}
        internal[_MADE] = lambda value: budget().made(value)
        self.filters, self.tests = cast(Any, named | internal), cast(Any, tests)
        self.globals = dict(functions_of(strftime))
        self.concat = lambda parts: joined("", list(parts))  # type: ignore[method-assign]

    def look(self) -> None:
        """Raise BadTemplate when compiling has taken its time."""
        if self._clock.is_over():
            raise BadTemplate(f"the chat template is not compiled within {self._clock.limit_s:g} s")

    def _generate(self, source: nodes.Template, *args: Any, **kwargs: Any) -> str:
        self._check(source)
        tree = _Fence().visit(source)
        tree.set_environment(self)
        code = super()._generate(tree, *args, **kwargs)
        self.look()
        if len(code) > MAX_CODE:
            raise BadTemplate(f"the chat template becomes {len(code):,} characters of code: at most {MAX_CODE:,}")
        return code

    def _check(self, source: nodes.Template) -> None:
        """Refuse what takes the compiler long, or deep, and what chat templates have no use for."""
        names: set[str] = set()
        n_nodes = depth = 0
        level: list[tuple[nodes.Node, int]] = [(source, 0)]
        while level:
            below: list[tuple[nodes.Node, int]] = []
            for node, n_loops in level:
                self.look()
                _check_node(node, n_loops)
                if isinstance(node, nodes.Name):
                    names.add(node.name)
                inside = n_loops + isinstance(node, nodes.For)
                below += [(child, inside) for child in node.iter_child_nodes()]
            n_nodes += len(level)
            depth += 1
            for n, most, what in (
                (n_nodes, MAX_NODES, "parts"), (len(names), MAX_NAMES, "names"), (depth, MAX_NESTING, "levels"),
            ):  # fmt: skip
                if n > most:
                    raise BadTemplate(f"the chat template has more than {most:,} {what}")
            level = below

    def getattr(self, obj: Any, attribute: str) -> Any:
        """obj.attribute: a method that is allowed, else an item."""
        kind = type(obj)
        method = METHODS.get(kind, {}).get(attribute)
        if method is not None:
            return Method(method, obj)
        if (kind is dict and attribute in obj) or isinstance(obj, Undefined):
            return obj[attribute]  # which raises where nothing is defined
        if (
            (kind is LoopContext and attribute in _LOOP)
            or (kind is Macro and attribute in _MACRO)
            or (isinstance(obj, Namespace) and not attribute.startswith("_"))
        ):
            try:
                return getattr(obj, attribute)
            except AttributeError:
                return self.undefined(obj=obj, name=attribute)
        if attribute.startswith("_") or hasattr(kind, attribute):
            return self.unsafe_undefined(obj, attribute)
        return self.undefined(obj=obj, name=attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """obj[argument]: an item, else an attribute."""
        try:
            if isinstance(obj, dict | list | tuple | str | range | Undefined):
                return obj[key_of(argument)]
        except (TypeError, LookupError):
            pass
        return self.getattr(obj, argument) if isinstance(argument, str) else self.undefined(obj=obj, name=argument)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805  # as jinja2 does
        budget().step(CALL_STEPS)
        kwargs.pop("_loop_vars", None)
        kwargs.pop("_block_vars", None)
        if not isinstance(__obj, _CALLABLE):
            raise TypeError(f"{type(__obj).__name__} cannot be called")
        if isinstance(__obj, LoopContext) and args:
            return __obj(budget().counted(args[0]), *args[1:], **kwargs)
        return __obj(*args, **kwargs)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        return binary(operator, left, right)


def _check_node(node: nodes.Node, n_loops: int) -> None:
    if type(node) not in _KNOWN:
        raise BadTemplate(f"the chat template uses {type(node).__name__.lower()}, which chat templates cannot")
    if isinstance(node, nodes.For) and n_loops >= MAX_LOOPS:
        raise BadTemplate(f"the chat template has loops in loops in more than {MAX_LOOPS} levels")
    if isinstance(node, nodes.Macro) and n_loops:
        raise BadTemplate(f"the chat template defines the macro {node.name} in a loop: it belongs before it")
    if isinstance(node, nodes.If) and len(node.elif_) > MAX_ELIFS:
        raise BadTemplate(f"the chat template has more than {MAX_ELIFS} branches of one condition")


class Compiled:
    """A compiled template: `strftime` is the clock that templates with a date in them ask."""

    def __init__(self, source: str, strftime: Callable[[str], str] = time.strftime) -> None:
        if len(source) > MAX_SOURCE:
            raise BadTemplate(f"the chat template has {len(source):,} characters: at most {MAX_SOURCE:,} are compiled")
        try:
            self._template = _Environment(strftime).from_string(source)
        except LlmServerError:
            raise
        except Exception as error:  # noqa: BLE001  # jinja2 and Python fail at a hostile source in many ways
            raise BadTemplate(f"the chat template cannot be compiled: {_told(error)}") from None

    def render(self, context: Mapping[str, Any], clock: Clock | None = None) -> str:
        """Render once, within what is left on the clock; TemplateRefused carries whatever the template raised."""
        parts: list[str] = []
        size = 0
        try:
            with spending(clock or Clock()):
                for part in self._parts(context):
                    parts.append(part)
                    size += len(part)
                    fits(size)
        except TemplateRefused as why:
            raise TemplateRefused(_one_line(why.message)) from None
        except RecursionError:
            raise TemplateRefused("the chat template calls itself too deeply") from None
        except Exception as error:  # noqa: BLE001  # whatever a template does in the sandbox is the template's refusal
            raise TemplateRefused(f"the chat template failed: {_told(error)}") from None
        return "".join(parts)

    def _parts(self, context: Mapping[str, Any]) -> Iterable[str]:
        template = self._template
        own = {name: _own(value) for name, value in context.items()}
        return template.root_render_func(template.new_context(own))


def _own(value: Any) -> Any:
    """A copy: what a template changes is its own."""
    if isinstance(value, Mapping):
        return {key: _own(one) for key, one in value.items()}
    return [_own(one) for one in value] if isinstance(value, list | tuple) else value


def _told(error: Exception) -> str:
    return _one_line(f"{type(error).__name__}: {error}")


def _one_line(text: str) -> str:
    return " ".join(text[: 4 * _MOST_SAID].split())[:_MOST_SAID]
