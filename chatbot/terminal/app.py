"""A session at the terminal: one answer, or a conversation that survives every interrupted answer."""

from __future__ import annotations

import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from chatbot.core import turn
from chatbot.core.cancel import Cancel
from chatbot.core.events import Message, Status
from chatbot.core.llm import ModelClient
from chatbot.core.model import CONTINUES
from chatbot.errors import ChatError, ContextFull, ModelAway, ModelError, ModelLoading
from chatbot.settings import ChatSettings
from chatbot.terminal.input import prepare, read_message
from chatbot.terminal.render import Printer

HELP = """/new    forget this conversation and begin another
/model  which model this is, where it runs and how long a conversation may be
/help   this list
/exit   leave (also Ctrl-D)
A backslash at the end of a line continues the message. Ctrl-C stops an answer; twice at an empty prompt leaves."""
_EXIT_BY_CODE = {kind.code: kind.exit_code for kind in (ContextFull, ModelAway, ModelLoading, ModelError)}


class Session:
    """The messages so far and the model that answers them."""

    def __init__(self, settings: ChatSettings, model: ModelClient) -> None:
        self._settings, self._model = settings, model
        self._messages: list[Message] = []

    def answer_once(self, text: str) -> int:
        """Print one answer; the exit status. Only a person, not a script, is told what a base model does."""
        if sys.stderr.isatty():
            with suppress(ChatError):  # the turn meets it too, and tells it
                info = self._model.info(self._settings.model)
                sys.stderr.write(f"[{info.name} is a base model: {CONTINUES}]\n" if info.is_base else "")
        return _exit_status(self._ask(text))

    def converse(self) -> int:
        """Read messages and answer them until the person leaves; the exit status."""
        prepare()
        threading.Thread(target=self._warm_up, daemon=True).start()
        self._greet()
        interrupts = 0
        while True:
            try:
                text = read_message().strip()
            except EOFError:
                sys.stderr.write("\n")
                return 0
            except KeyboardInterrupt:
                interrupts += 1
                if interrupts > 1:
                    raise
                sys.stderr.write("\n[Ctrl-C again leaves, Ctrl-D too]\n")
                continue
            interrupts = 0
            if text in {"/exit", "/quit", "/bye", "exit", "quit"}:
                return 0
            self._take(text)

    def _take(self, text: str) -> None:
        """Obey a command or answer a message. A path such as /etc/hosts is a message."""
        if text == "/new":
            self._messages.clear()
            sys.stderr.write("[a new conversation]\n")
        elif text == "/model":
            self._tell_model()
        elif text in {"/help", "/?"}:
            sys.stderr.write(f"{HELP}\n")
        elif text.startswith("/") and text[1:].isalpha():
            sys.stderr.write(f"[there is no command {text}; /help lists them]\n")
        elif text:
            self._ask(text)

    def _ask(self, text: str) -> Printer:
        """Run one turn; whatever was answered, also in part, becomes part of the conversation."""
        turns, printer, cancel = [*self._messages, Message("user", text)], Printer(), Cancel()
        try:
            with _stopped_by_ctrl_c(cancel):
                for event in turn.run(turns, self._model, self._settings, cancel):
                    printer.show(event)
        finally:
            if printer.text:
                self._messages = [*turns, Message("assistant", printer.text)]
            printer.wipe()
        return printer

    def _tell_model(self) -> None:
        """Two lines at most about the model, as far as its server knows them."""
        try:
            about = self._model.about(self._settings.model)
        except ChatError as why:
            sys.stderr.write(f"[{why.message}]\n")
            return
        more = " ".join(filter(None, (about.abilities, about.size)))
        first = f"{about.name}. {more}" if more else about.name
        sys.stderr.write("".join(f"[{line}]\n" for line in (first, about.summary) if line))

    def _greet(self) -> None:
        """Say who answers; a server that is away is said now and tried again at the first message."""
        try:
            info = self._model.info(self._settings.model)
        except ChatError as why:
            sys.stderr.write(f"[{why.message}]\n")
            return
        demo = "; a demonstration model, do not rely on what it says" if info.demo else ""
        base = f"; a base model, {CONTINUES}" if info.is_base else ""
        sys.stderr.write(f"[{info.name}{demo}{base}. /help for help]\n")

    def _warm_up(self) -> None:
        """Import what the first answer needs while the person types."""
        import openai  # noqa: F401


@contextmanager
def _stopped_by_ctrl_c(cancel: Cancel) -> Iterator[None]:
    """Within the block the first Ctrl-C stops the turn in order; a second one interrupts whatever runs.

    A signal that comes just before a blocking read does not end that read, so a handler in Python may run minutes
    later. The wakeup descriptor is written at once, and a thread that reads it cuts the connection.
    """
    n_pressed = 0

    def count(*_: object) -> None:
        nonlocal n_pressed
        n_pressed += 1
        if n_pressed > 1:
            raise KeyboardInterrupt

    ears, mouth = socket.socketpair()
    mouth.setblocking(False)
    before = signal.signal(signal.SIGINT, count)
    waker = signal.set_wakeup_fd(mouth.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_listen, args=(ears, cancel), daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(waker)
        signal.signal(signal.SIGINT, before)
        mouth.close()


def _listen(ears: socket.socket, cancel: Cancel) -> None:
    """Set cancel when a SIGINT is heard; ends when the other side is closed."""
    with ears:
        while heard := ears.recv(1):
            if heard[0] == signal.SIGINT:
                cancel.set()


def _exit_status(printer: Printer) -> int:
    done = printer.done
    if done is None or done.status is Status.STOPPED:
        return 130
    if done.error:
        return _EXIT_BY_CODE.get(str(done.error["code"]), 1)
    return 4 if done.finish_reason == "length" else 0
