"""Load a GGUF file and make a context for it. The settings keep llama_cpp.server's names."""

from __future__ import annotations

import ctypes
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import llama_cpp

from llmserver.engine.llama.batch import Batch
from llmserver.engine.llama.log import LlamaLog
from llmserver.engine.llama.placement import overrides, placement
from llmserver.errors import ModelFileBroken
from llmserver.library import modelfile
from llmserver.library.modelfile import GET_ONE
from llmserver.offload import rpc
from llmserver.offload.devices import cards, names
from llmserver.settings import ModelOptions

log = logging.getLogger("llmserver")
_ALL_LAYERS = 0x7FFFFFFF
_POOLING = {"none": 0, "mean": 1, "cls": 2, "last": 3, "rank": 4}


class Model:
    """The weights, and one context over them. Raises ModelFileMissing, ModelFileBroken."""

    def __init__(self, options: ModelOptions, n_seq: int | None = None, *, embeds: bool = False) -> None:
        self.options = options
        path = modelfile.check(Path(options.model))  # of a split model the first part, whichever was named
        llama_cpp.llama_backend_init()
        before = self._free_bytes()
        if options.numa:
            llama_cpp.llama_numa_init(int(options.numa))
        self._keep: list[Any] = []  # what llama.cpp points at
        with LlamaLog(verbose=options.verbose) as heard:
            self.model = llama_cpp.llama_model_load_from_file(str(path).encode(), self._model_params(embeds=embeds))
            if not self.model:
                raise _broken(options, heard.reason())
            self.vocab: Any = llama_cpp.llama_model_get_vocab(self.model)
            self.params = self._context_params(n_seq or default_sequences(self), embeds=embeds)
            self.ctx: Any = llama_cpp.llama_init_from_model(self.model, self.params)
            if not self.ctx:
                llama_cpp.llama_model_free(self.model)
                raise _broken(options, heard.reason() or "the context does not fit: try a smaller --n_ctx")
        free = {name: {"before": n, "loaded": now} for name, n, now in _paired(before, self._free_bytes())}
        self.placement = replace(placement(path, options, self.params, heard.buffers), free=free)
        self.memory: Any = llama_cpp.llama_get_memory(self.ctx)
        self.n_ctx = int(llama_cpp.llama_n_ctx(self.ctx))
        self.n_batch = int(llama_cpp.llama_n_batch(self.ctx))
        self.n_seq = int(llama_cpp.llama_n_seq_max(self.ctx))

    @property
    def is_stateful(self) -> bool:
        """Whether the model has a recurrent state, alone or beside attention."""
        return bool(llama_cpp.llama_model_is_recurrent(self.model) or llama_cpp.llama_model_is_hybrid(self.model))

    @property
    def n_window(self) -> int:
        """Positions that a sliding window keeps, 0 without one."""
        return 0 if self.options.swa_full else int(llama_cpp.llama_model_n_swa(self.model))

    def warm_up(self) -> None:
        """Compute a full batch where a card computes: what it needs beside its buffers is taken now, not in the middle
        of an answer. Raises ModelFileBroken."""
        if not self.placement.free:
            return
        n = int(min(self.params.n_ubatch, self.n_ctx))
        batch = Batch(n)
        batch.fill(0, 0, 0, [0] * n)
        batch.logits[n - 1] = 1
        with LlamaLog(verbose=self.options.verbose) as heard:
            code = llama_cpp.llama_decode(self.ctx, batch.of(n))
        if code:
            self.free()
            raise _broken(self.options, heard.reason() or f"a full batch ended with code {code}")
        llama_cpp.llama_memory_clear(self.memory, True)
        warm = self._free_bytes()
        free = {name: {**took, "warm": warm.get(name, 0)} for name, took in self.placement.free.items()}
        self.placement = replace(self.placement, free=free)

    def _free_bytes(self) -> dict[str, int]:
        """Free memory by card; nothing where no layer is to be on one."""
        if not self.options.n_gpu_layers or not names():
            return {}
        return {card.name: card.free for card in cards()}

    def free(self) -> None:
        """Give context and weights back."""
        if self.ctx:
            llama_cpp.llama_free(self.ctx)
            llama_cpp.llama_model_free(self.model)
            self.ctx = self.model = None

    def _model_params(self, *, embeds: bool) -> Any:
        options, params = self.options, llama_cpp.llama_model_default_params()
        params.n_gpu_layers = _ALL_LAYERS if options.n_gpu_layers == -1 else options.n_gpu_layers
        params.split_mode, params.main_gpu = options.split_mode, options.main_gpu
        params.load_mode = _load_mode(options)
        params.vocab_only = options.vocab_only
        if options.tensor_split:
            split = (ctypes.c_float * llama_cpp.LLAMA_MAX_DEVICES)(*options.tensor_split)
            self._keep.append(split)
            params.tensor_split = split
        if (
            embeds and options.n_gpu_layers == 0
        ):  # else llama.cpp would still compute batches on the card, in its memory
            self._keep.append(no_device := (ctypes.c_void_p * 1)())
            params.devices = ctypes.cast(no_device, ctypes.c_void_p)
        elif (devices := rpc.devices()) is not None:
            self._keep.append(devices)
            params.devices = ctypes.cast(devices, ctypes.c_void_p)
        if options.n_cpu_ffn:
            kept_in_ram = overrides(options)
            self._keep.append(kept_in_ram)
            params.tensor_buft_overrides = ctypes.cast(kept_in_ram, ctypes.c_void_p)
        if options.kv_overrides:
            params.kv_overrides = self._overrides(options.kv_overrides)
        return params

    def _overrides(self, pairs: list[str]) -> Any:
        """KEY=TYPE:VALUE settings as the array that llama.cpp reads, ended by an empty key."""
        values = (llama_cpp.llama_model_kv_override * (len(pairs) + 1))()
        for slot, pair in zip(values, pairs, strict=False):
            key, _, typed = pair.partition("=")
            kind, _, text = typed.partition(":")
            slot.key = key.encode()[:127]
            if kind == "bool":
                slot.tag, slot.value.val_bool = llama_cpp.LLAMA_KV_OVERRIDE_TYPE_BOOL, text.lower() in {"true", "1"}
            elif kind == "int":
                slot.tag, slot.value.val_i64 = llama_cpp.LLAMA_KV_OVERRIDE_TYPE_INT, int(text)
            elif kind == "float":
                slot.tag, slot.value.val_f64 = llama_cpp.LLAMA_KV_OVERRIDE_TYPE_FLOAT, float(text)
            else:
                slot.tag, slot.value.val_str = llama_cpp.LLAMA_KV_OVERRIDE_TYPE_STR, text.encode()[:127]
        self._keep.append(values)
        return values

    def _context_params(self, n_seq: int, *, embeds: bool) -> Any:
        options, params = self.options, llama_cpp.llama_context_default_params()
        n_ctx = options.n_ctx or int(llama_cpp.llama_model_n_ctx_train(self.model))
        params.n_ctx = n_ctx
        params.n_batch = min(n_ctx, options.n_batch)
        params.n_ubatch = min(params.n_batch, options.n_ubatch)
        params.n_seq_max = n_seq
        params.n_outputs_max = 0 if embeds else n_seq  # llama.cpp aborts below n_seq_max
        params.n_threads, params.n_threads_batch = options.n_threads, options.n_threads_batch
        params.kv_unified, params.swa_full, params.no_perf = True, options.swa_full, True
        params.offload_kqv, params.embeddings = options.offload_kqv, embeds
        params.flash_attn_type = -1 if options.flash_attn is None else int(options.flash_attn)
        if embeds and options.pooling != "auto":
            params.pooling_type = _POOLING[options.pooling]
        if options.type_k is not None:
            params.type_k = options.type_k
        if options.type_v is not None:
            params.type_v = options.type_v
        for name in ("rope_freq_base", "rope_freq_scale", "yarn_ext_factor", "yarn_attn_factor", "yarn_beta_fast"):
            setattr(params, name, getattr(options, name))
        params.rope_scaling_type = options.rope_scaling_type
        params.yarn_beta_slow, params.yarn_orig_ctx = options.yarn_beta_slow, options.yarn_orig_ctx
        return params


def default_sequences(model: Model) -> int:
    """Sequences of the cache: idle ones cost nothing where they only share a pool, else a window or state each."""
    n = model.options.n_parallel
    spare = 4 if model.is_stateful or model.n_window else max(16, n)
    return min(n + spare, int(llama_cpp.llama_max_parallel_sequences()))


def _paired(before: dict[str, int], now: dict[str, int]) -> list[tuple[str, int, int]]:
    return [(name, n, now[name]) for name, n in before.items() if name in now]


def _load_mode(options: ModelOptions) -> int:
    if options.use_mlock:
        return int(llama_cpp.LLAMA_LOAD_MODE_MMAP_MLOCK if options.use_mmap else llama_cpp.LLAMA_LOAD_MODE_MLOCK)
    return int(llama_cpp.LLAMA_LOAD_MODE_MMAP if options.use_mmap else llama_cpp.LLAMA_LOAD_MODE_NONE)


def _broken(options: ModelOptions, reason: str) -> ModelFileBroken:
    why = reason or "llama.cpp gave no reason"
    return ModelFileBroken(f"cannot load {options.model}: {why}; get a model with `{GET_ONE}`")
