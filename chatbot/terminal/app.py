"""A conversation at the terminal: read, answer or obey, until the person leaves. It survives every failed answer."""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial

from chatbot.core import commands
from chatbot.core.commands import TERMINAL, Command
from chatbot.core.model import CONTINUES
from chatbot.errors import ChatError
from chatbot.terminal.desk import Desk
from chatbot.terminal.flags import TerminalSettings, Wanted
from chatbot.terminal.input import Editor, Lines, Reader
from chatbot.terminal.look import can_draw
from chatbot.terminal.obey import obey
from chatbot.terminal.paint import aside, clean, size
from chatbot.terminal.session import Session, in_background

_BARE_COMMANDS = {"exit": "/exit", "quit": "/exit"}
_GREET_WITHIN_S = 2.0
_SHOWN_AT_START = 2


class App:
    """One conversation after the other, until the person leaves."""

    def __init__(self, session: Session, settings: TerminalSettings, wanted: Wanted) -> None:
        self._session, self._settings, self._wanted = session, settings, wanted
        self._desk = Desk(session, wanted)
        self._models: list[str] = []
        self._is_interruptible = False

    def converse(self) -> int:
        """Read messages and answer them; the exit status."""
        reader = self._reader()
        gc.enable()  # the start of the program is over
        if isinstance(reader, Editor) and self._desk.is_drawn:
            self._show_branch()
            reader.when_shown(partial(in_background, self._greet_above, reader))
        else:
            asking = in_background(self._look)
            asking.join(_GREET_WITHIN_S)
            self._desk.say(self._greeting())
            self._show_branch()
            in_background(self._warm_up)
        with _between_answers(self._note_interrupt):
            for name in self._wanted.files:
                self._try(partial(self._desk.add, name))
            while True:
                try:
                    self._take(self._read(reader))
                except EOFError:
                    self._part()
                    return 0

    def _note_interrupt(self) -> None:
        """Ctrl-C, and no answer runs: a line that is read and a command hear it at once, else the next prompt does."""
        if self._is_interruptible:
            raise KeyboardInterrupt
        self._session.was_interrupted = True

    def _read(self, reader: Reader) -> str:
        """The next message. Raises EOFError to leave, KeyboardInterrupt for the second Ctrl-C at an empty prompt."""
        n_pressed = 0
        while True:
            if waiting := self._waiting(reader):
                return waiting
            draft, self._desk.draft = self._desk.draft, ""
            if self._desk.ahead and not draft:
                draft = self._desk.ahead.take_draft()
            try:
                return self._one(reader, draft).strip()
            except KeyboardInterrupt:
                n_pressed += 1
                self._leave_edit()
                if n_pressed > 1:
                    raise
                sys.stderr.write("" if self._desk.is_drawn else "\n")
                self._desk.say("Ctrl-C again leaves, Ctrl-D too")

    def _leave_edit(self) -> None:
        """Ctrl-C took the line away: what is written next is a message of its own."""
        self._desk.edits = None

    def _waiting(self, reader: Reader) -> str:
        """A message that was sent while the last answer ran, shown as the prompt leaves it. Raises EOFError."""
        ahead = self._desk.ahead
        text = ahead.next() if ahead and not self._desk.draft else ""
        if text and isinstance(reader, Editor):
            reader.remember(text)
            self._desk.show_question(text)
        return text

    def _one(self, reader: Reader, draft: str) -> str:
        if not isinstance(reader, Lines):
            return reader.read(draft)
        self._is_interruptible = True
        try:
            if self._was_interrupted():
                raise KeyboardInterrupt
            return reader.read(draft)
        finally:
            self._is_interruptible = False

    def _take(self, text: str) -> None:
        """Obey a command or answer a message. A path such as /etc/hosts is a message."""
        text = _BARE_COMMANDS.get(text, text)
        if not text:
            return
        try:
            command = commands.parse(text, TERMINAL)
        except ChatError as why:
            self._desk.say(why.message)
            return
        if command:
            self._desk.edits = None
            self._try(partial(self._obey, command))
            return
        if self._desk.is_drawn:
            sys.stdout.write("\n")
        if self._desk.tell_news().is_another and self._desk.is_drawn:
            self._desk.draft = text
            self._desk.say("your message is not sent yet: Enter sends it behind what is shown now")
        else:
            self._try(partial(self._desk.send, text))
        if self._desk.is_drawn:
            sys.stdout.write("\n")

    def _obey(self, command: Command) -> None:
        """Do what a command says; Ctrl-C ends one that takes long."""
        self._is_interruptible = True
        try:
            obey(self._desk, command)
        except KeyboardInterrupt:
            self._desk.say("stopped")
        finally:
            self._is_interruptible = False
        if self._desk.is_drawn:
            sys.stderr.write("\n")

    def _try(self, do: Callable[[], None]) -> None:
        try:
            do()
        except ChatError as why:
            self._desk.say(why.message)

    def _look(self) -> None:
        """Which model answers, where the server tells it with its health; its list of models tells it everywhere."""
        wanted = self._session.in_force().model
        health = self._session.model.health()
        if health.state == "ready" and health.model and wanted in {"", health.model.name}:
            self._session.info = health.model

    def _warm_up(self) -> None:
        """While the person types, import what the first answer needs, and ask which models there are."""
        from chatbot.terminal import live  # noqa: F401

        self._session.learn()
        self._models = [info.name for info in self._session.model.models()]

    def _reader(self) -> Reader:
        """The editor where the terminal can draw and prompt_toolkit runs, else plain lines."""
        if not (can_draw() and sys.stdin.isatty()):
            return Lines()
        try:
            from chatbot.terminal.ahead import Ahead
            from chatbot.terminal.completion import Suggestions
            from chatbot.terminal.prompt import Prompt
        except ImportError as why:
            self._desk.say(f"lines are read without editing: {why}")
            return Lines()
        history = self._settings.database().with_name("terminal_history") if self._wanted.is_saved else None
        suggestions = Suggestions(lambda: self._models, self._session.chats, self._session.shelves)
        prompt = Prompt(history, suggestions, self._was_interrupted, self._leave_edit)
        self._desk.ahead = Ahead(prompt.pastes) if self._desk.is_drawn else None
        return prompt

    def _was_interrupted(self) -> bool:
        was, self._session.was_interrupted = self._session.was_interrupted, False
        return was

    def _greet_above(self, reader: Editor) -> None:
        """Greet while the person may be typing already: a prompt need not wait for the server."""
        with suppress(ChatError):
            self._look()
        lines = aside(clean(self._greeting()), size()[0], "dim")
        reader.say_above("".join(f"{line}\n" for line in [*lines, ""]))
        self._warm_up()

    def _greeting(self) -> str:
        """Who answers; a server that is away is said now and tried again at the first message."""
        try:
            info = self._session.learn()
        except ChatError as why:
            return why.message
        demo = "; a demonstration model, do not rely on what it says" if info.demo else ""
        base = f"; a base model, {CONTINUES}" if info.is_base else ""
        shelves = self._session.in_force().library
        asked = f"; answers come from {shelves}" if shelves else ""
        return f"{info.name}{demo}{base}{asked}. /help for help"

    def _show_branch(self) -> None:
        """The end of the chat that goes on."""
        branch = self._session.branch()
        if branch:
            self._session.news()
            n_before = len(branch) - _SHOWN_AT_START
            if n_before > 0:
                self._desk.say(f"{n_before} earlier messages: /save writes them to a file")
            self._desk.show(branch[-_SHOWN_AT_START:])

    def _part(self) -> None:
        """How to come back, where there is something to come back to."""
        if not self._desk.is_drawn:
            sys.stderr.write("\n")
        elif self._session.chat_id and self._wanted.is_saved:
            self._desk.say(f"chat -c goes on here, or chat --id {self._session.chat_id[:8]}")


@contextmanager
def _between_answers(note: Callable[[], None]) -> Iterator[None]:
    """What Ctrl-C does while no answer runs and the editor does not read keys."""
    before = signal.signal(signal.SIGINT, lambda *_: note())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
