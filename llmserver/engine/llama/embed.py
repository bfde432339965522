"""Embeddings and ranks with llama.cpp: one batch of whole inputs, one vector for each. Decides nothing.

A non-causal model reads a batch in one piece: llama.cpp ends the process when n_ubatch is smaller than the batch, and
a position beyond the model's table does the same, so both bound what an input may be.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import llama_cpp
import numpy as np

from llmserver.engine.embed import Room
from llmserver.engine.info import ModelInfo
from llmserver.engine.llama.batch import Batch
from llmserver.engine.llama.load import open_model
from llmserver.engine.llama.model import Model
from llmserver.engine.llama.vocab import Vocab, describe
from llmserver.errors import EngineFailed
from llmserver.settings import ModelOptions

log = logging.getLogger("llmserver")
_POOLING_NONE, _POOLING_RANK = 0, 4
_NO_TOKEN = -1
_N_SEQ = 32  # inputs of a batch: short ones, such as questions, are computed together
# Tokens of a batch on a CPU. MiniLM (22 M parameters, f16), inputs of 200 tokens a second of CPU time: 17.6 in batches
# of 256 tokens, 11.3 in those of 512, 3.0 in those of 2,048.
_CPU_TARGET = 256
Vector = np.ndarray[Any, np.dtype[np.float32]]


class EmbedBackend:
    """One model that embeds or ranks. All but pair belongs to one thread."""

    def __init__(self, model: Model, vocab: Vocab) -> None:
        self._model, self._vocab = model, vocab
        self._batch = Batch(model.n_batch)
        self._is_rank = int(llama_cpp.llama_pooling_type(model.ctx)) == _POOLING_RANK
        encodes = not model.memory or llama_cpp.llama_model_has_encoder(model.model)
        self._compute = llama_cpp.llama_encode if encodes else llama_cpp.llama_decode
        n_out = llama_cpp.llama_model_n_cls_out if self._is_rank else llama_cpp.llama_model_n_embd_out
        self.n_out = int(n_out(model.model))
        self.room = _room(model)
        self._rank_template = _rank_template(model)
        self.memory_bytes = self._warm_up()

    def _warm_up(self) -> int:
        """Compute two tokens; the bytes of the model's cache, 0 when it keeps none, as most embedding models."""
        self.run([[0, 0]])
        if not self._model.memory:
            return 0
        return int(llama_cpp.llama_state_seq_get_size(self._model.ctx, 0)) * self._model.n_ctx // 2

    def run(self, prompts: Sequence[Sequence[int]]) -> list[Vector]:
        """The vector of each prompt, shape (n_out,). Raises EngineFailed when llama.cpp refuses the batch."""
        if self._model.memory:
            llama_cpp.llama_memory_clear(self._model.memory, False)
        n = 0
        for seq, tokens in enumerate(prompts):
            self._batch.fill(n, seq, 0, tokens, all_rows=True)
            n += len(tokens)
        code = self._compute(self._model.ctx, self._batch.of(n))
        if code:
            log.error("llama.cpp refused a batch of %d tokens with code %d", n, code)
            raise EngineFailed(f"the model could not compute this input: llama.cpp refused it with code {code}")
        return [self._vector(seq) for seq in range(len(prompts))]

    def _vector(self, seq: int) -> Vector:
        pointer = llama_cpp.llama_get_embeddings_seq(self._model.ctx, seq)
        if not pointer:
            raise EngineFailed("the model made no embedding of this input")
        vector: Vector = np.ctypeslib.as_array(pointer, (self.n_out,)).astype(np.float32, copy=True)
        if not np.isfinite(vector).all():
            raise EngineFailed("the model's embedding of this input holds numbers that are not finite")
        return vector

    def pair(self, query: str, document: str) -> list[int]:
        """The prompt that asks a reranker how well a document answers a query, as llama-server writes it."""
        if self._rank_template:
            parts = {"{query}": query, "{document}": document}
            return self._vocab.tokenize(_filled(self._rank_template, parts), bos=False, special=True)
        vocab = self._model.vocab
        eos = llama_cpp.llama_vocab_eos(vocab)
        end = eos if eos != _NO_TOKEN else llama_cpp.llama_vocab_sep(vocab)
        begin = [llama_cpp.llama_vocab_bos(vocab)] if llama_cpp.llama_vocab_get_add_bos(vocab) else []
        ends = [end] if llama_cpp.llama_vocab_get_add_eos(vocab) else []
        between = [llama_cpp.llama_vocab_sep(vocab)] if llama_cpp.llama_vocab_get_add_sep(vocab) else []
        asked, told = (self._vocab.tokenize(text, bos=False, special=False) for text in (query, document))
        return [*begin, *asked, *ends, *between, *told, *ends]

    def free(self) -> None:
        """Give the model back."""
        self._model.free()


def load_embed(options: ModelOptions, kind: str) -> tuple[ModelInfo, Vocab, EmbedBackend]:
    """A model that embeds or ranks. Raises ModelFileBroken with llama.cpp's own reason."""
    wide = options.model_copy(update={"n_ubatch": options.n_batch, "n_parallel": max(_N_SEQ, options.n_parallel)})
    model = open_model(wide, embeds=True)
    if int(llama_cpp.llama_pooling_type(model.ctx)) == _POOLING_NONE:
        log.warning("%s names no pooling: the mean of its tokens is taken; see --pooling", options.model_alias)
        model.free()
        model = open_model(wide.model_copy(update={"pooling": "mean"}), embeds=True)
    vocab = Vocab(model.vocab)
    backend = EmbedBackend(model, vocab)
    info = replace(describe(model, vocab, kind), n_ctx=backend.room.n_most, n_embd=backend.n_out)
    return info, vocab, backend


def _room(model: Model) -> Room:
    n_ctx_train = int(llama_cpp.llama_model_n_ctx_train(model.model))
    n_batch = min(model.n_batch, int(llama_cpp.llama_n_ubatch(model.ctx)))
    n_most = min(n_batch, model.n_ctx, n_ctx_train)
    on_gpu = model.options.n_gpu_layers != 0 and llama_cpp.llama_supports_gpu_offload()
    n_target = min(n_batch, model.n_ctx, n_batch if on_gpu else _CPU_TARGET)
    return Room(n_most, n_target, model.n_seq, n_batch, model.n_ctx, n_ctx_train)


def _rank_template(model: Model) -> str:
    """The model's own way to write a pair, with {query} and {document} in it; empty when it has none."""
    found = llama_cpp.llama_model_chat_template(model.model, b"rerank")
    return found.decode("utf-8", "replace") if found else ""


def _filled(template: str, parts: dict[str, str]) -> str:
    """Put the parts in all at once: a query that holds "{document}" stays what it is."""
    found, rest = "", template
    while rest:
        at, name = min(((rest.find(name), name) for name in parts if name in rest), default=(len(rest), ""))
        found += rest[:at] + parts.get(name, "")
        rest = rest[at + len(name) :]
    return found
