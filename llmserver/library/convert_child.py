"""The process in which llama.cpp's converter runs: no code of the checkpoint, no pickle, never without its parent.

PYTHON -I convert_child.py SCRIPT ARGUMENT ..., with the parent's pipe as stdin. It runs in the converter's environment
and imports nothing of ours. Some of the converter's classes do say trust_remote_code=True; here that leads nowhere.
"""

from __future__ import annotations

import importlib
import os
import runpy
import signal
import sys
import threading
from pathlib import Path
from typing import NoReturn


def main(script: str, *arguments: str) -> None:
    """Run the script as if it had been called by its name."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which ends this process
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    sys.path.insert(0, str(Path(script).parent))
    sys.argv = [script, *arguments]
    _replace("transformers.dynamic_module_utils", "get_class_in_module", _refuse_code)
    _replace("torch", "load", _refuse_pickle)
    runpy.run_path(script, run_name="__main__")


def _replace(module: str, name: str, with_what: object) -> None:
    """Put something else in the place of a function, which must be there: else the guard would guard nothing."""
    names = vars(importlib.import_module(module))
    if name not in names:
        raise RuntimeError(f"{module} has no {name} any more: Paddock's guard does not fit this version")
    names[name] = with_what


def _refuse_code(*_: object, **__: object) -> NoReturn:
    raise RuntimeError("the checkpoint wants Python code of its own to be run, which is refused")


def _refuse_pickle(*_: object, **__: object) -> NoReturn:
    raise RuntimeError("the checkpoint has weights as pickle, which are refused")


def _leave_with_parent() -> None:
    if os.read(sys.stdin.fileno(), 1) == b"":
        os._exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
