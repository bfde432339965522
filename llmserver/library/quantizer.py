"""The process that calls llama.cpp's quantizer for `models quantize`: a failed assertion in it ends nothing else.

python -m llmserver.library.quantizer SOURCE RESULT FTYPE N_THREADS quantize|dry-run, with the parent's pipe as stdin.
Each line on stdout is one message of llama.cpp's log as JSON, [level, text]. When the pipe closes, the parent is gone,
and so are this process and its unfinished file.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import threading
from pathlib import Path

import llama_cpp


def main(source: str, result: str, ftype: str, n_threads: str, how: str) -> int:
    """Quantize, or with "dry-run" only log what would come out; 0 when that worked."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which ends this process
    threading.Thread(target=_leave_with_parent, args=(Path(result),), daemon=True).start()
    hear = llama_cpp.llama_log_callback(_tell)
    llama_cpp.llama_log_set(hear, ctypes.c_void_p(0))
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = getattr(llama_cpp, ftype)
    params.nthread = int(n_threads)
    params.dry_run = how == "dry-run"
    params.allow_requantize = True  # the parent has asked already
    return int(llama_cpp.llama_model_quantize(os.fsencode(source), os.fsencode(result), ctypes.byref(params)))


def _tell(level: int, text: bytes, _: object) -> None:
    sys.stdout.write(json.dumps([level, text.decode("utf-8", "replace")]) + "\n")
    sys.stdout.flush()


def _leave_with_parent(result: Path) -> None:
    if os.read(sys.stdin.fileno(), 1) == b"":
        result.unlink(missing_ok=True)
        os._exit(1)


if __name__ == "__main__":
    status = main(*sys.argv[1:])
    sys.stdout.flush()
    os._exit(status)  # at once: the other thread still waits for the parent
