"""Whether a person looks at a terminal that can draw, or plain text is written. Imports nothing that draws."""

from __future__ import annotations

import os
import sys

from chatbot.terminal.flags import Wanted


def is_rich(wanted: Wanted) -> bool:
    """Whether an answer may be drawn with styles. NO_COLOR, a dumb terminal, a pipe and --plain want none."""
    return not wanted.is_plain and can_draw() and not os.environ.get("NO_COLOR")


def is_drawn(wanted: Wanted) -> bool:
    """Whether a conversation is drawn with styles; with NO_COLOR it is, without their colours."""
    return not wanted.is_plain and can_draw()


def can_draw() -> bool:
    """Whether stdout is a terminal that understands escape sequences."""
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") not in {"dumb", "unknown", ""}


def prompt_mark() -> str:
    """What stands before a person's message on a terminal that can draw."""
    return "> " if os.environ.get("NO_COLOR") else "\x1b[1;36m>\x1b[0m "
