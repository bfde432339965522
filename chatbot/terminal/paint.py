"""Write to a terminal: lines that stay, and below them a few lines that are drawn again and again."""

from __future__ import annotations

import os
import re
import shutil
import textwrap
import unicodedata
from collections.abc import Callable, Sequence
from typing import TextIO

WIDEST_TEXT = 100  # longer lines are hard to read
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_STYLE = re.compile(r"\x1b\[[0-9;]*m")


def clean(text: str) -> str:
    """Text without control characters: what a model or a page wrote must not steer the terminal."""
    return _CONTROL.sub("", text)


def size() -> tuple[int, int]:
    """Columns and rows of the terminal, also after it was resized; 80 by 24 where it does not say."""
    for stream in (1, 2, 0):
        try:
            found = os.get_terminal_size(stream)
        except OSError:
            continue
        if found.columns > 0 and found.lines > 0:
            return found.columns, found.lines
    fallback = shutil.get_terminal_size()
    return fallback.columns or 80, fallback.lines or 24


def without_style(text: str) -> str:
    """What is read of a line with colours."""
    return _STYLE.sub("", text)


def fit(line: str, columns: int) -> str:
    """The line where it is narrower than the terminal, else as much of it as surely fits, without colours."""
    return line if n_cells(line) < columns else without_style(line)[: max(1, (columns - 1) // 2)]


def n_cells(text: str) -> int:
    """How many columns a line takes, without its styles."""
    plain = without_style(text)
    if plain.isascii():
        return len(plain)
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in {"W", "F"} else 1 for c in plain
    )


def aside(text: str, columns: int, style: str) -> list[str]:
    """Lines beside the conversation, dim or red, wrapped to the terminal; without rich, so that a start is quick."""
    code = {"dim": "2", "red": "" if os.environ.get("NO_COLOR") else "31"}[style]
    width = max(8, min(columns - 1, WIDEST_TEXT))
    lines = [each for line in text.split("\n") for each in textwrap.wrap(line, width) or [""]]
    return [f"\x1b[{code}m{line}\x1b[0m" if line else "" for line in lines]


class Painter:
    """The lowest lines of a terminal, the tail, are replaced at each call; everything above stays as it is."""

    def __init__(self, out: TextIO, get_size: Callable[[], tuple[int, int]] = size) -> None:
        self._out, self._size = out, get_size
        self._tail: list[str] = []
        self._cursor: tuple[int, int] | None = None

    def put(self, lines: Sequence[str], tail: Sequence[str] = (), cursor: tuple[int, int] | None = None) -> None:
        """Write lines that stay, then the tail; of a tail higher than the terminal only the end is shown.

        cursor: how many lines above the last one it stands, and in which column; at the end without it.
        """
        _, rows = self._size()
        shown = list(tail[-max(1, rows - 1) :])
        if not lines and shown == self._tail and cursor == self._cursor:
            return
        stays = "".join(f"{line}\n" for line in lines)
        self._out.write(f"{self._erasing()}{stays}{chr(10).join(shown)}{_moved(cursor)}")
        self._out.flush()
        self._tail, self._cursor = shown, cursor

    def forget(self) -> None:
        """The tail is no longer where it was: something else was written since."""
        self._tail, self._cursor = [], None

    def _erasing(self) -> str:
        """Go to the tail's beginning and clear from there. A terminal that was made narrower has wrapped its lines."""
        if not self._tail:
            return ""
        columns, _ = self._size()
        rows_up, column = self._cursor or (0, n_cells(self._tail[-1]))
        above = self._tail[: len(self._tail) - 1 - rows_up]
        n_rows = sum(max(1, -(-n_cells(line) // columns)) for line in above) + max(1, -(-column // columns))
        up = f"\x1b[{n_rows - 1}A" if n_rows > 1 else ""
        return f"\r{up}\x1b[J"


def _moved(cursor: tuple[int, int] | None) -> str:
    """From the end of the last line to where the cursor is to stand."""
    if cursor is None:
        return ""
    rows_up, column = cursor
    return "".join((f"\x1b[{rows_up}A" if rows_up else "", "\r", f"\x1b[{column}C" if column else ""))
