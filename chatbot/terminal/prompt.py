"""The line where a person writes, with prompt_toolkit: several lines, paste, history, an editor, completion."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from prompt_toolkit import PromptSession
from prompt_toolkit.application import Application, get_app
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import CompleteEvent, Completer, get_common_complete_suffix
from prompt_toolkit.enums import DEFAULT_BUFFER
from prompt_toolkit.filters import Condition, has_focus
from prompt_toolkit.history import FileHistory, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys
from prompt_toolkit.output.vt100 import Vt100_Output
from prompt_toolkit.styles import Style

from chatbot.terminal.input import is_open, joined

_STYLE = Style.from_dict(
    {
        "prompt": "bold ansicyan",
        "continuation": "ansibrightblack",
        "placeholder": "ansibrightblack",
        "completion-menu": "bg:default default",
        "completion-menu.completion": "bg:default default",
        "completion-menu.completion.current": "reverse",
        "completion-menu.meta.completion": "bg:default ansibrightblack",
        "completion-menu.meta.completion.current": "bg:default ansibrightblack",
        "scrollbar.background": "bg:default",
        "scrollbar.button": "bg:ansibrightblack",
    }
)
_FOLD_LINES = 20
_FOLD_CHARS = 4_000
_LONGEST_KEPT = 20_000
_HISTORY_BYTES = 1_000_000


class Prompt:
    """Reads messages on a terminal that can draw.

    was_interrupted tells of a Ctrl-C that came just before; dropped is called when one has emptied the line.
    """

    def __init__(
        self,
        history: Path | None,
        completer: Completer,
        was_interrupted: Callable[[], bool],
        dropped: Callable[[], None],
    ) -> None:
        self.pastes = Pastes()
        self._was_interrupted = was_interrupted
        self._unsaid: deque[str] = deque()
        plain = {"no_color": True} if os.environ.get("NO_COLOR") else {}
        self._session: PromptSession[str] = PromptSession(
            [("class:prompt", "> ")],
            multiline=True,
            prompt_continuation=[("class:continuation", "  ")],
            history=_History(str(history)) if history else InMemoryHistory(),
            key_bindings=_keys(self.pastes, dropped),
            completer=completer,
            complete_while_typing=Condition(_is_command),
            enable_suspend=True,
            tempfile_suffix=".md",
            style=Style([]) if plain else _STYLE,
            output=_output(),
        )

    def read(self, draft: str = "") -> str:
        """One message. Raises EOFError at Ctrl-D, KeyboardInterrupt at Ctrl-C with nothing typed."""
        self._write_unsaid()
        text = self._session.prompt(default=draft, pre_run=self._leave_if_interrupted)
        return joined(self.pastes.whole(text))

    def say_above(self, text: str) -> None:
        """Write lines above the one that is written in, now or before it is shown next; from any thread."""
        self._unsaid.append(text)
        loop = self._session.app.loop
        if loop is not None:
            with suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(self._say_unsaid)

    def _say_unsaid(self) -> None:
        """In the editor's own loop: put the line lower."""
        app = self._session.app
        if app.is_running and not app.is_done and self._unsaid:
            # Else erase() turns bracketed paste off until the line is drawn again: what is pasted then would be sent.
            app.renderer._bracketed_paste_enabled = False
            app.renderer.erase()
            self._write_unsaid()
            app.invalidate()

    def _write_unsaid(self) -> None:
        output = self._session.app.output
        while self._unsaid:
            output.write_raw(self._unsaid.popleft().replace("\n", "\r\n"))
        output.flush()

    def when_shown(self, do: Callable[[], object]) -> None:
        """Do something as soon as the line is first there to be written in."""

        def once(app: Application[str]) -> None:
            app.after_render -= once
            do()

        self._session.app.after_render += once

    def remember(self, text: str) -> None:
        """Keep a message that was written elsewhere among those that can be found again."""
        self._session.history.append_string(text)

    def _leave_if_interrupted(self) -> None:
        """Ctrl-C between the last answer and the prompt counts as one at the prompt, but takes no draft away."""
        if self._was_interrupted() and not self._session.default_buffer.text:
            get_app().exit(exception=KeyboardInterrupt())


class Pastes:
    """Long pastes stand in the line as a few words, and are whole again when the message is sent or edited.

    None is forgotten: the history brings back the words.
    """

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}

    def short(self, text: str) -> str:
        """What is shown of a pasted text: itself unless it is long."""
        n_lines = text.count("\n") + 1
        if n_lines < _FOLD_LINES and len(text) < _FOLD_CHARS:
            return text
        words = f"{n_lines:,} lines" if n_lines >= _FOLD_LINES else f"{len(text):,} characters"
        mark = f"[pasted {len(self._texts) + 1}: {words}]"
        self._texts[mark] = text
        return mark

    def whole(self, text: str) -> str:
        """A message with all that was pasted into it."""
        for mark, pasted in self._texts.items():
            text = text.replace(mark, pasted)
        return text


class _History(FileHistory):
    """What was typed in earlier sessions, for this person alone; without what is too long to be typed again."""

    def __init__(self, filename: str) -> None:
        path = Path(filename)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.touch(mode=0o600)
            if path.stat().st_size > _HISTORY_BYTES:
                kept = path.read_bytes()[-_HISTORY_BYTES // 2 :]
                path.write_bytes(kept[kept.find(b"\n#") + 1 :])
        except OSError:
            filename = os.devnull
        super().__init__(filename)

    def store_string(self, string: str) -> None:
        if len(string) <= _LONGEST_KEPT:
            try:
                super().store_string(string)
            except OSError:
                return


def _is_command() -> bool:
    return get_app().current_buffer.text.startswith("/")


def _output() -> Vt100_Output:
    """stdout, never asked where the cursor is: the answer to that may come when nobody waits for it."""
    output = Vt100_Output.from_pty(sys.stdout, term=os.environ.get("TERM"))
    output.enable_cpr = False
    return output


def _keys(pastes: Pastes, dropped: Callable[[], None]) -> KeyBindings:
    keys = KeyBindings()
    is_writing = has_focus(DEFAULT_BUFFER)

    @keys.add("enter", filter=is_writing)
    def _send(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.complete_state and buffer.complete_state.current_completion:
            buffer.complete_state = None
        elif is_open(buffer.text) and buffer.document.is_cursor_at_the_end:
            buffer.insert_text("\n")
        else:
            buffer.validate_and_handle()

    @keys.add("escape", "enter", filter=is_writing)
    def _new_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    @keys.add(Keys.BracketedPaste, filter=is_writing)
    def _paste(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text(pastes.short(event.data.replace("\r\n", "\n").replace("\r", "\n")))

    @keys.add("tab", filter=is_writing)
    def _complete(event: KeyPressEvent) -> None:
        _take_completion(event.current_buffer)

    @keys.add("c-c", filter=is_writing)
    @keys.add("<sigint>")
    def _interrupt(event: KeyPressEvent) -> None:
        if event.current_buffer.text:
            event.current_buffer.reset(append_to_history=True)
            dropped()
        else:
            event.app.exit(exception=KeyboardInterrupt())

    @keys.add("c-g", filter=is_writing)
    @keys.add("c-x", "c-e", filter=is_writing)
    def _edit(event: KeyPressEvent) -> None:
        _open_editor(event.current_buffer, pastes)

    return keys


def _take_completion(buffer: Buffer) -> None:
    """What is sure is inserted at once, whether or not a menu is open yet; of several, the next one is chosen."""
    state = buffer.complete_state
    found = list(buffer.completer.get_completions(buffer.document, CompleteEvent(completion_requested=True)))
    if (state and state.current_completion) or not found:
        buffer.complete_next()
    elif len(found) == 1:
        buffer.complete_state = None
        buffer.apply_completion(found[0])
    elif common := get_common_complete_suffix(buffer.document, found):
        buffer.insert_text(common)
    elif state:
        buffer.complete_next()
    else:
        buffer.start_completion()


def _open_editor(buffer: Buffer, pastes: Pastes) -> Any:
    """Give the draft, with all that was pasted, to $VISUAL or $EDITOR."""
    buffer.text = pastes.whole(buffer.text)
    return buffer.open_in_editor()
