"""What Tab offers at the prompt: commands, options and their values, models, files, conversations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
from prompt_toolkit.document import Document

from chatbot.core import commands
from chatbot.core.options import BY_NAME
from chatbot.core.store_rows import Chat

_PATHS = ("file", "save")
_MOST_CHATS = 30
_HELP = {f"/{name}": spec.help for spec in commands.COMMANDS for name in (spec.name, *spec.aliases)}


class Suggestions(Completer):
    """Completes commands alone: a message is nobody's to guess. models and chats are asked for when they are needed."""

    def __init__(self, models: Callable[[], Sequence[str]], chats: Callable[[], Sequence[Chat]]) -> None:
        self._models, self._chats = models, chats
        self._paths = PathCompleter(expanduser=True)

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """What may stand in place of the word before the cursor."""
        text = document.text_before_cursor
        if not text.startswith("/") or "\n" in text:
            return
        word, space, rest = text[1:].partition(" ")
        if space and word in _PATHS:
            yield from self._paths.get_completions(Document(rest), complete_event)
        elif space and word == "open":
            yield from self._conversations(rest)
        else:
            last = text.rpartition(" ")[2]
            for found in commands.complete(text, commands.TERMINAL, self._models()):
                yield Completion(found, -len(last), display_meta=_meaning(found))

    def _conversations(self, typed: str) -> Iterable[Completion]:
        for chat in self._chats()[:_MOST_CHATS]:
            if chat.id.startswith(typed) or typed.lower() in chat.title.lower():
                yield Completion(chat.id[:8], -len(typed), display=chat.id[:8], display_meta=chat.title)


def _meaning(found: str) -> str:
    control = BY_NAME.get(found)
    return _HELP.get(found) or (control.help if control else "")
