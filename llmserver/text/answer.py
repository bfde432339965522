"""Split an answer into reasoning, text and tool calls while it arrives, the same however the text is cut.

It reads what its Family row says and nothing else: no tokens, no templates. Whatever a model writes, nothing raises and
nothing but white space around thoughts and calls is lost: a call that turns out to be none comes out as text.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llmserver.text.calls import JsonCalls, Known
from llmserver.text.deltas import CallArguments, CallBegin, Delta, Reasoning, Text
from llmserver.text.families import Family
from llmserver.text.output import held_suffix
from llmserver.text.tagcalls import TagCalls

__all__ = ["AnswerParser", "CallArguments", "CallBegin", "Delta", "Reasoning", "Text", "known_tools"]

Tools = bool | Sequence[Mapping[str, Any]]


def new_call_id() -> str:
    """An id as OpenAI's look."""
    return f"call_{secrets.token_hex(12)}"


def known_tools(tools: Tools) -> Known | None:
    """Names and parameter types of a request's tools; None (any name) where only True is given."""
    if isinstance(tools, bool):
        return None
    functions = [tool.get("function", tool) for tool in tools]
    return {str(one.get("name")): _types(one.get("parameters")) for one in functions if isinstance(one, Mapping)}


def _types(parameters: Any) -> dict[str, str]:
    properties = parameters.get("properties") if isinstance(parameters, Mapping) else None
    if not isinstance(properties, Mapping):
        return {}
    return {key: str(one.get("type", "")) for key, one in properties.items() if isinstance(one, Mapping)}


class AnswerParser:
    """Reads one answer. `tools`: the request's tools (only their names are calls), or True for any name.

    `starts_inside`: the prompt has opened the reasoning already (Family.opens_thought).
    """

    def __init__(
        self,
        family: Family,
        *,
        tools: Tools,
        reasoning: bool,
        starts_inside: bool = False,
        new_id: Callable[[], str] = new_call_id,
    ) -> None:
        calls = family.calls if tools else None
        self._calls = calls
        self._thought = family.thought if reasoning else None
        self._known = known_tools(tools)
        self._new_id = new_id
        begin = calls.begin if calls else ()
        openings = (family.thought.open,) if reasoning else ()
        # Longest first: of two texts that begin alike, the longer one is meant.
        self._at_start = _longest_first((*begin, *family.noise, *openings))
        self._in_text = _longest_first((*begin, *family.noise, *(openings if family.thought.anywhere else ())))
        self._marker = re.compile("|".join(map(re.escape, self._in_text)) or r"(?!)")
        firsts = {re.escape(text[0]) for text in self._in_text}
        self._may_mark = re.compile("|".join(sorted(firsts))).search if firsts else _never
        self._held = ""
        self._trims = starts_inside and reasoning
        self._block: JsonCalls | TagCalls | None = None
        self._is_plain = False
        inside = starts_inside and reasoning
        self._state: Callable[[bool], bool] = self._thinking if inside else self._starting
        self._out: list[Delta] = []
        self.n_calls = 0

    def feed(self, text: str) -> list[Delta]:
        """Take more of the answer; return what is certain now."""
        if self._is_plain and not self._held and not self._may_mark(text):
            return [Text(text)] if text else []
        self._held += text
        return self._run(False)

    def finish(self) -> list[Delta]:
        """The answer is over: return what was held back."""
        return self._run(True)

    def _run(self, final: bool) -> list[Delta]:
        self._out = []
        while self._state(final):
            pass
        return self._out

    def _enter(self, state: Callable[[bool], bool], *, trims: bool = False) -> bool:
        self._state = state
        self._is_plain = state == self._texting
        self._trims = trims
        return True

    def _emit(self, text: str) -> None:
        if text:
            self._out.append(Text(text))

    def _starting(self, final: bool) -> bool:
        """Before any visible text: at the start, after a thought, after calls."""
        stripped = self._held.lstrip()
        if not stripped:
            if final:
                self._emit("" if self._trims else self._held)
                self._held = ""
            return False
        for mark in self._at_start:
            if stripped.startswith(mark):
                self._held = stripped[len(mark) :]
                return self._open(mark)
            if mark.startswith(stripped) and not final:
                return False
        if self._calls and self._calls.is_bare and stripped[0] in "{[":
            self._held = stripped if self._trims else self._held
            return self._open("")
        self._held = stripped if self._trims else self._held
        return self._enter(self._texting)

    def _open(self, mark: str) -> bool:
        """What begins with this mark."""
        if self._thought and mark == self._thought.open:
            return self._enter(self._thinking, trims=True)
        if self._calls and (mark in self._calls.begin or not mark):
            reader = TagCalls if self._calls.tags else JsonCalls
            self._block = reader(self._calls, self._known, mark, self.n_calls, self._new_id)
            return self._enter(self._calling)
        return self._enter(self._starting, trims=True)

    def _texting(self, final: bool) -> bool:
        found = self._marker.search(self._held)
        at = found.start() if found else len(self._held) - (0 if final else held_suffix(self._held, self._in_text))
        self._emit(self._held[:at])
        self._held = self._held[at:]
        if not found:
            return False
        longer = (mark for mark in self._in_text if len(mark) > len(self._held) and mark.startswith(self._held))
        if not final and next(longer, None):
            return False
        self._held = self._held[len(found.group()) :]
        return self._open(found.group())

    def _thinking(self, final: bool) -> bool:
        assert self._thought  # noqa: S101  # the state is entered only with it
        if self._trims:
            self._held = self._held.lstrip()
            if not self._held:
                return False
            self._trims = False
        at = self._held.find(self._thought.close)
        cut = at if at >= 0 else len(self._held) - (0 if final else held_suffix(self._held, (self._thought.close,)))
        thought = self._held[:cut] if final and at < 0 else self._held[:cut].rstrip()
        if thought:
            self._out.append(Reasoning(thought))
        if at < 0:
            self._held = self._held[len(thought) :]
            return False
        self._held = self._held[at + len(self._thought.close) :]
        return self._enter(self._starting, trims=True)

    def _calling(self, final: bool) -> bool:
        block = self._block
        assert block  # noqa: S101  # the state is entered only with one
        held, self._held = self._held, ""
        self._out += block.feed(held, final)
        if not block.done:
            return False
        self.n_calls += block.n_calls
        self._held = block.rest
        self._emit(block.lost)
        return self._enter(self._texting) if block.lost else self._enter(self._starting, trims=True)


def _never(text: str) -> None:
    """What no text may begin where there is nothing to look for."""


def _longest_first(texts: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted(dict.fromkeys(texts), key=lambda text: (-len(text), text)))
