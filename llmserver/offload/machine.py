"""Measure where a model may run: the card as it is or as it is wished for, free RAM, and how quickly RAM is read."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor

from llmserver import cpu, ram
from llmserver.errors import BadSettings
from llmserver.offload.devices import Device, cards
from llmserver.offload.planner import Card, Machine

_MIB = 1024 * 1024
_UNITS = {"": 1, "b": 1, "k": 1024, "m": _MIB, "g": 1024 * _MIB, "t": 1024 * 1024 * _MIB}
_SIZE = re.compile(r"([\d.]+)\s*([kmgt]?)(i?b)?", re.IGNORECASE)
_LEAST_RESERVE = 256 * _MIB  # for temporaries that grow at the first large batch
_DRIVER = 300 * _MIB  # a driver's context: 107 to 555 MiB were seen; only for cards that are not in this machine
_USED_BY_OTHERS = 0.05  # of the card, from which on somebody else is taken to work on it
CARD_GBS = 192.0  # GB/s of a GTX 1060 6GB; most later cards of its size are quicker
_BUFFER = 32 * _MIB


def size(text: str) -> int:
    """Bytes of a size such as 6GiB, 6G, 800M or 6442450944. Raises BadSettings."""
    found = _SIZE.fullmatch(text.strip())
    try:
        return int(float(found[1]) * _UNITS[found[2].lower()]) if found else int(text)
    except ValueError as why:
        raise BadSettings(f"{text!r} is no size: write it like 6GiB or 800MiB") from why


def look(vram: str, ram_text: str, reserve: str, card_gbs: float) -> Machine:
    """The machine to plan for; "auto" is what is here. Raises BadSettings."""
    card = _here(reserve, card_gbs) if vram == "auto" else _wished(size(vram), reserve, card_gbs)
    free = ram.free_bytes() or ram.total_bytes() // 2
    return Machine(card, free if ram_text == "auto" else size(ram_text), ram_bandwidth())


def _here(reserve: str, card_gbs: float) -> Card | None:
    found = cards()
    if not found:
        return None
    return _card(found[0], reserve, card_gbs)


def _card(device: Device, reserve: str, card_gbs: float) -> Card:
    kept = max(_LEAST_RESERVE, device.total // 25)
    if device.total - device.free > _DRIVER + device.total * _USED_BY_OTHERS:
        kept += _LEAST_RESERVE  # a display or another program is on it, and may take more
    return Card(device.name, device.total, device.free, kept if reserve == "auto" else size(reserve), card_gbs * 1e9)


def _wished(total: int, reserve: str, card_gbs: float) -> Card | None:
    if total == 0:
        return None
    device = Device("card", "", "gpu", max(total - _DRIVER, 0), total)
    return _card(device, reserve, card_gbs)


def ram_bandwidth() -> float:
    """Bytes a second that all cores together move in memory: the best of a few copies, some 50 ms."""
    import numpy as np

    n_threads = cpu.physical_cores()
    pairs = [(np.ones(_BUFFER // 8), np.empty(_BUFFER // 8)) for _ in range(n_threads)]
    with ThreadPoolExecutor(n_threads) as pool:

        def once() -> float:
            began = time.perf_counter()
            list(pool.map(lambda pair: np.copyto(pair[1], pair[0]), pairs))
            return 2 * _BUFFER * n_threads / (time.perf_counter() - began)  # each byte is read and written

        return max(once() for _ in range(8))
