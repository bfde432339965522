"""One server's conversations: the store, the jobs and what watches over them, bound to rooms."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from flask_socketio import SocketIO

from chatbot.core import commands, turn
from chatbot.core.accounts import User
from chatbot.core.allowance import Allowance
from chatbot.core.cancel import Cancel
from chatbot.core.events import ChatRequest, Done, Event, Numbered
from chatbot.core.jobs import Jobs
from chatbot.core.llm import ModelClient
from chatbot.core.model import Health
from chatbot.core.store import Store, Stored
from chatbot.core.store_base import n_bytes_of
from chatbot.errors import BadRequest, StorageError, UnknownChat
from chatbot.settings import WebSettings
from chatbot.web.auth import Auth, need_admin
from chatbot.web.chat_list import ChatList
from chatbot.web.controls import Controls
from chatbot.web.folding import Folding
from chatbot.web.library_room import LibraryRoom
from chatbot.web.model_watch import ModelWatch
from chatbot.web.pace import Pace
from chatbot.web.rounds import Rounds

log = logging.getLogger("chatbot")

_ALERT_CHARS = 500


class ChatService:
    """One server's chats. Its methods may be called from any thread."""

    def __init__(self, settings: WebSettings, model: ModelClient, socketio: SocketIO) -> None:
        self.settings, self.model = settings, model
        self._socketio = socketio
        self.store = Store(settings.database(), claim=True)
        self._mark_cut_off()
        self._folding = Folding(self.store, model, settings, socketio)
        self._pace = Pace(lambda chat_id, events: socketio.emit("event", events, to=chat_id))
        self.jobs = Jobs(self.store, self._run, self._tell, self._folding.after, self._tell_whole)
        self.lists = ChatList(self.store, self.jobs, socketio)
        self.auth = Auth(settings, self.store, socketio)
        self.library = LibraryRoom(settings, self.store, socketio, lambda: self.allowance)
        self.allowance = Allowance(self.store, self.jobs, self.library.text_bytes)
        self._watch = ModelWatch(model, settings.model, socketio)
        self.controls = Controls(
            self.store, model, settings, self.lists, self.allowance, self._is_away, self.library.door
        )
        self._pages_lock, self._n_pages = threading.Lock(), 0
        self._announcing = threading.Lock()  # turns are announced in the order in which they are stored
        self._rounds = Rounds(self)

    def close(self) -> None:
        """End all answers, saved and marked, and close the database."""
        self._watch.close()
        self._rounds.close()
        self._folding.close()
        self.jobs.close()
        self._pace.close()
        self.library.close()
        self.store.close()

    def admit(self) -> bool:
        """Count one more open page, unless there are too many: each holds a thread of the server."""
        with self._pages_lock:
            if self._n_pages >= self.settings.max_browsers:
                return False
            self._n_pages += 1
            return True

    def leave(self, *_: object) -> None:
        """A page was closed or lost."""
        with self._pages_lock:
            self._n_pages -= 1

    def model_health(self) -> Health:
        """How the model server was at the last look."""
        return self._watch.health

    def announce_chat(self, chat_id: str) -> dict[str, Any]:
        """Tell every page of its owner how a chat is in the list now."""
        return self.lists.announce(chat_id)

    def tell_chats(self, chat_ids: Sequence[str]) -> None:
        """Tell every page of their owner of chats that came at once."""
        for chat_id in chat_ids:
            with suppress(UnknownChat):  # deleted meanwhile
                self.lists.announce(chat_id)

    def check_chat(self, chat_id: str) -> None:
        """Raise UnknownChat unless there is such a chat."""
        self.store.chat(chat_id)

    def open(self, chat_id: str, after: dict[str, int]) -> dict[str, Any]:
        """A chat with its messages. For each answer in after that is still in memory, only the events it lacks."""
        shown, families = self.store.messages(chat_id), self.store.families(chat_id)
        files = self.store.files_of([message.id for message in shown], with_text=False)
        messages = []
        for each in shown:
            missed = self.jobs.missed(each.id, after[each.id]) if each.id in after else None
            if missed is not None:
                siblings = families.get(each.parent_id, [])
                messages.append({"id": each.id, "siblings": siblings, "missed": [event.wire() for event in missed]})
                continue
            more = {"siblings": families.get(each.parent_id, []), "files": [f.wire() for f in files.get(each.id, ())]}
            messages.append(self.jobs.snapshot(each).wire() | more)
        told = self.controls.notes(chat_id, shown)
        further = families.get(shown[-1].id if shown else None, [])
        return {"chat": self.lists.wire(chat_id), "messages": messages, "notes": told, "further": further}

    def message(self, stored: Stored) -> dict[str, Any]:
        """One message as `open` tells it."""
        files = self.store.files_of([stored.id], with_text=False).get(stored.id, ())
        siblings = self.store.children(stored.parent_id, stored.chat_id)
        return self.jobs.snapshot(stored).wire() | {"siblings": siblings, "files": [file.wire() for file in files]}

    def send(self, user: User, asked: ChatRequest, enter: Callable[[str], None]) -> dict[str, Any]:
        """Take a message; everybody in the chat sees it, the sender gets it as the answer to this call.

        enter: lets the sender hear the chat with this id, from the first event on.
        """
        is_repeated = bool(asked.key) and self.store.by_key(asked.key, user.id) is not None
        self.controls.check_sight(asked)
        with self._announcing:
            if not is_repeated:
                self.allowance.check_answer(user, n_bytes_of(asked.text))
            question, answer = self.jobs.start(asked, enter)
            return self.announce_turn(question, answer)

    def retry(self, user: User, answer_id: str) -> dict[str, Any]:
        """Answer the same question again, in a branch of its own; where the answer has no word, in its place."""
        if self.jobs.has_no_word(answer_id):
            return self.resume(user, answer_id) | {"user": None, "replaces": None}
        with self._announcing:
            self.allowance.check_answer(user)
            answer = self.jobs.retry(answer_id)
            return self.announce_turn(None, answer, replaces=answer_id)

    def resume(self, user: User, answer_id: str) -> dict[str, Any]:
        """Let an answer go on that was cut off."""
        with self._announcing:
            self.allowance.check_answer(user, is_new=False)
            answer = self.jobs.resume(answer_id)
        return {"chat": self.announce_chat(answer.chat_id), "answer": self.message(answer)}

    def stop(self, answer_id: str) -> bool:
        """End an answer that is running or waiting, and what it waits for on other branches; a terminal is asked to."""
        return self.jobs.stop_chat(answer_id) or self.store.want_stop(answer_id)

    def stop_chat(self, chat_id: str) -> bool:
        """End all answers of a chat, also those on branches that are not shown; a terminal is asked to."""
        was_there = self.jobs.stop_chats([chat_id]) or self.store.want_stop(chat_id)
        if not was_there:
            self.announce_chat(chat_id)  # who asks believes that there is something to stop
        return was_there

    def dequeue(self, answer_id: str) -> bool:
        """End an answer that waits in line, and no other."""
        return self.jobs.stop(answer_id)

    def edit(self, user: User, answer_id: str, content: str) -> dict[str, Any]:
        """Take a person's words for an answer's text."""
        self.allowance.check_storage(user, n_bytes_of(content))
        edited = self.jobs.edit(answer_id, content)
        self.announce_chat(edited.chat_id)
        notes = self.controls.notes(edited.chat_id, self.store.messages(edited.chat_id))
        if notes and answer_id in notes["outdated"]:
            self.lists.announce_notes(edited.chat_id, notes["n_folded"])
        return {"message": self.announce_message(edited)}

    def undo(self, chat_id: str) -> dict[str, Any]:
        """Take the last turn back; the text of its question."""
        removed = self.jobs.undo(chat_id)
        self.announce_chat(chat_id)
        return {"text": removed[0].content if removed else "", "removed": [each.id for each in removed]}

    def branch(self, chat_id: str, message_id: str) -> dict[str, Any]:
        """Show the branch that a message is in."""
        self.store.show_branch(chat_id, message_id)
        self.announce_chat(chat_id)
        return self.open(chat_id, {})

    def announce_turn(self, user: Stored | None, answer: Stored, replaces: str | None = None) -> dict[str, Any]:
        """Tell a chat's room of a turn that begins."""
        chat = self.lists.wire(answer.chat_id)
        body = {
            "chat": chat,
            "user": self.message(user) if user else None,
            "answer": self.message(answer),
            "replaces": replaces,
        }
        self._socketio.emit("turn", body, to=answer.chat_id)
        self.lists.tell(chat)
        return body

    def announce_message(self, stored: Stored) -> dict[str, Any]:
        """Tell a chat's room how a message is now, all of it."""
        body = self.message(stored)
        self._socketio.emit("message", {"chat_id": stored.chat_id, "message": body}, to=stored.chat_id)
        return body

    def command(self, user: User, chat_id: str | None, text: str, beside: Sequence[str] = ()) -> dict[str, Any]:
        """Do a command that needs the server: what to tell the person, or files for the next message."""
        command = commands.parse(text, commands.PAGE)
        if command is None:
            raise BadRequest("this is a message and no command: send it")
        if command.name == "alert":
            self.alert(user, command.args)
            return {"say": "Everybody who has the page open sees this now, and who opens it within an hour."}
        return self.controls.command(user, chat_id, command, beside)

    def alert(self, user: User, text: str) -> None:
        """Tell every page something, and those that are opened within an hour. Raises NotAllowed, BadRequest."""
        need_admin(user)
        said = " ".join(text.split())
        if not 0 < len(said) <= _ALERT_CHARS:
            raise BadRequest(f"what everybody is told has 1 to {_ALERT_CHARS} characters, this has {len(said)}")
        alert = {"text": said, "at": time.time(), "from": user.name}
        self.store.set_alert(alert)
        self._socketio.emit("alert", alert)

    def _is_away(self) -> bool:
        return self.model_health().state == "away"

    def _mark_cut_off(self) -> None:
        try:
            left = self.store.interrupt_unfinished()
        except StorageError as why:  # a full disk keeps nobody from reading; it is tried again by the clock
            log.error("%s", why.message)
            return
        if left:
            log.warning("%d answers were cut off when their process last ended; they are marked", left)

    def _run(self, asked: turn.Turn, cancel: Cancel) -> Iterator[Event]:
        return turn.run(asked, self.model, self.settings, cancel, self.library.door)

    def _tell(self, chat_id: str, answer_id: str, event: Numbered) -> None:
        self._pace.tell(chat_id, answer_id, event)
        if isinstance(event.event, Done):
            with suppress(UnknownChat):  # deleted meanwhile
                self.announce_chat(chat_id)  # the lists of all pages say that it is no longer being answered

    def _tell_whole(self, answer_id: str) -> None:
        self.announce_message(self.store.message(answer_id))
