"""Write the embedded model with 16-bit weights: without rounding to 8 bits in every product, texts can be compared."""

from __future__ import annotations

import ctypes
from pathlib import Path

import llama_cpp

from llmserver.engine.llama.log import LlamaLog


def write_exact(path: Path, model: Path) -> Path:
    """A copy of the model with float16 weights, made by llama.cpp."""
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype, params.allow_requantize = llama_cpp.LLAMA_FTYPE_MOSTLY_F16, True
    with LlamaLog(verbose=False):
        status = llama_cpp.llama_model_quantize(str(model).encode(), str(path).encode(), ctypes.byref(params))
    assert status == 0
    return path
