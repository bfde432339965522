"""A process's name that no later process bears, and whether that one still lives."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")


def own() -> str:
    """This process's name: "pid:start"."""
    pid = os.getpid()
    return f"{pid}:{start_of(pid)}"


def is_alive(name: str | None) -> bool:
    """Whether the process of that name still runs. A process id alone may belong to another one by now."""
    pid, _, start = (name or "").partition(":")
    return pid.isdigit() and start != "" and start_of(int(pid)) == start


def start_of(pid: int) -> str:
    """When a process began, in a form that only equals itself; empty when there is none."""
    if not (_PROC / "self" / "stat").exists():
        return _asked_of_ps(pid)
    with suppress(OSError, IndexError):
        fields = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        boot = (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii")[:8]
        return "" if fields[0] == "Z" else f"{boot}-{fields[19]}"
    return ""


def _asked_of_ps(pid: int) -> str:
    """For systems without /proc."""
    command = ["ps", "-o", "lstart=", "-p", str(pid)]  # of the system, with a number
    asked = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return " ".join(asked.stdout.split())
