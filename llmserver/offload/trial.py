"""Try a load on the card in a process of its own: whatever the driver does to it, the server lives on.

A setup that has loaded before on this card under this driver is not tried again.
"""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmserver.offload import gguf, learned
from llmserver.offload.devices import Device, names

if TYPE_CHECKING:
    from llmserver.settings import ModelOptions

log = logging.getLogger("llmserver")
_MIB = 1024 * 1024
_REQUESTED = re.compile(r"allocating ([\d.]+) MiB")
_LEAST_TIMEOUT_S, _SLOW_DISK = 120.0, 10_000_000  # bytes a second


@dataclass(frozen=True)
class Failure:
    """Why a setup does not load. lacked: bytes of the card that were missing, 0 where nobody said."""

    reason: str
    lacked: int = 0


def failure(options: ModelOptions, n_seq: int | None, *, embeds: bool) -> Failure | None:
    """Load as asked in a child process and compute a full batch; None where that works, or nothing is on a card."""
    found = names() if options.trial_load and options.n_gpu_layers else ()
    if not found:
        return None
    path = Path(options.model)
    if not path.is_file():
        return None  # the load itself says it best
    asked = {"options": options.model_dump(mode="json"), "n_seq": n_seq, "embeds": embeds}
    name = _name(asked, path, found)
    if learned.is_proven(name):
        return None
    log.info("trying the load in a process of its own first")
    answer = _run(asked, path)
    if "error" in answer:
        return Failure(str(answer["error"]), _lacked(str(answer["error"]), answer.get("free") or {}))
    for card in found:
        if (taken := overhead(card, answer)) is not None:
            learned.learn(card.description, gguf.read(path).architecture, taken)
    learned.prove(name)
    return None


def overhead(card: Device, answer: dict[str, Any]) -> int | None:
    """Bytes of a card that went beside llama.cpp's buffers; None for a worker's, whose memory others use too."""
    free = answer.get("free", {}).get(card.name)
    if card.kind != "gpu" or card.name.startswith("RPC") or not free:
        return None
    buffers = sum((answer.get("allocated", {}).get(card.name) or {}).values())
    return int(free["before"]) - int(free["warm"]) - int(buffers)


def _run(asked: dict[str, Any], path: Path) -> dict[str, Any]:
    """What the child said: a placement, or an error."""
    timeout_s = max(_LEAST_TIMEOUT_S, path.stat().st_size / _SLOW_DISK)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "llmserver", "trial"],
            input=json.dumps(asked),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"error": f"the trial was not over after {timeout_s:.0f} s"}
    except OSError as why:
        log.warning("no trial of the load is possible (%s): going on without", why)
        return {}
    try:
        return dict(json.loads(done.stdout))
    except ValueError:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1].removeprefix("llmserver: ")
        ended = f"signal {-done.returncode}" if done.returncode < 0 else f"status {done.returncode}"
        return {"error": f"the trial ended with {ended}: {last}"}


def _lacked(reason: str, free: dict[str, Any]) -> int:
    found = _REQUESTED.search(reason)
    most = max((int(each) for each in free.values()), default=0)
    return max(round(float(found[1]) * _MIB) - most, 0) if found and most else 0


def _name(asked: dict[str, Any], path: Path, found: tuple[Device, ...]) -> str:
    stat = path.stat()
    file = [str(path.resolve()), stat.st_size, stat.st_mtime_ns]
    facts = {"file": file, "llama": version("llama-cpp-python"), **asked}
    return learned.proof(facts, [card.description for card in found])
