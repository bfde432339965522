"""Write for people: results to stdout, words and progress to stderr, columns that line up, sizes in GB and MB."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

_LARGE_BYTES = 500_000_000


def write(text: str) -> None:
    """Print a result."""
    sys.stdout.write(f"{text}\n")


def say(text: str) -> None:
    """Tell what happens, over a line of progress if one stands there."""
    over_progress = "\r\033[K" if sys.stderr.isatty() else ""
    sys.stderr.write(f"{over_progress}{text}\n")
    sys.stderr.flush()


def progress(label: str, n_bytes: int = _LARGE_BYTES) -> Callable[[int, int], None]:
    """Return what shows progress in one line that overwrites itself: only on a terminal and for large files."""
    if not sys.stderr.isatty() or n_bytes < _LARGE_BYTES:
        return lambda _done, _total: None
    shown = -1

    def show(done: int, total: int) -> None:
        nonlocal shown
        percent = 100 * done // max(1, total)
        if percent != shown:
            shown = percent
            sys.stderr.write(f"\r{label} {percent} %" if done < total else "\r\033[K")
            sys.stderr.flush()

    return show


def size(n_bytes: int) -> str:
    """Return "5.0 GB" or "98 MB"; a GB has a billion bytes, as where models are downloaded."""
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.0f} MB"


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Return the rows as lines, each column as wide as its widest cell."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines)
