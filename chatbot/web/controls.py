"""What a person chooses and adds beside the messages: options, presets, prompts, notes, files, pages of the web."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any

from chatbot.core import attachments, commands, context, files, fold, pictures, sources
from chatbot.core.accounts import User
from chatbot.core.allowance import Allowance
from chatbot.core.commands import Command
from chatbot.core.events import ChatRequest
from chatbot.core.library import Door
from chatbot.core.llm import ModelClient
from chatbot.core.options import CONTROLS, ChatOptions
from chatbot.core.store import NewFile, Store, Stored
from chatbot.core.store_base import n_bytes_of
from chatbot.core.turn import Turn
from chatbot.errors import BadRequest, ChatError, ContextFull, NotesChanged, UnknownFile
from chatbot.settings import WebSettings
from chatbot.web.chat_list import ChatList


class Controls:
    """One server's options and sources."""

    def __init__(
        self,
        store: Store,
        model: ModelClient,
        settings: WebSettings,
        lists: ChatList,
        allowance: Allowance,
        is_away: Callable[[], bool],
        library: Door,
    ) -> None:
        self._store, self._model, self._settings, self._lists = store, model, settings, lists
        self._allowance = allowance
        self._is_away, self._library = is_away, library

    def hello(self, user: User) -> dict[str, Any]:
        """What a page needs to know once: what can be chosen, what is in force, what there is."""
        settings = self._settings
        models: list[dict[str, Any]] = []
        with suppress(ChatError):  # the page asks again when the model server is there
            models = [] if self._is_away() else self.models()
        return {
            "controls": [control.wire() for control in CONTROLS],
            "user": user.wire(),
            "defaults": self._in_force(ChatOptions()).wire(),
            "presets": self.presets(user.id),
            "prompts": self.prompts(user.id),
            "commands": [spec.wire(is_admin=user.is_admin) for spec in commands.COMMANDS],
            "limits": {
                "message_chars": settings.max_message_chars,
                "file_bytes": settings.max_file_mb * 1_000_000,
                "keep_turns": settings.keep_turns,
            },
            "models": models,
        }

    def models(self) -> list[dict[str, Any]]:
        """What the model server offers. Raises ModelAway or ModelError."""
        return [info.wire() for info in self._model.models()]

    def presets(self, owner_id: str) -> list[dict[str, Any]]:
        """A user's presets by name."""
        return [asdict(preset) for preset in self._store.presets(owner_id)]

    def preset(self, name: str, options: Mapping[str, Any] | None, owner_id: str) -> list[dict[str, Any]]:
        """Keep a preset, or forget it when there are no options; all presets of the user."""
        if options is None:
            self._store.delete_preset(name, owner_id)
        else:
            self._store.save_preset(name, ChatOptions.from_wire(options).wire(), owner_id)
        return self.presets(owner_id)

    def prompts(self, owner_id: str) -> list[dict[str, Any]]:
        """A user's prompts by name."""
        return [asdict(prompt) for prompt in self._store.prompts(owner_id)]

    def prompt(self, name: str, text: str | None, owner_id: str) -> list[dict[str, Any]]:
        """Keep a prompt, or forget it when there is no text; all prompts of the user."""
        if text is None:
            self._store.delete_prompt(name, owner_id)
        else:
            self._store.save_prompt(name, text, owner_id)
        return self.prompts(owner_id)

    def set_options(self, chat_id: str | None, options: Mapping[str, Any]) -> dict[str, Any]:
        """Give a chat these options and no others; what is kept of them. Those of a new chat are only checked."""
        kept = ChatOptions.from_wire(options).wire()
        if chat_id is None:
            return kept
        self._store.set_options(chat_id, kept)
        self._lists.announce(chat_id)
        return kept

    def setting(self, line: str) -> dict[str, Any]:
        """What follows /set, read: the option's name or null, and its value where one is given, null for the default.

        Raises OptionRefused with what would be right.
        """
        found = commands.parse_setting(line)
        if not isinstance(found, tuple):
            return {"name": found.name if found else None, "is_set": False, "value": None}
        control, value = found
        if control.name == "model" and value:
            value = self._model.named(value)
        return {"name": control.name, "is_set": True, "value": value}

    def notes(self, chat_id: str, branch: Sequence[Stored]) -> dict[str, Any] | None:
        """The notes that hold for a branch, as a page is told."""
        kept = self._store.notes(chat_id)
        text, n_folded = fold.standing(branch, kept)
        outdated = list(fold.outdated(branch, kept))
        return {"text": text, "n_folded": n_folded, "outdated": outdated} if n_folded else None

    def set_notes(self, chat_id: str, text: str | None, was: str | None = None) -> dict[str, Any] | None:
        """Let notes say what a person wrote, or go without. was: what they said when the person saw them.

        Raises BadRequest where there are none to change, NotesChanged where there are other ones by now.
        """
        branch = self._store.messages(chat_id)
        kept = self._store.notes(chat_id)
        changed = NotesChanged("other notes were made meanwhile, of more messages: look at both before you save yours")
        if was is not None and fold.standing(branch, kept)[0] != was:
            raise changed
        notes = fold.changed(branch, kept, text)
        if notes is None:
            raise BadRequest("this chat has no notes yet: they are made when it fills the model's memory")
        if not self._store.set_notes(chat_id, notes, was=kept):
            raise changed
        told = self.notes(chat_id, branch)
        self._lists.announce_notes(chat_id, told["n_folded"] if told else 0)
        return told

    def context(
        self, user: User, chat_id: str | None, text: str, file_ids: Sequence[str], options: Mapping[str, Any]
    ) -> dict[str, Any]:
        """What the model would get with this text and these files as the next message."""
        added = [self._store.file(file_id) for file_id in file_ids]
        shown = self._store.messages(chat_id) if chat_id else []
        begun = Turn([], self._in_force(ChatOptions.from_wire(options)))
        turn = fold.turn_of(self._store, chat_id, shown) if chat_id else begun
        if text.strip() or added:
            turn = replace(turn, messages=[*turn.messages, attachments.message_of("user", text, added)])
        kept = self._store.files_of([message.id for message in shown]).values()
        named = [(file.name, file.text) for file in (*(f for each in kept for f in each), *added)]
        turn = replace(turn, owner_id=user.id)
        return context.show(turn, self._model, self._settings, named, self._library)

    def add_file(self, user: User, chat_id: str | None, new: NewFile, beside: Sequence[str] = ()) -> dict[str, Any]:
        """Keep a file for the next message, with its tokens where they are known; beside: ids of those that are there.

        A text that the model cannot hold with them is not whole: it is read in parts. Raises ContextFull for such a
        picture, LimitReached when the user has no room left.
        """
        self._allowance.check_storage(user, n_bytes_of(new.text) + len(new.data or b""))
        options = self._in_force(ChatOptions.from_wire(self._store.options(chat_id)) if chat_id else ChatOptions())
        n_tokens, is_whole = None if new.data is None else pictures.n_tokens(new.data), True
        try:
            system, most = options.system_prompt or "", options.longest(0)
            n_others = self._n_beside(beside, options.model)
            room = files.check_room(
                new.text,
                self._model,
                wanted=options.model,
                system=system,
                max_tokens=most,
                n_others=n_others,
                data=new.data,
            )
            n_tokens, is_whole = room.n_tokens, room.is_whole
        except ContextFull:
            raise
        except ChatError:  # a model that is away may be there when the message is sent
            pass
        told = (new.name, new.kind, new.text, new.source)
        kept = self._store.add_file(chat_id, *told, owner_id=user.id, media_type=new.media_type, data=new.data)
        return kept.wire() | {"n_tokens": n_tokens, "is_whole": is_whole}

    def _n_beside(self, file_ids: Sequence[str], wanted: str) -> int:
        """Tokens of the files that go with the same message."""
        n_others = 0
        for file_id in file_ids:
            with suppress(UnknownFile):  # removed meanwhile
                file = self._store.file(file_id)
                n_others += files.n_tokens(file.text, file.data, self._model, wanted)
        return n_others

    def check_sight(self, asked: ChatRequest) -> None:
        """Refuse pictures for a model that cannot see, before the message is kept. Raises CannotSee, UnknownFile."""
        if all(self._store.file(file_id).data is None for file_id in asked.files):
            return
        own = self._store.options(asked.chat_id) if asked.chat_id else asked.options
        try:
            info = self._model.info(self._in_force(ChatOptions.from_wire(own)).model)
        except ChatError:  # a model that is away may be there when the message is sent
            return
        pictures.refuse_blind(info, self._model)

    def drop_file(self, file_id: str) -> None:
        """Forget a file that was not sent."""
        self._store.drop_file(file_id)

    def url(self, user: User, chat_id: str | None, address: str, beside: Sequence[str] = ()) -> dict[str, Any]:
        """Read a page of the web into a file for the next message."""
        return self._fetch(user, chat_id, Command("url", address), beside)["files"][0]  # type: ignore[no-any-return]

    def command(self, user: User, chat_id: str | None, command: Command, beside: Sequence[str] = ()) -> dict[str, Any]:
        """Do a command that needs the server: what to tell the person, or files for the next message."""
        if command.name in sources.COMMANDS:
            return self._fetch(user, chat_id, command, beside)
        if command.name == "help":
            return {"say": commands.help_text(commands.PAGE, command.args, is_admin=user.is_admin)}
        if command.name == "model" and not command.args:
            about = self._model.about(self._settings.model)
            return {"say": "\n".join(filter(None, asdict(about).values()))}
        raise BadRequest(f"/{command.name} is done on the page itself: load the page again")

    def _fetch(self, user: User, chat_id: str | None, command: Command, beside: Sequence[str]) -> dict[str, Any]:
        if chat_id:
            self._store.chat(chat_id)
        found = sources.run(command.name, command.args, self._settings)
        new = NewFile(found.name, found.kind, found.text, found.source, found.media_type, found.data)
        file = self.add_file(user, chat_id, new, beside)
        return {"files": [file], "say": found.say}

    def _in_force(self, own: ChatOptions) -> ChatOptions:
        """A chat's own options, over those of the house, over the settings."""
        return own.over(ChatOptions.from_wire(self._store.house_options())).over(self._settings.options())
