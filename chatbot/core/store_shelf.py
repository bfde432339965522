"""What belongs to no chat: presets of options and prompts to begin a message with, each under a name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from chatbot.core.store_base import Database, storable
from chatbot.core.store_rows import OWNER, Preset, Prompt
from chatbot.errors import BadRequest

_NAME_CHARS = 80


class Shelf(Database):
    """Presets and prompts."""

    def presets(self, owner_id: str = OWNER) -> list[Preset]:
        """A user's presets by name."""
        found = self._all("SELECT name, options FROM presets WHERE owner_id = ?", owner_id)
        return [Preset(name, json.loads(options)) for name, options in found]

    def save_preset(self, name: str, options: Mapping[str, Any], owner_id: str = OWNER) -> None:
        """Keep options under a name; the same name again replaces them."""
        query = "INSERT OR REPLACE INTO presets (owner_id, name, options) VALUES (?, ?, ?)"
        self._put(query, owner_id, name, json.dumps(dict(options)))

    def delete_preset(self, name: str, owner_id: str = OWNER) -> None:
        """Forget a preset, if there is one of that name."""
        self._drop("DELETE FROM presets WHERE owner_id = ? AND name = ?", owner_id, name)

    def prompts(self, owner_id: str = OWNER) -> list[Prompt]:
        """A user's prompts by name."""
        found = self._all("SELECT name, text FROM prompts WHERE owner_id = ?", owner_id)
        return [Prompt(name, text) for name, text in found]

    def save_prompt(self, name: str, text: str, owner_id: str = OWNER) -> None:
        """Keep a text under a name; the same name again replaces it."""
        self._put("INSERT OR REPLACE INTO prompts (owner_id, name, text) VALUES (?, ?, ?)", owner_id, name, text)

    def delete_prompt(self, name: str, owner_id: str = OWNER) -> None:
        """Forget a prompt, if there is one of that name."""
        self._drop("DELETE FROM prompts WHERE owner_id = ? AND name = ?", owner_id, name)

    def _all(self, query: str, owner_id: str) -> list[tuple[str, str]]:
        with self._reading() as db:
            return sorted(db.execute(query, (owner_id,)).fetchall(), key=lambda row: str(row[0]).casefold())

    def _put(self, query: str, owner_id: str, name: str, value: str) -> None:
        flat = " ".join(storable(name).split())
        if not 0 < len(flat) <= _NAME_CHARS:
            raise BadRequest(f"a name has 1 to {_NAME_CHARS} characters, this one has {len(flat)}")
        with self._writing() as db:
            db.execute(query, (owner_id, flat, storable(value)))

    def _drop(self, query: str, owner_id: str, name: str) -> None:
        with self._writing() as db:
            db.execute(
                query,
                (
                    owner_id,
                    " ".join(storable(name).split()),
                ),
            )
