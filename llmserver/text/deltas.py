"""What an answer is made of, piece by piece. Values only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Text:
    """Content to show."""

    text: str


@dataclass(frozen=True)
class Reasoning:
    """What the model thinks before it answers."""

    text: str


@dataclass(frozen=True)
class CallBegin:
    """A tool call starts; its arguments follow."""

    index: int
    id: str
    name: str


@dataclass(frozen=True)
class CallArguments:
    """A fragment of the JSON text of a call's arguments."""

    index: int
    text: str


Delta = Text | Reasoning | CallBegin | CallArguments
