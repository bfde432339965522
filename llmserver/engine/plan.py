"""What one step of the engine does and what came of it: the values between the scheduler and a backend.

What is made for every token is a named tuple: a frozen dataclass takes four times as long to make.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from llmserver.engine.request import Adapter, Logprob
from llmserver.errors import LlmServerError


class MemoryKind(Enum):
    """What a model's memory can do with the end of a sequence.

    PLAIN: cut it anywhere. WINDOW: cut it where the sliding window before the cut is still there. STATE: a
    recurrent state, which cannot be cut, only replaced by a saved one.
    """

    PLAIN = "plain"
    WINDOW = "window"
    STATE = "state"


@dataclass(frozen=True)
class Traits:
    """What a backend can hold and do; counts in tokens or cells, unless named otherwise.

    n_ctx: the longest sequence. n_outputs: rows of a batch that may yield a token. hidden: special tokens that do
    not show in the text. pieces: the bytes of each token. bytes_fixed: what a saved sequence takes beside its tokens'
    bytes_per_token, a recurrent state above all.
    """

    n_cells: int
    n_ctx: int
    n_seq: int
    n_batch: int
    n_outputs: int
    bytes_per_token: float
    pieces: Sequence[bytes]
    eog: frozenset[int] = frozenset()
    hidden: frozenset[int] = frozenset()
    memory: MemoryKind = MemoryKind.PLAIN
    n_window: int = 0
    bytes_fixed: float = 0.0


@dataclass(frozen=True)
class Limits:
    """What the owner allows: sizes in bytes, times in seconds."""

    n_parallel: int = 8
    max_queue: int = 64
    max_wait_s: float = 120.0
    step_s: float = 0.1
    prompt_share: float = 0.9
    cache_bytes: int = 0


@dataclass(frozen=True)
class Share:
    """Let the target, an empty sequence, hold the first n cells of the source."""

    source: int
    target: int
    n: int


@dataclass(frozen=True)
class Trim:
    """Keep the first n cells of a sequence; 0 empties it."""

    seq: int
    n: int


@dataclass(frozen=True)
class Save:
    """Copy a sequence to host RAM under a number; partial: only what cannot be cut back (window, state)."""

    seq: int
    blob: int
    partial: bool = False


@dataclass(frozen=True)
class Load:
    """Bring a saved sequence back into an empty one; partial: into one that has the other cells."""

    blob: int
    seq: int
    partial: bool = False


@dataclass(frozen=True)
class Forget:
    """Free what was saved under the number."""

    blob: int


Move = Share | Trim | Save | Load | Forget


class Work(NamedTuple):
    """Tokens to compute at the end of a sequence. samples: choose the next token after the last of them.

    targets: tokens of the prompt whose log probabilities are wanted, each after the row of the same place.
    """

    request: int
    seq: int
    start: int
    tokens: array[int]
    samples: bool
    targets: Sequence[int] = ()


@dataclass(frozen=True)
class Plan:
    """Moves, in this order, then one batch under one adapter."""

    moves: tuple[Move, ...]
    work: tuple[Work, ...]
    adapter: Adapter | None = None


class Status(Enum):
    """How the batch ended. NO_ROOM: nothing was computed, a smaller batch may fit. FAILED: it cannot be computed."""

    OK = "ok"
    NO_ROOM = "no_room"
    FAILED = "failed"


class Sample(NamedTuple):
    """The chosen token. ends: there is none, the answer is whole."""

    token: int
    logprob: Logprob | None = None
    ends: bool = False


@dataclass(frozen=True)
class Result:
    """What came of a plan.

    samples: by request, the next token or why there is none. scores: by request, log probabilities of prompt
    tokens. saved: bytes by blob. unmoved: moves that failed; without a Load or a Share the batch was not run.
    floors: the first position that is still there, by sequence, where the memory is a WINDOW.
    """

    status: Status
    seconds: float = 0.0
    samples: Mapping[int, Sample | LlmServerError] = field(default_factory=dict)
    scores: Mapping[int, tuple[Logprob, ...]] = field(default_factory=dict)
    saved: Mapping[int, int] = field(default_factory=dict)
    unmoved: tuple[Move, ...] = ()
    floors: Mapping[int, int] = field(default_factory=dict)
    reason: str = ""
