"""Which messages of a conversation the model gets, so that they fit what it holds. Pure but for the counter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chatbot.core.events import Message
from chatbot.errors import ContextFull

# What a chat template puts around one message: role, separators. The largest seen in common templates is about 8.
_TOKENS_AROUND = 10
_SMALLEST_ANSWER = 64


@dataclass(frozen=True)
class Fitted:
    """The messages to send, how many of the oldest were left out, and the longest answer that fits, in tokens."""

    messages: tuple[Message, ...]
    n_left_out: int
    max_tokens: int


def fit(
    system: str,
    turns: Sequence[Message],
    n_ctx: int | None,
    max_tokens: int,
    count: Callable[[str], int],
    *,
    is_text: bool = False,
) -> Fitted:
    """Keep the newest messages that leave room for an answer of max_tokens within n_ctx tokens.

    is_text: the messages are pieces of one text, so that an answer may stand without its question.
    A byte-level vocabulary never needs more tokens than the text has bytes, so most conversations need no
    counting. Raises ContextFull with both numbers when even the last message does not fit.
    """
    head = (Message("system", system),) if system else ()
    if n_ctx is None or sum(_most(m) for m in (*head, *turns)) <= n_ctx - max_tokens:
        return Fitted((*head, *turns), 0, max_tokens)
    fixed = sum(count(m.content) + _TOKENS_AROUND for m in head)
    last = count(turns[-1].content) + _TOKENS_AROUND
    if fixed + last + _SMALLEST_ANSWER > n_ctx:
        room = n_ctx - fixed - _TOKENS_AROUND - _SMALLEST_ANSWER
        raise ContextFull(
            f"this message has {last - _TOKENS_AROUND:,} tokens and the model has room for {max(0, room):,}: "
            f"shorten it, or start the model server with a larger --n_ctx than {n_ctx}"
        )
    kept, used = [turns[-1]], fixed + last
    for message in reversed(turns[:-1]):
        used += count(message.content) + _TOKENS_AROUND
        if used > n_ctx - max_tokens:
            break
        kept.append(message)
    if kept[-1].role == "assistant" and not is_text:  # an answer without its question confuses strict templates
        kept.pop()
    return Fitted((*head, *reversed(kept)), len(turns) - len(kept), min(max_tokens, n_ctx - fixed - last))


def as_text(messages: Sequence[Message]) -> str:
    """The one text that a base model continues: each continuation right behind its beginning, and what a person adds
    on a line of its own unless white space is there already. A longer conversation begins with the same text."""
    text = ""
    for message in messages:
        is_joined = message.role == "user" and text and not (text[-1].isspace() or message.content[:1].isspace())
        text += f"\n{message.content}" if is_joined else message.content
    return text


def _most(message: Message) -> int:
    return len(message.content.encode()) + _TOKENS_AROUND


def estimate(text: str) -> int:
    """Tokens of a text when no tokenizer can be asked: one for every three bytes, rather too many than too few."""
    return len(text.encode()) // 3 + 1
