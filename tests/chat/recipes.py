"""Recipes for the library in the terminal: two documents, and what the scripted model says of them."""

from __future__ import annotations

import subprocess
from pathlib import Path

EGGS = """# Eggs

## Boiling

A soft egg boils for six minutes, a hard egg for ten minutes.

## Frying

Fry an egg in butter over a low flame.
"""
SLOWLY_S = 60.0  # the first question to the library loads what makes vectors
ANSWER = ["A soft egg boils for ", "six minutes [1]. Whales sing songs [1]."]


def write_recipes(place: Path) -> Path:
    """A folder of two documents."""
    folder = place / "recipes"
    folder.mkdir()
    (folder / "eggs.md").write_text(EGGS)
    (folder / "tea.txt").write_text("Green tea needs water of eighty degrees.\n")
    return folder


def lines(done: subprocess.CompletedProcess[bytes]) -> list[str]:
    return done.stdout.decode().splitlines()
