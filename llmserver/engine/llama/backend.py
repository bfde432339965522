"""Carry plans out with llama.cpp: moves in its memory, one batch, tokens chosen in C. Decides nothing."""

from __future__ import annotations

import ctypes
import logging
import time
from collections.abc import Callable
from typing import Any

import llama_cpp
import numpy as np

from llmserver.engine.llama.batch import Batch
from llmserver.engine.llama.chain import Sampler
from llmserver.engine.llama.model import Model
from llmserver.engine.llama.scores import logprob
from llmserver.engine.llama.vocab import Vocab
from llmserver.engine.plan import Load, MemoryKind, Move, Plan, Result, Sample, Save, Share, Status, Traits, Trim, Work
from llmserver.engine.request import Adapter, Logprob, Request
from llmserver.errors import EngineFailed, LlmServerError, RequestError

log = logging.getLogger("llmserver")
_NO_ROOM = 1  # llama_decode: no cells for the batch, nothing has changed
_TO_THE_END = -1
_HOLDER_BYTES = 4  # in a saved state: the number of each sequence that holds a cell


class LlamaBackend:
    """One model in memory. open may be called from any thread, all else from the engine's."""

    def __init__(self, model: Model, vocab: Vocab) -> None:
        self._model, self._vocab = model, vocab
        self._ctx, self._memory = model.ctx, model.memory
        self._samplers: dict[int, tuple[Sampler, Request]] = {}
        self._blobs: dict[int, np.ndarray[Any, Any]] = {}
        self._adapters: dict[Adapter, Any] = {}
        self._adapter: Adapter | None = None
        self._batch = Batch(model.n_batch)
        self._state_bytes = 0  # of a whole state, whatever its cells hold
        self.traits = self._find_traits()

    def _find_traits(self) -> Traits:
        """What this model's memory can do, tried out with two tokens, which warms it up too."""
        n_bytes = []
        for start in range(2):
            self._batch.fill(0, 0, start, [0])
            llama_cpp.llama_decode(self._ctx, self._batch.of(1))
            n_bytes.append(llama_cpp.llama_state_seq_get_size(self._ctx, 0))
        per_token = n_bytes[1] - n_bytes[0]
        self._state_bytes = llama_cpp.llama_state_get_size(self._ctx) - 2 * per_token
        can_cut = llama_cpp.llama_memory_seq_rm(self._memory, 0, 1, _TO_THE_END)
        llama_cpp.llama_memory_clear(self._memory, True)
        window = self._model.n_window
        kind = MemoryKind.WINDOW if window else MemoryKind.PLAIN
        return Traits(
            n_cells=self._model.n_ctx,
            n_ctx=self._model.n_ctx,
            n_seq=self._model.n_seq,
            n_batch=self._model.n_batch,
            n_outputs=int(self._model.params.n_outputs_max),
            bytes_per_token=float(per_token),
            pieces=self._vocab.pieces,
            eog=self._vocab.eog,
            hidden=self._vocab.hidden,
            memory=MemoryKind.STATE if self._model.is_stateful or not can_cut else kind,
            n_window=window,
            bytes_fixed=float(n_bytes[0] - per_token),
        )

    def open(self, number: int, request: Request) -> None:
        """Make the request's samplers. Raises RequestError for a grammar that cannot be read."""
        self._samplers[number] = Sampler(self._model.vocab, self._vocab, request), request

    def close(self, number: int) -> None:
        """Free the request's samplers."""
        sampler, _ = self._samplers.pop(number, (None, None))
        if sampler is not None:
            sampler.free()

    def free(self) -> None:
        """Give samplers, saved texts and the model back."""
        for number in list(self._samplers):
            self.close(number)
        self._blobs.clear()
        self._adapters.clear()
        self._model.free()

    def add_adapter(self, adapter: Adapter, path: str) -> None:
        """Load a LoRA. Raises RequestError when it does not fit the model."""
        loaded = llama_cpp.llama_adapter_lora_init(self._model.model, path.encode())
        if not loaded:
            raise RequestError(f"{path} is no LoRA adapter for {self._model.options.model_alias}", param="path")
        self._adapters[adapter] = loaded

    def remove_adapter(self, adapter: Adapter) -> None:
        """Unload a LoRA; no request may use it."""
        if self._adapter == adapter:
            self._use(None)
        loaded = self._adapters.pop(adapter, None)
        if loaded:
            llama_cpp.llama_adapter_lora_free(loaded)

    def run(self, plan: Plan) -> Result:
        """Moves, then one batch under the plan's adapter, then a token for each row that wants one."""
        began = time.perf_counter()
        saved: dict[int, int] = {}
        unmoved = tuple(move for move in plan.moves if not self._move(move, saved)) if plan.moves else ()
        if not plan.work or any(not isinstance(move, Save) for move in unmoved):
            return Result(Status.OK, 0.0, saved=saved, unmoved=unmoved, floors=self._floors())
        self._use(plan.adapter)
        rows, n = [], 0
        for work in plan.work:
            self._batch.fill(n, work.seq, work.start, work.tokens, all_rows=bool(work.targets))
            n += len(work.tokens)
            rows.append(n - 1)
            self._batch.logits[n - 1] = work.samples or bool(work.targets)
        code = llama_cpp.llama_decode(self._ctx, self._batch.of(n))
        if code:
            return self._refused(code, saved, unmoved)
        samples = {w.request: self._sample(w, row) for w, row in zip(plan.work, rows, strict=True) if w.samples}
        scores = {w.request: self._scores(w, row) for w, row in zip(plan.work, rows, strict=True) if w.targets}
        return Result(Status.OK, time.perf_counter() - began, samples, scores, saved, unmoved, self._floors())

    def _refused(self, code: int, saved: dict[int, int], unmoved: tuple[Move, ...]) -> Result:
        if code == _NO_ROOM:
            return Result(Status.NO_ROOM, saved=saved, unmoved=unmoved, floors=self._floors())
        log.error("llama_decode refused a batch with code %d", code)
        reason = f"llama.cpp refused it with code {code}"
        return Result(Status.FAILED, saved=saved, unmoved=unmoved, floors=self._floors(), reason=reason)

    def _sample(self, work: Work, row: int) -> Sample | LlmServerError:
        sampler, request = self._samplers[work.request]
        try:
            alternatives = self._alternatives(request, row)
            token = sampler.sample(self._ctx, row)
        except Exception as why:  # one request's samplers must not end the loop
            log.error("cannot choose a token", exc_info=why)
            return EngineFailed("the engine could not choose a token: the log has the details")
        if token is None:
            return Sample(-1, ends=True)  # the grammar allows nothing more
        return Sample(token, alternatives(token) if alternatives else None)

    def _alternatives(self, request: Request, row: int) -> Callable[[int], Logprob] | None:
        if request.n_logprobs is None:
            return None
        values, n_top = self._row(row).copy(), request.n_logprobs  # samplers may write into the original
        return lambda token: logprob(values, token, n_top)

    def _scores(self, work: Work, last_row: int) -> tuple[Logprob, ...]:
        first = last_row - len(work.tokens) + 1
        n_top = self._samplers[work.request][1].n_logprobs or 0
        return tuple(logprob(self._row(first + i), target, n_top) for i, target in enumerate(work.targets))

    def _row(self, row: int) -> np.ndarray[Any, Any]:
        return np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(self._ctx, row), (self._vocab.size,))

    def _use(self, adapter: Adapter | None) -> None:
        """Put a LoRA, or none, in force."""
        if adapter == self._adapter:
            return
        if adapter is None:
            llama_cpp.llama_set_adapters_lora(self._ctx, None, 0, None)
        else:
            one = (llama_cpp.llama_adapter_lora_p_ctypes * 1)(self._adapters[adapter])
            llama_cpp.llama_set_adapters_lora(self._ctx, one, 1, (ctypes.c_float * 1)(adapter.scale))
        self._adapter = adapter

    def _floors(self) -> dict[int, int]:
        if self.traits.memory is not MemoryKind.WINDOW:
            return {}
        return {s: llama_cpp.llama_memory_seq_pos_min(self._memory, s) for s in range(self.traits.n_seq)}

    def _move(self, move: Move, saved: dict[int, int]) -> bool:
        if isinstance(move, Share):
            if llama_cpp.llama_memory_seq_pos_max(self._memory, move.source) < move.n - 1:
                return False
            llama_cpp.llama_memory_seq_cp(self._memory, move.source, move.target, 0, move.n)
            return True
        if isinstance(move, Trim):
            return bool(llama_cpp.llama_memory_seq_rm(self._memory, move.seq, move.n or -1, _TO_THE_END))
        if isinstance(move, Save):
            return self._save(move, saved)
        if isinstance(move, Load):
            return self._load(move)
        self._blobs.pop(move.blob, None)
        return True

    def _save(self, move: Save, saved: dict[int, int]) -> bool:
        size = llama_cpp.llama_state_seq_get_size_ext(self._ctx, move.seq, int(move.partial))
        try:
            data = np.empty(size, np.uint8)
        except MemoryError:
            return False
        pointer = data.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
        n = llama_cpp.llama_state_seq_get_data_ext(self._ctx, pointer, size, move.seq, int(move.partial))
        if n == 0:
            return False
        self._blobs[move.blob], saved[move.blob] = data, size
        return True

    def _load(self, move: Load) -> bool:
        data = self._blobs.get(move.blob)
        if data is None:
            return False
        pointer = data.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
        flags = int(move.partial)
        return bool(llama_cpp.llama_state_seq_set_data_ext(self._ctx, pointer, data.size, move.seq, flags))

    def used_cells(self) -> int:
        """Cells in use: a state's size is linear in them, and in how many sequences hold each.

        Where the memory is not PLAIN, what sequences share counts once for each of them.
        """
        lengths = [llama_cpp.llama_memory_seq_pos_max(self._memory, s) + 1 for s in range(self.traits.n_seq)]
        held = sum(lengths)
        if not held or self.traits.memory is not MemoryKind.PLAIN:
            return int(held)
        n_bytes = float(llama_cpp.llama_state_get_size(self._ctx) - self._state_bytes - held * _HOLDER_BYTES)
        return round(n_bytes / (self.traits.bytes_per_token - _HOLDER_BYTES))
