"""Write a response in OpenAI's shape: its typed events as the answer comes, and the whole object, from one state."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from typing import Any

from llmserver.api.answers import timings_of
from llmserver.api.response_fields import NamedFunction, ResponseBody
from llmserver.api.sse import data
from llmserver.engine.request import Event, Finished, Reading, Token, Waiting
from llmserver.errors import LlmServerError
from llmserver.text.answer import AnswerParser
from llmserver.text.deltas import CallArguments, CallBegin, Delta, Reasoning, Text

Fields = dict[str, Any]


class ResponseWriter:
    """Writer of /v1/responses: collects output items, and numbers the events that tell of them."""

    prompt_field = "input"

    def __init__(self, body: ResponseBody, model: str, parser: AnswerParser) -> None:
        self._parser = parser
        self._head = _head(body, model)
        self._output: list[Fields] = []
        self._events: list[Fields] = []
        self._number = 0
        self._text = ""  # of the open item, which the item itself gets at its end
        self._n_thought = 0
        self._has_begun = False

    # -- what the exchange asks for

    def render(self, index: int, event: Event) -> str:
        """The events that an event of the engine makes."""
        self._begin()
        self._take(event)
        return self._drained()

    def progress(self, index: int, event: Waiting | Reading) -> str:
        """Nothing: the protocol has no event for it."""
        return ""

    def end(self) -> str:
        """Nothing: the last event has said so."""
        return ""

    def whole(self, answers: Sequence[Sequence[Event]]) -> Fields:
        """The response object."""
        (events,) = answers
        for event in events:
            self._take(event)
        end = events[-1]
        assert isinstance(end, Finished)  # noqa: S101 - the exchange has seen to it
        return self._response(end)

    def failed(self, error: LlmServerError) -> str:
        """The last event of a response that broke off."""
        self._begin()
        self._close("incomplete")
        told = {"code": error.code, "message": error.message}
        self._tell("response.failed", response=self._head | {"status": "failed", "error": told, "output": self._output})
        return self._drained()

    # -- the answer

    def _take(self, event: Event) -> None:
        if isinstance(event, Token):
            deltas = self._parser.feed(event.text) if event.text else ()
            self._n_thought += any(isinstance(delta, Reasoning) for delta in deltas)
            for delta in deltas:
                self._add(delta)
        elif isinstance(event, Finished):
            for delta in [*self._parser.feed(event.text), *self._parser.finish()]:
                self._add(delta)
            self._finish(event)

    def _finish(self, event: Finished) -> None:
        if not self._output:
            self._open_message()
        self._close("completed" if event.reason == "stop" else "incomplete")
        response = self._response(event)
        self._tell(f"response.{response['status']}", response=response)

    def _add(self, delta: Delta) -> None:
        if isinstance(delta, CallBegin):
            self._open_call(delta)
        elif isinstance(delta, CallArguments):
            self._grow("response.function_call_arguments.delta", delta.text)
        elif isinstance(delta, Text):
            if self._open_type() != "message":
                self._open_message()
            self._grow("response.output_text.delta", delta.text, content_index=0, logprobs=[])
        else:
            if self._open_type() != "reasoning":
                self._open_reasoning()
            self._grow("response.reasoning_text.delta", delta.text, content_index=0)

    def _open_type(self) -> str:
        last = self._output[-1] if self._output else {}
        return str(last["type"]) if last.get("status") == "in_progress" else ""

    def _open_message(self) -> None:
        self._open({"id": _new_id("msg"), "type": "message", "role": "assistant", "content": []})
        self._part("added", {"type": "output_text", "text": "", "annotations": [], "logprobs": []})

    def _open_reasoning(self) -> None:
        self._open({"id": _new_id("rs"), "type": "reasoning", "summary": [], "content": []})
        self._part("added", {"type": "reasoning_text", "text": ""})

    def _open_call(self, call: CallBegin) -> None:
        self._open(
            {"id": _new_id("fc"), "type": "function_call", "call_id": call.id, "name": call.name, "arguments": ""}
        )

    def _open(self, item: Fields) -> None:
        self._close("completed")
        self._text = ""
        item["status"] = "in_progress"
        self._output.append(item)
        self._tell("response.output_item.added", output_index=self._at, item=dict(item))

    @property
    def _at(self) -> int:
        return len(self._output) - 1

    def _part(self, what: str, part: Fields) -> None:
        where = {"item_id": self._output[-1]["id"], "output_index": self._at, "content_index": 0}
        self._tell(f"response.content_part.{what}", **where, part=part)

    def _grow(self, kind: str, text: str, **more: Any) -> None:
        self._text += text
        self._tell(kind, item_id=self._output[-1]["id"], output_index=self._at, delta=text, **more)

    def _close(self, status: str) -> None:
        """The open item is whole: tell its text once more, as the protocol wants it."""
        kind = self._open_type()
        if not kind:
            return
        item, where = self._output[-1], {"item_id": self._output[-1]["id"], "output_index": self._at}
        if kind == "function_call":
            item["arguments"] = self._text
            self._tell("response.function_call_arguments.done", **where, name=item["name"], arguments=self._text)
        elif kind == "message":
            part = {"type": "output_text", "text": self._text, "annotations": [], "logprobs": []}
            self._tell("response.output_text.done", **where, content_index=0, text=self._text, logprobs=[])
            self._end_part(item, part)
        else:
            part = {"type": "reasoning_text", "text": self._text}
            self._tell("response.reasoning_text.done", **where, content_index=0, text=self._text)
            self._end_part(item, part)
        item["status"] = status
        self._tell("response.output_item.done", output_index=self._at, item=dict(item))

    def _end_part(self, item: Fields, part: Fields) -> None:
        self._part("done", part)
        item["content"] = [part]

    # -- events

    def _begin(self) -> None:
        if not self._has_begun:
            self._has_begun = True
            under_way = self._head | {"status": "in_progress", "output": []}
            self._tell("response.created", response=under_way)
            self._tell("response.in_progress", response=under_way)

    def _tell(self, kind: str, **fields: Any) -> None:
        if not self._has_begun:
            return  # nobody listens: the answer is sent whole
        self._events.append({"type": kind, "sequence_number": self._number, **fields})
        self._number += 1

    def _drained(self) -> str:
        events, self._events = self._events, []
        return "".join(f"event: {event['type']}\n{data(event).decode()}" for event in events)

    def _response(self, end: Finished) -> Fields:
        is_whole = end.reason == "stop"
        usage = end.usage
        return self._head | {
            "status": "completed" if is_whole else "incomplete",
            "completed_at": int(time.time()) if is_whole else None,
            "incomplete_details": None if is_whole else {"reason": "max_output_tokens"},
            "output": self._output,
            "usage": {
                "input_tokens": usage.prompt_tokens,
                "input_tokens_details": {
                    "cached_tokens": usage.cached_tokens,
                    "cache_write_tokens": usage.prompt_tokens - usage.cached_tokens,
                },
                "output_tokens": usage.completion_tokens,
                "output_tokens_details": {"reasoning_tokens": self._n_thought},
                "total_tokens": usage.prompt_tokens + usage.completion_tokens,
            },
            "timings": timings_of([end]),
        }


def _new_id(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(24)}"


def _head(body: ResponseBody, model: str) -> Fields:
    """What a response says of its request, the same from the first event to the last."""
    choice = body.tool_choice
    shape = body.text.format if body.text else None
    return {
        "id": _new_id("resp"),
        "object": "response",
        "created_at": int(time.time()),
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": body.instructions,
        "max_output_tokens": body.max_output_tokens,
        "metadata": body.metadata or {},
        "model": model,
        "output": [],
        "parallel_tool_calls": body.parallel_tool_calls is not False,
        "previous_response_id": None,
        "reasoning": {"effort": body.reasoning.effort if body.reasoning else None, "summary": None},
        "store": False,
        "temperature": body.temperature,
        "text": {"format": shape.model_dump(exclude_none=True, by_alias=True) if shape else {"type": "text"}},
        "tool_choice": choice.model_dump() if isinstance(choice, NamedFunction) else choice or "auto",
        "tools": [tool.model_dump() for tool in body.tools or ()],
        "top_p": body.top_p,
        "truncation": "disabled",
        "usage": None,
        "user": body.user,
    }
