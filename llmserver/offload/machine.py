"""Measure where a model may run: the cards as they are or as one thinks of them, free RAM, how quickly RAM is read."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from llmserver import cpu, ram
from llmserver.errors import BadSettings
from llmserver.offload import bandwidth
from llmserver.offload.devices import Device, cards
from llmserver.offload.planner import Card, Machine, Plan

_MIB = 1024 * 1024
_UNITS = {"": 1, "b": 1, "k": 1024, "m": _MIB, "g": 1024 * _MIB, "t": 1024 * 1024 * _MIB}
_SIZE = re.compile(r"([\d.]+)\s*([kmgt]?)(i?b)?", re.IGNORECASE)
_LEAST_RESERVE = 256 * _MIB  # for temporaries that grow at the first large batch
_DRIVER = 300 * _MIB  # a driver's context: 107 to 555 MiB were seen; only for cards that are not in this machine
_LEAST_MEASURED = 64 * _MIB  # however little an earlier load took
_USED_BY_OTHERS = 0.05  # of the card, from which on somebody else is taken to work on it
CARD_GBS = 192.0  # GB/s of a GTX 1060 6GB, for cards that cannot be asked; most later ones of its size are quicker
_BUFFER = 32 * _MIB


def size(text: str) -> int:
    """Bytes of a size such as 6GiB, 6G, 800M or 6442450944. Raises BadSettings."""
    found = _SIZE.fullmatch(text.strip())
    try:
        return int(float(found[1]) * _UNITS[found[2].lower()]) if found else int(text)
    except ValueError as why:
        raise BadSettings(f"{text!r} is no size: write it like 6GiB or 800MiB") from why


Learned = Callable[[str], "int | None"]
"""What a full batch took of a device of this description beside all that is planned, in bytes, where that is known."""


def look(
    vram: str,
    ram_text: str,
    reserve: str,
    card_gbs: Sequence[float] = (),
    *,
    most: int = 0,
    learned: Learned = lambda description: None,
) -> Machine:
    """The machine to plan for; "auto" is what is here. vram: a size for each card, with commas; card_gbs: the speed of
    each, the last one also of those after it, none: as measured; most: bytes of each that may be used, 0 for all that
    are free. Raises BadSettings."""
    devices = _here() if vram == "auto" else _wished(vram)
    kept = None if reserve == "auto" else size(reserve)
    is_here = vram == "auto"
    found = tuple(
        _card(
            _limited(device, most) if most and is_here else device,
            speed or (bandwidth.measured(device.name) if is_here else None),
            kept,
            learned(device.description) if is_here else None,
            is_given=bool(speed),
        )
        for device, speed in zip(devices, _speeds(card_gbs, len(devices)), strict=True)
    )
    free = ram.free_bytes() or ram.total_bytes() // 2
    return Machine(_without_shared(devices, found), free if ram_text == "auto" else size(ram_text), ram_bandwidth())


def without(here: Machine, plan: Plan) -> Machine:
    """The machine once another model is in it."""
    cards = [
        replace(card, free=max(card.free - sizes.total, 0)) for card, sizes in zip(here.cards, plan.cards, strict=True)
    ]
    return replace(here, cards=tuple(cards), ram_free=max(here.ram_free - plan.ram.total, 0))


def _here() -> tuple[Device, ...]:
    from llmserver.offload.probe import in_order  # which loads llama.cpp

    sized = {card.name: card for card in cards()}
    return tuple(sized[card.name] for card in in_order() if card.name in sized)


def _limited(device: Device, most: int) -> Device:
    """The device as if it were no larger."""
    return replace(device, total=min(device.total, most), free=max(min(device.free, most - _DRIVER), 0))


def _card(device: Device, speed: float | None, kept: int | None, measured: int | None, *, is_given: bool) -> Card:
    is_measured = kept is None and measured is not None
    if kept is None:
        kept = _reserve(device) if measured is None else max(measured, _LEAST_MEASURED)
    return Card(
        name=device.name,
        total=device.total,
        free=device.free,
        reserve=kept,
        bandwidth=speed or CARD_GBS * 1e9,
        reserve_is_measured=is_measured,
        bandwidth_is_measured=speed is not None and not is_given,
    )


def _reserve(device: Device) -> int:
    kept = max(_LEAST_RESERVE, device.total // 25)
    if device.total - device.free > _DRIVER + device.total * _USED_BY_OTHERS:
        kept += _LEAST_RESERVE  # a display or another program is on it, and may take more
    return kept


def _wished(vram: str) -> tuple[Device, ...]:
    sizes = [total for text in vram.split(",") if (total := size(text))]
    names = ["card"] if len(sizes) == 1 else [f"card {n}" for n in range(1, len(sizes) + 1)]
    return tuple(
        Device(name, "", "gpu", max(total - _DRIVER, 0), total) for name, total in zip(names, sizes, strict=True)
    )


def _speeds(card_gbs: Sequence[float], n_cards: int) -> list[float | None]:
    """In bytes a second, None where nobody said."""
    if len(card_gbs) > max(n_cards, 1):
        raise BadSettings(f"{len(card_gbs)} speeds for {n_cards} cards: name at most one GB/s for each")
    given: list[float | None] = [gbs * 1e9 for gbs in card_gbs] or [None]
    return (given + given[-1:] * n_cards)[:n_cards]


def _without_shared(devices: Sequence[Device], cards: tuple[Card, ...]) -> tuple[Card, ...]:
    """Beside other cards, those that share the RAM stay empty: what they hold would be counted twice."""
    if len(cards) < 2:
        return cards
    return tuple(
        replace(card, reserve=card.free) if device.kind == "igpu" else card
        for device, card in zip(devices, cards, strict=True)
    )


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
