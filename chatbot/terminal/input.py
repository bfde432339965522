"""Read a message from a person at a terminal."""

from __future__ import annotations

import sys
from contextlib import suppress


def prepare() -> None:
    """Give the line editing keys and a history of this session, where Python has readline."""
    with suppress(ImportError):
        import readline  # noqa: F401 - importing it is what changes input()


def read_message(prompt: str = "> ") -> str:
    """One message; a backslash at a line's end continues it. Raises EOFError at Ctrl-D, KeyboardInterrupt at Ctrl-C.

    The prompt goes to stderr through readline's own stream, so that stdout holds answers alone.
    """
    lines = [_line(prompt)]
    while lines[-1].endswith("\\"):
        lines[-1] = lines[-1][:-1]
        lines.append(_line(". "))
    return "\n".join(lines)


def _line(prompt: str) -> str:
    if sys.stdout.isatty():
        return input(prompt)
    sys.stderr.write(prompt)
    sys.stderr.flush()
    return input()
