"""Make OpenAI's messages fit what a chat template can say, and lose nothing a person or a tool has written.

It decides where a system message goes that a template has no place for, who is merged, and how tool calls and results
are told to a model that knows none. It renders nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llmserver.errors import RequestError
from llmserver.text.families import GENERIC, Family, Layout

Message = dict[str, Any]
_GENERIC = GENERIC.calls.layout or Layout("", "")
_ROLES = ("system", "developer", "user", "assistant", "tool", "function")


@dataclass(frozen=True)
class Capabilities:
    """What a chat template can say, found by rendering probes."""

    system: bool = True
    late_system: bool = True  # a system message that does not come first
    tools: bool = False
    tool_calls: bool = False  # assistant messages with calls, and their results
    arguments_as_object: bool = True
    alternates: bool = False  # user and assistant must take turns
    parts: bool = False  # content must be a list of parts
    thinking: bool = False  # enable_thinking changes the prompt


def read_messages(messages: Sequence[Mapping[str, Any]]) -> list[Message]:
    """Copies with plain text content, developer as system and tool names filled in; refuses what is no text."""
    if not messages:
        raise RequestError("messages must hold at least one message", param="messages")
    names: dict[str, str] = {}
    return [_read(message, n, names) for n, message in enumerate(messages)]


def _read(message: Mapping[str, Any], n: int, names: dict[str, str]) -> Message:
    where = f"messages.{n}"
    role = message.get("role")
    if role not in _ROLES:
        raise RequestError(f"{where}.role must be one of {', '.join(_ROLES)}, not {role!r}", param=f"{where}.role")
    found: Message = {key: value for key, value in message.items() if value is not None}
    found["role"] = {"developer": "system", "function": "tool"}.get(role, role)
    found["content"] = _text(message.get("content"), f"{where}.content")
    if "tool_calls" in found:
        found["tool_calls"] = [_read_call(call, f"{where}.tool_calls.{m}") for m, call in enumerate(_calls(found, n))]
        names.update({call.get("id", ""): call["function"]["name"] for call in found["tool_calls"]})
        if not found["tool_calls"]:
            del found["tool_calls"]
    if found["role"] == "tool" and "name" not in found and found.get("tool_call_id") in names:
        found["name"] = names[found["tool_call_id"]]
    return found


def _calls(message: Message, n: int) -> Sequence[Any]:
    calls = message["tool_calls"]
    if not isinstance(calls, Sequence) or isinstance(calls, str):
        raise RequestError(f"messages.{n}.tool_calls must be a list", param=f"messages.{n}.tool_calls")
    return calls


def _read_call(call: Any, where: str) -> Message:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise RequestError(f"{where}.function must be an object with a name", param=f"{where}.function")
    arguments = function.get("arguments")
    return {**call, "type": "function", "function": {**function, "arguments": "{}" if arguments is None else arguments}}


def _text(content: Any, where: str) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, Sequence):
        raise RequestError(f"{where} must be text or a list of parts", param=where)
    return "\n".join(_part(part, where) for part in content)


def _part(part: Any, where: str) -> str:
    kind = part.get("type") if isinstance(part, Mapping) else None
    if isinstance(part, Mapping) and kind in ("text", "input_text", "output_text", "refusal"):
        text = part.get("refusal" if kind == "refusal" else "text")
        if isinstance(text, str):
            return text
    raise RequestError(
        f"{where} holds a part of type {kind!r}, and only text is read here: "
        "images and sound need a multimodal model started with --engine stock",
        param=where,
    )


def fit(messages: list[Message], can: Capabilities, family: Family = GENERIC) -> list[Message]:
    """The same conversation in the forms that the template knows; calls it cannot say are spoken as the family does."""
    fitted = [_with_calls(message, can, family.calls.layout or _GENERIC) for message in messages]
    if family.call_ids and can.tool_calls:
        fitted = _with_own_ids(fitted, family.call_ids)
    fitted = _merge_first_systems(fitted)
    fitted = _place_systems(fitted, can)
    if can.alternates:
        fitted = _merge_neighbours(fitted)
    return [{**one, "content": [{"type": "text", "text": one["content"]}]} for one in fitted] if can.parts else fitted


def _with_calls(message: Message, can: Capabilities, layout: Layout) -> Message:
    if message["role"] == "tool" and not can.tool_calls:
        return {"role": "user", "content": f"<tool_response>\n{message['content']}\n</tool_response>"}
    if "tool_calls" not in message:
        return message
    if not can.tool_calls:
        spoken = layout.between.join(_spoken(layout, call["function"]) for call in message["tool_calls"])
        text = f"{message['content']}\n{layout.open}{spoken}{layout.close}"
        return {"role": "assistant", "content": text.lstrip("\n")}
    form = as_object if can.arguments_as_object else as_string
    calls = [
        {**call, "function": {**call["function"], "arguments": form(call["function"]["arguments"])}}
        for call in message["tool_calls"]
    ]
    return {**message, "tool_calls": calls}


def _spoken(layout: Layout, function: Mapping[str, Any]) -> str:
    arguments = as_string(function["arguments"])
    return f"{layout.before}{function['name']}{layout.middle}{arguments}{layout.after}"


def as_object(arguments: Any) -> Any:
    """Arguments as the object many templates want; text that is no JSON stays text."""
    if not isinstance(arguments, str):
        return arguments
    try:
        return json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments


def as_string(arguments: Any) -> str:
    """Arguments as OpenAI sends them: JSON text."""
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)


def _with_own_ids(messages: list[Message], form: str) -> list[Message]:
    """Ids as the family demands them: clients send back whatever they like."""
    ids: dict[str, str] = {}
    for message in messages:
        for call in message.get("tool_calls", ()):
            call_id = str(call.get("id", ""))
            own = _short(call_id) if form == "short" else f"functions.{call['function']['name']}:{len(ids)}"
            ids.setdefault(call_id, own)
    renamed = []
    for message in messages:
        found = dict(message)
        if "tool_calls" in found:
            found["tool_calls"] = [{**call, "id": ids[str(call.get("id", ""))]} for call in found["tool_calls"]]
        if "tool_call_id" in found:
            found["tool_call_id"] = ids.get(str(found["tool_call_id"]), _short(str(found["tool_call_id"])))
        renamed.append(found)
    return renamed


def _short(call_id: str) -> str:
    """Nine letters or digits, all that Mistral's templates accept."""
    if len(call_id) == 9 and call_id.isascii() and call_id.isalnum():
        return call_id
    return hashlib.sha256(call_id.encode()).hexdigest()[:9]


def _joined(one: Message, other: Message) -> Message:
    """One message that says both."""
    text = "\n\n".join(text for text in (one["content"], other["content"]) if text)
    calls = [*one.get("tool_calls", ()), *other.get("tool_calls", ())]
    return {**one, **other, "content": text} | ({"tool_calls": calls} if calls else {})


def _merge_first_systems(messages: list[Message]) -> list[Message]:
    while len(messages) > 1 and messages[0]["role"] == messages[1]["role"] == "system":
        messages = [_joined(messages[0], messages[1]), *messages[2:]]
    return messages


def _place_systems(messages: list[Message], can: Capabilities) -> list[Message]:
    """System messages that the template would refuse or drop go into the next user message."""
    placed: list[Message] = []
    pending: list[str] = []
    for n, message in enumerate(messages):
        if message["role"] == "system" and not (can.system and (n == 0 or can.late_system)):
            pending.append(message["content"])
        elif pending and message["role"] == "user":
            placed.append({**message, "content": "\n\n".join([*pending, message["content"]])})
            pending = []
        elif pending:
            placed += [{"role": "user", "content": "\n\n".join(pending)}, message]
            pending = []
        else:
            placed.append(message)
    return placed + ([{"role": "user", "content": "\n\n".join(pending)}] if pending else [])


def _merge_neighbours(messages: list[Message]) -> list[Message]:
    merged: list[Message] = []
    for message in messages:
        if merged and message["role"] == merged[-1]["role"] != "tool":
            merged[-1] = _joined(merged[-1], message)
        else:
            merged.append(message)
    return merged


def describe_tools(messages: list[Message], tools: Sequence[Mapping[str, Any]], layout: Layout | None) -> list[Message]:
    """Tell a model whose template shows no tools which ones there are, in its system message, and how to call them."""
    listed = "\n".join(json.dumps(tool.get("function", tool), ensure_ascii=False) for tool in tools)
    shape = layout or _GENERIC
    example = _spoken(shape, {"name": "the_name", "arguments": '{"parameter": "value"}'})
    text = (
        f"You can call these tools:\n<tools>\n{listed}\n</tools>\n"
        f"To call a tool, answer with its name and its arguments as JSON in exactly this form:\n"
        f"{shape.open}{example}{shape.close}\n"
        "If no tool is needed, answer in plain text."
    )
    system: Message = {"role": "system", "content": text}
    if messages and messages[0]["role"] == "system":
        return [_joined(messages[0], system), *messages[1:]]
    return [system, *messages]
