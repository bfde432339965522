"""Which messages of a conversation the model gets, so that they fit what it holds. Pure but for the counter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from chatbot.core import pictures, thoughts
from chatbot.core.events import Message
from chatbot.core.model import ModelInfo
from chatbot.core.tokens import estimate
from chatbot.errors import ChatError, ContextFull

if TYPE_CHECKING:
    from chatbot.core.library import Door
    from chatbot.core.turn import Model, Turn
    from chatbot.settings import ChatSettings

Count = Callable[[str], int]

# What a chat template puts around one message: role, separators. The largest seen in common templates is about 8.
TOKENS_AROUND = 10
_SMALLEST_ANSWER = 64
NOTES_BEGIN = "Notes of what was said before:"


@dataclass(frozen=True)
class Limits:
    """What must fit together, in tokens, and what becomes of the rest.

    rule: fold and window leave out the oldest messages, all refuses. keep_turns: how many turns before the last message
    a window holds. can_cut: a message that is too long loses its middle instead of being refused.
    """

    n_ctx: int | None
    max_tokens: int
    rule: str = "fold"
    keep_turns: int = 3
    can_cut: bool = False

    @property
    def reserved(self) -> int:
        """What is kept free for the answer: all that was asked for, but no more than half of what there is."""
        return min(self.max_tokens, (self.n_ctx or self.max_tokens) // 2)


@dataclass(frozen=True)
class Fitted:
    """The messages to send, how many of the oldest and how many characters of the last one were left out, and the
    longest answer that fits, in tokens."""

    messages: tuple[Message, ...]
    n_left_out: int
    max_tokens: int
    n_cut: int = 0

    def notices(self, n_ctx: int | None) -> list[str]:
        """What a person must know of it."""
        found = []
        if self.n_left_out:
            found.append(f"The oldest {self.n_left_out} messages were not sent: the model holds {n_ctx or 0:,} tokens.")
        if self.n_cut:
            found.append(
                f"{self.n_cut:,} characters in the middle of your message were not sent: the model holds "
                f"{n_ctx or 0:,} tokens."
            )
        return found


def fit_turn(turn: Turn, info: ModelInfo, settings: ChatSettings, count: Count) -> Fitted:
    """What of a turn is sent; its options are all in force. Raises ContextFull."""
    head, messages = parts_of(turn, is_base=info.is_base)
    return fit(head, messages, limits_of(turn, info, settings), count, is_text=info.is_base)


def limits_of(turn: Turn, info: ModelInfo, settings: ChatSettings) -> Limits:
    """The limits that a turn's options and the settings set."""
    options = turn.options
    return Limits(
        info.n_ctx,
        options.longest(settings.max_tokens),
        options.context_rule or settings.context_rule,
        settings.keep_turns,
        can_cut=settings.long_message == "cut",
    )


def parts_of(turn: Turn, *, is_base: bool = False) -> tuple[str, list[Message]]:
    """The system message and the messages behind it, before anything is left out.

    Notes stand right behind the system prompt, so that the beginning stays the same until the next ones are made. They
    stand for nothing where the rule sends the messages themselves. A base model knows neither.
    """
    options, messages, system = turn.options, list(turn.messages), turn.options.system_prompt or ""
    if turn.continues:
        messages.append(Message("assistant", turn.continues))
    if is_base:
        return "", messages
    notes = turn.notes
    if 0 < turn.n_folded < len(turn.messages) and notes and options.context_rule == "fold":
        del messages[: turn.n_folded]
    elif turn.n_folded:
        notes = ""
    clean = [replace(m, content=thoughts.without(m.content)) if m.role == "assistant" else m for m in messages]
    return with_notes(system, notes), clean


def with_notes(system: str, notes: str) -> str:
    """A system prompt with the notes behind it."""
    return "\n\n".join(filter(None, (system, f"{NOTES_BEGIN}\n{notes}" if notes else "")))


def fit(system: str, turns: Sequence[Message], limits: Limits, count: Count, *, is_text: bool = False) -> Fitted:
    """Keep the newest messages that leave room for an answer.

    The last message of a person, and what of its answer is to be continued, is always sent. is_text: the messages are
    pieces of one text, so that an answer may stand without its question. A byte-level vocabulary never needs more
    tokens than the text has bytes, so most conversations need no counting. Raises ContextFull with the numbers.
    """
    head = (Message("system", system),) if system else ()
    sent = window(turns, limits.keep_turns) if limits.rule == "window" and not is_text else list(turns)
    if not sent:
        return Fitted(head, 0, limits.max_tokens)
    n_ctx = limits.n_ctx
    if n_ctx is None or sum(map(most, (*head, *sent))) <= n_ctx - limits.max_tokens:
        return Fitted((*head, *sent), 0, limits.max_tokens)
    first = _first_of_last(sent, is_text=is_text)
    fixed = sum(size(m, count) for m in head)
    room = n_ctx - fixed - _SMALLEST_ANSWER
    last, n_cut = _last_turn(sent[first:], room, limits, count)
    kept, used = _newest(sent[:first], n_ctx, fixed + sum(size(m, count) for m in last), limits, count)
    if kept and kept[0].role == "assistant" and not is_text:  # an answer without its question confuses templates
        used -= size(kept.pop(0), count)
    n_left_out = first - len(kept)
    return Fitted((*head, *kept, *last), n_left_out, min(limits.max_tokens, n_ctx - used), n_cut)


def window(messages: Sequence[Message], n_turns: int) -> list[Message]:
    """The last message of a person and what follows it, and so many turns before it; with -1 not even that."""
    starts = [i for i, message in enumerate(messages) if message.role == "user"]
    first = len(starts) - n_turns - 1
    return list(messages[starts[first] :] if 0 <= first < len(starts) else messages if first < 0 else [])


def size(message: Message, count: Count) -> int:
    """Tokens of a message with what a template puts around it, and about those of its pictures."""
    return count(message.content) + TOKENS_AROUND + pictures.cost(message)


def most(message: Message) -> int:
    """What a message cannot exceed, without counting: a text never has more tokens than bytes."""
    return len(message.content.encode()) + TOKENS_AROUND + pictures.cost(message)


def as_text(messages: Sequence[Message]) -> str:
    """The one text that a base model continues: each continuation right behind its beginning, and what a person adds
    on a line of its own unless white space is there already. A longer conversation begins with the same text."""
    text = ""
    for message in messages:
        is_joined = message.role == "user" and text and not (text[-1].isspace() or message.content[:1].isspace())
        text += f"\n{message.content}" if is_joined else message.content
    return text


def show(
    turn: Turn,
    model: Model,
    settings: ChatSettings,
    files: Sequence[tuple[str, str]] = (),
    library: Door | None = None,
) -> dict[str, Any]:
    """What the model would get for a turn, part by part with its tokens, for a person who asks; or why it would not.

    files are names and texts that stand in the messages. library: where a last message that asks it is looked up. A
    server that is away is no error: tokens are estimated then.
    """
    options = turn.options.over(settings.options())
    turn = replace(turn, options=options)
    try:
        info, is_away = model.info(options.model), False
    except ChatError:
        info, is_away = ModelInfo(options.model), True
    count: Count = estimate if is_away else partial(model.count_tokens, model=options.model)
    turn, passages = _looked_up(turn, info, model, settings, None if is_away else library)
    turn = replace(turn, messages=pictures.for_model(turn.messages, info)[0])
    head, messages = parts_of(turn, is_base=info.is_base)
    limits = limits_of(turn, info, settings)
    by_window = limits.rule == "window" and not info.is_base
    if by_window and messages and messages[-1].role == "assistant":  # the next question comes behind it
        limits = replace(limits, keep_turns=limits.keep_turns - 1)
    try:
        fitted = fit(head, messages, limits, count, is_text=info.is_base)
        sent, n_answer, refusal = [m for m in fitted.messages if m.role != "system"], fitted.max_tokens, ""
    except ContextFull as why:
        sent, n_answer, refusal = window(messages, limits.keep_turns) if by_window else messages, 0, why.message
    prompt, _, notes = head.partition(NOTES_BEGIN)
    parts = [_part("system", "System prompt", prompt.strip(), count), _part("notes", "Notes", notes.strip(), count)]
    for message in sent:
        parts += _message_parts(message, files, count, passages if message is sent[-1] else "")
    n_windowed = len(messages) - len(window(messages, limits.keep_turns)) if by_window else 0
    is_estimate = is_away or model.estimates
    parts = [{"is_estimate": is_estimate, **part} for part in parts if part["text"]]
    return {
        "n_ctx": info.n_ctx,
        "n_used": sum(part["n_tokens"] for part in parts),
        "n_max_answer": n_answer,
        "refusal": refusal,
        "is_estimate": any(part["is_estimate"] for part in parts),
        "parts": parts,
        "n_left_out": len(messages) - len(sent) - n_windowed,
        "n_windowed": n_windowed,
        "n_folded": turn.n_folded if notes else 0,
        "notes": turn.notes,
    }


def _looked_up(
    turn: Turn, info: ModelInfo, model: Model, settings: ChatSettings, library: Door | None
) -> tuple[Turn, str]:
    """The turn as it is sent: with passages for a question that asks the library, which come second, and without files
    that are too long."""
    if library is None or info.is_base:
        return turn, ""
    from chatbot.core import attachments
    from chatbot.core.turn import may_ask

    parted = attachments.parted(turn, info, settings, partial(model.count_tokens, model=turn.options.model))
    turn = replace(turn, messages=parted.messages)
    if not turn.messages or turn.messages[-1].role != "user" or not may_ask(turn, parted.long):
        return turn, ""
    from chatbot.core.library import look

    return look.preview(look.Scene(turn, parted.long, parted.n_room, info, model, settings, library))


def _part(kind: str, label: str, text: str, count: Count) -> dict[str, Any]:
    return {"kind": kind, "label": label, "n_tokens": count(text) + TOKENS_AROUND if text else 0, "text": text}


def _message_parts(
    message: Message, files: Sequence[tuple[str, str]], count: Count, passages: str = ""
) -> list[dict[str, Any]]:
    """A message, and behind it what of its text is from files or the library, and the pictures that go with it."""
    whole = _part("message", "You" if message.role == "user" else "Answer", message.content, count)
    found = []
    for kind, name, text in (*(("file", *file) for file in files), ("passages", "Passages", passages)):
        if message.role == "user" and text and text in message.content:
            part = {**_part(kind, name, text, count), "n_tokens": count(text)}
            whole["n_tokens"] = max(0, whole["n_tokens"] - part["n_tokens"])
            whole["text"] = whole["text"].replace(text, f"[{name}]", 1)
            found.append(part)
    for image in message.images:
        n_tokens, seen = pictures.n_tokens(image.data), pictures.look(image.data)
        text = f"A picture of {seen.width:,} by {seen.height:,} pixels. Its tokens are an estimate by its size."
        found.append({"kind": "picture", "label": image.name, "n_tokens": n_tokens, "text": text, "is_estimate": True})
    return [whole, *found]


def _first_of_last(messages: Sequence[Message], *, is_text: bool) -> int:
    """Where the part begins that must be sent: the last message, with its question if it is half an answer."""
    is_half = len(messages) > 1 and messages[-1].role == "assistant" and not is_text
    return len(messages) - (2 if is_half else 1)


def _last_turn(last: Sequence[Message], room: int, limits: Limits, count: Count) -> tuple[list[Message], int]:
    """The part that must be sent, within room, and how many characters it lost. Raises ContextFull."""
    n_tokens = sum(size(m, count) for m in last)
    over = n_tokens - room
    if over <= 0:
        return list(last), 0
    n_first = count(last[0].content)
    if limits.can_cut and n_first - over >= _SMALLEST_ANSWER:
        text = _cut(last[0].content, n_first - over, count)
        return [replace(last[0], content=text), *last[1:]], len(last[0].content) - len(text)
    raise ContextFull(
        f"this message has {n_tokens - TOKENS_AROUND * len(last):,} tokens and the model has room for "
        f"{max(0, room - TOKENS_AROUND * len(last)):,}: shorten it, or start the model server with a larger --n_ctx "
        f"than {limits.n_ctx}"
    )


def _cut(text: str, n_tokens: int, count: Count) -> str:
    """Beginning and end of a text with a note between them, in at most n_tokens: what is asked stands at either."""
    n_kept = len(text)
    while True:
        n_kept = int(n_kept * 0.9) if n_kept < len(text) else int(len(text) * n_tokens / count(text))
        begin, end = text[: n_kept * 2 // 3], text[len(text) - n_kept // 3 :]
        short = f"{begin}\n[... {len(text) - n_kept:,} characters are left out here ...]\n{end}"
        if n_kept < 3 or count(short) <= n_tokens:
            return short


def _newest(older: Sequence[Message], n_ctx: int, used: int, limits: Limits, count: Count) -> tuple[list[Message], int]:
    """The newest of the older messages that fit, and what is used with them. Raises ContextFull under rule all."""
    n_free = _SMALLEST_ANSWER if limits.rule == "all" else limits.reserved
    kept: list[Message] = []
    for message in reversed(older):
        n_tokens = size(message, count)
        if used + n_tokens > n_ctx - n_free:
            break
        kept.append(message)
        used += n_tokens
    if len(kept) < len(older) and limits.rule == "all":
        n_all = used + sum(size(m, count) for m in older[: len(older) - len(kept)])
        raise ContextFull(
            f"this conversation has {n_all:,} tokens and the model has room for {n_ctx - _SMALLEST_ANSWER:,}: begin a "
            f"new chat, choose the context rule fold, or start the model server with a larger --n_ctx than {n_ctx}"
        )
    return kept[::-1], used
