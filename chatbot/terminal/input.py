"""Read a message from a person, line by line: what works on every terminal, also on one that cannot draw."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, runtime_checkable

QUOTES = '"""'


class Reader(Protocol):
    """How a message is read; the lines here and the editor in prompt are the two."""

    def read(self, draft: str = "") -> str:
        """One message. Raises EOFError at Ctrl-D, KeyboardInterrupt at Ctrl-C."""


@runtime_checkable
class Editor(Protocol):
    """A reader that draws its line and has a history."""

    def remember(self, text: str) -> None:
        """Keep a message that was not read here."""

    def say_above(self, text: str) -> None:
        """Write lines above the one that is written in, now or before it is shown next; from any thread."""

    def when_shown(self, do: Callable[[], object]) -> None:
        """Do something as soon as the line is first there to be written in."""


class Lines:
    """Lines with a backslash at their end, or between triple quotes, are one message. The keys are readline's.

    The prompt goes to stderr where stdout is no terminal, so that stdout holds answers alone.
    """

    def __init__(self) -> None:
        with suppress(ImportError):
            import readline  # noqa: F401 - importing it is what changes input()

    def read(self, draft: str = "") -> str:
        """One message; a draft is shown first, to be typed anew."""
        if draft:
            sys.stderr.write(f"{draft}\n")
        lines = [_line("> ")]
        while is_open("\n".join(lines)):
            lines.append(_line(". "))
        return joined("\n".join(lines))


def is_open(text: str) -> bool:
    """Whether a message goes on in the next line."""
    return text.endswith("\\") or (text.startswith(QUOTES) and not _is_closed(text))


def joined(text: str) -> str:
    """A message without what only held its lines together."""
    if text.startswith(QUOTES) and _is_closed(text):
        return text[len(QUOTES) : -len(QUOTES)].strip("\n")
    return text.replace("\\\n", "\n")


def _is_closed(text: str) -> bool:
    return len(text) >= 2 * len(QUOTES) and text.endswith(QUOTES)


def _line(prompt: str) -> str:
    if sys.stdout.isatty():
        return input(prompt)
    sys.stderr.write(prompt)
    sys.stderr.flush()
    return input()
