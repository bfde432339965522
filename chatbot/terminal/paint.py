"""Write to a terminal: lines that stay, and below them a few lines that are drawn again and again."""

from __future__ import annotations

import os
import re
import shutil
import unicodedata
from collections.abc import Callable, Sequence
from typing import TextIO

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


class Painter:
    """The lowest lines of a terminal, the tail, are replaced at each call; everything above stays as it is."""

    def __init__(self, out: TextIO, get_size: Callable[[], tuple[int, int]] = size) -> None:
        self._out, self._size = out, get_size
        self._tail: list[str] = []

    def put(self, lines: Sequence[str], tail: Sequence[str] = ()) -> None:
        """Write lines that stay, then the tail; of a tail higher than the terminal only the end is shown."""
        _, rows = self._size()
        shown = list(tail[-max(1, rows - 1) :])
        if not lines and shown == self._tail:
            return
        stays = "".join(f"{line}\n" for line in lines)
        self._out.write(f"{self._erasing()}{stays}{chr(10).join(shown)}")
        self._out.flush()
        self._tail = shown

    def forget(self) -> None:
        """The tail is no longer where it was: something else was written since."""
        self._tail = []

    def _erasing(self) -> str:
        """Go to the tail's beginning and clear from there. A terminal that was made narrower has wrapped its lines."""
        if not self._tail:
            return ""
        columns, _ = self._size()
        n_rows = sum(max(1, -(-n_cells(line) // columns)) for line in self._tail)
        up = f"\x1b[{n_rows - 1}A" if n_rows > 1 else ""
        return f"\r{up}\x1b[J"
