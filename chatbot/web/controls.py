"""What a person chooses and adds beside the messages: options, presets, prompts, notes, files, pages of the web."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any

from chatbot.core import commands, context, files, fold, sources
from chatbot.core.events import Message
from chatbot.core.llm import ModelClient
from chatbot.core.options import CONTROLS, ChatOptions
from chatbot.core.store import Store, StoredFile
from chatbot.core.turn import Turn
from chatbot.errors import BadRequest, ChatError, ContextFull
from chatbot.settings import WebSettings
from chatbot.web.chat_list import ChatList


class Controls:
    """One server's options and sources."""

    def __init__(
        self, store: Store, model: ModelClient, settings: WebSettings, lists: ChatList, is_away: Callable[[], bool]
    ) -> None:
        self._store, self._model, self._settings, self._lists = store, model, settings, lists
        self._is_away = is_away

    def hello(self) -> dict[str, Any]:
        """What a page needs to know once: what can be chosen, what is in force, what there is."""
        settings = self._settings
        models: list[dict[str, Any]] = []
        with suppress(ChatError):  # the page asks again when the model server is there
            models = [] if self._is_away() else self.models()
        return {
            "controls": [control.wire() for control in CONTROLS],
            "defaults": settings.options().wire(),
            "presets": self.presets(),
            "prompts": self.prompts(),
            "commands": [spec.wire() for spec in commands.COMMANDS if spec.is_for(commands.PAGE)],
            "limits": {"message_chars": settings.max_message_chars, "file_bytes": settings.max_file_mb * 1_000_000},
            "models": models,
        }

    def models(self) -> list[dict[str, Any]]:
        """What the model server offers. Raises ModelAway or ModelError."""
        return [info.wire() for info in self._model.models()]

    def presets(self) -> list[dict[str, Any]]:
        """All presets by name."""
        return [asdict(preset) for preset in self._store.presets()]

    def preset(self, name: str, options: Mapping[str, Any] | None) -> list[dict[str, Any]]:
        """Keep a preset, or forget it when there are no options; all presets."""
        if options is None:
            self._store.delete_preset(name)
        else:
            self._store.save_preset(name, ChatOptions.from_wire(options).wire())
        return self.presets()

    def prompts(self) -> list[dict[str, Any]]:
        """All prompts by name."""
        return [asdict(prompt) for prompt in self._store.prompts()]

    def prompt(self, name: str, text: str | None) -> list[dict[str, Any]]:
        """Keep a prompt, or forget it when there is no text; all prompts."""
        if text is None:
            self._store.delete_prompt(name)
        else:
            self._store.save_prompt(name, text)
        return self.prompts()

    def set_options(self, chat_id: str, options: Mapping[str, Any]) -> dict[str, Any]:
        """Give a chat these options and no others; what is kept of them."""
        kept = ChatOptions.from_wire(options).wire()
        self._store.set_options(chat_id, kept)
        self._lists.announce(chat_id)
        return kept

    def set_notes(self, chat_id: str, text: str | None) -> dict[str, Any] | None:
        """Let notes say what a person wrote, or go without. Raises BadRequest where there are none to change."""
        notes = self._store.notes(chat_id)
        if notes is None and text is not None:
            raise BadRequest("this chat has no notes yet: they are made when it fills the model's memory")
        changed = replace(notes, text=text) if notes and text is not None else None
        self._store.set_notes(chat_id, changed)
        self._lists.announce_notes(chat_id, changed.n_folded if changed else 0)
        return asdict(changed) if changed else None

    def context(
        self, chat_id: str | None, text: str, file_ids: Sequence[str], options: Mapping[str, Any]
    ) -> dict[str, Any]:
        """What the model would get with this text and these files as the next message."""
        added = [self._store.file(file_id) for file_id in file_ids]
        shown = self._store.messages(chat_id) if chat_id else []
        turn = fold.turn_of(self._store, chat_id, shown) if chat_id else Turn([], ChatOptions.from_wire(options))
        if text.strip() or added:
            turn = replace(turn, messages=[*turn.messages, Message("user", files.as_content(text, added))])
        kept = self._store.files_of([message.id for message in shown]).values()
        named = [(file.name, file.text) for file in (*(f for each in kept for f in each), *added)]
        return context.show(turn, self._model, self._settings, named)

    def add_file(self, chat_id: str | None, name: str, kind: str, text: str, source: str = "") -> dict[str, Any]:
        """Keep a file for the next message, with its tokens where they are known. Raises ContextFull."""
        own = ChatOptions.from_wire(self._store.options(chat_id)) if chat_id else ChatOptions()
        options = own.over(self._settings.options())
        n_tokens: int | None = None
        try:
            system, most = options.system_prompt or "", options.max_tokens or 0
            room = files.check_room(text, self._model, wanted=options.model, system=system, max_tokens=most)
            n_tokens = room.n_tokens
        except ContextFull:
            raise
        except ChatError:  # a model that is away may be there when the message is sent
            pass
        return self._wire(self._store.add_file(chat_id, name, kind, text, source), n_tokens)

    def drop_file(self, file_id: str) -> None:
        """Forget a file that was not sent."""
        self._store.drop_file(file_id)

    def url(self, chat_id: str | None, address: str) -> dict[str, Any]:
        """Read a page of the web into a file for the next message."""
        return self._fetch(chat_id, "url", address)["files"][0]  # type: ignore[no-any-return]

    def command(self, chat_id: str | None, text: str) -> dict[str, Any]:
        """Do a command that needs the server: what to tell the person, or files for the next message."""
        command = commands.parse(text, commands.PAGE)
        if command is None:
            raise BadRequest("this is a message and no command: send it")
        if command.name in sources.COMMANDS:
            return self._fetch(chat_id, command.name, command.args)
        if command.name == "help":
            return {"say": commands.help_text(commands.PAGE, command.args)}
        if command.name == "model" and not command.args:
            about = self._model.about(self._settings.model)
            return {"say": "\n".join(filter(None, asdict(about).values()))}
        raise BadRequest(f"/{command.name} is done on the page itself: load the page again")

    def _fetch(self, chat_id: str | None, command: str, argument: str) -> dict[str, Any]:
        if chat_id:
            self._store.chat(chat_id)
        found = sources.run(command, argument, self._settings)
        file = self.add_file(chat_id, found.name, found.kind, found.text, found.source)
        return {"files": [file], "text": "", "say": found.say}

    def _wire(self, file: StoredFile, n_tokens: int | None) -> dict[str, Any]:
        return file.wire() | {"n_tokens": n_tokens}
