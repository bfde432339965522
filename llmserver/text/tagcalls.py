"""Read one block of tool calls whose arguments are tags, and write them as JSON while they arrive.

It decides each argument's JSON type from the tool's schema, else from how the value looks. Nothing it reads can raise.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from llmserver.text.calls import Known
from llmserver.text.deltas import CallArguments, CallBegin, Delta
from llmserver.text.families import CallSyntax, Tags
from llmserver.text.output import held_suffix

_LONGEST_NAME = 256


class TagCalls:
    """One block of calls. After `done`: `lost` is text, `rest` is to be read on as answer."""

    def __init__(
        self, syntax: CallSyntax, known: Known | None, begin: str, index: int, new_id: Callable[[], str]
    ) -> None:
        assert syntax.tags  # noqa: S101  # chosen by it
        self._tags: Tags = syntax.tags
        self._ends = syntax.end
        self._known = known
        self._begin = begin
        self._index = index
        self._new_id = new_id
        self._buffer = begin if begin == syntax.tags.call_open else ""
        self._name = self._key = ""
        self._n_parameters = 0
        self._is_string = False
        self._value = ""
        self._state = self._before_name
        self._deltas: list[Delta] = []
        self.n_calls = 0
        self.done = False
        self.lost = ""
        self.rest = ""

    def feed(self, text: str, final: bool = False) -> list[Delta]:
        """Take more text; `final` says that none will follow, and always ends the block."""
        self._buffer += text
        self._deltas = []
        while not self.done and self._state(final):
            pass
        if final and not self.done:
            self._leave()
        return self._deltas

    def _leave(self) -> None:
        self.done = True
        self.lost = "" if self.n_calls else self._begin
        self.rest = self._buffer
        if self.lost == self._tags.call_open:
            self.rest = self.rest.removeprefix(self.lost)

    def _fragment(self, text: str) -> None:
        if text:
            self._deltas.append(CallArguments(self._index + self.n_calls - 1, text))

    def _next_is(self, texts: tuple[str, ...], final: bool) -> str | None:
        """Which of these the text goes on with, white space aside; "" for none, None while that is open."""
        text = self._buffer.lstrip()
        for one in texts:
            if one and text.startswith(one):
                return one
        is_open = not text or any(one.startswith(text) for one in texts)
        return None if is_open and not final else ""

    def _skip(self, text: str) -> None:
        self._buffer = self._buffer.lstrip()[len(text) :]

    def _before_name(self, final: bool) -> bool:
        """Before a call: its opening tag, or the end of the block."""
        tag = self._next_is((*self._ends, self._tags.call_open), final)
        if tag is None:
            return False
        if tag in self._ends and self.n_calls:
            self._skip(tag)
            self.done, self.rest = True, self._buffer
        elif tag or not (self._tags.call_open or self.n_calls):
            self._state = self._read_name
        else:
            self._leave()
        return True

    def _read_name(self, final: bool) -> bool:
        tags = self._tags
        text = self._buffer.lstrip()[len(tags.call_open) :]
        stops = [at for end in (tags.name_end, tags.key_open, "<") if (at := text.find(end, 0, _LONGEST_NAME)) >= 0]
        if not stops:
            if final or len(text) >= _LONGEST_NAME:
                self._leave()
            return self.done
        name = text[: min(stops)].strip()
        if not name or any(sign in name for sign in " \n{[<") or (self._known is not None and name not in self._known):
            self._leave()
            return True
        self._deltas.append(CallBegin(self._index + self.n_calls, self._new_id(), name))
        self.n_calls += 1
        self._name, self._n_parameters = name, 0
        rest = text[min(stops) :]
        self._buffer = rest[len(tags.name_end) :] if rest.startswith(tags.name_end) else rest
        self._state = self._between
        return True

    def _between(self, final: bool) -> bool:
        """Between two parameters, or at the end of the call."""
        tags = self._tags
        tag = self._next_is((tags.key_open, tags.call_close, *self._ends), final)
        if tag is None:
            return False
        if tag == tags.key_open:
            return self._read_key(final)
        if not tag:
            self._leave()
            return True
        if tag == tags.call_close:
            self._skip(tag)
        self._fragment("}" if self._n_parameters else "{}")
        self._state = self._before_name
        return True

    def _read_key(self, final: bool) -> bool:
        tags = self._tags
        text = self._buffer.lstrip()[len(tags.key_open) :]
        key, end, rest = text.partition(tags.key_end)
        value = rest.lstrip()
        if not end or (tags.value_open and not value.startswith(tags.value_open)):
            could_be = not end or tags.value_open.startswith(value)
            if final or len(key) >= _LONGEST_NAME or not could_be:
                self._leave()
            return self.done
        rest = value[len(tags.value_open) :] if tags.value_open else rest
        self._key = key.strip()
        self._is_string = self._known is not None and self._known[self._name].get(self._key) == "string"
        self._fragment((", " if self._n_parameters else "{") + json.dumps(self._key, ensure_ascii=False) + ": ")
        self._n_parameters += 1
        self._buffer, self._value = rest, ""
        self._state = self._first_line
        return True

    def _first_line(self, final: bool) -> bool:
        """The line break after the opening tag is no part of the value."""
        if not self._buffer:
            return False
        self._buffer = self._buffer.removeprefix("\n")
        self._fragment('"' if self._is_string else "")
        self._state = self._read_value
        return True

    def _read_value(self, final: bool) -> bool:
        end = self._tags.value_end
        at = self._buffer.find(end)
        if at < 0:
            cut = len(self._buffer) - held_suffix(self._buffer, ("\n" + end, end))
            self._take(self._buffer[:cut])
            self._buffer = self._buffer[cut:]
            return False
        self._take(self._buffer[:at].removesuffix("\n"))
        self._buffer = self._buffer[at + len(end) :]
        self._fragment('"' if self._is_string else _as_json(self._value))
        self._state = self._between
        return True

    def _take(self, text: str) -> None:
        if self._is_string:
            self._fragment(json.dumps(text, ensure_ascii=False)[1:-1])
        else:
            self._value += text


def _as_json(value: str) -> str:
    """The value as JSON text: itself if it is JSON already, else a string."""
    try:
        json.loads(value)
    except (ValueError, RecursionError):
        return json.dumps(value, ensure_ascii=False)
    return value
