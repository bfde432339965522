"""What chat and text completions share before a request reaches the engine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from llmserver.errors import RequestError
from llmserver.text.grammar import Grammar

if TYPE_CHECKING:
    from llmserver.engine.info import ModelInfo

_T = TypeVar("_T")
_LONG = 20_000  # characters; shorter ones cost less than handing them to a thread


async def aside(work: Callable[[], _T], *, n_chars: int) -> _T:
    """Do the work here when it is short, else in a thread, so that other answers do not wait for it."""
    if n_chars < _LONG:
        return work()
    thread = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(thread)
    except asyncio.CancelledError:
        await asyncio.wait({thread})  # it reads the vocabulary: the model may not be unloaded under it
        raise


def check_can_generate(info: ModelInfo) -> None:
    """Raise RequestError for a model that writes no text."""
    if info.kind != "chat":
        raise RequestError(f"model: {info.name} is a model for {info.kind}: it writes no text", param="model")


def gbnf(text: str | None) -> Grammar | None:
    """The grammar of a request's own GBNF text; the engine refuses what llama.cpp cannot parse."""
    return None if text is None else Grammar(text)
