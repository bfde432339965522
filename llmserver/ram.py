"""What RAM there is, what of it is free, what this process takes. Bytes; 0 where the system does not tell."""

from __future__ import annotations

import os
from pathlib import Path

_PROC = Path("/proc")


def total_bytes() -> int:
    """The machine's RAM."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def free_bytes(proc: Path = _PROC) -> int:
    """What new memory can be had without swapping, the cache of files included."""
    try:
        lines = (proc / "meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), 0)


def resident_bytes(proc: Path = _PROC) -> int:
    """Memory of this process that is in RAM, its share of mapped files included."""
    try:
        pages = int((proc / "self" / "statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
