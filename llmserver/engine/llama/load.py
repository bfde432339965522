"""From settings to a model that computes: weights, vocabulary, backend, adapters."""

from __future__ import annotations

import logging
from pathlib import Path

from llmserver.engine.info import ModelInfo
from llmserver.engine.llama.backend import LlamaBackend
from llmserver.engine.llama.model import Model
from llmserver.engine.llama.vocab import Vocab, describe
from llmserver.errors import ModelFileBroken
from llmserver.offload import gguf, learned, rpc, trial
from llmserver.offload.devices import names
from llmserver.offload.fit import ladder
from llmserver.settings import ModelOptions

log = logging.getLogger("llmserver")


def open_model(options: ModelOptions, *, embeds: bool = False) -> Model:
    """Load the weights as planned for the card, with less of it when that fails. Raises ModelFileBroken."""
    n_seq = options.n_parallel if embeds else None
    if options.rpc_servers:
        rpc.add(options.rpc_servers)
    failed, lacks = "", [0]
    for tried in ladder(options, lacked=lambda: lacks[-1]):
        if failed:
            log.warning("%s; trying again with %d layers on the card", failed, tried.n_gpu_layers)
        if found := trial.failure(tried, n_seq, embeds=embeds):
            failed = found.reason
            lacks.append(found.lacked)
            continue
        try:
            return _loaded(tried, n_seq, embeds=embeds)
        except ModelFileBroken as why:
            failed = why.message
            lacks.append(0)
    raise ModelFileBroken(failed or f"no way to load {options.model} was found")


def _loaded(options: ModelOptions, n_seq: int | None, *, embeds: bool) -> Model:
    model = Model(options, n_seq, embeds=embeds)
    if model.placement.free:
        for card in names():
            learned.use(card.description, gguf.read(Path(options.model)).architecture)
    if not embeds:
        model.warm_up()
    rpc.limit_silence(options.rpc_timeout_s)
    return model


def load_chat(options: ModelOptions) -> tuple[ModelInfo, Vocab, LlamaBackend]:
    """A model that generates. Raises ModelFileBroken with llama.cpp's own reason."""
    model = open_model(options)
    vocab = Vocab(model.vocab)
    return describe(model, vocab, "chat"), vocab, LlamaBackend(model, vocab)
