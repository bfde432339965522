"""What the engine needs from whatever computes: two implementations, llama.cpp and a scripted fake."""

from __future__ import annotations

from typing import Protocol

from llmserver.engine.plan import Plan, Result, Traits
from llmserver.engine.request import Request


class Backend(Protocol):
    """Carries plans out. Has no opinions: the scheduler decides what, one thread calls run."""

    traits: Traits

    def open(self, number: int, request: Request) -> None:
        """Make what choosing tokens for the request needs. Any thread. Raises RequestError for a wrong grammar."""

    def close(self, number: int) -> None:
        """Free what open made; harmless when there is nothing."""

    def run(self, plan: Plan) -> Result:
        """Carry out the moves, compute the batch, choose tokens. Never raises for what a request may hold."""

    def used_cells(self) -> int:
        """Cells in use by the backend's own count, for comparison with the scheduler's."""

    def free(self) -> None:
        """Give the memory back; nothing may be called after it."""
