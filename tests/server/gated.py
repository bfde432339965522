"""The real server, whose load waits until somebody writes into the FIFO $GATE: `loading` as long as a test likes."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from llmserver.__main__ import main
from llmserver.engine.opener import LlamaOpener
from llmserver.settings import ModelOptions

open_model = LlamaOpener.open


def open_behind_gate(self: LlamaOpener, options: ModelOptions) -> tuple[Any, int]:
    Path(os.environ["GATE"]).read_bytes()
    return open_model(self, options)


LlamaOpener.open = open_behind_gate  # type: ignore[method-assign]
sys.exit(main())
