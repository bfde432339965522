"""Find out what a chat template can say by rendering small conversations; names and versions decide nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llmserver.text.errors import TemplateRefused
from llmserver.text.messages import Capabilities

Render = Callable[..., str]

_USER = {"role": "user", "content": "QUESTION-ONE"}
_ANSWER = {"role": "assistant", "content": "ANSWER-ONE"}
_USER_AGAIN = {"role": "user", "content": "QUESTION-TWO"}
_SYSTEM = {"role": "system", "content": "SYSTEM-ONE"}
_SYSTEM_AGAIN = {"role": "system", "content": "SYSTEM-TWO"}
_TOOL = {
    "type": "function",
    "function": {
        "name": "probe_tool",
        "description": "PROBE-DESCRIPTION",
        "parameters": {"type": "object", "properties": {"probe_key": {"type": "string", "description": "a key"}}},
    },
}
_RESULT = {"role": "tool", "name": "probe_tool", "tool_call_id": "abcdefghi", "content": "RESULT-ONE"}


def _called(arguments: Any) -> list[Mapping[str, Any]]:
    function = {"name": "probe_tool", "arguments": arguments}
    call = {"id": "abcdefghi", "type": "function", "function": function}
    return [_USER, {"role": "assistant", "content": "", "tool_calls": [call]}, _RESULT]


def _as_parts(messages: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [{**one, "content": [{"type": "text", "text": one["content"]}]} for one in messages]


class _Probe:
    """Renders without raising: a refusal is an empty prompt."""

    def __init__(self, render: Render, parts: bool) -> None:
        self._render = render
        self._parts = parts

    def __call__(self, messages: Sequence[Mapping[str, Any]], **extra: Any) -> str:
        try:
            return self._render(_as_parts(messages) if self._parts else messages, **extra)
        except TemplateRefused:
            return ""


def _says(prompt: str, *texts: str) -> bool:
    return all(text in prompt for text in texts)


def probe(render: Render) -> Capabilities:
    """What the template behind `render(messages, **variables)` can say."""
    plain = _Probe(render, parts=False)
    in_parts = not _says(plain([_USER]), _USER["content"]) and _says(_Probe(render, True)([_USER]), _USER["content"])
    ask = _Probe(render, in_parts)
    as_object, as_string = ask(_called({"probe_key": "PROBE-VALUE"})), ask(_called('{"probe_key": "PROBE-VALUE"}'))
    knows = [_says(one, "PROBE-VALUE", "RESULT-ONE") for one in (as_object, as_string)]
    return Capabilities(
        system=_says(ask([_SYSTEM, _USER]), _SYSTEM["content"], _USER["content"]),
        late_system=_says(ask([_SYSTEM, _USER, _ANSWER, _SYSTEM_AGAIN, _USER_AGAIN]), "SYSTEM-ONE", "SYSTEM-TWO"),
        tools=_says(ask([_USER], tools=[_TOOL]), "probe_tool", "PROBE-DESCRIPTION"),
        tool_calls=any(knows),
        arguments_as_object=knows[0] and not (knows[1] and "{'probe_key'" in as_object),
        alternates=not _says(ask([_USER, _USER_AGAIN]), _USER["content"], _USER_AGAIN["content"]),
        parts=in_parts,
        thinking=ask([_USER], enable_thinking=True) != ask([_USER], enable_thinking=False),
    )
