"""Keep every core busy with other people's work for a while. Knows no servers."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

# Says that it runs, then computes until its parent is gone.
_SPIN = """
import os, sys
parent = os.getppid()
sys.stdout.write("on\\n")
sys.stdout.flush()
while os.getppid() == parent:
    for _ in range(1000000):
        pass
"""


def n_cores() -> int:
    """Logical cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def busy(n_processes: int) -> Iterator[tuple[int, ...]]:
    """Run busy processes of normal niceness within the block; their process numbers."""
    started: list[subprocess.Popen[bytes]] = []
    try:
        for _ in range(n_processes):
            command = [sys.executable, "-I", "-S", "-c", _SPIN]
            started.append(subprocess.Popen(command, stdout=subprocess.PIPE))  # noqa: S603  a constant
        for process in started:
            assert process.stdout  # noqa: S101  asked for above
            process.stdout.readline()
        yield tuple(process.pid for process in started)
    finally:
        for process in started:
            process.kill()
        for process in started:
            process.communicate()
