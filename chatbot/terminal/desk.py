"""A conversation at the terminal between two messages: what is attached, what was answered last, how it is shown."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from chatbot.core import fold
from chatbot.core.events import Done, Status
from chatbot.core.store_rows import Stored, StoredFile
from chatbot.errors import ChatError
from chatbot.terminal.attach import attach, fetch
from chatbot.terminal.flags import Wanted
from chatbot.terminal.listing import hanging
from chatbot.terminal.look import is_drawn, prompt_mark
from chatbot.terminal.paint import aside, clean, size
from chatbot.terminal.render import Printer, noted
from chatbot.terminal.session import News, Session, View, in_background
from chatbot.terminal.signals import Typed

if TYPE_CHECKING:
    from chatbot.terminal.ahead import Ahead


class Desk:
    """What the prompt and the commands share."""

    def __init__(self, session: Session, wanted: Wanted) -> None:
        self.session, self._wanted = session, wanted
        self.is_drawn = is_drawn(wanted)
        self.shows_thoughts = True
        self.draft = ""
        self.edits: Stored | None = None
        self.ahead: Ahead | None = None
        self.last: Done | None = None
        self._files: list[StoredFile] = []
        self._folding = threading.Lock()

    def say(self, text: str, *, style: str = "dim") -> None:
        """Some lines for the person, beside the conversation."""
        if not self.is_drawn:
            sys.stderr.write("".join(f"[{line}]\n" for line in text.split("\n")))
            sys.stderr.flush()
            return
        sys.stderr.write("".join(f"{line}\n" for line in aside(clean(text), size()[0], style)))
        sys.stderr.flush()

    def table(self, text: str) -> None:
        """Lines that a person asked for, as they are."""
        sys.stderr.write(f"{hanging(clean(text), size()[0]) if self.is_drawn else clean(text)}\n")
        sys.stderr.flush()

    def add(self, name: str) -> None:
        """Attach what a name means to the next message. Raises ChatError."""
        self._attached(attach(self.session, name))

    def fetch(self, command: str, argument: str) -> None:
        """Attach what a command brings from the web. Raises ChatError."""
        self._attached([fetch(self.session, command, argument)])

    def _attached(self, files: Sequence[StoredFile]) -> None:
        self._files += files
        for file in files:
            self.say(f"{file.name}: {_measure(file)} with the next message")

    def send(self, text: str) -> None:
        """Send a message with what is attached, or the edited one in place of the last, and show the answer."""
        files = [file.id for file in self._files]
        edited = self.edits
        if edited is None:
            self.ask(lambda: self.session.send(text, files), unsent=text)
            return
        kept = [file.id for file in self.session.store.files_of([edited.id]).get(edited.id, [])]
        if self.ask(lambda: self.session.send(text, [*kept, *files], parent=edited.parent_id), unsent=text):
            self.edits = None

    def ask(self, begin: Callable[[], Stored], before: str = "", unsent: str = "") -> bool:
        """Begin an answer and show it to its end; whether it began. What goes wrong is said; the conversation goes on.

        before: the text of an answer that goes on. unsent: what is written again where none begins.
        """
        view, wipe, typed = self._view(before)
        try:
            answer = self.session.follow(begin, view, typed)
        except ChatError as why:
            wipe()
            self._hold()
            self.say(why.message, style="red")
            self.draft = unsent if self.is_drawn else ""
            return False
        except BaseException:
            with suppress(OSError):  # the window may be closed
                wipe()
            raise
        self._files.clear()
        self.last = view.done  # type: ignore[attr-defined]
        if self.last is None or self.last.status is not Status.DONE:
            self._hold()
        in_background(self._fold, answer.chat_id)
        return True

    def tell_news(self) -> News:
        """Say what was done elsewhere to the open chat since, as the model will get it."""
        news = News()
        with suppress(ChatError):
            news = self.session.news()
            if news.is_another:
                self.say("meanwhile, elsewhere, this conversation took another way:")
                self.show(news.messages)
                if not news.messages:
                    self.say("all messages were taken back")
            elif news:
                self.say("meanwhile, elsewhere:")
                self.show(news.messages)
        return news

    def _hold(self) -> None:
        """Send nothing that was typed for an answer that did not come: it stands in the draft."""
        if self.ahead:
            self.ahead.hold()

    def _fold(self, chat_id: str) -> None:
        """Make notes of what is too long to be sent each time; one at a time."""
        if self._folding.acquire(blocking=False):
            try:
                session = self.session
                fold.after(session.store, session.model, session.settings, chat_id)
            finally:
                self._folding.release()

    def _view(self, before: str) -> tuple[View, Callable[[], None], Typed | None]:
        """What shows the answer, how it leaves the terminal clean, and what takes the keys meanwhile."""
        if not self.is_drawn:
            printer = Printer()
            return printer, printer.wipe, None
        from chatbot.terminal.live import LiveView, Look

        n_ctx = self.session.info.n_ctx if self.session.info else None
        look, ahead = Look(self.shows_thoughts, n_ctx=n_ctx), self.ahead
        if ahead is None:
            live = LiveView(look, before=before)
            return live, live.wipe, None
        live = LiveView(look, before=before, below=ahead.below)

        def typed(content: bytes) -> None:
            ahead.feed(content)
            live.echo()

        return live, live.wipe, typed

    def show(self, messages: Sequence[Stored]) -> None:
        """Messages as they were said, with the names of their files."""
        files = self.session.store.files_of([each.id for each in messages], with_text=False)
        for each in messages:
            if each.role == "user":
                self.show_question(each.content)
                sys.stdout.write("".join(f"  [{clean(file.name)}]\n" for file in files.get(each.id, ())))
                sys.stdout.write("\n")
            else:
                self._show_answer(each.content, each.meta.get("library"))

    def show_question(self, text: str) -> None:
        """A person's message as the prompt leaves it."""
        mark = prompt_mark() if self.is_drawn else "> "
        sys.stdout.write(f"{mark}{clean(text).replace(chr(10), chr(10) + '  ')}\n")

    def _show_answer(self, text: str, library: Mapping[str, Any] | None) -> None:
        if self.is_drawn:
            from chatbot.terminal.blocks import Blocks
            from chatbot.terminal.style import Stylist

            blocks, stylist = Blocks(), Stylist(lambda: size()[0])
            lines = [line for block in [*blocks.feed(clean(text)), *blocks.end()] for line in stylist.block(block)]
            text = "\n".join([*lines, *(stylist.notes(library) if library else ())])
        else:
            text = "\n".join([clean(text), *(noted(library, sys.stdout) if library else ())])
        sys.stdout.write(f"{text}\n\n")
        sys.stdout.flush()


def _measure(file: StoredFile) -> str:
    if file.data is None:
        return f"{file.n_chars:,} characters go"
    from chatbot.core import pictures

    seen = pictures.look(file.data)
    return f"a picture of {seen.width:,} by {seen.height:,} goes"
