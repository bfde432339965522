"""The LoRA adapters of one model: which names there are, who uses them, and when one may go."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass

from llmserver.engine.request import Adapter
from llmserver.errors import BadSettings, RequestError

_SERIALS = itertools.count(1)  # never the same twice in a process: what was cached under a name stays apart


@dataclass(frozen=True)
class AdapterFile:
    """An adapter's name, its GGUF file and its scale."""

    name: str
    path: str
    scale: float = 1.0


def parse(setting: str) -> AdapterFile:
    """Read NAME=PATH or NAME=PATH=SCALE. Raises BadSettings."""
    name, _, rest = setting.partition("=")
    path, _, scale = rest.partition("=")
    try:
        found = AdapterFile(name, path, float(scale or 1.0))
    except ValueError as why:
        raise BadSettings(f"adapters: {setting}: the scale must be a number, got {scale!r}") from why
    if not name or not path or ":" in name:
        raise BadSettings(f"adapters: {setting!r} is not NAME=PATH or NAME=PATH=SCALE")
    return found


class Adapters:
    """Names to adapters, with a count of the requests that use each."""

    def __init__(self) -> None:
        self._known: dict[str, Adapter] = {}
        self._users: Counter[Adapter] = Counter()
        self._leaving: set[Adapter] = set()

    def names(self) -> tuple[str, ...]:
        """The names that requests may use."""
        return tuple(self._known)

    def find(self, name: str) -> Adapter | None:
        """The adapter of this name."""
        return self._known.get(name)

    def new(self, file: AdapterFile) -> Adapter:
        """An adapter for a file; it is known once `add` says so. Raises RequestError when the name is taken."""
        if file.name in self._known:
            raise RequestError(f"name: there is an adapter {file.name} already: remove it first", param="name")
        return Adapter(file.name, file.scale, next(_SERIALS))

    def add(self, adapter: Adapter) -> None:
        """Requests may use it from now on."""
        self._known[adapter.name] = adapter

    def remove(self, name: str) -> Adapter | None:
        """New requests do not find it any more; the adapter if nobody uses it, so that it can be freed now."""
        adapter = self._known.pop(name)
        if self._users[adapter]:
            self._leaving.add(adapter)
            return None
        return adapter

    def enter(self, adapter: Adapter) -> None:
        """A request uses it."""
        self._users[adapter] += 1

    def leave(self, adapter: Adapter) -> bool:
        """A request is through with it; whether it was removed and this was the last one."""
        self._users[adapter] -= 1
        if self._users[adapter] or adapter not in self._leaving:
            return False
        self._leaving.discard(adapter)
        return True
