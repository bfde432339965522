"""A backend without a model: the next token is a function of the whole text before it, so that a wrong move shows.

Keeps cells the way llama.cpp does and fails on purpose where a script says so. For tests, and to try a client.
"""

from __future__ import annotations

import threading
import time
import zlib
from array import array
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from llmserver.engine.plan import Load, MemoryKind, Move, Plan, Result, Sample, Save, Share, Status, Traits, Trim, Work
from llmserver.engine.request import Adapter, Logprob, Request
from llmserver.errors import LlmServerError, RequestError

Hook = Callable[[Plan], Result | None]
EOG = 0


def fake_traits(
    n_cells: int = 64,
    n_seq: int = 8,
    n_batch: int = 16,
    memory: MemoryKind = MemoryKind.PLAIN,
    n_window: int = 0,
    pieces: Sequence[bytes] = (),
) -> Traits:
    """Traits of a small pretended model; its tokens are bytes with a blank before them unless pieces are given."""
    table = tuple(pieces) or tuple(b" %d" % i for i in range(64))
    return Traits(
        n_cells=n_cells,
        n_ctx=n_cells,
        n_seq=n_seq,
        n_batch=n_batch,
        n_outputs=n_seq,
        bytes_per_token=4.0,
        pieces=table,
        eog=frozenset({EOG}),
        memory=memory,
        n_window=n_window,
    )


def next_token(text: Sequence[int], adapter: Adapter | None, n_vocab: int) -> int:
    """The token that follows a text: any change of any token or of the adapter changes it."""
    seed = zlib.crc32(array("i", text).tobytes(), zlib.crc32(repr(adapter).encode()))
    return 1 + seed % (n_vocab - 1)


@dataclass
class _Held:
    """A sequence: cell numbers and tokens, the recurrent state as the text it stands for, the first kept position."""

    cells: list[int] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    state: list[int] = field(default_factory=list)
    floor: int = 0


class FakeBackend:
    """A deterministic model. hooks: called in turn, one a step; a Result they return is the step's outcome.

    sampler_errors: by request number, raised as the sampler's answer. delay_s: how long a step takes. steps:
    every plan that was run. gate: when set to an event, each step waits for it.
    """

    def __init__(self, traits: Traits | None = None, *, delay_s: float = 0.0) -> None:
        self.traits = traits or fake_traits()
        self.hooks: deque[Hook] = deque()
        self.sampler_errors: dict[int, LlmServerError] = {}
        self.bad_moves: set[type] = set()
        self.delay_s = delay_s
        self.gate: threading.Event | None = None
        self.steps: list[Plan] = []
        self.open_requests: dict[int, Request] = {}
        self._seqs: dict[int, _Held] = {n: _Held() for n in range(self.traits.n_seq)}
        self._blobs: dict[int, _Held] = {}
        self._next_cell = 0

    def open(self, number: int, request: Request) -> None:
        """Accept anything but the grammar "broken"."""
        if request.sampling.grammar is not None and request.sampling.grammar.text == "broken":
            raise RequestError("the grammar cannot be read", param="grammar")
        self.open_requests[number] = request

    def close(self, number: int) -> None:
        """Forget the request."""
        self.open_requests.pop(number, None)

    def free(self) -> None:
        """Nothing to give back."""

    def used_cells(self) -> int:
        """Distinct cells that sequences hold."""
        return len({cell for held in self._seqs.values() for cell in held.cells})

    def run(self, plan: Plan) -> Result:
        """Carry the plan out, unless the script has another idea."""
        self.steps.append(plan)
        if self.gate is not None:
            self.gate.wait(20)
        if self.delay_s:
            time.sleep(self.delay_s)
        unmoved = tuple(move for move in plan.moves if not self._move(move))
        numbers = {m.blob for m in plan.moves if isinstance(m, Save)} & self._blobs.keys()
        saved = {number: 4 * len(self._blobs[number].tokens) for number in numbers}
        scripted = self.hooks.popleft()(plan) if self.hooks else None
        if scripted is not None:
            return replace(scripted, saved=saved, unmoved=unmoved, floors=self._floors())
        if any(isinstance(move, (Load, Share)) for move in unmoved):
            return Result(Status.OK, 0.0, saved=saved, unmoved=unmoved, floors=self._floors())
        if self.used_cells() + sum(len(w.tokens) for w in plan.work) > self.traits.n_cells:
            return Result(Status.NO_ROOM, 0.0, saved=saved, unmoved=unmoved, floors=self._floors())
        samples = {w.request: s for w in plan.work if (s := self._compute(w, plan.adapter)) is not None}
        scores = {w.request: tuple(Logprob(t, -1.0) for t in w.targets) for w in plan.work if w.targets}
        return Result(Status.OK, 0.001, samples, scores, saved, unmoved, self._floors())

    def _compute(self, work: Work, adapter: Adapter | None) -> Sample | LlmServerError | None:
        held = self._seqs[work.seq]
        if len(held.tokens) != work.start:
            raise AssertionError(f"sequence {work.seq} has {len(held.tokens)} tokens, not {work.start}")
        if self.traits.memory is MemoryKind.STATE and held.state != held.tokens:
            raise AssertionError(f"sequence {work.seq} goes on from another text's state")
        if self.traits.memory is MemoryKind.WINDOW and held.floor > max(0, work.start - self.traits.n_window):
            raise AssertionError(f"sequence {work.seq} goes on at {work.start} without its window")
        for token in work.tokens:
            held.tokens.append(token)
            held.cells.append(self._next_cell)
            self._next_cell += 1
        held.state = list(held.tokens)
        held.floor = max(held.floor, len(held.tokens) - self.traits.n_window) if self.traits.n_window else 0
        if not work.samples:
            return None
        error = self.sampler_errors.pop(work.request, None)
        token = next_token(held.tokens, adapter, len(self.traits.pieces))
        return error or Sample(token, Logprob(token, -0.5))

    def _floors(self) -> dict[int, int]:
        return {n: held.floor for n, held in self._seqs.items()}

    def _move(self, move: Move) -> bool:
        if type(move) in self.bad_moves:
            return False
        if isinstance(move, Share):
            source, target = self._seqs[move.source], self._seqs[move.target]
            if target.tokens:
                raise AssertionError(f"cannot share into a sequence with text: {move}")
            if len(source.tokens) < move.n:
                return False
            self._seqs[move.target] = _Held(
                source.cells[: move.n], source.tokens[: move.n], list(source.state), source.floor
            )
        elif isinstance(move, Trim):
            return self._trim(move)
        elif isinstance(move, Save):
            held = self._seqs[move.seq]
            self._blobs[move.blob] = _Held([], list(held.tokens), list(held.state), held.floor)
        elif isinstance(move, Load):
            return self._load(move)
        else:
            self._blobs.pop(move.blob, None)
        return True

    def _trim(self, move: Trim) -> bool:
        held = self._seqs[move.seq]
        if self.traits.memory is MemoryKind.STATE and 0 < move.n < len(held.state):
            return False
        del held.cells[move.n :], held.tokens[move.n :]
        if move.n == 0:
            self._seqs[move.seq] = _Held()
        return True

    def _load(self, move: Load) -> bool:
        blob, held = self._blobs.get(move.blob), self._seqs[move.seq]
        if blob is None:
            return False
        if move.partial:
            held.state, held.floor = list(blob.state), blob.floor
            return True
        if held.tokens:
            raise AssertionError(f"cannot load into a sequence with text: {move}")
        cells = list(range(self._next_cell, self._next_cell + len(blob.tokens)))
        self._next_cell += len(cells)
        self._seqs[move.seq] = _Held(cells, list(blob.tokens), list(blob.state), blob.floor)
        return True
