"""What loads taught about this machine's cards: what they really take beside their buffers, and which setups loaded.

One small file of the cache folder that may be deleted at any time. Neither reading nor writing it fails a start.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

log = logging.getLogger("llmserver")
_MIB = 1024 * 1024
_LEAST, _MARGIN, _STEP = 64 * _MIB, 1.1, 512 * _MIB
_UNKNOWN = 256 * _MIB  # taken as measured where an abort is all that is known
_MOST_PROOFS = 64
_DRIVER_FILE = Path("/proc/driver/nvidia/version")
_DRIVER = re.compile(r"\b(\d{3,}\.\d+(?:\.\d+)?)\b")
_in_use: dict[str, None] = {}  # cards that this process computes on, as keys of the file


def reserve(card: str, architecture: str) -> int | None:
    """Bytes to leave free on the card for a model of this architecture, as measured; None where nothing was."""
    taken = _read()["taken"].get(_key(card, architecture))
    return max(_LEAST, round(taken * _MARGIN) + _LEAST) if isinstance(taken, int) else None


def learn(card: str, architecture: str, taken: int) -> None:
    """Bytes that a full batch took of the card beside the buffers llama.cpp told of. The most ever seen counts."""
    lessons = _read()
    key = _key(card, architecture)
    lessons["taken"][key] = max(taken, 0, lessons["taken"].get(key, 0))
    _write(lessons)


def use(card: str, architecture: str) -> None:
    """This process computes on the card: an abort for want of memory is its lesson."""
    _in_use[_key(card, architecture)] = None


def raise_reserve() -> None:
    """The process ends for want of memory: the next plan leaves 512 MiB more, and no setup is proven any more."""
    if not _in_use:
        return
    lessons = _read()
    for key in _in_use:
        lessons["taken"][key] = lessons["taken"].get(key, _UNKNOWN) + _STEP
    lessons["proven"] = {}
    _write(lessons)


def proof(facts: Mapping[str, Any], cards: Iterable[str]) -> str:
    """A name for a setup on these cards under this driver."""
    told = json.dumps([dict(facts), sorted(cards), driver()], sort_keys=True, default=str)
    return hashlib.sha256(told.encode()).hexdigest()


def is_proven(name: str) -> bool:
    """Whether the setup has loaded before."""
    return name in _read()["proven"]


def prove(name: str) -> None:
    """The setup has loaded."""
    lessons = _read()
    lessons["proven"][name] = round(time.time())
    newest = sorted(lessons["proven"].items(), key=lambda item: item[1])[-_MOST_PROOFS:]
    _write({**lessons, "proven": dict(newest)})


def driver() -> str:
    """The NVIDIA driver's version; empty without one."""
    with suppress(OSError):
        found = _DRIVER.search(_DRIVER_FILE.read_text(encoding="utf-8", errors="replace"))
        return found[1] if found else ""
    return ""


def path() -> Path:
    """Where the lessons are kept."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(cache) / "paddock" / "cards.json"


def _key(card: str, architecture: str) -> str:
    return f"{card}|{driver()}|{architecture}"


def _read() -> dict[str, dict[str, Any]]:
    with suppress(OSError, ValueError):
        found = json.loads(path().read_text(encoding="utf-8"))
        if isinstance(found, dict) and all(isinstance(found.get(part), dict) for part in ("taken", "proven")):
            return {"taken": found["taken"], "proven": found["proven"]}
    return {"taken": {}, "proven": {}}


def _write(lessons: Mapping[str, Any]) -> None:
    target = path()
    part = target.with_name(f"{target.name}.{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(lessons, indent=1), encoding="utf-8")
        part.replace(target)
    except OSError as why:
        log.debug("what this load taught is not kept: %s", why)
        with suppress(OSError):
            part.unlink()
