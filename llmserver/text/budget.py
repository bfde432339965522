"""What one rendering of a chat template may use: steps, bytes of what it makes, and its thread's time.

No operation of a template may take long by itself, since nothing can interrupt it: so texts, lists and numbers have a
greatest size, and what is made of them is refused before it is made.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import islice
from typing import Any

from jinja2 import Undefined

from llmserver.text.errors import TemplateRefused

TIME_S = 2.0  # of processor time, for compiling and for rendering; whole conversations take milliseconds
MAX_STEPS = 400_000  # rounds of loops; a call counts as CALL_STEPS
CALL_STEPS = 4
MAX_BYTES = 256 << 20  # of everything that a rendering makes, kept or not
MAX_CHARS = 8_000_000  # of one text
MAX_ITEMS = 1_000_000  # of one list
MAX_INNER_CHARS = 4_000_000  # of all texts in a list or object that is written, compared or sorted
MAX_DEPTH = 100  # of lists in lists
MAX_BITS = 16_384  # of a whole number
MAX_COMPARES = 200_000_000  # characters, where a search takes length times length
_ITEM_BYTES = 8
# A thread that computes in Python gives the interpreter away every 5 ms only, and an engine asks for it often: so what
# takes longer than a few messages rests for a moment after each short time of work.
_AT_ONCE_S, _WORK_S, _REST_S = 0.005, 0.0005, 0.00005


class Clock:
    """Processor time of this thread since it was made: waiting for others does not count."""

    __slots__ = ("_began", "_look_at", "limit_s")

    def __init__(self, limit_s: float = TIME_S) -> None:
        self.limit_s = limit_s
        self._began = time.thread_time()
        self._look_at = time.monotonic() + _AT_ONCE_S

    def is_over(self) -> bool:
        """Whether the time is used up; cheap enough to be asked at every step. Rests now and then."""
        if time.monotonic() < self._look_at:
            return False
        if time.thread_time() - self._began >= self.limit_s:
            return True
        time.sleep(_REST_S)
        self._look_at = time.monotonic() + _WORK_S
        return False


class Budget:
    """What a rendering may still use. Every method raises TemplateRefused when that is nothing."""

    __slots__ = ("_clock", "_n_bytes", "_n_steps")

    def __init__(self, clock: Clock) -> None:
        self._clock, self._n_bytes, self._n_steps = clock, MAX_BYTES, MAX_STEPS

    def look(self) -> None:
        """Ask the clock."""
        if self._clock.is_over():
            raise TemplateRefused(f"the chat template does not end: it was stopped after {self._clock.limit_s:g} s")

    def step(self, n: int = 1) -> None:
        """A round of a loop, or a call."""
        self._n_steps -= n
        if self._n_steps < 0:
            raise TemplateRefused(f"the chat template does not end: it was stopped after {MAX_STEPS:,} steps")
        self.look()

    def take(self, n_bytes: int) -> None:
        """So much memory."""
        self._n_bytes -= n_bytes
        if self._n_bytes < 0:
            raise TemplateRefused(f"the chat template makes more than {MAX_BYTES >> 20} MiB of texts and lists")
        self.look()

    def made(self, value: Any) -> Any:
        """The value, which the template has just made, counted."""
        if isinstance(value, str):
            fits(len(value))
            self.take(sys.getsizeof(value))
        elif isinstance(value, list | tuple | dict):
            holds(len(value))
            self.take(sys.getsizeof(value))
        return value

    def counted(self, items: Iterable[Any]) -> Iterator[Any]:
        """The items, each a step."""
        for item in items:
            self.step()
            yield item


_BUDGET: ContextVar[Budget] = ContextVar("budget")


@contextmanager
def spending(clock: Clock) -> Iterator[None]:
    """A rendering: what it does in this block is counted."""
    token = _BUDGET.set(Budget(clock))
    try:
        yield
    finally:
        _BUDGET.reset(token)


def budget() -> Budget:
    """The budget of the rendering that runs."""
    return _BUDGET.get()


def fits(n_chars: int) -> None:
    """Refuse a text of this length."""
    if n_chars > MAX_CHARS:
        raise TemplateRefused(f"the chat template makes a text of more than {MAX_CHARS:,} characters")


def holds(n_items: int) -> None:
    """Refuse a list of this length."""
    if n_items > MAX_ITEMS:
        raise TemplateRefused(f"the chat template makes a list of more than {MAX_ITEMS:,} items")


def weigh(value: Any) -> Any:
    """The value, if it can be written, compared and hashed: not in itself, not too deep, and not too much in all."""
    level = [value] if type(value) in (list, tuple, dict) else []
    n_items = n_chars = depth = 0
    while level:
        depth += 1
        below: list[Any] = []
        for one in level:
            kind = type(one)
            if kind is str:
                n_chars += len(one)
            elif kind is list or kind is tuple:
                holds(n_items := n_items + len(one))
                below += one
            elif kind is dict:
                holds(n_items := n_items + len(one))
                below += one
                below += one.values()
        if depth > MAX_DEPTH:
            raise TemplateRefused(f"the chat template nests lists in more than {MAX_DEPTH} levels")
        if n_chars > MAX_INNER_CHARS:
            raise TemplateRefused(f"the chat template puts more than {MAX_INNER_CHARS:,} characters into one list")
        budget().look()
        level = below
    return value


def items_of(value: Any) -> list[Any]:
    """A list of what can be looped over."""
    if isinstance(value, str | list | tuple | dict | range):
        holds(len(value))
        budget().take((64 if isinstance(value, str) else _ITEM_BYTES) * len(value))
        return list(value)
    found = list(islice(budget().counted(value), MAX_ITEMS + 1))
    holds(len(found))
    return found


def text_of(value: Any) -> str:
    """What a template writes for a value."""
    if type(value) is str:
        return value
    if value is None or isinstance(value, int | float):
        return str(value)
    if isinstance(value, Undefined):
        return ""
    if isinstance(value, list | tuple | dict):
        return str(budget().made(str(weigh(value))))
    return f"<{type(value).__name__}>"


def joined(between: str, parts: list[str]) -> str:
    """One text of many, refused before it is made."""
    fits(sum(map(len, parts)) + len(between) * len(parts))
    return str(budget().made(between.join(parts)))
