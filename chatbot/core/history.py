"""What the model is asked for an answer: the branch before it, with files, options and notes."""

from __future__ import annotations

from dataclasses import replace

from chatbot.core import fold
from chatbot.core.store import Store, Stored
from chatbot.core.turn import Turn


def chat_turn(store: Store, answer: Stored) -> Turn:
    """The turn that makes an answer, or that goes on with the text it has."""
    before = store.branch(answer.parent_id) if answer.parent_id else []
    turn = fold.turn_of(store, answer.chat_id, before, continues=answer.content)
    return replace(turn, grounds=answer.meta.get("library") or {})
