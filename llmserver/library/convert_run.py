"""Run one of the converter's scripts in a process of its own, offline and apart, and say in one line why it failed."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO

from llmserver import cpu
from llmserver.errors import CommandFailed
from llmserver.library import convert_child
from llmserver.library.child import listen
from llmserver.library.convert_place import Place, cache_folder

Progress = Callable[[int, int], None]

_PERCENT = re.compile(r"Writing: +(\d+)%")
_QUIET = ("INFO:", "WARNING:", "DEBUG:", "Traceback ", " ")
_MAX_REASON = 300


def run(place: Place, script: str, words: Sequence[str], work: Path, name: str, progress: Progress) -> None:
    """Run the script with these words; `work` is the folder for what it leaves lying.

    Raises CommandFailed with the script's last word; all of its words stay in a log then, which the message names.
    """
    command = [str(place.python), "-I", convert_child.__file__, str(place.scripts / script), *words]
    log = cache_folder() / f"import-{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as file:
        ear = _Ear(file, progress)
        status = listen(command, _environment(work), ear.hear, work)
    if status == 0:
        log.unlink(missing_ok=True)
        return
    reason = ear.reason or (f"it ended by {signal.Signals(-status).name}" if status < 0 else "it gave no reason")
    raise CommandFailed(f"llama.cpp's converter cannot convert {name}: {reason} (all that it said: {log})")


class _Ear:
    """Keeps what the converter says, and remembers what may be the reason of its end."""

    def __init__(self, log: TextIO, progress: Progress) -> None:
        self._log = log
        self._progress = progress
        self.reason = ""

    def hear(self, line: str) -> None:
        """Take one line: of its log, of its progress bar, or the last one of a traceback."""
        if found := _PERCENT.match(line):
            self._progress(int(found[1]), 100)
            return
        self._log.write(line)
        if line.strip() and not line.startswith(_QUIET):
            self.reason = " ".join(re.sub(r"^ERROR:[\w.-]+:", "", line).split())[:_MAX_REASON]


def _environment(work: Path) -> dict[str, str]:
    """Return all that the converter gets of ours: no token, no proxy, no settings."""
    home = work / "home folder"
    home.mkdir(exist_ok=True)
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(home),
        "TMPDIR": str(home),
        "HF_HOME": str(home),
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_NUM_THREADS": str(cpu.physical_cores()),
        "LC_ALL": "C.UTF-8",
    }
