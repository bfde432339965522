"""The processes that are measured: started, waited for, weighed, ended."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

_START_S = 60.0
_POLL_S = 0.005
_REPO = Path(__file__).resolve().parents[2]


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextlib.contextmanager
def running(module: str, port: int, *flags: str) -> Iterator[tuple[int, float]]:
    """A module as a process; (its id, the seconds until it first answered). Raises RuntimeError with what it said."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("CHATBOT_", "NOTIFY_"))}
    process = subprocess.Popen(  # noqa: S603 - our own modules
        [sys.executable, "-m", module, "--port", str(port), *flags],
        cwd=_REPO,
        env=kept,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield process.pid, _until_answered(process, port)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def _until_answered(process: subprocess.Popen[bytes], port: int) -> float:
    began = time.monotonic()
    while time.monotonic() - began < _START_S:
        if process.poll() is not None and process.stderr:
            raise RuntimeError(f"a process ended at its start: {process.stderr.read().decode()[-500:]}")
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as got:
            if got.status == 200:
                return time.monotonic() - began
        time.sleep(_POLL_S)
    raise RuntimeError(f"a process did not answer within {_START_S:.0f} s")


def memory_mb(pid: int) -> tuple[float, float]:
    """(proportional, resident) memory of a process and its children in MB; shared pages count once in the first."""
    pids, proportional, resident = _family(pid), 0.0, 0.0
    for each in pids:
        for line in Path(f"/proc/{each}/smaps_rollup").read_text(encoding="ascii").splitlines():
            name, _, rest = line.partition(":")
            proportional += int(rest.split()[0]) / 1e3 if name == "Pss" else 0.0
            resident += int(rest.split()[0]) / 1e3 if name == "Rss" else 0.0
    return proportional * 1.024, resident * 1.024


def _family(pid: int) -> list[int]:
    found = [pid]
    for each in found:
        for task in Path(f"/proc/{each}/task").iterdir():
            with contextlib.suppress(OSError):  # this thread has just ended
                found += [int(child) for child in (task / "children").read_text(encoding="ascii").split()]
    return found
