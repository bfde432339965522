"""How many processor cores this process may really use. No llama, no settings."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

_TOPOLOGY = "/sys/devices/system/cpu"


def physical_cores() -> int:
    """Count physical cores within this process's affinity and container quota; at least 1.

    Two hyper-threads of one core share the units that matrix products need, so a thread for each only adds
    waiting at llama.cpp's barriers.
    """
    if sys.platform == "darwin":
        return _darwin_cores()
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    cores = {_siblings(cpu) for cpu in allowed}
    return max(1, min(len(cores), _quota() or len(cores)))


def _siblings(cpu: int) -> str:
    """The name of the physical core that a logical processor belongs to."""
    try:
        return Path(f"{_TOPOLOGY}/cpu{cpu}/topology/thread_siblings_list").read_text(encoding="ascii").strip()
    except OSError:
        return str(cpu)


def _quota(cpu_max: Path = Path("/sys/fs/cgroup/cpu.max")) -> int | None:
    """Whole cores that a cgroup (version 2) quota leaves, or None without one."""
    try:
        found = re.fullmatch(r"(\d+) (\d+)\s*", cpu_max.read_text(encoding="ascii"))
    except OSError:
        return None
    return max(1, int(found[1]) // int(found[2])) if found else None


def _darwin_cores() -> int:
    """Performance cores on Apple silicon, physical cores on Intel."""
    for name in ("hw.perflevel0.physicalcpu", "hw.physicalcpu"):
        out = subprocess.run(["/usr/sbin/sysctl", "-n", name], capture_output=True, text=True, check=False)  # noqa: S603
        if out.stdout.strip().isdigit():
            return int(out.stdout)
    return max(1, (os.cpu_count() or 2) // 2)
