"""Compose one batch: a row for every decoding request, then prompt tokens within the budget. No llama, no clock."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

from llmserver.engine.answer import Answer
from llmserver.engine.memory import Memory
from llmserver.engine.pace import Pace
from llmserver.engine.plan import MemoryKind, Traits, Work

_WORTH_MARKING = 32  # prompt tokens below which a checkpoint saves nothing


class Composer:
    """Chooses rows and takes cells for them. Asks for a preemption when there are none left."""

    def __init__(
        self,
        traits: Traits,
        memory: Memory,
        pace: Pace,
        running: OrderedDict[int, Answer],
        preempt: Callable[[Answer], None],
    ) -> None:
        self._traits, self._memory, self._pace = traits, memory, pace
        self._running, self._preempt = running, preempt

    def compose(self, group: Sequence[Answer], cap: int) -> list[Work]:
        """Rows of decoding requests, then prompt tokens within the budget, oldest request first."""
        work = [row for answer in group if answer.is_decoding and (row := self._decode_row(answer))]
        work = [row for row in work if row.request in self._running]
        budget = min(self._pace.budget(len(work)), cap - len(work))
        outputs = self._traits.n_outputs - len(work)
        readers = [answer for answer in group if not answer.is_decoding]
        shares = [(answer, budget) for answer in readers]
        shortest = min(readers, key=lambda answer: answer.pending, default=None)
        if shortest is not None and shortest.pending < readers[0].pending:
            shares.insert(0, (shortest, max(1, budget // 2)))  # a long prompt does not hold up a short one
        seen: set[int] = set()
        for answer, share in shares:
            if budget <= 0 or outputs <= 0:
                break
            if answer.number in seen or answer.number not in self._running:
                continue
            seen.add(answer.number)
            row = self._prompt_row(answer, min(share, budget), outputs, is_first=not work)
            if row is not None:
                work.append(row)
                budget -= len(row.tokens)
                outputs -= len(row.tokens) if row.targets else int(row.samples)
        return work

    def _decode_row(self, answer: Answer) -> Work | None:
        if answer.number not in self._running:
            return None  # preempted for an older one a moment ago
        while not self._memory.make_room(1):
            youngest = next(reversed(self._running.values()))
            self._preempt(youngest)
            if youngest is answer:
                return None
        return self._row(answer, 1)

    def _prompt_row(self, answer: Answer, budget: int, outputs: int, *, is_first: bool) -> Work | None:
        n = min(answer.pending, budget)
        if answer.request.prompt_logprobs and answer.done < answer.n_prompt:
            n = min(n, outputs)
        n = self._stop_at_mark(answer, n)
        if not self._memory.make_room(n):
            n = min(n, self._memory.cells.free)
        while n <= 0 and is_first and len(self._running) > 1:
            youngest = next(reversed(self._running.values()))
            self._preempt(youngest)
            if youngest is answer:
                return None
            n = min(answer.pending, budget, self._memory.cells.free)
        return self._row(answer, n) if n > 0 else None

    def _stop_at_mark(self, answer: Answer, n: int) -> int:
        """Where the end cannot be cut, save the state one token before the prompt's end: later turns begin there."""
        if self._traits.memory is MemoryKind.PLAIN or answer.done >= answer.n_prompt or not answer.may_reuse:
            return n
        at = answer.n_prompt - 1
        if answer.done < at:
            return min(n, at - answer.done)
        if answer.done == at and answer.checkpoint != at and at >= _WORTH_MARKING and answer.seq is not None:
            answer.checkpoint = at
            self._memory.catch_up(answer.seq, answer.text, answer.done)
            self._memory.mark(answer.seq, answer.text[:at])
        return n

    def _row(self, answer: Answer, n: int) -> Work:
        assert answer.seq is not None  # noqa: S101 - running requests have one
        self._memory.cells.grow(answer.seq, n)
        end = answer.done + n
        tokens, samples = answer.text[answer.done : end], end == len(answer.text)
        if not answer.request.prompt_logprobs:
            return Work(answer.number, answer.seq, answer.done, tokens, samples)
        targets = answer.text[answer.done + 1 : min(end + 1, answer.n_prompt)]
        return Work(answer.number, answer.seq, answer.done, tokens, samples, targets)
