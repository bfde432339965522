"""From settings to a model that computes: weights, vocabulary, backend, adapters."""

from __future__ import annotations

import logging

from llmserver.engine.info import ModelInfo
from llmserver.engine.llama.backend import LlamaBackend
from llmserver.engine.llama.model import Model
from llmserver.engine.llama.vocab import Vocab, describe
from llmserver.errors import ModelFileBroken
from llmserver.offload import rpc
from llmserver.offload.fit import ladder
from llmserver.settings import ModelOptions

log = logging.getLogger("llmserver")


def open_model(options: ModelOptions, *, embeds: bool = False) -> Model:
    """Load the weights as planned for the card, with less of it when that fails. Raises ModelFileBroken."""
    n_seq = options.n_parallel if embeds else None
    failed: ModelFileBroken | None = None
    if options.rpc_servers:
        rpc.add(options.rpc_servers)
    for tried in ladder(options):
        if failed:
            log.warning("%s; trying again with %d layers on the card", failed.message, tried.n_gpu_layers)
        try:
            return Model(tried, n_seq, embeds=embeds)
        except ModelFileBroken as why:
            failed = why
    raise failed or ModelFileBroken(f"no way to load {options.model} was found")


def load_chat(options: ModelOptions) -> tuple[ModelInfo, Vocab, LlamaBackend]:
    """A model that generates. Raises ModelFileBroken with llama.cpp's own reason."""
    model = open_model(options)
    vocab = Vocab(model.vocab)
    return describe(model, vocab, "chat"), vocab, LlamaBackend(model, vocab)
