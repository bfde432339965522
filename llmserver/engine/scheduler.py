"""Decide what the next batch holds, and record what came of it. No threads, no clock, no llama.

Decoding rows come first, then as many prompt tokens as keep the step near its target time. Requests are admitted
with a little more room than their prompt; when cells run out, idle text goes to host RAM and then the youngest
request goes back to the queue. Every request ends with exactly one Finished or Failed, or by a cancel.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from llmserver.engine.answer import Answer, check_fits
from llmserver.engine.batch import Composer
from llmserver.engine.fair import FairQueue, TakeTurns
from llmserver.engine.memory import Memory
from llmserver.engine.pace import Pace
from llmserver.engine.plan import (
    Limits,
    Load,
    MemoryKind,
    Plan,
    Result,
    Save,
    Share,
    Status,
    Traits,
    Trim,
)
from llmserver.engine.prefix import common
from llmserver.engine.request import Adapter, Event, Finished, Logprob, PromptLogprobs, Request, Waiting
from llmserver.errors import ContextExceeded, EngineFailed, LlmServerError, QueueFull, QueueTimeout

_HEADROOM = 32  # cells that an admitted request gets beyond its prompt
_STEPS_OF_AN_ADAPTER = 4  # putting another LoRA in force costs milliseconds
_TIDY_EVERY = 4  # steps; only where answers flow and nobody waits for a first token
_WORTH_WAITING = 64  # prompt tokens that another request is about to compute anyway


class Scheduler:
    """All requests of one model, from the queue to their end."""

    def __init__(self, traits: Traits, limits: Limits) -> None:
        self.traits, self.limits = traits, limits
        self.memory = Memory(traits, limits.cache_bytes)
        self.pace = Pace(limits.step_s, traits.n_batch, limits.prompt_share)
        self.queue = FairQueue()
        self.running: OrderedDict[int, Answer] = OrderedDict()
        self.n_preempted = 0
        self._waiting: dict[int, Answer] = {}
        self._events: list[tuple[int, Event]] = []
        self._alone: dict[int, int] = {}  # suspects of a failed batch, and how far each must come without company
        self._cap = traits.n_batch
        self._adapter_turns = TakeTurns[Adapter | None](_STEPS_OF_AN_ADAPTER)
        self._n_steps = 0
        self._composer = Composer(traits, self.memory, self.pace, self.running, self._preempt)

    # -- what clients ask

    def submit(self, number: int, request: Request, now: float) -> None:
        """Queue a request. Raises ContextExceeded when it can never fit, QueueFull when too many wait."""
        check_fits(len(request.tokens), self.traits.n_ctx)
        idle = min(self.limits.n_parallel, self.traits.n_seq) - len(self.running)
        if len(self.queue) - max(0, idle) >= self.limits.max_queue:
            raise QueueFull(
                f"{len(self.queue)} requests wait already, more than {self.limits.max_queue} may not",
                retry_after_s=self._retry_after_s(),
            )
        self._waiting[number] = Answer(number, request, self.traits, now)
        self.queue.push(number, request.owner, now)

    def cancel(self, number: int) -> None:
        """Nobody wants the answer any more. What is computed of it stays findable."""
        answer = self._waiting.pop(number, None)
        if answer is not None:
            self._forget_waiting(answer)
            return
        answer = self.running.get(number)
        if answer is not None:
            self._end(answer)

    def fail_all(self, error: LlmServerError) -> None:
        """Answer everybody, running and waiting, with the error."""
        for answer in [*self.running.values()]:
            self._fail(answer, error)
        for number in [*self.queue]:
            self._fail_waiting(number, error)

    def take_events(self) -> list[tuple[int, Event]]:
        """Events since the last call: (request number, event)."""
        events, self._events = self._events, []
        return events

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to compute and nobody waits."""
        return not self.running and not len(self.queue)

    # -- decide

    def plan(self, now: float) -> Plan | None:
        """The next step, or None when nothing can be done now."""
        self._expire(now)
        if len(self.queue):
            self._admit(now)
        adapter, group = self._group()
        work = self._composer.compose(group, self._cap)
        self._n_steps += 1
        if self._n_steps % _TIDY_EVERY == 0 and all(answer.is_decoding for answer in group):
            self.memory.tidy()
        moves = self.memory.take_moves()
        return Plan(moves, tuple(work), adapter) if work or moves else None

    def _expire(self, now: float) -> None:
        for number in [n for n in self.queue if self.queue.waited_s(n, now) > self.limits.max_wait_s]:
            if self._waiting[number].cached is not None:
                continue  # it had its turn and was preempted: what it has is not thrown away
            waited = self.queue.waited_s(number, now)
            error = QueueTimeout(
                f"the request waited {waited:.0f} s and its turn did not come",
                retry_after_s=self._retry_after_s(),
            )
            self._fail_waiting(number, error)

    def _retry_after_s(self) -> int:
        """A guess at when a place will be free."""
        return 1 + len(self.queue) // max(1, self.limits.n_parallel)

    def _admit(self, now: float) -> None:
        self._record_all()
        for number in list(self.queue):
            if len(self.running) >= min(self.limits.n_parallel, self.traits.n_seq):
                break
            answer = self._waiting[number]
            if self._another_reads_it(answer):
                continue
            if not self._place(answer, now):
                break  # nobody overtakes a request that waits for cells: large ones would starve
        for place, number in enumerate(self.queue):
            self._tell_position(self._waiting[number], place + 1)

    def _tell_position(self, answer: Answer, position: int) -> None:
        if answer.position != position and answer.n_generated == 0:
            answer.position = position
            self._events.append((answer.number, Waiting(position)))

    def _place(self, answer: Answer, now: float) -> bool:
        reserved = sum(other.pending for other in self.running.values())
        headroom = min(_HEADROOM, answer.most - len(answer.text), self.traits.n_cells - len(answer.text))
        scope = answer.scope
        placed = self.memory.place(scope, answer.text, max(0, headroom) + reserved, reuse=answer.may_reuse)
        if placed is None:
            return False
        self.queue.take(answer.number)
        del self._waiting[answer.number]
        answer.admit(*placed, now)
        self._unpark(answer)
        self.running[answer.number] = answer
        return True

    def _another_reads_it(self, answer: Answer) -> bool:
        """Whether a running request is about to compute a long part of this prompt, so that waiting saves it."""
        if not answer.may_reuse:
            return False
        has = -1
        for other in self.running.values():
            if other.is_decoding or other.scope != answer.scope:
                continue
            n = min(common(answer.text, 0, other.text), len(answer.text) - 1)
            if self.traits.memory is not MemoryKind.PLAIN and n < len(other.text):
                continue  # it could not be cut back to the common part
            if other.done < n and n >= _WORTH_WAITING:
                has = self.memory.best(answer.scope, answer.text).n if has < 0 else has
                if n - max(has, other.done) >= _WORTH_WAITING:
                    return True
        return False

    def _group(self) -> tuple[Adapter | None, list[Answer]]:
        """The requests of this step: all under one adapter; adapters take turns."""
        for answer in map(self.running.get, self._alone):
            if answer is not None:
                return answer.request.adapter, [answer]
        present = list(dict.fromkeys(answer.request.adapter for answer in self.running.values()))
        if len(present) <= 1:
            return next(iter(present), None), list(self.running.values())
        chosen = self._adapter_turns.next_of(present)
        return chosen, [answer for answer in self.running.values() if answer.request.adapter == chosen]

    def _preempt(self, answer: Answer) -> None:
        """Take the request's cells; it goes on later, before the others."""
        assert answer.seq is not None  # noqa: S101 - running requests have one
        self._record(answer)
        answer.parked = self.memory.park(answer.seq)
        self._requeue(answer)
        self.n_preempted += 1

    # -- record

    def apply(self, plan: Plan, result: Result, now: float) -> None:
        """Take what came of the plan into the books, and make the events."""
        self.memory.resize(result.saved)
        self.memory.floors.update(result.floors)
        for move in result.unmoved:
            if isinstance(move, Save):
                self.memory.lost(move.blob)
        blocking = [move for move in result.unmoved if isinstance(move, Load | Share | Trim)]
        if result.status is Status.OK and not blocking:
            self._applied(plan, result, now)
            return
        self._take_back(plan)
        if blocking:
            self._restart(plan, blocking)
        elif result.status is Status.NO_ROOM:
            self._squeeze(plan)
        else:
            self._suspect(plan, result.reason)

    def _applied(self, plan: Plan, result: Result, now: float) -> None:
        self._cap = self.traits.n_batch
        if plan.work:
            n_prompt = sum(len(w.tokens) for w in plan.work if len(w.tokens) > 1)
            self.pace.observe(sum(len(w.tokens) == 1 for w in plan.work), n_prompt, result.seconds)
        for work in plan.work:
            answer = self.running[work.request]
            answer.done += len(work.tokens)
            if self._alone.get(answer.number, answer.done + 1) <= answer.done:
                del self._alone[answer.number]
            if work.targets:
                self._scored(answer, work.start + 1, result.scores.get(work.request, ()))
            if work.samples:
                self._sampled(answer, result, now)
            else:
                self._events.append((answer.number, answer.reading(now)))

    def _scored(self, answer: Answer, first: int, scores: Sequence[Logprob]) -> None:
        """Tell what was not told before the request lost its place and was read again."""
        told = max(answer.scored - first, 0)
        if told < len(scores):
            self._events.append((answer.number, PromptLogprobs(first + told, tuple(scores[told:]))))
            answer.scored = first + len(scores)

    def _sampled(self, answer: Answer, result: Result, now: float) -> None:
        sample = result.samples.get(answer.number) or EngineFailed("the engine chose no token")
        if isinstance(sample, LlmServerError):
            self._fail(answer, sample)
            return
        events = (answer.end_without_token(now),) if answer.most == answer.n_prompt else answer.take(sample, now)
        self._events.extend((answer.number, event) for event in events)
        if isinstance(events[-1], Finished):
            self._end(answer)

    def _take_back(self, plan: Plan) -> None:
        """Nothing of the batch was computed: its cells are free again."""
        for work in plan.work:
            self.memory.cells.trim(work.seq, work.start)

    def _restart(self, plan: Plan, blocking: list[Share | Load | Trim]) -> None:
        """Sequences that could not be filled begin anew, and what was saved of them since is worth nothing."""
        empty = {move.target if isinstance(move, Share) else move.seq for move in blocking}
        for move in plan.moves:
            if isinstance(move, Share) and move.source in empty:
                empty.add(move.target)
            if (move in blocking and isinstance(move, Load)) or (isinstance(move, Save) and move.seq in empty):
                self.memory.lost(move.blob)
        for answer in [a for a in self.running.values() if a.seq in empty]:
            answer.may_reuse = False
            self._begin_anew(answer)

    def _begin_anew(self, answer: Answer) -> None:
        """The request's cells are not to be trusted: it comes first in the queue, its text stays."""
        assert answer.seq is not None  # noqa: S101 - running requests have one
        self.memory.drop(answer.seq)
        self._requeue(answer)

    def _requeue(self, answer: Answer) -> None:
        del self.running[answer.number]
        answer.lose_place()
        self._waiting[answer.number] = answer
        self.queue.push_front(answer.number, answer.request.owner, answer.born)

    def _squeeze(self, plan: Plan) -> None:
        """The cache had no room although the books said so: give something up, then try a smaller batch."""
        if self.memory.evict():
            return
        n = sum(len(w.tokens) for w in plan.work)
        if n > len(plan.work):
            self._cap = max(1, n // 2)
        elif len(self.running) > 1:
            self._preempt(next(reversed(self.running.values())))
        elif plan.work:
            answer = self.running[plan.work[0].request]
            n_ctx = self.traits.n_ctx
            self._fail(answer, ContextExceeded(f"{len(answer.text)} tokens fill the context of {n_ctx}: shorten them"))

    def _suspect(self, plan: Plan, reason: str) -> None:
        """A batch failed: try its requests one by one, so that only the one that cannot be computed fails."""
        if len(plan.work) > 1:
            self._alone |= {work.request: work.start + len(work.tokens) for work in plan.work}
            for work in reversed(plan.work):
                self._roll_back(self.running[work.request], work.start)
            return
        for work in plan.work:
            answer = self.running[work.request]
            self.memory.drop(work.seq)
            answer.seq = None
            why = f": {reason}" if reason else ""
            self._fail(answer, EngineFailed(f"the model could not compute this request{why}"))

    def _roll_back(self, answer: Answer, n: int) -> None:
        """Part of a failed batch may be in the cells: cut it off, or begin anew where that cannot be done."""
        if self.traits.memory is MemoryKind.PLAIN and answer.seq is not None:
            self.memory.cut(answer.seq, n)
        else:
            self._begin_anew(answer)

    def _fail(self, answer: Answer, error: LlmServerError) -> None:
        self._events.append((answer.number, answer.fail(error)))
        self._end(answer)

    def _fail_waiting(self, number: int, error: LlmServerError) -> None:
        answer = self._waiting.pop(number)
        self._forget_waiting(answer)
        self._events.append((number, answer.fail(error)))

    def _forget_waiting(self, answer: Answer) -> None:
        self.queue.remove(answer.number)
        self._alone.pop(answer.number, None)
        self._unpark(answer)

    def _unpark(self, answer: Answer) -> None:
        self.memory.unpark(answer.parked)
        answer.parked = None

    def _end(self, answer: Answer) -> None:
        """The request leaves; its sequence stays, idle."""
        self._record(answer)
        del self.running[answer.number]
        self._alone.pop(answer.number, None)
        if answer.seq is not None:
            self.memory.release(answer.seq)

    def _record_all(self) -> None:
        for answer in self.running.values():
            self._record(answer)

    def _record(self, answer: Answer) -> None:
        """Make what the request computed findable."""
        if answer.seq is not None:
            self.memory.catch_up(answer.seq, answer.text, answer.done)
