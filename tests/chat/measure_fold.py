"""Measure how much of a long conversation the model server reads again, with notes and with a window.

python -m tests.chat.measure_fold [TURNS]   prints one JSON object: for each rule the prompt tokens that were not in the
server's cache, those of the notes too, and how many requests were made. The real embedded model, 2,048 tokens.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chatbot.core.cancel import Cancel
from chatbot.core.llm import Ask, ModelClient, Piece
from chatbot.core.store import Store
from chatbot.settings import ChatSettings
from tests.chat.test_fold import say
from tests.processes import llmserver, running

_TURNS, _N_CTX = 24, 2048
_MAX_TOKENS = 100  # of an answer
_QUESTION = "Tell me more about llama number {n}: what it eats, where it sleeps, and who looks after it in winter."


class Counted(ModelClient):
    """The model server, with a count of what it read of the prompts."""

    n_read = n_asked = 0

    def stream(self, ask: Ask, cancel: Cancel) -> Iterator[Piece]:
        for piece in super().stream(ask, cancel):
            if piece.usage:
                self.n_read += piece.usage["prompt_tokens"] - piece.usage["cached_tokens"]
                self.n_asked += 1
            yield piece


def talk(folder: Path, rule: str, n_turns: int) -> dict[str, Any]:
    """A conversation with a server that has read nothing yet."""
    with running(llmserver("--n_ctx", str(_N_CTX))) as server:
        settings = ChatSettings(context_rule=rule, max_tokens=_MAX_TOKENS, temperature=0, system_prompt="Be kind.")
        store, model, chat_id = Store(folder / f"{rule}.db"), Counted(f"{server.url}/v1", "", 120), None
        for n in range(n_turns):
            chat_id = say(store, model, _QUESTION.format(n=n), chat_id, settings)
        n_notes = len(store.notes(chat_id or ""))
        store.close()
    return {"n_read": model.n_read, "n_asked": model.n_asked, "n_notes": n_notes}


def main() -> None:
    """Both rules, one after the other."""
    n_turns = int(sys.argv[1]) if len(sys.argv) > 1 else _TURNS
    with tempfile.TemporaryDirectory() as folder:
        found = {rule: talk(Path(folder), rule, n_turns) for rule in ("fold", "window")}
    sys.stdout.write(json.dumps({"n_turns": n_turns, "n_ctx": _N_CTX, **found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
