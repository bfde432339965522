"""The real server, whose load waits until somebody writes into the FIFO $GATE: `loading` as long as a test likes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from llmserver.__main__ import main
from llmserver.api.batched import BatchedEngine

load = BatchedEngine.load


def load_behind_gate(self: BatchedEngine) -> None:
    Path(os.environ["GATE"]).read_bytes()
    load(self)


BatchedEngine.load = load_behind_gate  # type: ignore[method-assign]
sys.exit(main())
