"""Decide what a model may write: JSON, JSON of a schema, or calls of tools in its family's own syntax.

It writes grammars and never runs them; which sampler does, and when, is the engine's business. Schemas are converted
by our own schema.py, which says why.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llmserver.text.errors import BadSchema, UnknownTool
from llmserver.text.families import Family, Layout, Tags
from llmserver.text.gbnf import Rules, literal
from llmserver.text.schema import SchemaRules

MAX_CALLS = 16
_ANY_OBJECT: Mapping[str, Any] = {"type": "object"}
# White space within a call: as much as models write, and an end to it. The trigger's expression says the same.
_GAP = r"[ \t\n]{0,8}"


@dataclass(frozen=True)
class Grammar:
    """A GBNF grammar.

    `triggers` are regular expressions that llama.cpp searches in the text generated so far; a lazy grammar starts at
    their first capture group. They match only at the end of that text and only where the grammar accepts what is
    already written: a token that llama.cpp replays into a grammar which refuses it ends the process.
    """

    text: str
    root: str = "root"
    lazy: bool = False
    triggers: tuple[str, ...] = ()


def _json_object() -> Grammar:
    rules = Rules()
    return Grammar(rules.text(rules.json("object")))


JSON_OBJECT = _json_object()


def from_schema(schema: Mapping[str, Any], *, param: str = "response_format", strict: bool = True) -> Grammar:
    """A grammar of the JSON texts that fit `schema`; BadSchema names what a grammar cannot say, unless not `strict`."""
    rules = Rules()
    return Grammar(rules.text(SchemaRules(rules, schema, param=param, strict=strict).rule()))


def for_tools(
    family: Family, tools: Sequence[Mapping[str, Any]], *, choice: str = "auto", parallel: bool = True
) -> Grammar | None:
    """A grammar of calls: forced for choice "required" or a tool's name, lazy for "auto"; None for "none".

    None also where the family's calls cannot be constrained. UnknownTool if `choice` names no tool.
    """
    if not tools or choice == "none":
        return None
    functions = [_function_of(tool) for tool in tools]
    if choice not in ("auto", "required"):
        functions = [one for one in functions if one.get("name") == choice]
        if not functions:
            names = ", ".join(str(_function_of(tool).get("name")) for tool in tools)
            raise UnknownTool(f"tool_choice names {choice!r}, the tools are {names}", param="tool_choice")
    is_named = choice not in ("auto", "required")
    n_more = MAX_CALLS - 1 if parallel and not is_named else 0
    if family.calls.layout:
        return _in_layout(family, family.calls.layout, functions, n_more, lazy=choice == "auto")
    if family.calls.tags:
        return _in_tags(family, family.calls.tags, functions, n_more, lazy=choice == "auto")
    return None


def after_reasoning(grammar: Grammar, family: Family, *, starts_inside: bool, is_content: bool = False) -> Grammar:
    """The same grammar for an answer that may think first, or (`starts_inside`) is thinking already.

    `is_content`: the grammar is of what the user sees, which some families announce. A lazy grammar starts later
    anyway and stays as it is.
    """
    if grammar.lazy:
        return grammar
    rules, thought = Rules(prefix="Think"), family.thought
    gap = f"{literal(thought.gap)} " if thought.gap else ""
    rest = f"{rules.until(thought.close)} {gap}{_GAP}"
    before = rest if starts_inside else f"({_GAP} {literal(thought.open)} {rest})?"
    announced = f"{literal(family.content_open)} " if is_content and family.content_open else ""
    root = rules.add(f"{before} {announced}{grammar.root}", "answer")
    return dataclasses.replace(grammar, text=f"{grammar.text}\n{rules.lines()}", root=root)


def _function_of(tool: Any) -> Mapping[str, Any]:
    function = tool.get("function", tool) if isinstance(tool, Mapping) else None
    if not isinstance(function, Mapping):
        raise BadSchema("every tool must be an object with a function", param="tools")
    return function


def _schema_of(function: Mapping[str, Any]) -> Any:
    parameters = function.get("parameters")
    return parameters if isinstance(parameters, Mapping) and parameters else _ANY_OBJECT


def _rule_of(rules: Rules, schema: Any, document: Any, where: str) -> str:
    """The rule of a tool's parameters, or of one of them. A tool is constrained as far as a grammar can say."""
    return SchemaRules(rules, document, param=f"tools.{where}.parameters", strict=False).rule_of(schema)


def _name_of(function: Mapping[str, Any]) -> str:
    name = function.get("name")
    if not isinstance(name, str) or not name:
        raise BadSchema("every tool needs a function with a name", param="tools")
    return name


def _spaced(text: str) -> list[str]:
    """The pieces of a layout's text: characters, and "" wherever white space may stand."""
    return ["" if piece.isspace() else piece for piece in re.findall(r"\s+|\S", text)]


def _expression(text: str) -> str:
    """A layout's text as a grammar expression that leaves the white space to the model."""
    parts = re.split(r"(\s+)", text)
    return " ".join(_GAP if part.isspace() else literal(part) for part in parts if part)


def _in_layout(
    family: Family, layout: Layout, functions: Sequence[Mapping[str, Any]], n_more: int, *, lazy: bool
) -> Grammar:
    rules = Rules()
    calls = []
    for function in functions:
        name, schema = _name_of(function), _schema_of(function)
        arguments = _rule_of(rules, schema, schema, name)
        calls.append(rules.add(f"{literal(name)} {_expression(layout.middle)} {arguments}", "tool"))
    tool = rules.add(" | ".join(calls), "tools")
    call = rules.add(f"{_expression(layout.before)} {tool} {_expression(layout.after)}", "call")
    again = rules.add(f"{_expression(layout.between)} {call}".strip(), "again")
    root = f"{_expression(layout.open)} {call} {again}{{0,{n_more}}} {_expression(layout.close)}".strip()
    return _grammar(rules, root, family, layout.open + layout.before, lazy=lazy)


def _in_tags(family: Family, tags: Tags, functions: Sequence[Mapping[str, Any]], n_more: int, *, lazy: bool) -> Grammar:
    rules = Rules()
    calls = []
    for function in functions:
        name, schema = _name_of(function), _schema_of(function)
        parameters = " ".join(_parameters(rules, tags, schema, name))
        calls.append(rules.add(f"{literal(name)} {_expression(tags.name_end)} {_GAP} {parameters}", "tool"))
    begin, end = family.calls.begin[0], family.calls.end[0]
    opening = f"{begin}\n{tags.call_open}"
    tool = rules.add(" | ".join(calls), "tools")
    closing = f"{literal(tags.call_close)} {_GAP} " if tags.call_close else ""
    call = rules.add(f"{_expression(opening)} {tool} {closing}{literal(end)}", "call")
    again = rules.add(f"{_GAP} {call}", "again")
    return _grammar(rules, f"{call} {again}{{0,{n_more}}}", family, opening, lazy=lazy)


def _parameters(rules: Rules, tags: Tags, schema: Mapping[str, Any], name: str) -> list[str]:
    """One expression a parameter, in the schema's order; text until the closing tag, everything else as JSON."""
    properties = schema.get("properties")
    required = schema.get("required")
    required = required if isinstance(required, list) else []
    found = []
    for key, one in properties.items() if isinstance(properties, Mapping) else ():
        opening = f"{_expression(tags.key_open)} {literal(str(key))} {_expression(tags.key_end)} {_GAP}"
        if tags.value_open:
            opening += f" {literal(tags.value_open)} {_GAP}"
        if isinstance(one, Mapping) and one.get("type") == "string":
            value = _plain_text(rules, one.get("enum"), tags.value_end)
        else:
            value = f"{_rule_of(rules, one, schema, name)} {_GAP} {literal(tags.value_end)}"
        rule = rules.add(f"{opening} {value} {_GAP}", "parameter")
        found.append(rule if key in required else f"{rule}?")
    return found


def _plain_text(rules: Rules, values: Any, end: str) -> str:
    """Text as it is, without JSON's quotes: any, or one of these values."""
    if not isinstance(values, list) or not values:
        return rules.until(end)
    return f'({" | ".join(literal(str(value)) for value in values)}) "\\n"? {literal(end)}'


def _grammar(rules: Rules, root: str, family: Family, opening: str, *, lazy: bool) -> Grammar:
    """Force the grammar, or let the text that opens a call set it off."""
    if not lazy:
        return Grammar(rules.text(root))
    marker = next((mark for mark in family.calls.begin if opening.startswith(mark)), None)
    return Grammar(rules.text(root), lazy=True, triggers=(_trigger(marker, opening),))


def _trigger(marker: str | None, opening: str) -> str:
    """An expression for the text at which a call begins: the marker, and as much of the opening as came with it.

    Without a marker the answer itself must begin like a call, key included.
    """
    sure = marker or opening[: opening.index("name") + len("name")]
    tail = ""
    for piece in reversed(_spaced(opening[len(sure) :])):
        tail = f"(?:{re.escape(piece) if piece else _GAP}{tail})?"
    start = "" if marker else r"^\s*"
    return f"{start}({''.join(re.escape(piece) if piece else _GAP for piece in _spaced(sure))}{tail})$"
