"""When llama.cpp ends the process: answer everybody, then begin anew in the same process, at most three times."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable

from llmserver.errors import EngineLost
from llmserver.offload import learned

log = logging.getLogger("llmserver")
_MOST, _WITHIN_S = 3, 600.0
_TIME_TO_SEND_S = 1.0
STARTS = "LLMSERVER_STARTED_ANEW"  # when, in seconds since 1970
_ABOUT_MEMORY = ("memory", "alloc", "cuda error", "vk_error")
_one = threading.Lock()


def begin_anew(reason: str, lose: Callable[[EngineLost], None], leave: Callable[[int], None]) -> None:
    """Answer everybody and replace the process by a fresh one; leave, where that did not help before.

    Runs in the thread that failed. A second one waits here for the end.
    """
    _one.acquire()
    log.critical("llama.cpp gave up: %s", reason)
    lose(EngineLost(f"the engine had to stop ({reason}) and is being started again", retry_after_s=10))
    if any(word in reason.lower() for word in _ABOUT_MEMORY):
        learned.raise_reserve()
    time.sleep(_TIME_TO_SEND_S)  # the event loop sends what it was told
    starts = [at for at in _earlier() if time.time() - at < _WITHIN_S]
    if len(starts) >= _MOST:
        log.critical("that is the fourth time in %.0f minutes: leaving", _WITHIN_S / 60)
        leave(1)
    os.environ[STARTS] = ",".join(f"{at:.0f}" for at in [*starts, time.time()])
    log.warning("starting anew")
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606  the command that started us


def _earlier() -> list[float]:
    found = os.environ.get(STARTS, "").split(",")
    return [float(at) for at in found if at.replace(".", "", 1).isdigit()]
