"""Measure what memory this machine has for models, or take it as a person says it is. Knows no models.

The cards are those that llama.cpp finds, because it is what will use them: a card that its build cannot use does not
count, whatever a driver's own tool says.
"""

from __future__ import annotations

import os
import platform
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from llmserver import cpu, ram
from llmserver.library.cards import bandwidth_gbs
from llmserver.library.terminal import size
from llmserver.offload.planner import Card, Machine

if TYPE_CHECKING:
    from llmserver.offload.devices import Device

_MIB = 1024 * 1024
_TAKEN_BY_OTHERS = 0.25  # of the cards, from which on it is worth a word
_USUAL_RAM = 15e9  # bytes a second; only where it cannot be measured


@dataclass(frozen=True)
class Room:
    """The machine, and what to say of it."""

    machine: Machine
    cards: str = ""
    """The cards as their maker calls them; empty for those that are only thought of."""
    is_gbs_known: bool = True
    """The cards' bandwidths were measured or are those of their names, not what is usual for their sizes."""
    shared_bytes: int = 0
    """What a model may take of memory that processor and GPU share, as on Apple silicon; 0 where they do not."""
    notes: tuple[str, ...] = ()
    """What a person should know before believing the figures."""

    def __str__(self) -> str:
        """Name the memory in a few words."""
        found = self.machine
        memory = f"{size(found.ram_free)} of free RAM ({found.ram_bandwidth / 1e9:.0f} GB/s)"
        if not found.cards:
            return memory
        speeds = sorted({round(card.bandwidth / 1e9) for card in found.cards})
        gbs = f"{'' if self.is_gbs_known else 'about '}{' and '.join(map(str, speeds))} GB/s"
        name = self.cards or ("a card" if len(found.cards) == 1 else f"{len(found.cards)} cards")
        if self.shared_bytes:
            return f"{size(self.shared_bytes)} of the RAM that {name} and the processor share ({gbs})"
        free, total = (sum(getattr(card, what) for card in found.cards) for what in ("free", "total"))
        return f"{size(free)} free of {size(total)} on {name} ({gbs}), and {memory}"

    def as_json(self) -> dict[str, Any]:
        """Return the figures: bytes, and bytes a second."""
        found = self.machine
        return {
            "cards": [vars(card) | {"bandwidth": round(card.bandwidth)} for card in found.cards],
            "names": self.cards,
            "bandwidth_known": self.is_gbs_known,
            "ram": {"free": found.ram_free, "bandwidth": round(found.ram_bandwidth)},
            "shared_bytes": self.shared_bytes,
            "notes": list(self.notes),
        }


def look(vram: str = "auto", ram_text: str = "auto") -> Room:
    """Return what is here, or what sizes ("6GiB", "0" for no card) say. Raises BadSettings for what is no size."""
    try:
        from llmserver.offload import devices
        from llmserver.offload import machine as measured

        found = devices.cards() if vram == "auto" else ()
    except (ImportError, OSError, RuntimeError) as why:  # a library or a driver that cannot be loaded
        return _without_llama(why)
    machine = measured.look(vram if found or vram != "auto" else "0", ram_text, "auto")
    here = described(machine, {device.name: device for device in found})
    return replace(here, notes=(*here.notes, *_busy()))


def described(machine: Machine, found: Mapping[str, Device]) -> Room:
    """Return the machine with the bandwidths of its cards. found: the devices by their names, none for a thought."""
    used = [found.get(card.name) for card in machine.cards]
    known = [
        (card.bandwidth / 1e9, True)
        if card.bandwidth_is_measured
        else bandwidth_gbs(device.description if device else "", card.total)
        for card, device in zip(machine.cards, used, strict=True)
    ]
    cards = tuple(replace(card, bandwidth=gbs * 1e9) for card, (gbs, _) in zip(machine.cards, known, strict=True))
    devices = [device for device in used if device]
    named = Room(
        machine=replace(machine, cards=cards),
        cards=" and ".join(f"{n} x {name}" if n > 1 else name for name, n in Counter(map(_name, devices)).items()),
        is_gbs_known=all(is_known for _, is_known in known),
        notes=_taken(cards) if devices else (),
    )
    is_shared = len(devices) == 1 and (devices[0].kind == "igpu" or _is_apple_silicon())
    return shared(named, ram.total_bytes()) if is_shared else named


def shared(room: Room, total: int) -> Room:
    """Return the room where its one card's memory is part of the RAM: half of it, the rest is for other programs."""
    (card,) = room.machine.cards
    pool = min(card.free, total // 2)
    machine = replace(room.machine, cards=(replace(card, free=pool),), ram_free=pool)
    return replace(room, machine=machine, shared_bytes=pool, notes=())


def _without_llama(why: BaseException) -> Room:
    reason = " ".join(str(why).split())[:120] or type(why).__name__
    note = f"llama.cpp cannot be loaded, so nothing was measured and no card counts ({reason}): ./setup.sh mends it"
    return Room(Machine((), ram.free_bytes() or ram.total_bytes() // 2, _USUAL_RAM), notes=(note,))


def _busy() -> tuple[str, ...]:
    if os.getloadavg()[0] < cpu.physical_cores():
        return ()
    return ("The processor is busy, so RAM seems slower than it is: ask again when the machine is quiet.",)


def _taken(cards: tuple[Card, ...]) -> tuple[str, ...]:
    total = sum(card.total for card in cards)
    taken = total - sum(card.free for card in cards)
    if taken < total * _TAKEN_BY_OTHERS:
        return ()
    whole = ",".join(f"{card.total // _MIB}MiB" for card in cards)
    return (f"{size(taken)} of it are taken now, perhaps by a running server: --vram {whole} shows it without that.",)


def _name(device: Device) -> str:
    return device.description or device.name


def _is_apple_silicon() -> bool:
    return platform.system() == "Darwin" and platform.machine() == "arm64"
