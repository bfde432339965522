"""llama.cpp's own log: heard while a model loads, so that a failure can give the real reason."""

from __future__ import annotations

import ctypes
import logging
import re
from collections import deque
from types import TracebackType

import llama_cpp

log = logging.getLogger("llama.cpp")
_BUFFER = re.compile(r": +(\S+) +(model|KV|RS|compute|output) buffer size = +([\d.]+) MiB")
_KINDS = {"model": "weights", "KV": "kv", "RS": "state", "compute": "compute", "output": "output"}
_MIB = 1024 * 1024
_ERROR = 4  # GGML_LOG_LEVEL_ERROR in ggml.h


class LlamaLog:
    """Within the block, llama.cpp's lines go to the logger "llama.cpp" and its errors are remembered."""

    def __init__(self, *, verbose: bool) -> None:
        self._verbose = verbose
        self._errors: deque[str] = deque(maxlen=20)
        self.buffers: dict[str, dict[str, int]] = {}
        """Bytes by device and kind: weights, kv, state, compute, output."""
        self._callback = llama_cpp.llama_log_callback(self._hear)

    def __enter__(self) -> LlamaLog:
        llama_cpp.llama_log_set(self._callback, ctypes.c_void_p(0))
        return self

    def __exit__(self, kind: type[BaseException] | None, why: BaseException | None, at: TracebackType | None) -> None:
        llama_cpp.llama_log_set(_AFTERWARDS, ctypes.c_void_p(0))

    def _hear(self, level: int, text: bytes, _: object) -> None:
        line = text.decode("utf-8", "replace").strip()
        if level == _ERROR and line:
            self._errors.append(line)
        if found := _BUFFER.search(line):
            kinds, kind = self.buffers.setdefault(found[1], {}), _KINDS[found[2]]
            kinds[kind] = kinds.get(kind, 0) + round(float(found[3]) * _MIB)
        _pass_on(line, verbose=self._verbose)

    def reason(self) -> str:
        """The first error since the block began, without the C++ function's name; empty when there was none."""
        return self._errors[0].split(": ", 1)[-1] if self._errors else ""


def _pass_on(line: str, *, verbose: bool = False) -> None:
    if line.strip("."):
        log.log(logging.INFO if verbose else logging.DEBUG, "%s", line)


def _while_serving(_: int, text: bytes, __: object) -> None:
    _pass_on(text.decode("utf-8", "replace").strip())


_AFTERWARDS = llama_cpp.llama_log_callback(_while_serving)  # llama.cpp calls it for the rest of the process's life
