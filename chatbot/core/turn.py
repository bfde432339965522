"""One turn: from the messages so far to the events of an answer. Both chats run this; neither store nor socket here."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from chatbot.core import attachments, context, pictures, thoughts
from chatbot.core.answers import Piece, retry_after_s
from chatbot.core.cancel import Cancel
from chatbot.core.events import (
    Attached,
    Changed,
    Delta,
    Done,
    Event,
    Grounds,
    Message,
    Notice,
    Progress,
    Status,
    Thought,
    Timings,
)
from chatbot.core.llm import Ask
from chatbot.core.model import CONTINUES, ModelInfo
from chatbot.core.options import ChatOptions
from chatbot.errors import ChatError, ModelError, ModelLoading, NoChatTemplate
from chatbot.settings import ChatSettings

if TYPE_CHECKING:
    from chatbot.core.library import Door
    from chatbot.core.library.look import Ready

_LOADING_POLL_S = 0.5


class Model(Protocol):
    """What a turn needs of the model server; the fake in the tests is the other implementation."""

    def info(self, wanted: str = "") -> ModelInfo:
        """Which model answers: the server's first unless one is wanted."""

    def stream(self, ask: Ask, cancel: Cancel) -> Iterator[Piece]:
        """The answer, piece by piece."""

    def models(self) -> list[ModelInfo]:
        """All that the server offers."""

    def count_tokens(self, text: str, model: str = "") -> int:
        """Tokens of a text for a model."""

    @property
    def estimates(self) -> bool:
        """Whether tokens can only be estimated."""


@dataclass(frozen=True)
class Turn:
    """What is asked: the messages of the branch, oldest first, the last one a person's.

    notes stand for the first n_folded of the messages, which are not sent then; with n_folded 0, for messages that are
    not even given. continues is the text of an answer that is to go on, grounds what it rests on so far. owner_id is
    the user whose library is asked.
    """

    messages: Sequence[Message]
    options: ChatOptions = field(default_factory=ChatOptions)
    notes: str = ""
    continues: str = ""
    n_folded: int = 0
    owner_id: str = "owner"
    grounds: Mapping[str, Any] = field(default_factory=dict)


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


def run(
    turn: Turn, model: Model, settings: ChatSettings, cancel: Cancel, library: Door | None = None
) -> Iterator[Event]:
    """Answer the last of the turn's messages, from the library where they ask it. Raises nothing of ours: the last
    event is always one Done."""
    clock = _Clock(time.monotonic())
    turn = replace(turn, options=turn.options.over(settings.options()))
    try:
        info = yield from _wait_for_model(turn.options.model, model, settings, cancel)
        try:
            yield from _answer_grounded(turn, info, model, settings, cancel, clock, library)
        except NoChatTemplate:  # a server that does not tell of it before
            if info.is_base:
                raise
            yield Notice(f"{info.name} is a base model: {CONTINUES}.")
            yield from _answer(turn, replace(info, is_base=True), model, settings, cancel, clock)
    except ChatError as why:
        status = Status.STOPPED if cancel.is_set else Status.ERROR
        yield Done(status, error=None if cancel.is_set else why.wire(), timings=clock.timings())


def _answer_grounded(
    turn: Turn,
    info: ModelInfo,
    model: Model,
    settings: ChatSettings,
    cancel: Cancel,
    clock: _Clock,
    library: Door | None,
) -> Iterator[Event]:
    """The answer, from passages of the library where the turn asks it; else as the model has it."""
    ready = None
    if info.is_base and (turn.options.shelves or _names_the_library(turn, library)):
        yield Notice(f"{info.name} is a base model: it does not answer from the library.")
    if library is not None and not info.is_base:
        count = partial(model.count_tokens, model=turn.options.model)
        parted = attachments.parted(turn, info, settings, count)
        turn = replace(turn, messages=parted.messages)
        if may_ask(turn, parted.long):
            from chatbot.core.library import look

            yield Changed(Status.READING)
            scene = look.Scene(turn, parted.long, parted.n_room, info, model, settings, library)
            ready = yield from look.look(scene, cancel)
    if cancel.is_set:
        yield Done(Status.STOPPED, timings=clock.timings())
    elif ready is None:
        yield from _answer(turn, info, model, settings, cancel, clock)
    elif ready.refusal:
        yield Changed(Status.STREAMING)
        yield Delta(ready.refusal)
        yield Grounds(ready.rests.begun(is_refused=True))
        yield Done(Status.DONE, "stop", timings=clock.timings())
    else:
        yield from _cited(_answer(ready.turn, info, model, settings, cancel, clock), ready, turn.continues)


def _cited(events: Iterator[Event], ready: Ready, before: str) -> Iterator[Event]:
    """An answer whose marks all lead somewhere; before its end comes what it rests on, however it ends."""
    from rag.marks import Marks

    marks, text = Marks(ready.rests.passages or {}, before), [before]

    def given(piece: str) -> Iterator[Event]:
        if piece:
            text.append(piece)
            yield Delta(piece)

    def end() -> Iterator[Event]:
        yield from given(marks.end())
        yield Grounds(ready.rests.ended("".join(text), marks.n_dropped))

    try:
        for event in events:
            if isinstance(event, Delta):
                yield from given(marks.feed(event.text))
                continue
            if isinstance(event, Done):
                yield from end()
            yield event
    except ChatError:
        yield from end()
        raise


def _wait_for_model(
    wanted: str, model: Model, settings: ChatSettings, cancel: Cancel
) -> Generator[Event, None, ModelInfo]:
    """Hold the message while a model loads; a server that is away is an error at once."""
    deadline = time.monotonic() + settings.loading_timeout_s
    while True:
        try:
            return model.info(wanted)
        except ModelLoading:
            if cancel.is_set or time.monotonic() >= deadline:
                raise
        yield Changed(Status.WAITING)
        cancel.wait(_LOADING_POLL_S)


def _answer(
    turn: Turn, info: ModelInfo, model: Model, settings: ChatSettings, cancel: Cancel, clock: _Clock
) -> Iterator[Event]:
    ask, told = _request(turn, info, model, settings)
    yield from told
    deadline, is_waiting = time.monotonic() + settings.loading_timeout_s, False
    yield Changed(Status.READING)
    while True:
        pieces = model.stream(ask, cancel)
        try:
            for event in _listen(pieces, cancel, clock, is_fresh=not (ask.continues or turn.continues)):
                if is_waiting and isinstance(event, Progress):
                    yield Changed(Status.READING)
                    is_waiting = False
                yield event
            return
        except ModelError as why:
            wait_s = retry_after_s(why)
            if wait_s is None or clock.first is not None or time.monotonic() + wait_s > deadline:
                raise
            is_waiting = True
            yield Changed(Status.WAITING)
            if cancel.wait(max(wait_s, _LOADING_POLL_S)):
                raise


def _request(turn: Turn, info: ModelInfo, model: Model, settings: ChatSettings) -> tuple[Ask, list[Event]]:
    """The request for a turn whose options are all in force, and what a person must know of it.

    Raises ContextFull, or CannotSee for pictures in the last message.
    """
    options = turn.options
    messages, n_unseen = pictures.for_model(turn.messages, info)
    if any(message.images for message in messages):
        pictures.refuse_blind(info, model)
    turn = replace(turn, messages=messages)
    fitted = context.fit_turn(turn, info, settings, partial(model.count_tokens, model=options.model))
    ask = Ask(
        fitted.messages,
        options.model or info.name,
        settings.temperature if options.temperature is None else options.temperature,
        fitted.max_tokens,
        options.request_fields(reasons="reasoning" in info.capabilities, continues=bool(turn.continues)),
        continues=info.is_base,
    )
    were = "was" if n_unseen == 1 else "were"
    unseen = f"The model {info.name} cannot see pictures: {n_unseen} of earlier messages {were} not sent."
    told: list[Event] = [*map(Notice, ([unseen] if n_unseen else []) + fitted.notices(info.n_ctx))]
    given = None if fitted.n_cut else attachments.given(turn.messages[-1], fitted.messages)
    return ask, [*told, *([given] if given else [])]


def _listen(pieces: Iterator[Piece], cancel: Cancel, clock: _Clock, *, is_fresh: bool) -> Iterator[Event]:
    """Turn the pieces of an answer into events. is_fresh: it may begin with thoughts between tags."""
    splitter = thoughts.Splitter(is_fresh=is_fresh)
    finish_reason, usage, progress = None, None, None
    try:
        for piece in pieces:
            finish_reason, usage = piece.finish_reason or finish_reason, piece.usage or usage
            if piece.progress and piece.progress != progress and clock.first is None:
                progress = piece.progress
                yield progress
            if piece.text or piece.thought:
                if clock.first is None:
                    yield Changed(Status.STREAMING)
                clock.tick()
            if piece.thought:
                yield Thought(piece.thought)
            yield from splitter.feed(piece.text)
    except ModelError:
        yield from splitter.end()
        raise
    yield from splitter.end()
    status = Status.STOPPED if cancel.is_set else Status.DONE
    yield Done(status, finish_reason, usage=usage, timings=clock.timings())


def _names_the_library(turn: Turn, library: Door | None) -> bool:
    if library is None or "#" not in turn.messages[-1].own:
        return False
    from chatbot.core.library import question

    return question.is_named(turn, library)


def may_ask(turn: Turn, long: Sequence[Attached]) -> bool:
    """Whether a turn, its options all in force, can ask the library at all; opens nothing."""
    asked = [message.own for message in turn.messages if message.role == "user"]
    return bool(long or turn.options.shelves or any("#" in text for text in asked[-2:]))
