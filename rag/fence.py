"""Put a text between lines that it cannot end itself, so that a model can tell data from what it is asked. Pure."""

from __future__ import annotations

import re


def fenced(text: str) -> str:
    """The text between two lines of more backticks than any in it."""
    longest = max(map(len, re.findall(r"`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}\n{text}\n{fence}"
