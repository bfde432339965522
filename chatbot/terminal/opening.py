"""Open what a conversation or an answer needs, as the command line says, and close it whatever happens."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from chatbot.core.library import Door, open_library
from chatbot.core.library.gone import sweep
from chatbot.core.llm import ModelClient
from chatbot.core.options import ChatOptions
from chatbot.core.store import Store
from chatbot.errors import BadRequest, ChatError
from chatbot.terminal.flags import TerminalSettings, Wanted
from chatbot.terminal.session import Session, open_store

_KEEP_DELETED_S = 86_400.0


@contextmanager
def opened(settings: TerminalSettings, wanted: Wanted) -> Iterator[Session]:
    """A session in the chat that is wanted. Raises ChatError for a chat or a preset that is not there."""
    store, notice = open_store(settings.database(), is_saved=wanted.is_saved)
    model = ModelClient(settings.url, settings.api_key, settings.answer_timeout_s)
    is_kept = wanted.is_saved and not notice
    door = open_library(settings, settings.database(), people=store.people, is_kept=is_kept)
    session = Session(settings, model, store, door)
    try:
        if notice and not wanted.is_quiet:
            sys.stderr.write(f"[{notice}]\n")
        _choose(session, settings, wanted)
        yield session
        if is_kept:
            _sweep(store, door)
    finally:
        session.close()


def _sweep(store: Store, door: Door) -> None:
    """Forget chats that were deleted a day ago, and what the library keeps of their files. It is opened for that only
    where some went now."""
    with suppress(ChatError):  # the next one tries again
        if store.purge_deleted(time.time() - _KEEP_DELETED_S) or door.is_open:
            sweep(store, door)


def _choose(session: Session, settings: TerminalSettings, wanted: Wanted) -> None:
    """The chat to go on with, and its options: flags win over a preset, the preset over the chat's own."""
    options = wanted.options.over(_preset(session.store, settings, wanted))
    if options.library:
        options = replace(options, library=session.shelves.checked(options.library))
    if wanted.chat_id:
        session.open(wanted.chat_id)
    elif wanted.continues and session.open_last() is None:
        raise BadRequest("there is no chat yet that could go on: leave -c out")
    if session.chat_id is None:
        session.pending = options
    else:
        session.wishes = options


def _preset(store: Store, settings: TerminalSettings, wanted: Wanted) -> ChatOptions:
    """The options of a preset, found by its name. Raises BadRequest that lists the names."""
    name = wanted.preset
    if not name:
        return ChatOptions()
    kept = store if wanted.is_saved else Store(settings.database())
    presets = {each.name.casefold(): each for each in kept.presets()}
    if kept is not store:
        kept.close()
    if name.casefold() not in presets:
        known = ", ".join(each.name for each in presets.values()) or "none is saved"
        raise BadRequest(f"there is no preset {name}: {known}")
    return ChatOptions.from_wire(presets[name.casefold()].options)
