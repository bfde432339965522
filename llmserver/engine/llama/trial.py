"""The other end of a trial load: load as stdin says, compute a full batch, print what it took, leave."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from typing import Any

from llmserver.engine.llama.abort import on_abort
from llmserver.engine.llama.model import Model
from llmserver.errors import LlmServerError
from llmserver.offload import rpc
from llmserver.offload.devices import cards
from llmserver.settings import ModelOptions


def main() -> int:
    """0 and a placement as JSON, or 1 and {"error", "free"}; free: bytes by device after the failure."""
    on_abort(lambda reason: _leave({"error": f"llama.cpp gave up: {reason}"}, 1))
    asked = json.load(sys.stdin)
    options = ModelOptions.model_construct(**asked["options"])
    try:
        if options.rpc_servers:
            rpc.add(options.rpc_servers)
        model = Model(options, asked["n_seq"], embeds=asked["embeds"])
        model.warm_up()
    except LlmServerError as why:
        _leave({"error": why.message, "free": {card.name: card.free for card in cards()}}, 1)
    else:
        _leave(asdict(model.placement), 0)
    return 1


def _leave(answer: dict[str, Any], status: int) -> None:
    """Without tidying up: a driver that is in trouble may hang in it."""
    sys.stdout.write(json.dumps(answer))
    sys.stdout.flush()
    os._exit(status)
