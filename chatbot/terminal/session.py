"""The chats as one terminal has them: the store they are in, the chat that is open, and one answer at a time.

The same jobs as behind the page do the work in threads of their own, so that an answer is stored while it comes and
every page shows it. The main thread hears their events in a queue, together with what the keys do.
"""

from __future__ import annotations

import gc
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Empty, SimpleQueue
from types import EllipsisType
from typing import Any, Protocol

from chatbot.core import turn
from chatbot.core.cancel import Cancel
from chatbot.core.events import ChatRequest, Done, Event, Notice, Numbered, Status
from chatbot.core.jobs import Jobs
from chatbot.core.library import Door
from chatbot.core.llm import ModelClient
from chatbot.core.model import ModelInfo
from chatbot.core.options import ChatOptions
from chatbot.core.store import Store
from chatbot.core.store_rows import Chat, Stored
from chatbot.errors import BadRequest, ChatError, StartupError, UnknownChat
from chatbot.settings import ChatSettings
from chatbot.terminal.shelves import Shelves
from chatbot.terminal.signals import Heard, Typed, heard, reader_left

_STOP_WITHIN_S = 0.15


class View(Protocol):
    """What shows an answer; each way to write one has its own."""

    def show(self, event: Event) -> None:
        """Take one event."""

    def tick(self) -> float:
        """Draw what is due; the seconds until there may be more to draw."""

    def redraw(self) -> None:
        """The terminal has another size."""

    def resume(self) -> None:
        """The program was suspended and goes on."""


@dataclass(frozen=True)
class News:
    """What others did to the open chat. is_another: it goes on in another branch, whose end the messages are."""

    messages: Sequence[Stored] = ()
    is_another: bool = False

    def __bool__(self) -> bool:
        return bool(self.messages) or self.is_another


class Session:
    """One terminal's way to the chats.

    wishes are options that win over those of any chat for as long as this program runs; pending are those that the
    next new chat begins with.
    """

    def __init__(self, settings: ChatSettings, model: ModelClient, store: Store, door: Door) -> None:
        self.settings, self.model, self.store, self._door = settings, model, store, door
        self.shelves = Shelves(door)
        self.chat_id: str | None = None
        self.pending, self.wishes = ChatOptions(), ChatOptions()
        self.info: ModelInfo | None = None
        self._queue: SimpleQueue[Heard | bytes | tuple[str, Event]] = SimpleQueue()
        self._jobs = Jobs(store, self._run, self._watch)
        self._seen: str | None = None
        self.was_interrupted = False

    def close(self) -> None:
        """End what runs, keep its text, close the store."""
        self._jobs.close()
        self.store.close()
        self._door.close()

    def learn(self) -> ModelInfo:
        """Ask once which model answers. Raises what the model server's refusal is."""
        if self.info is None:
            self.info = self.model.info(self.in_force().model)
        return self.info

    def chats(self) -> list[Chat]:
        """All chats, the one that changed last first."""
        return sorted(self.store.chats(), key=lambda chat: -chat.updated_at)

    def open(self, chat_id: str) -> Chat:
        """Go on with a chat, found by the beginning of its id. Raises UnknownChat or BadRequest."""
        chat = find(self.store.chats(), chat_id)
        self.chat_id, self._seen = chat.id, chat.leaf_id
        return chat

    def open_last(self) -> Chat | None:
        """Go on with the chat that changed last, if there is one."""
        chats = self.chats()
        return self.open(chats[0].id) if chats else None

    def leave(self) -> None:
        """The next message begins a new chat."""
        self.chat_id = self._seen = None

    def branch(self) -> list[Stored]:
        """The open chat's messages, oldest first."""
        return self.store.messages(self.chat_id) if self.chat_id else []

    def news(self) -> News:
        """What became of the open chat since this terminal looked last."""
        if self.chat_id is None:
            return News()
        branch, seen = self.branch(), self._seen
        self._seen = branch[-1].id if branch else None
        if seen is None:
            return News(branch)
        place = next((place for place, each in enumerate(branch) if each.id == seen), None)
        return News(branch[-2:], is_another=True) if place is None else News(branch[place + 1 :])

    def options(self) -> ChatOptions:
        """What was chosen for the open chat, or for the next new one."""
        own = ChatOptions.from_wire(self.store.options(self.chat_id)) if self.chat_id else self.pending
        return self.wishes.over(own)

    def in_force(self) -> ChatOptions:
        """What the next answer is asked with: these options, over those of the house, over the settings."""
        house = ChatOptions.from_wire(self.store.house_options())
        return self.options().over(house).over(self.settings.options())

    def choose(self, values: Mapping[str, Any]) -> None:
        """Change options of the open chat; None takes one back."""
        self.wishes = ChatOptions.from_wire(_changed(self.wishes, dict.fromkeys(values)))
        if self.chat_id is None:
            self.pending = ChatOptions.from_wire(_changed(self.pending, values))
        else:
            own = ChatOptions.from_wire(self.store.options(self.chat_id))
            self.store.set_options(self.chat_id, ChatOptions.from_wire(_changed(own, values)).wire())
        if "model" in values:
            self.info = None

    def send(
        self, text: str, files: Sequence[str] = (), *, parent: str | EllipsisType | None = ..., key: str = ""
    ) -> Stored:
        """Store a message and begin its answer, which is returned. Raises what the store refuses."""
        options = self.pending.wire() if self.chat_id is None else {}
        key = key or secrets.token_hex(8)
        user, answer = self._jobs.start(ChatRequest(self.chat_id, text, key, parent, tuple(files), options))
        self.chat_id = user.chat_id
        return answer

    def retry(self, answer_id: str) -> Stored:
        """Answer the same message once more."""
        return self._jobs.retry(answer_id)

    def resume(self, answer_id: str) -> Stored:
        """Go on with an answer that ended early, in the same message. Raises NotContinuable."""
        return self._jobs.resume(answer_id)

    def undo(self) -> Sequence[Stored]:
        """Take the last message and its answer from what is shown; what was taken."""
        taken = self._jobs.undo(self.chat_id) if self.chat_id else ()
        self.news()
        return taken

    def follow(self, begin: Callable[[], Stored], view: View, typed: Typed | None = None) -> Stored:
        """Begin an answer and show it until it ends, by itself or by Ctrl-C. Whatever goes wrong here stops it too.

        typed takes what is typed meanwhile; without it the next prompt does. Raises what begin raises.
        """
        self._leftover(typed)
        try:
            with heard(self._queue.put, self._queue.put if typed else None):
                answer = begin()
                try:
                    for event in self._events(answer.id, view, typed):
                        gc.enable()  # the start of the program is over
                        view.show(event)
                except BaseException:
                    self._jobs.stop(answer.id)
                    raise
        finally:
            self.was_interrupted = self._leftover(typed)
        self._seen = answer.id
        return answer

    def _leftover(self, typed: Typed | None) -> bool:
        """Forget what came too late for an answer, but no key; whether Ctrl-C was among it."""
        was_stopped = False
        while not self._queue.empty():
            got = self._queue.get()
            was_stopped = was_stopped or got is Heard.STOP
            if isinstance(got, bytes) and typed:
                typed(got)
        return was_stopped

    def _events(self, answer_id: str, view: View, typed: Typed | None) -> Iterator[Event]:
        """The events of one answer; what the keys do is obeyed here."""
        give_up_at = float("inf")
        while True:
            wait_s = min(view.tick(), max(0.001, give_up_at - time.monotonic()))
            try:
                got = self._queue.get(timeout=wait_s)
            except Empty:
                if reader_left():
                    raise BrokenPipeError from None
                if time.monotonic() >= give_up_at:  # it waits for something that cannot be cut; it ends by itself
                    yield Done(Status.STOPPED)
                    return
                continue
            if got is Heard.STOP:
                self._jobs.stop(answer_id)
                give_up_at = min(give_up_at, time.monotonic() + _STOP_WITHIN_S)
            elif isinstance(got, tuple):
                if got[0] == answer_id:
                    if isinstance(got[1], Done) and (unsaved := self._jobs.unsaved(answer_id)):
                        yield Notice(unsaved)
                    yield got[1]
                    if isinstance(got[1], Done):
                        return
            else:
                _tell(got, view, typed)

    def _watch(self, _chat_id: str, answer_id: str, numbered: Numbered) -> None:
        self._queue.put((answer_id, numbered.event))

    def _run(self, asked: turn.Turn, cancel: Cancel) -> Iterator[Event]:
        asked = replace(asked, options=self.wishes.over(asked.options))
        return turn.run(asked, self.model, self.settings, cancel, library=self._door)


def _tell(got: Heard | bytes, view: View, typed: Typed | None) -> None:
    """Give on what else was heard: keys, a new size, the end of a suspension."""
    if isinstance(got, Heard):
        (view.redraw if got is Heard.RESIZED else view.resume)()
    elif typed:
        typed(got)


def find(chats: Sequence[Chat], beginning: str) -> Chat:
    """The one chat whose id begins so. Raises UnknownChat for none and BadRequest for several."""
    found = [chat for chat in chats if chat.id.startswith(beginning.lower())] if beginning else []
    if not found:
        raise UnknownChat(f"no chat has an id that begins with {beginning!r}: `chat list` shows them")
    if len(found) > 1:
        raise BadRequest(f"{len(found)} chats have an id that begins with {beginning!r}: give more of it")
    return found[0]


def open_store(path: Path, *, is_saved: bool) -> tuple[Store, str]:
    """The chats on the disk, or a store in memory; and what the person should know of it, if anything."""
    if not is_saved:
        return Store(Path(":memory:")), ""
    try:
        return Store(path), ""
    except StartupError as why:
        return Store(Path(":memory:")), f"nothing is kept: {why.message}"


def in_background(what: Any, *args: Any) -> threading.Thread:
    """Start something that a person need not wait for; it ends with the program, and its failures are nobody's."""

    def run() -> None:
        try:
            what(*args)
        except ChatError:
            return

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def _changed(options: ChatOptions, values: Mapping[str, Any]) -> dict[str, Any]:
    merged = options.wire() | dict(values)
    return {name: value for name, value in merged.items() if value is not None}
