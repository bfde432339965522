"""What Tab offers at the prompt: commands, options and their values, models, files, conversations, #shelves."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
from prompt_toolkit.document import Document

from chatbot.core import commands, mentions
from chatbot.core.options import BY_NAME
from chatbot.core.store_rows import Chat
from chatbot.errors import ChatError
from chatbot.terminal.shelves import Shelves

_PATHS = ("file", "save")
_MOST_CHATS = 30
_MENTION = re.compile(r'(?:^|(?<=\s))#(?:"([^"\n]*)|([^\s"#]*))$')
_HELP = {f"/{name}": spec.help for spec in commands.COMMANDS for name in (spec.name, *spec.aliases)}


class Suggestions(Completer):
    """Completes commands, and in a message the names behind a #. models, chats and shelves are asked for when they are
    needed; shelves, which take a moment to open, only when Tab is pressed."""

    def __init__(
        self, models: Callable[[], Sequence[str]], chats: Callable[[], Sequence[Chat]], shelves: Shelves
    ) -> None:
        self._models, self._chats, self._shelves = models, chats, shelves
        self._paths = PathCompleter(expanduser=True)

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """What may stand in place of the word before the cursor."""
        text = document.text_before_cursor
        if not text.startswith("/") or "\n" in text:
            if complete_event.completion_requested and (mention := _MENTION.search(text)):
                yield from self._mentions(mention)
            return
        word, space, rest = text[1:].partition(" ")
        if space and word in _PATHS:
            yield from self._paths.get_completions(Document(rest), complete_event)
        elif space and word == "open":
            yield from self._conversations(rest)
        elif space and word == "library":
            yield from self._names(rest) if complete_event.completion_requested else ()
        else:
            last = text.rpartition(" ")[2]
            for found in commands.complete(text, commands.TERMINAL, self._models()):
                yield Completion(found, -len(last), display_meta=_meaning(found))

    def _mentions(self, mention: re.Match[str]) -> Iterable[Completion]:
        """Shelves and documents; a name with a blank in it stands between quotes."""
        with suppress(ChatError):
            for name, told in self._shelves.beginning(mention[1] or mention[2] or ""):
                yield Completion(mentions.written(name), -len(mention[0]), display=name, display_meta=told)

    def _names(self, typed: str) -> Iterable[Completion]:
        """Shelves behind /library, the last one of several."""
        last = typed.rpartition(",")[2].lstrip()
        with suppress(ChatError):
            for name in [*(each.name for each in self._shelves.all()), *(() if "," in typed else ("off",))]:
                if name.casefold().startswith(last.casefold()):
                    yield Completion(name, -len(last))

    def _conversations(self, typed: str) -> Iterable[Completion]:
        for chat in self._chats()[:_MOST_CHATS]:
            if chat.id.startswith(typed) or typed.lower() in chat.title.lower():
                yield Completion(chat.id[:8], -len(typed), display=chat.id[:8], display_meta=chat.title)


def _meaning(found: str) -> str:
    control = BY_NAME.get(found)
    return _HELP.get(found) or (control.help if control else "")
