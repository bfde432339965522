"""Fold the oldest turns of a long conversation into notes, after an answer, so that the next one has room.

In between the beginning of what the model gets stays the same, and its server need not read it again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING

from chatbot.core import attachments, context, pictures, thoughts
from chatbot.core.cancel import Cancel
from chatbot.core.context import Limits
from chatbot.core.events import Message
from chatbot.core.llm import Ask
from chatbot.core.options import ChatOptions
from chatbot.core.store_rows import Notes, Stored
from chatbot.core.turn import Model, Turn
from chatbot.errors import ChatError, ContextFull, ModelError
from chatbot.settings import ChatSettings

if TYPE_CHECKING:
    from chatbot.core.model import ModelInfo
    from chatbot.core.store import Store

log = logging.getLogger("chatbot")

NOTES_TOKENS = 250
_FOLD_ABOVE, _FOLD_TO = 0.75, 0.40
# Plain words about a task that every model has been taught: small ones answer anything else instead of doing it.
_INSTRUCTION = (
    "Summarize the conversation above. List the names, numbers, dates and decisions in it, what I asked for and what "
    "is still open, and all that the earlier notes say. Use short lines, at most 150 words."
)


def standing(branch: Sequence[Stored], notes: Sequence[Notes]) -> tuple[str, int]:
    """The notes that hold for a branch, and how many of its messages they stand for: those that reach furthest."""
    found, place = _furthest(branch, notes)
    return (found.text, place) if found else ("", 0)


def outdated(branch: Sequence[Stored], notes: Sequence[Notes]) -> tuple[str, ...]:
    """The ids of the answers that were changed after the notes that hold for a branch were made of them."""
    found, _ = _furthest(branch, notes)
    return found.outdated if found else ()


def changed(branch: Sequence[Stored], notes: Sequence[Notes], text: str | None) -> tuple[Notes, ...] | None:
    """The notes of a chat when those of one of its branches are to say something else, or are removed with None.
    Other branches keep theirs. None when this branch has no notes to change."""
    if text is None:
        here = {message.id for message in branch}
        return tuple(each for each in notes if each.through not in here)
    found, _ = _furthest(branch, notes)
    if found is None:
        return None
    return tuple(replace(each, text=text, outdated=()) if each is found else each for each in notes)


def _furthest(branch: Sequence[Stored], notes: Sequence[Notes]) -> tuple[Notes | None, int]:
    by_end = {each.through: each for each in notes}
    places = [(by_end[message.id], i) for i, message in enumerate(branch, 1) if message.id in by_end]
    return places[-1] if places else (None, 0)


def sent_of(branch: Sequence[Stored], files: Collection[str]) -> list[Stored]:
    """The messages of a branch that the model gets: those with text or files, but no question that was refused because
    it is too long. Sent again, it would push out all that stands before it."""
    refused = {m.parent_id for m in branch if not m.content and _code_of(m) == ContextFull.code}
    return [m for m in branch if (m.content or m.id in files) and m.id not in refused]


def _code_of(message: Stored) -> str:
    """The code of the error that ended an answer."""
    return str((message.meta.get("error") or {}).get("code", ""))


def turn_of(store: Store, chat_id: str, branch: Sequence[Stored], *, continues: str = "") -> Turn:
    """What the model is asked with a branch: messages with text and files, options over the house's, notes."""
    files = store.files_of([message.id for message in branch])
    said = sent_of(branch, files)
    text, n_folded = standing(said, store.notes(chat_id))
    messages = [attachments.message_of(m.role, _plain(m), files.get(m.id, [])) for m in said]
    options = ChatOptions.from_wire(store.options(chat_id)).over(ChatOptions.from_wire(store.house_options()))
    return Turn(messages, options, text, continues, n_folded, store.chat(chat_id).owner_id)


def _plain(message: Stored) -> str:
    """A message's text; the marks of an earlier answer name passages that the model no longer sees."""
    grounds = message.meta.get("library")
    if not grounds:
        return message.content
    from rag.citations import without_marks

    return without_marks(message.content, {each["n"] for each in grounds.get("sources", ())})


def after(
    store: Store, model: Model, settings: ChatSettings, chat_id: str, cancel: Cancel | None = None
) -> Notes | None:
    """Make new notes when the conversation has become long; None when there is nothing to do or it fails.

    Without them the oldest messages are left out when they no longer fit, which the next turn tells.
    """
    try:
        return _fold(store, model, settings, chat_id, cancel or Cancel())
    except ChatError as why:
        log.warning("no notes were made of a long conversation: %s", why.message)
        return None


def _fold(store: Store, model: Model, settings: ChatSettings, chat_id: str, cancel: Cancel) -> Notes | None:
    before = store.notes(chat_id)
    shown = store.messages(chat_id)
    with_files = store.files_of([message.id for message in shown], with_text=False)
    said = sent_of(shown, with_files)
    turn = turn_of(store, chat_id, said)
    options = turn.options.over(settings.options())
    if options.context_rule != "fold" or not said:
        return None
    info, count = model.info(options.model), partial(model.count_tokens, model=options.model)
    if info.is_base or info.n_ctx is None:
        return None
    whole = attachments.parted(replace(turn, options=options), info, settings, count).messages
    turn = Turn(pictures.for_model(whole, info)[0], options, turn.notes, n_folded=turn.n_folded)
    head, messages = context.parts_of(turn)
    limits = context.limits_of(turn, info, settings)
    n_more = n_to_fold(head, messages, limits, count)
    if not n_more:
        return None
    text = _ask_for_notes(head, messages[:n_more], turn, info, model, cancel)
    n_folded = len(said) - len(messages) + n_more
    last = said[n_folded - 1].id
    n_shown = 1 + next(i for i, message in enumerate(shown) if message.id == last)
    made = Notes(text, last, n_shown, outdated(said, before))  # they hold what the earlier ones say
    notes = (*(each for each in before if each.through != last), made)
    if cancel.is_set or not store.set_notes(chat_id, notes, was=before):  # a person wrote other ones meanwhile
        return None
    if store.branch(last) != list(shown[:n_shown]):  # or changed an answer that they are of
        store.set_notes(chat_id, before, was=notes)
        return None
    return made


def n_to_fold(head: str, messages: Sequence[Message], limits: Limits, count: Callable[[str], int]) -> int:
    """How many of the oldest messages to fold: whole turns, none while there is room, never the last turns."""
    n_ctx = limits.n_ctx or 0
    most = min(n_ctx * _FOLD_ABOVE, n_ctx - limits.reserved)
    whole = [*([Message("system", head)] if head else []), *messages]
    if sum(map(context.most, whole)) <= most:
        return 0  # a text never has more tokens than bytes
    sizes = [context.size(m, count) for m in messages]
    fixed = context.size(Message("system", head), count) if head else 0
    if fixed + sum(sizes) <= most:
        return 0
    starts = [i for i, message in enumerate(messages) if message.role == "user"]
    places = starts[1 : max(1, len(starts) - limits.keep_turns + 1)]
    folded = [0, *accumulate(sizes)]
    prompt = head.partition(context.NOTES_BEGIN)[0]
    new_head = context.size(Message("system", prompt), count) + NOTES_TOKENS
    enough = (i for i in places if new_head + folded[-1] - folded[i] <= n_ctx * _FOLD_TO)
    return next(enough, places[-1] if places else 0)


def _ask_for_notes(
    head: str, messages: Sequence[Message], turn: Turn, info: ModelInfo, model: Model, cancel: Cancel
) -> str:
    """The model's notes of these messages and of the notes in head. What it gets is the beginning of what it has read
    before, so that the question alone is new to it. Raises ModelError when it writes none."""
    options = turn.options
    fitted = context.fit(
        head,
        [*map(pictures.in_words, messages), Message("user", _INSTRUCTION)],
        Limits(info.n_ctx, NOTES_TOKENS),
        partial(model.count_tokens, model=options.model),
    )
    quiet = ChatOptions(thinking="off").request_fields(reasons="reasoning" in info.capabilities)
    ask = Ask(fitted.messages, options.model or info.name, 0.0, fitted.max_tokens, quiet)
    pieces = list(model.stream(ask, cancel))
    text = thoughts.without("".join(piece.text for piece in pieces)).strip()
    if any(piece.finish_reason == "length" for piece in pieces) and "\n" in text:
        text = text.rpartition("\n")[0]  # the last line is half a one
    text = "\n".join(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))  # small models repeat
    if not text and not cancel.is_set:
        raise ModelError("the model wrote nothing")
    return text
