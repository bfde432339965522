"""Run a program of ours in a process of its own and hear each line that it says; it never outlives this one."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path


def listen(
    command: Sequence[str], environment: Mapping[str, str], hear: Callable[[str], None], folder: Path | None = None
) -> int:
    """Return its exit status. Its stdin is a pipe that ends with this process; Ctrl-C here kills it."""
    with subprocess.Popen(  # noqa: S603  our own interpreter and scripts; paths stand as arguments, no shell
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        cwd=folder,
        encoding="utf-8",
        errors="replace",
    ) as child:
        try:
            for line in child.stdout or ():
                hear(line)
            return child.wait()
        except BaseException:
            child.kill()
            raise
