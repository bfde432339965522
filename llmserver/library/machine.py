"""Measure what memory this machine has for a model. Knows no models and makes no choice."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from dataclasses import dataclass

_NVIDIA_QUERY = ("--query-gpu=memory.total", "--format=csv,noheader,nounits")
_MIB = 1024 * 1024
_ANSWER_TIMEOUT_S = 10


@dataclass(frozen=True)
class Memory:
    """What a model can live in: the machine's RAM and the largest single graphics card."""

    ram_bytes: int
    vram_bytes: int = 0
    """0 without a card that can be asked."""
    is_unified: bool = False
    """The processor and the GPU share the RAM, as on Apple silicon."""


def look() -> Memory:
    """Return this machine's memory as it is now."""
    return Memory(ram_bytes=_ram_bytes(), vram_bytes=_vram_bytes(), is_unified=_is_apple_silicon())


def _ram_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _is_apple_silicon() -> bool:
    return platform.system() == "Darwin" and platform.machine() == "arm64"


def _vram_bytes() -> int:
    """Return the memory of the largest NVIDIA card, 0 if none answers."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return 0
    try:
        answer = subprocess.run(  # noqa: S603  the program is found on PATH, the arguments are constants
            [program, *_NVIDIA_QUERY], capture_output=True, text=True, timeout=_ANSWER_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return _largest(answer.stdout) if answer.returncode == 0 else 0


def _largest(listing: str) -> int:
    """Return the largest of nvidia-smi's MiB figures in bytes; "[N/A]" (a card without memory of its own) counts 0."""
    figures = [int(line) for line in listing.split() if line.isdigit()]
    return max(figures, default=0) * _MIB
