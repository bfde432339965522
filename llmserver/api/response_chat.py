"""A request for a response as a request for a chat: one way to build prompts, one parser of answers.

Errors that the chat's fields raise come back under the names of the response's fields.
"""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from llmserver.api.chat_fields import ChatBody
from llmserver.api.fields import SamplingFields
from llmserver.api.refusals import wrong_field
from llmserver.api.response_fields import (
    CallItem,
    MessageItem,
    NamedFunction,
    OutputItem,
    ReasoningItem,
    ResponseBody,
    text_of,
)
from llmserver.errors import RequestError

# Beginnings of field names there, and what they are called here.
_NAMES = (
    ("response_format.json_schema", "text.format"),
    ("response_format", "text.format"),
    ("max_completion_tokens", "max_output_tokens"),
    ("max_tokens", "max_output_tokens"),
    ("reasoning_effort", "reasoning.effort"),
    ("messages", "input"),
)


def as_chat(body: ResponseBody) -> ChatBody:
    """The chat that the fields ask for. Raises RequestError for what contradicts itself."""
    given = body.model_dump(include=set(SamplingFields.model_fields), exclude_none=True)
    given |= {"messages": _messages(body), "model": body.model, "max_completion_tokens": body.max_output_tokens}
    given |= {"stream": body.stream, "parallel_tool_calls": body.parallel_tool_calls}
    if body.tools:
        given["tools"] = [
            {"type": "function", "function": tool.model_dump(exclude={"type"}, exclude_none=True)}
            for tool in body.tools
        ]
    if isinstance(body.tool_choice, NamedFunction):
        given["tool_choice"] = {"type": "function", "function": {"name": body.tool_choice.name}}
    else:
        given["tool_choice"] = body.tool_choice
    if body.reasoning is not None:
        given["reasoning_effort"] = body.reasoning.effort
    given["response_format"] = _format(body)
    try:
        return ChatBody.model_validate(given)
    except ValidationError as bad:
        first: dict[str, Any] = {**bad.errors()[0]}
        raise renamed(wrong_field(first | {"loc": ("body", *first["loc"])})) from bad


def renamed(error: RequestError) -> RequestError:
    """The error under the names of the response's fields."""
    if error.param is None:
        return error
    param = error.param
    for there, here in _NAMES:
        if param == there or param.startswith(f"{there}."):
            param = here if there == "messages" else here + param[len(there) :]
            break
    if param.startswith(("tools.", "tool_choice.")):
        param = param.replace(".function", "")
    _, colon, rest = error.message.partition(f"{error.param}: ")
    error.message = f"{param}: {rest}" if colon else error.message
    error.param = param
    return error


def _format(body: ResponseBody) -> dict[str, Any] | None:
    shape = body.text.format if body.text else None
    if shape is None:
        return None
    inner = shape.model_dump(exclude={"type"}, exclude_none=True, by_alias=True)
    if shape.type != "json_schema":
        if inner:
            name = next(iter(inner))
            raise RequestError(f"text.format.{name}: goes with type json_schema only", param=f"text.format.{name}")
        return {"type": shape.type}
    return {"type": shape.type, "json_schema": inner}


def _messages(body: ResponseBody) -> list[dict[str, Any]]:
    """The items as chat messages: a call, its text and its reasoning are one message of the assistant."""
    found: list[dict[str, Any]] = []
    if body.instructions:
        found.append({"role": "system", "content": body.instructions})
    if isinstance(body.input, str):
        return [*found, {"role": "user", "content": body.input}]
    thought = ""
    for item in body.input:
        if isinstance(item, ReasoningItem):
            thought = "\n".join(part.text for part in item.content or item.summary)
            continue
        message = _message(item, found)
        if thought and message["role"] == "assistant":
            message["reasoning_content"] = thought
        thought = ""
        if not found or found[-1] is not message:
            found.append(message)
    if not found:
        raise RequestError("input: must hold a message", param="input")
    return found


def _message(item: MessageItem | CallItem | OutputItem, before: list[dict[str, Any]]) -> dict[str, Any]:
    """The item's message: the last one where a call belongs to it, else a new one."""
    if isinstance(item, MessageItem):
        return {"role": item.role, "content": text_of(item.content)}
    if isinstance(item, OutputItem):
        return {"role": "tool", "tool_call_id": item.call_id, "content": text_of(item.output)}
    call = {"id": item.call_id, "type": "function", "function": {"name": item.name, "arguments": item.arguments}}
    if before and before[-1]["role"] == "assistant":
        before[-1].setdefault("tool_calls", []).append(call)
        return before[-1]
    return {"role": "assistant", "content": None, "tool_calls": [call]}
