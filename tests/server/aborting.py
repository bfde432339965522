"""The real server, over a llama.cpp that gives up: after some steps of its first life ("once"), or at each load."""

from __future__ import annotations

import os
import sys
from typing import Any

from llama_cpp._ggml import libggml

from llmserver import __main__
from llmserver.again import STARTS
from llmserver.engine.llama.backend import LlamaBackend
from llmserver.engine.llama.model import Model

STEPS = 12
REASON = b"CUDA error: out of memory"


def give_up() -> None:
    """What GGML_ABORT does."""
    libggml.ggml_abort(b"/src/ggml-cuda.cu", 99, b"%s", REASON)


def once() -> None:
    """Give up in the middle of answers, in the first life only."""
    run, steps = LlamaBackend.run, iter(range(STEPS))

    def tired(self: LlamaBackend, plan: Any) -> Any:
        if STARTS not in os.environ and next(steps, None) is None:
            give_up()
        return run(self, plan)

    LlamaBackend.run = tired  # type: ignore[method-assign]


def at_each_load() -> None:
    """Give up before a model is there."""
    Model.__init__ = lambda *_, **__: give_up()  # type: ignore[method-assign,assignment,misc]


if __name__ == "__main__":
    {"once": once, "load": at_each_load}[sys.argv[1]]()
    sys.exit(__main__.main(sys.argv[2:]))
