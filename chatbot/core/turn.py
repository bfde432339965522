"""One turn: from the messages so far to the events of an answer. Both chats run this; neither store nor socket here."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from chatbot.core import context
from chatbot.core.cancel import Cancel
from chatbot.core.events import Changed, Delta, Done, Event, Message, Notice, Status, Timings
from chatbot.core.llm import Ask, Piece
from chatbot.core.model import CONTINUES, ModelInfo
from chatbot.errors import ChatError, ModelLoading, NoChatTemplate
from chatbot.settings import ChatSettings

_LOADING_POLL_S = 0.5


class Model(Protocol):
    """What a turn needs of the model server; the fake in the tests is the other implementation."""

    def info(self, wanted: str = "") -> ModelInfo:
        """Which model answers: the server's first unless one is wanted."""

    def stream(self, ask: Ask, cancel: Cancel) -> Iterator[Piece]:
        """The answer, piece by piece."""

    def count_tokens(self, text: str) -> int:
        """Tokens of a text."""


@dataclass
class _Clock:
    """When the turn began and what came of it, for the timings."""

    began: float
    first: float | None = None
    n_pieces: int = 0

    def tick(self) -> None:
        self.first = self.first or time.monotonic()
        self.n_pieces += 1

    def timings(self) -> Timings:
        first_s = round(self.first - self.began, 3) if self.first else None
        return Timings(first_s, round(time.monotonic() - self.began, 3), self.n_pieces)


def run(turns: Sequence[Message], model: Model, settings: ChatSettings, cancel: Cancel) -> Iterator[Event]:
    """Answer the last of the turns. Raises nothing of ours: the last event is always one Done."""
    clock = _Clock(time.monotonic())
    try:
        info = yield from _wait_for_model(model, settings, cancel)
        try:
            yield from _answer(turns, info, model, settings, cancel, clock)
        except NoChatTemplate:  # a server that does not tell of it before
            if info.is_base:
                raise
            yield Notice(f"{info.name} is a base model: {CONTINUES}.")
            yield from _answer(turns, replace(info, is_base=True), model, settings, cancel, clock)
    except ChatError as why:
        status = Status.STOPPED if cancel.is_set else Status.ERROR
        yield Done(status, error=None if cancel.is_set else why.wire(), timings=clock.timings())


def _wait_for_model(model: Model, settings: ChatSettings, cancel: Cancel) -> Generator[Event, None, ModelInfo]:
    """Hold the message while a model loads; a server that is away is an error at once."""
    deadline = time.monotonic() + settings.loading_timeout_s
    while True:
        try:
            return model.info(settings.model)
        except ModelLoading:
            if cancel.is_set or time.monotonic() >= deadline:
                raise
        yield Changed(Status.WAITING)
        cancel.wait(_LOADING_POLL_S)


def _answer(
    turns: Sequence[Message], info: ModelInfo, model: Model, settings: ChatSettings, cancel: Cancel, clock: _Clock
) -> Iterator[Event]:
    system = "" if info.is_base else settings.system_prompt
    fitted = context.fit(system, turns, info.n_ctx, settings.max_tokens, model.count_tokens, is_text=info.is_base)
    if fitted.n_left_out:
        yield Notice(f"The oldest {fitted.n_left_out} messages were not sent: the model holds {info.n_ctx:,} tokens.")
    yield Changed(Status.READING)
    ask = Ask(
        fitted.messages,
        settings.model or info.name,
        settings.temperature,
        fitted.max_tokens,
        continues=info.is_base,
    )
    finish_reason, usage, progress = None, None, None
    for piece in model.stream(ask, cancel):
        finish_reason, usage = piece.finish_reason or finish_reason, piece.usage or usage
        if piece.progress and piece.progress != progress and clock.first is None:
            progress = piece.progress
            yield progress
        if piece.text:
            if clock.first is None:
                yield Changed(Status.STREAMING)
            clock.tick()
            yield Delta(piece.text)
    status = Status.STOPPED if cancel.is_set else Status.DONE
    yield Done(status, finish_reason, usage=usage, timings=clock.timings())
