"""What a conversation becomes for the engine: tokens, the grammar of the answer, and how the answer is read."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from llmserver.api.chat_fields import ChatBody, Message, NamedTool
from llmserver.api.generation import check_can_generate, gbnf
from llmserver.errors import NoChatTemplate, RequestError
from llmserver.text.answer import AnswerParser
from llmserver.text.errors import BadTemplate
from llmserver.text.families import Family
from llmserver.text.grammar import JSON_OBJECT, Grammar, after_reasoning, for_tools, from_schema
from llmserver.text.template import ChatTemplate, builtin

if TYPE_CHECKING:
    from llmserver.engine.info import ModelInfo
    from llmserver.engine.pool import Use
    from llmserver.engine.service import Service

_COMPILING = threading.Lock()
_N_THREADS = 2  # a template is Python: more of them at once are no faster


@dataclass(frozen=True)
class Prompt:
    """A conversation, ready for the engine. parser: makes what reads one answer to it."""

    tokens: tuple[int, ...]
    grammar: Grammar | None
    preserved: frozenset[int]
    parser: Callable[[], AnswerParser]


async def prepare(body: ChatBody, use: Use) -> Prompt:
    """read_prompt in a thread: a template, however short the messages, takes as long as who wrote it likes.

    The threads are for this alone, so that templates which take their time keep nobody but each other waiting.
    """
    work = _threads().submit(read_prompt, body, use)
    try:
        return await asyncio.wrap_future(work)
    except asyncio.CancelledError:
        if not work.cancelled():  # it reads the vocabulary: the model may not be unloaded under it
            with suppress(Exception):
                await asyncio.wrap_future(work)
        raise


@lru_cache(maxsize=1)
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_N_THREADS, thread_name_prefix="prompt")


def read_prompt(body: ChatBody, use: Use) -> Prompt:
    """Render and tokenize. Raises RequestError for what the model's template or a grammar cannot express."""
    service = use.service
    check_can_generate(service.info)
    template = template_of(use)
    family = template.family
    tools = [tool.model_dump(exclude_none=True) for tool in body.tools or ()] if body.may_call else []
    variables = template_variables(body, use)
    continues = body.messages[-1].role == "assistant"
    text = template.render(
        [as_template_message(message) for message in body.messages],
        tools=tools or None,
        extra=variables,
        continue_last=continues,
    )
    is_inside = family.opens_thought(text)
    grammar = grammar_of(body, family, tools)
    thinks = may_think(template, family, service.info.chat_template) and not continues
    if grammar is not None and (is_inside or (thinks and variables.get("enable_thinking") is not False)):
        grammar = after_reasoning(grammar, family, starts_inside=is_inside, is_content=not tools)
    reads = body.reasoning_format != "none"
    return Prompt(
        tokens=tuple(_tokens(text, service)),
        grammar=grammar,
        preserved=frozenset(preserved_tokens(family, service)),
        parser=partial(AnswerParser, family, tools=tools, reasoning=reads, starts_inside=reads and is_inside),
    )


def may_think(template: ChatTemplate, family: Family, source: str) -> bool:
    """Whether answers may begin with reasoning: the template has a switch for it, or knows the family's marks."""
    return template.capabilities.thinking or bool(family.thought.gap) or family.thought.close in source


def template_of(use: Use) -> ChatTemplate:
    """The chat template in force. Raises NoChatTemplate for a base model, BadTemplate."""
    info = use.service.info
    source = source_of(info, getattr(use.settings, "chat_format", None))
    if not source:
        raise NoChatTemplate(f"model: {no_template()}", param="model")
    return compiled(source, info.bos, info.eos)


def source_of(info: ModelInfo, named: str | None) -> str:
    """The chat template that the settings name, else the file's own; "" for a base model."""
    return builtin(named) if named else info.chat_template.strip() and info.chat_template


def no_template() -> str:
    """What to say of a base model, and what its owner can do."""
    return (
        "this model's file has no chat template, so it is a base model: POST /v1/completions continues texts with it; "
        "to chat all the same, start the server with --chat_format chatml (or llama-3, gemma, ...: see --help)"
    )


def compiled(source: str, bos: str, eos: str) -> ChatTemplate:
    """A template, compiled and probed once. Raises BadTemplate."""
    with _COMPILING:  # who asks for the same one waits for it
        found = _compiled(source, bos, eos)
    if isinstance(found, ChatTemplate):
        return found
    raise BadTemplate(found)


@lru_cache(maxsize=32)
def _compiled(source: str, bos: str, eos: str) -> ChatTemplate | str:
    """The template, or what is wrong with it: a bad one takes no time again."""
    try:
        return ChatTemplate(source, bos=bos, eos=eos)
    except BadTemplate as why:
        return why.message


def as_template_message(message: Message) -> dict[str, Any]:
    """A message as chat templates know it: content is one text, fields without a value are left out."""
    given = message.model_dump(include={"role", "name", "tool_call_id", "reasoning_content"}, exclude_none=True)
    if message.tool_calls:
        given["tool_calls"] = [call.model_dump(exclude={"index"}, exclude_none=True) for call in message.tool_calls]
    return {**given, "content": message.text}


def template_variables(body: ChatBody, use: Use) -> dict[str, Any]:
    """Further variables of the template: the model's settings, then the request's."""
    found: dict[str, Any] = dict(getattr(use.settings, "chat_template_kwargs", None) or {})
    if body.reasoning_effort is not None:
        found["reasoning_effort"] = body.reasoning_effort
    if body.reasoning_effort == "none":
        found["enable_thinking"] = False
    if body.enable_thinking is not None:
        found["enable_thinking"] = body.enable_thinking
    return found | (body.chat_template_kwargs or {})


def grammar_of(body: ChatBody, family: Family, tools: list[dict[str, Any]]) -> Grammar | None:
    """The grammar that the answer follows; the body has at most one reason for one."""
    if tools:
        chosen = body.tool_choice
        choice = chosen.function.name if isinstance(chosen, NamedTool) else chosen or "auto"
        grammar = for_tools(family, tools, choice=choice, parallel=body.parallel_tool_calls is not False)
        if grammar is None and choice != "auto":
            raise RequestError("tool_choice: this model's calls cannot be forced: send auto", param="tool_choice")
        return grammar
    shape = body.response_format
    if shape is None or shape.type == "text":
        return gbnf(body.grammar)
    schema = shape.schema_of_answer
    if schema is None:
        return JSON_OBJECT
    if shape.json_schema is None:
        return from_schema(schema, param="response_format.schema", strict=False)
    return from_schema(schema, param="response_format.json_schema.schema", strict=bool(shape.json_schema.strict))


def preserved_tokens(family: Family, service: Service) -> list[int]:
    """The special tokens that the family's answers are read by."""
    found = [service.tokenize(text, bos=False, special=True) for text in family.specials]
    return [tokens[0] for tokens in found if len(tokens) == 1]


def _tokens(text: str, service: Service) -> list[int]:
    """The prompt's tokens with one begin token: the template may have written it already."""
    info = service.info
    has_bos = bool(info.bos) and text.startswith(info.bos)
    return service.tokenize(text, bos=info.add_bos and not has_bos, special=True)
