"""Start the child process for one file and wait for what it says, for a limited time.

Why a process: pypdf and html.parser are Python, which cannot be interrupted from outside and holds the interpreter's
lock while every stream of the server waits; memory can be limited only for a process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from rag.extract.limits import DOCUMENT, PAGE, Bounds, Unreadable

_ROOT = str(Path(__file__).resolve().parents[2])
_CODE = "import sys; sys.path.insert(0, sys.argv[1]); from rag.extract.child import main; main(*sys.argv[2:])"
_AT_ONCE = threading.BoundedSemaphore(2)  # a limit of the machine's, however many pages ask


def read(kind: str, data: bytes, charset: str = "", url: str = "", bounds: Bounds | None = None) -> dict[str, Any]:
    """{text, title, kind}. Raises Unreadable with the reason, to stand after the file's name."""
    bounds = bounds or (PAGE if kind == "page" else DOCUMENT)
    if not _AT_ONCE.acquire(timeout=2 * bounds.time_s):
        raise Unreadable("has to wait, since other files are being read: try again in a minute")
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and code; the words are arguments, no shell
            [
                sys.executable,
                "-I",
                "-c",
                _CODE,
                _ROOT,
                *map(str, (bounds.time_s, bounds.memory_bytes)),
                kind,
                charset,
                url,
            ],
            input=data,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=bounds.time_s,
            check=False,
            env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},  # not ours: it may hold the key of the model server
        )
    except subprocess.TimeoutExpired as why:
        raise Unreadable(f"takes longer to read than {bounds.time_s} s: split it, or add it as plain text") from why
    except OSError as why:
        raise Unreadable(f"cannot be read now, since no process can be started: {why.strerror}") from why
    finally:
        _AT_ONCE.release()
    try:
        said = dict(json.loads(done.stdout))
    except ValueError as why:
        if done.returncode > 0:  # a parser met what its authors did not think of
            raise Unreadable("is damaged or built in a way that cannot be read: add it as plain text") from why
        raise Unreadable("cannot be read: it needs more memory or time than a file may take") from why
    if "refused" in said:
        raise Unreadable(str(said["refused"]))
    return said
