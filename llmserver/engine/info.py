"""What is known of a model once it is loaded. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Placement:
    """Where a model lies. planned: bytes of weights and KV cache on the "card" and in "ram", by arithmetic; allocated:
    bytes of each kind of buffer by device, as llama.cpp told while it loaded. n_layers: blocks and the output. free:
    what the driver said by card "before" the load, "loaded" and "warm", after a full batch; empty without a card."""

    n_layers: int
    n_gpu_layers: int
    n_cpu_ffn: int
    n_ubatch: int
    kv: str
    planned: Mapping[str, Mapping[str, int]]
    allocated: Mapping[str, Mapping[str, int]]
    free: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelInfo:
    """A loaded model. Counts in tokens, size in bytes; bos and eos as text, their ids -1 where there are none.

    kind: chat, embedding or rerank. n_ctx: the most that prompt and answer may have together. fim: the tokens that
    mark prefix, suffix and middle of a text to fill in.
    """

    name: str
    kind: str
    n_ctx: int
    n_ctx_train: int
    n_vocab: int
    n_embd: int
    size_bytes: int
    chat_template: str = ""
    bos: str = ""
    eos: str = ""
    bos_id: int = -1
    eos_id: int = -1
    add_bos: bool = False
    eog: frozenset[int] = frozenset()
    fim: tuple[int, int, int] | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    placement: Placement | None = None
