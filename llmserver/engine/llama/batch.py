"""A llama_batch over arrays that Python fills by slices. Knows rows, nothing of who they belong to."""

from __future__ import annotations

import ctypes
from typing import Any

import llama_cpp
import numpy as np


class Batch:
    """A llama_batch over arrays that are filled by slices; each row belongs to one sequence."""

    def __init__(self, n: int) -> None:
        self._tokens, self._positions = np.zeros(n, np.int32), np.zeros(n, np.int32)
        self._seqs, self._counts = np.zeros(n, np.int32), np.ones(n, np.int32)
        self.logits = np.zeros(n, np.int8)
        base = self._seqs.ctypes.data
        self._seq_pointers = (ctypes.POINTER(ctypes.c_int32) * n)(
            *(ctypes.cast(base + 4 * i, ctypes.POINTER(ctypes.c_int32)) for i in range(n))
        )
        self._batch = llama_cpp.llama_batch(
            n_tokens=0,
            token=self._tokens.ctypes.data_as(ctypes.POINTER(ctypes.c_int32)),
            embd=None,
            pos=self._positions.ctypes.data_as(ctypes.POINTER(ctypes.c_int32)),
            n_seq_id=self._counts.ctypes.data_as(ctypes.POINTER(ctypes.c_int32)),
            seq_id=ctypes.cast(self._seq_pointers, ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))),
            logits=self.logits.ctypes.data_as(ctypes.POINTER(ctypes.c_int8)),
        )

    def fill(self, at: int, seq: int, start: int, tokens: Any, *, all_rows: bool = False) -> None:
        """Put a run of tokens of one sequence into the rows from `at` on."""
        n = len(tokens)
        if n == 1:
            self._tokens[at], self._positions[at], self._seqs[at] = tokens[0], start, seq
            self.logits[at] = all_rows
            return
        end = at + n
        self._tokens[at:end] = tokens
        self._positions[at:end] = np.arange(start, start + n, dtype=np.int32)
        self._seqs[at:end] = seq
        self.logits[at:end] = all_rows

    def of(self, n: int) -> Any:
        """The first n rows."""
        self._batch.n_tokens = n
        return self._batch
