"""Ask the model something short on the way to an answer, in a way that can be cut short from outside."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

from chatbot.core import thoughts
from chatbot.core.answers import retry_after_s
from chatbot.core.cancel import Cancel
from chatbot.core.events import Message
from chatbot.core.llm import Ask
from chatbot.core.options import ChatOptions
from chatbot.core.turn import Model
from chatbot.errors import ModelError

_LEAST_WAIT_S = 0.5


class Asker:
    """rag.answer.Model over the model server; may be asked from several threads at once."""

    def __init__(self, model: Model, name: str, *, reasons: bool, patience_s: float) -> None:
        self._model, self._name = model, name
        self._fields = ChatOptions(thinking="off").request_fields(reasons=reasons)
        self._deadline = time.monotonic() + patience_s
        self._lock = threading.Lock()
        self._running: set[Cancel] = set()
        self._is_over = False

    def ask(self, prompt: str, schema: Mapping[str, Any] | None, max_tokens: int) -> str:
        """The whole answer; nothing once it is cancelled. Raises what the model server's refusal is."""
        form = {"name": "answer", "schema": schema, "strict": True}
        shaped = {"response_format": {"type": "json_schema", "json_schema": form}} if schema else {}
        asked = Ask([Message("user", prompt)], self._name, 0.0, max_tokens, {**self._fields, **shaped})
        cancel = Cancel()
        with self._lock:
            if self._is_over:
                return ""
            self._running.add(cancel)
        try:
            return thoughts.without(self._answered(asked, cancel))
        finally:
            with self._lock:
                self._running.discard(cancel)

    def cancel(self) -> None:
        """End all that is being asked; nothing more is."""
        with self._lock:
            self._is_over = True
            running = list(self._running)
        for each in running:
            each.set()

    def _answered(self, asked: Ask, cancel: Cancel) -> str:
        while True:
            try:
                return "".join(piece.text for piece in self._model.stream(asked, cancel))
            except ModelError as why:  # a server that is busy is asked again
                wait_s = retry_after_s(why)
                if wait_s is None or time.monotonic() + wait_s > self._deadline:
                    raise
                if cancel.wait(max(wait_s, _LEAST_WAIT_S)):
                    return ""
