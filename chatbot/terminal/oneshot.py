"""One answer for a prompt, a pipe or a script: the answer to stdout, everything else to stderr, and an exit status."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from chatbot.core.events import Delta, Done, Event, Given, Grounds, Notice, Progress, Status, Thought
from chatbot.core.model import CONTINUES
from chatbot.core.options import ChatOptions
from chatbot.core.store_rows import Stored
from chatbot.errors import BadRequest, ChatError, ContextFull, ModelAway, ModelError, ModelLoading
from chatbot.terminal.attach import attach
from chatbot.terminal.flags import Wanted
from chatbot.terminal.look import is_rich
from chatbot.terminal.render import Printer
from chatbot.terminal.session import Session, View

MAX_STDIN_BYTES = 2_000_000
_EXIT_BY_CODE = {kind.code: kind.exit_code for kind in (ContextFull, ModelAway, ModelLoading, ModelError)}
_EXIT_BY_CODE |= {"unknown_shelf": 2, "embedder_away": ModelAway.exit_code}
_IDLE_S = 0.5
_PATIENCE_S = 1.0


def answer_once(session: Session, wanted: Wanted) -> int:
    """Ask what the command line and the pipe say; the exit status."""
    text = prompt(wanted)
    if wanted.schema:
        session.wishes = schema_options(wanted.schema).over(session.wishes)
    files = [attached.id for name in wanted.files for attached in attach(session, name)]
    if session.chat_id:
        _fold(session, session.chat_id, wanted)
    view = _view(session, wanted)
    answer = session.follow(lambda: session.send(text, files), view)
    if isinstance(view, JsonPrinter):
        view.write_object(answer, session)
    return exit_status(view.done) or int(bool(view.library.get("refused")))


def prompt(wanted: Wanted) -> str:
    """Piped input, then the words. Raises BadRequest when there is neither and ContextFull for a flood."""
    parts = [] if sys.stdin is None or sys.stdin.isatty() else [_piped()]
    if wanted.words != ("-",):
        parts.append(" ".join(wanted.words))
    elif not parts:
        parts.append(_piped())  # typed, up to Ctrl-D
    text = "\n\n".join(filter(None, (part.strip() for part in parts)))
    if not text and not wanted.files:
        raise BadRequest("nothing to ask: give a prompt, or pipe some text in")
    return text


def schema_options(name: str) -> ChatOptions:
    """The option that makes an answer fit the JSON schema in a file. Raises BadRequest."""
    try:
        schema = json.loads(Path(name).read_text(encoding="utf-8"))
    except OSError as why:
        raise BadRequest(f"cannot read the schema {name}: {why.strerror or why}") from why
    except ValueError as why:
        raise BadRequest(f"{name} is no JSON: {why}") from why
    if not isinstance(schema, dict):
        raise BadRequest(f'{name} holds no JSON schema: that is an object, such as {{"type": "object"}}')
    wrapped = {"name": "answer", "schema": schema, "strict": True}
    return ChatOptions(extra={"response_format": {"type": "json_schema", "json_schema": wrapped}})


def exit_status(done: Done | None) -> int:
    """What a script learns of how an answer ended."""
    if done is None or done.status is Status.STOPPED:
        return 130
    if done.error:
        return _EXIT_BY_CODE.get(str(done.error["code"]), 1)
    return 4 if done.finish_reason == "length" else 0


def _fold(session: Session, chat_id: str, wanted: Wanted) -> None:
    """Make notes of a chat that has become long. This program ends with its answer, so here they come before one."""
    from chatbot.core import fold

    told = threading.Timer(_PATIENCE_S, sys.stderr.write, ["[making notes of what was said before]\n"])
    if sys.stderr.isatty() and not wanted.is_quiet:
        told.start()
    try:
        fold.after(session.store, session.model, session.settings, chat_id)
    finally:
        told.cancel()


def _view(session: Session, wanted: Wanted) -> Any:
    if wanted.is_json:
        return JsonPrinter(is_streamed=bool(wanted.is_streamed))
    if sys.stderr.isatty() and not wanted.is_quiet:
        _announce(session)
    if is_rich(wanted) and wanted.is_streamed is not False:
        return _LateView(session, wanted)
    return Printer(is_streamed=wanted.is_streamed is not False, is_quiet=wanted.is_quiet, has_numbers=wanted.is_verbose)


def _announce(session: Session) -> None:
    """Only a person, not a script, is told what a base model does."""
    with suppress(ChatError):  # the turn meets it too, and tells it
        session.learn()
        if session.info and session.info.is_base:
            sys.stderr.write(f"[{session.info.name} is a base model: {CONTINUES}]\n")


def _piped() -> str:
    content = sys.stdin.buffer.read(MAX_STDIN_BYTES + 1)
    if len(content) > MAX_STDIN_BYTES:
        raise ContextFull(f"the piped input has more than {MAX_STDIN_BYTES:,} bytes: pipe in the part that matters")
    return content.decode("utf-8", "replace")


class _LateView:
    """The view with colours, imported only after the question is on its way: rich takes a quarter of a second."""

    def __init__(self, session: Session, wanted: Wanted) -> None:
        self._session, self._wanted = session, wanted
        self._view: View | None = None
        self.library: Mapping[str, Any] = {}
        self.done: Done | None = None

    def show(self, event: Event) -> None:
        """Take one event; the first comes once the question is sent."""
        view = self._made()
        view.show(event)
        if isinstance(event, Done):
            self.done = event
        elif isinstance(event, Grounds):
            self.library = event.library

    def tick(self) -> float:
        """Draw what is due."""
        return self._view.tick() if self._view else _IDLE_S

    def redraw(self) -> None:
        """The terminal has another size."""
        self._made().redraw()

    def resume(self) -> None:
        """The program was suspended and goes on."""
        self._made().resume()

    def _made(self) -> View:
        if self._view is None:
            from chatbot.terminal.live import LiveView, Look

            n_ctx = self._session.info.n_ctx if self._session.info else None
            self._view = LiveView(Look(thoughts=False, numbers=self._wanted.is_verbose, n_ctx=n_ctx))
        return self._view


class JsonPrinter:
    """An answer for a program: one object at the end, or a line for each event as it comes."""

    def __init__(self, *, is_streamed: bool) -> None:
        self._is_streamed = is_streamed
        self._text: list[str] = []
        self._thoughts: list[str] = []
        self._notices: list[str] = []
        self._files: Given | None = None
        self.library: Mapping[str, Any] = {}
        self.done: Done | None = None

    def show(self, event: Event) -> None:
        """Take one event. Raises BrokenPipeError when nobody reads stdout any more."""
        if isinstance(event, Delta):
            self._text.append(event.text)
        elif isinstance(event, Thought):
            self._thoughts.append(event.text)
        elif isinstance(event, Notice):
            self._notices.append(event.text)
        elif isinstance(event, Grounds):
            self.library = event.library
        elif isinstance(event, Given):
            self._files = event
        elif isinstance(event, Done):
            self.done = event
            return
        if self._is_streamed and not isinstance(event, Progress):
            _write({"type": type(event).__name__.lower(), **asdict(event)})

    def tick(self) -> float:
        """Nothing is drawn; the seconds until the pipe should be looked at again."""
        return _IDLE_S

    def redraw(self) -> None:
        """Nothing to do."""

    def resume(self) -> None:
        """Nothing to do."""

    def write_object(self, answer: Stored, session: Session) -> None:
        """The answer as a whole; with a line for each event it is the last of them."""
        done = self.done or Done(Status.STOPPED)
        if done.error is None:
            with suppress(ChatError):
                session.learn()
        found = {
            "chat_id": answer.chat_id,
            "message_id": answer.id,
            "model": session.info.name if session.info else session.in_force().model,
            "content": "".join(self._text),
            "reasoning": "".join(self._thoughts),
            "status": done.status.value,
            "finish_reason": done.finish_reason,
            "error": done.error,
            "usage": done.usage,
            "timings": asdict(done.timings) if done.timings else None,
            "notices": self._notices,
            "meta": {
                **({"library": self.library} if self.library else {}),
                **({"files": asdict(self._files)} if self._files else {}),
            },
        }
        _write({"type": "done", **found} if self._is_streamed else found)
        if done.error:
            sys.stderr.write(f"[{done.error['message']}]\n")


def _write(what: dict[str, Any]) -> None:
    sys.stdout.write(f"{json.dumps(what, ensure_ascii=False)}\n")
    sys.stdout.flush()
