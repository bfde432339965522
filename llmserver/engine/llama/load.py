"""From settings to a model that computes: weights, vocabulary, backend, adapters."""

from __future__ import annotations

import logging

from llmserver.engine.info import ModelInfo
from llmserver.engine.llama.backend import LlamaBackend
from llmserver.engine.llama.model import Model
from llmserver.engine.llama.vocab import Vocab, describe
from llmserver.errors import ModelFileBroken
from llmserver.settings import ModelOptions

log = logging.getLogger("llmserver")


def open_model(options: ModelOptions, *, embeds: bool = False) -> Model:
    """Load the weights; a GPU that cannot hold them is given up for the CPU. Raises ModelFileBroken."""
    n_seq = options.n_parallel if embeds else None
    try:
        return Model(options, n_seq, embeds=embeds)
    except ModelFileBroken as why:
        if options.n_gpu_layers == 0 or "n_gpu_layers" in options.model_fields_set:
            raise
        log.warning("%s; trying again on the CPU alone", why.message)
        return Model(options.model_copy(update={"n_gpu_layers": 0}), n_seq, embeds=embeds)


def load_chat(options: ModelOptions) -> tuple[ModelInfo, Vocab, LlamaBackend]:
    """A model that generates. Raises ModelFileBroken with llama.cpp's own reason."""
    model = open_model(options)
    vocab = Vocab(model.vocab)
    return describe(model, vocab, "chat"), vocab, LlamaBackend(model, vocab)
