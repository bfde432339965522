"""Read one block of tool calls as it arrives: JSON objects, or JSON arguments after a header.

It decides when a call is surely a call; what is none goes back to the answer as text. Nothing it reads can raise.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from llmserver.text.deltas import CallArguments, CallBegin, Delta
from llmserver.text.families import CallSyntax

# Tool name -> parameter name -> JSON type; None where every name counts as a tool.
Known = Mapping[str, Mapping[str, str]]
_STRING = r'"(?:[^"\\]|\\.)*"'
_NAME_KEYS = ("name", "tool_name", "function_name")
_ARGUMENT_KEYS = ("arguments", "parameters", "args")
_KEYS = frozenset((*_NAME_KEYS, *_ARGUMENT_KEYS, "function", "id", "type", "tool_call_id", "index"))
_START = re.compile(
    rf'\{{\s*(?:"(?:id|type|tool_call_id|index)"\s*:\s*(?:{_STRING}|\d+)\s*,\s*)*"(?:{"|".join(_NAME_KEYS)})"\s*:\s*'
    rf'(?P<name>{_STRING})\s*,\s*"(?:{"|".join(_ARGUMENT_KEYS)})"\s*:\s*(?=\{{)',
    re.DOTALL,
)
_NAMED = re.compile(rf'\{{\s*"(?:{"|".join(_NAME_KEYS)})"\s*:\s*(?P<name>{_STRING})', re.DOTALL)
_FIRST_KEY = re.compile(r'\{\s*(?:(?P<key>"[^"\\]*")|(?P<other>[^"\s]|"[^"\\]*\\))')
# What may stand between the arguments and the end of a call's object: more keys with plain values.
_TAIL = re.compile(rf"\s*(?:,\s*{_STRING}\s*:\s*(?:{_STRING}|[\w.+-]+)\s*)*\}}", re.DOTALL)
_LONGEST_HEADER = 256
_SIGNS = re.compile(r'[{}\[\]"<]')
_IN_STRING = re.compile(r'["\\]')


class Span:
    """Finds where a JSON object ends, however the text is cut."""

    def __init__(self) -> None:
        self._depth = 0
        self._in_string = False
        self._skip = False
        self.broken = False

    def feed(self, text: str) -> int:
        """Return how many characters of `text` still belong to the object if it ends here, else -1."""
        at = 1 if self._skip and text else 0
        self._skip = self._skip and not text
        while found := (_IN_STRING if self._in_string else _SIGNS).search(text, at):
            at = found.end()
            sign = found.group()
            if sign == "\\":
                self._skip = at == len(text)
                at += 1
            elif sign == '"':
                self._in_string = not self._in_string
            elif sign == "<":  # no JSON outside of a string: the call's end marker came too early
                self.broken = True
                return at - 1
            else:
                self._depth += 1 if sign in "{[" else -1
                if self._depth == 0:
                    return at
        return -1


class JsonCalls:
    """One block of calls. After `done`: `lost` is text, `rest` is to be read on as answer."""

    def __init__(
        self, syntax: CallSyntax, known: Known | None, begin: str, index: int, new_id: Callable[[], str]
    ) -> None:
        self._syntax = syntax
        self._header = re.compile(syntax.header, re.DOTALL) if syntax.header else None
        self._skipped = tuple(sorted((*syntax.closers, *syntax.openers, *syntax.begin, *syntax.end), key=len))[::-1]
        self._known = known
        self._begin = begin
        self._index = index
        self._new_id = new_id
        self._buffer = ""
        self._raw = ""  # read since the last call, and text again if no call follows
        self._n_brackets = 0
        self._n_scanned = 0
        self._can_head = not syntax.openers
        self._span = Span()
        self._state = self._after = self._between
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

    def _between(self, final: bool) -> bool:
        """Before the first call, between two, after the last."""
        buffer = self._buffer
        if not buffer:
            return False
        for text in self._skipped:
            if buffer.startswith(text):
                self._take_marker(text)
                return True
            if text.startswith(buffer) and not final:
                return False
        sign = buffer[0]
        if sign.isspace() or sign in ",;" or sign == "[" or (sign == "]" and self._n_brackets):
            self._n_brackets += (sign == "[") - (sign == "]")
            self._raw = "" if sign == "]" and self.n_calls else self._raw + sign
            self._buffer = buffer[1:]
        elif sign == "{":
            self._state, self._span, self._n_scanned = self._object, Span(), 0
        elif self._header and self._can_head:
            self._state = self._head
        else:
            self._leave()
        return True

    def _take_marker(self, text: str) -> None:
        syntax = self._syntax
        self._buffer = self._buffer[len(text) :]
        if text in syntax.end and self.n_calls:
            self.done, self.rest = True, self._buffer
            return
        if text in (*syntax.end, *syntax.begin) and not self.n_calls:
            self._buffer = text + self._buffer
            self._leave()
            return
        if text in syntax.openers or text in syntax.begin:
            self._can_head = text in syntax.openers or not syntax.openers
        self._raw = "" if text in syntax.closers and self.n_calls else self._raw + text

    def _leave(self) -> None:
        """No further call: what was read since the last one is text again."""
        self.done = True
        unread = self._raw + self._buffer
        if self.n_calls:
            self.rest = unread if unread.strip(" \t\r\n,;") else ""
        else:
            self.lost = self._begin or unread[:1]
            self.rest = unread if self._begin else unread[1:]

    def _call(self, name: str) -> None:
        self._deltas.append(CallBegin(self._index + self.n_calls, self._new_id(), name))
        self.n_calls += 1
        self._raw = ""
        self._can_head = False

    def _fragment(self, text: str) -> None:
        if text:
            self._deltas.append(CallArguments(self._index + self.n_calls - 1, text))

    def _is_known(self, name: object) -> bool:
        return isinstance(name, str) and bool(name) and (self._known is None or name in self._known)

    def _head(self, final: bool) -> bool:
        """A name in front of the arguments."""
        at = self._buffer.find("{", 0, _LONGEST_HEADER)
        if at < 0:
            if final or len(self._buffer) >= _LONGEST_HEADER:
                self._leave()
            return self.done
        found = self._header.fullmatch(self._buffer[:at]) if self._header else None
        if not found or not self._is_known(found["name"]):
            self._leave()
            return True
        self._call(found["name"])
        self._buffer = self._buffer[at:]
        self._state, self._span, self._after = self._arguments, Span(), self._between
        return True

    def _object(self, final: bool) -> bool:
        """A call as a JSON object: streamed if the name stands before the arguments, else read whole."""
        started = _START.match(self._buffer)
        if started:
            name = _parsed(started["name"])
            if not self._is_known(name):
                self._leave()
                return True
            self._call(str(name))
            self._buffer = self._buffer[started.end() :]
            self._state, self._span, self._after = self._arguments, Span(), self._tail
            return True
        first, named = _FIRST_KEY.match(self._buffer), _NAMED.match(self._buffer)
        is_other = first and (first["other"] or first["key"][1:-1] not in _KEYS)
        if is_other or (named and not self._is_known(_parsed(named["name"]))):
            self._leave()
            return True
        return self._whole_object(final)

    def _whole_object(self, final: bool) -> bool:
        end = self._span.feed(self._buffer[self._n_scanned :])
        if end < 0 and not final:
            self._n_scanned = len(self._buffer)
            return False
        end += self._n_scanned
        is_whole = end >= self._n_scanned and not self._span.broken
        name, arguments = _call_of(_parsed(self._buffer[:end])) if is_whole else (None, None)
        if arguments is None and self._begin:  # inside its markers a call may lack arguments
            arguments = "{}"
        if arguments is None or not self._is_known(name):
            self._leave()
            return True
        self._call(str(name))
        self._fragment(arguments)
        self._buffer = self._buffer[end:]
        self._state = self._between
        return True

    def _arguments(self, final: bool) -> bool:
        """The arguments' JSON, passed on as it comes."""
        end = self._span.feed(self._buffer)
        self._fragment(self._buffer if end < 0 else self._buffer[:end])
        self._buffer = "" if end < 0 else self._buffer[end:]
        if end >= 0:
            self._state = self._between if self._span.broken else self._after
        return end >= 0

    def _tail(self, final: bool) -> bool:
        """The end of a call's object; models forget its brace."""
        window = self._buffer[:_LONGEST_HEADER]
        found = _TAIL.match(window)
        if found:
            self._buffer = self._buffer[found.end() :]
        elif not final and len(window) < _LONGEST_HEADER and (not window.strip() or window.lstrip().startswith(",")):
            return False
        self._state = self._between
        return True


def _parsed(text: str) -> Any:
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None


def _call_of(value: Any) -> tuple[object, str | None]:
    """Name and arguments' text of a call read as a whole; no name if it is none, no arguments if it has none."""
    if isinstance(value, dict) and isinstance(value.get("function"), dict):
        value = value["function"]
    if not isinstance(value, dict):
        return None, None
    name = next((value[key] for key in _NAME_KEYS if key in value), None)
    arguments = next((value[key] for key in _ARGUMENT_KEYS if key in value), None)
    if isinstance(arguments, str):
        return (name, arguments) if isinstance(_parsed(arguments), dict) else (None, None)
    if arguments is None:
        return name, None
    return (name, json.dumps(arguments, ensure_ascii=False)) if isinstance(arguments, dict) else (None, None)
