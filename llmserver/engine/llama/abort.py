"""llama.cpp ends the process where it cannot go on. Before that it says why, and we may act."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from typing import Any

from llama_cpp._ggml import libggml

_CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_char_p)
_kept: list[Any] = []  # llama.cpp holds a pointer to it


def on_abort(react: Callable[[str], None]) -> None:
    """Call this with the reason, in the thread that failed; the process ends when it returns."""

    def heard(message: bytes) -> None:
        react(brief(message.decode("utf-8", "replace")))

    callback = _CALLBACK(heard)
    libggml.ggml_set_abort_callback(callback)
    _kept[:] = [callback]


def leave_with_a_line() -> None:
    """For commands: one line on stderr and status 1, instead of a core dump."""

    def leave(reason: str) -> None:
        sys.stderr.write(f"llmserver: llama.cpp gave up: {reason}\n")
        sys.stderr.flush()
        os._exit(1)

    on_abort(leave)


def brief(message: str) -> str:
    """The reason in one line, without the place in llama.cpp's sources."""
    line = " ".join(message.split())
    place, colon, rest = line.partition(": ")
    return rest if colon and " " not in place else line
