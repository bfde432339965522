"""What belongs to no chat: presets of options and prompts to begin a message with, each under a name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from chatbot.core.store_base import Database, storable
from chatbot.core.store_rows import Preset, Prompt
from chatbot.errors import BadRequest

_NAME_CHARS = 80


class Shelf(Database):
    """Presets and prompts."""

    def presets(self) -> list[Preset]:
        """All presets by name."""
        return [Preset(name, json.loads(options)) for name, options in self._all("SELECT name, options FROM presets")]

    def save_preset(self, name: str, options: Mapping[str, Any]) -> None:
        """Keep options under a name; the same name again replaces them."""
        self._put("INSERT OR REPLACE INTO presets (name, options) VALUES (?, ?)", name, json.dumps(dict(options)))

    def delete_preset(self, name: str) -> None:
        """Forget a preset, if there is one of that name."""
        self._drop("DELETE FROM presets WHERE name = ?", name)

    def prompts(self) -> list[Prompt]:
        """All prompts by name."""
        return [Prompt(name, text) for name, text in self._all("SELECT name, text FROM prompts")]

    def save_prompt(self, name: str, text: str) -> None:
        """Keep a text under a name; the same name again replaces it."""
        self._put("INSERT OR REPLACE INTO prompts (name, text) VALUES (?, ?)", name, text)

    def delete_prompt(self, name: str) -> None:
        """Forget a prompt, if there is one of that name."""
        self._drop("DELETE FROM prompts WHERE name = ?", name)

    def _all(self, query: str) -> list[tuple[str, str]]:
        with self._reading() as db:
            return sorted(db.execute(query).fetchall(), key=lambda row: str(row[0]).casefold())

    def _put(self, query: str, name: str, value: str) -> None:
        flat = " ".join(storable(name).split())
        if not 0 < len(flat) <= _NAME_CHARS:
            raise BadRequest(f"a name has 1 to {_NAME_CHARS} characters, this one has {len(flat)}")
        with self._writing() as db:
            db.execute(query, (flat, storable(value)))

    def _drop(self, query: str, name: str) -> None:
        with self._writing() as db:
            db.execute(query, (" ".join(storable(name).split()),))
