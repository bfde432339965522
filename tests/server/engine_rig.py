"""A scheduler beside a fake backend, one step at a time, with everything that must always hold checked after each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, settings

from llmserver.engine.answer import Answer
from llmserver.engine.fake import FakeBackend, fake_traits, next_token
from llmserver.engine.plan import Limits, MemoryKind, Plan, Result, Status, Traits, Work
from llmserver.engine.request import Event, Failed, Finished, PromptLogprobs, Request, Token
from llmserver.engine.scheduler import Scheduler
from llmserver.errors import LlmServerError

# PADDOCK_THOROUGH=20 searches twenty times as long.
_TIMES = int(os.environ.get("PADDOCK_THOROUGH", "1"))
_MANY_STEPS = 3000


def search(max_examples: int, steps: int = 50) -> settings:
    """How hypothesis looks for a counterexample: the same way each time in CI, and quickly unless asked otherwise."""
    return settings(
        max_examples=max_examples * _TIMES,
        stateful_step_count=steps,
        deadline=None,
        derandomize="CI" in os.environ,
        suppress_health_check=list(HealthCheck),
    )


def alone(request: Request, traits: Traits) -> list[int]:
    """The tokens of the answer that a model without any cache or company would give."""
    text, answer = list(request.tokens), []
    most = traits.n_ctx - len(text)
    for _ in range(most if request.max_tokens is None else min(most, request.max_tokens)):
        answer.append(next_token([*text, *answer], request.adapter, len(traits.pieces)))
    return answer


class RiggedBackend(FakeBackend):
    """A fake that fails as llama.cpp does: a batch that cannot be computed may leave half of itself in the cells.

    poison: requests that no batch can be computed with. byte_factor: how wrong the scheduler's guess at the size of
    what it saves is. token_s: the price of a token, on top of a millisecond a step.
    """

    def __init__(self, traits: Traits, byte_factor: float = 1.0) -> None:
        super().__init__(traits)
        self.poison: set[int] = set()
        self._byte_factor = byte_factor
        self.token_s = 0.0

    def run(self, plan: Plan) -> Result:
        if self.poison & {work.request for work in plan.work}:
            self.hooks.appendleft(lambda _: Result(Status.FAILED, reason="poison"))
        result = super().run(plan)
        if result.status is Status.FAILED and not result.unmoved:
            for work in plan.work[: (len(plan.work) + 1) // 2]:
                self._compute(work, plan.adapter)
        saved = {number: int(size * self._byte_factor) for number, size in result.saved.items()}
        seconds = result.seconds + self.token_s * sum(len(work.tokens) for work in plan.work)
        return replace(result, saved=saved, seconds=seconds, floors=self._floors())

    def tokens(self, seq: int) -> list[int]:
        """What a sequence holds."""
        return self._seqs[seq].tokens

    def blobs(self) -> set[int]:
        """The numbers of what is saved."""
        return set(self._blobs)


class Rig:
    """Requests on their way through one scheduler. Checks after each step; `finish` checks that nobody was lost."""

    def __init__(self, traits: Traits | None = None, limits: Limits | None = None, byte_factor: float = 1.0) -> None:
        self.traits = traits or fake_traits()
        self.backend = RiggedBackend(self.traits, byte_factor)
        self.scheduler = Scheduler(self.traits, limits or Limits(cache_bytes=10_000))
        self.now = 0.0
        self.requests: dict[int, Request] = {}
        self.events: dict[int, list[Event]] = {}
        self.ended: dict[int, Finished | Failed] = {}
        self.cancelled: set[int] = set()
        self.admitted: list[int] = []
        self.had_trouble = False
        self._n_idle_steps = 0

    # -- what a client does

    def submit(self, tokens: Sequence[int], **fields: Any) -> int:
        """Queue a request; its number. Raises what the scheduler raises."""
        number, request = len(self.requests) + 1, Request(tuple(tokens), **fields)
        self.scheduler.submit(number, request, self.now)
        self.requests[number], self.events[number] = request, []
        return number

    def cancel(self, number: int) -> None:
        """Nobody wants the answer any more."""
        self.scheduler.cancel(number)
        if number not in self.ended:
            self.cancelled.add(number)

    def answer(self, number: int) -> list[int]:
        """The tokens that came so far."""
        return [event.token for event in self.events[number] if isinstance(event, Token)]

    def finished(self, number: int) -> Finished:
        """How the request ended."""
        end = self.ended[number]
        assert isinstance(end, Finished), end
        return end

    def error(self, number: int) -> LlmServerError:
        """Why the request failed."""
        end = self.ended[number]
        assert isinstance(end, Failed), end
        return end.error

    @property
    def open(self) -> list[int]:
        """Requests without an end."""
        return [number for number in self.requests if number not in self.ended and number not in self.cancelled]

    @property
    def n_read(self) -> int:
        """Tokens that the backend was asked to compute so far."""
        return sum(len(work.tokens) for plan in self.backend.steps for work in plan.work)

    def rows(self, number: int) -> list[Work]:
        """What was computed for a request, step after step."""
        return [work for plan in self.backend.steps for work in plan.work if work.request == number]

    # -- time passes

    def step(self, seconds: float = 0.01) -> Plan | None:
        """One step of the engine."""
        self.now += seconds
        scheduler = self.scheduler
        before = list(scheduler.running)
        plan = scheduler.plan(self.now)
        self._note_admitted(before)
        self._check_plan(plan)
        if plan is not None:
            result = self.backend.run(plan)
            is_trouble = result.status is not Status.OK or bool(result.unmoved)
            scheduler.apply(plan, result, self.now)
            self.had_trouble |= is_trouble or scheduler.n_preempted > 0
        self._take_events()
        self._check_books()
        self._n_idle_steps = 0 if plan is not None or scheduler.is_idle else self._n_idle_steps + 1
        assert self._n_idle_steps < 3, "requests wait and nothing is done for them"
        return plan

    def run(self, *until: int) -> None:
        """Step until these requests have ended, all of them if none is named."""
        for _ in range(_MANY_STEPS):
            if self.scheduler.is_idle or (until and self.ended.keys() >= set(until)):
                self._take_events()
                return
            self.step(0.0001)
        raise AssertionError(f"requests starve: {self.open}")

    def finish(self) -> None:
        """Run to the end; everybody was answered, and rightly."""
        self.run()
        assert not self.open, "requests were lost"
        for number, end in self.ended.items():
            want = alone(self.requests[number], self.traits)
            if isinstance(end, Failed):
                assert self.answer(number) == want[: len(self.answer(number))]
            else:
                assert self.answer(number) == want, "the answer differs from the one without company"
                self._check_end(number, end)

    # -- what must hold

    def _take_events(self) -> None:
        for number, event in self.scheduler.take_events():
            assert number not in self.ended, f"{event} after the end of {number}"
            assert number not in self.cancelled, f"{event} after {number} was cancelled"
            self.events[number].append(event)
            if isinstance(event, Finished | Failed):
                self.ended[number] = event

    def _note_admitted(self, before: list[int]) -> None:
        """New requests of an owner are admitted in the order of their coming."""
        for number in self.scheduler.running:
            if number in before or number in self.admitted:
                continue
            owner = self.requests[number].owner
            older = [n for n in self._never_ran() if n < number and self.requests[n].owner == owner]
            assert not older or self._may_wait_for_reader(), f"{number} overtook {older}"
            self.admitted.append(number)

    def _never_ran(self) -> list[int]:
        return [number for number in self.scheduler.queue if number not in self.admitted]

    def _may_wait_for_reader(self) -> bool:
        return max(len(request.tokens) for request in self.requests.values()) >= 64

    def _check_plan(self, plan: Plan | None) -> None:
        work = plan.work if plan else ()
        running = self.scheduler.running
        assert len({row.seq for row in work}) == len(work), "two rows for one sequence"
        assert sum(len(row.tokens) for row in work) <= self.traits.n_batch
        outputs = sum(len(row.tokens) if row.targets else int(row.samples) for row in work)
        assert outputs <= self.traits.n_outputs
        adapter = plan.adapter if plan else None
        assert all(running[row.request].request.adapter == adapter for row in work), "adapters in one batch"
        if self.scheduler._alone.keys() & running.keys():
            assert len(work) <= 1, "a suspect has company"
            return
        group = [answer for answer in running.values() if answer.request.adapter == adapter]
        self._check_order(work, [answer for answer in group if answer.is_decoding])
        assert work or not group, "requests run and nothing is computed"

    def _check_order(self, work: Sequence[Work], decoding: list[Answer]) -> None:
        first = [row.request for row in work[: len(decoding)]]
        assert sorted(first) == sorted(a.number for a in decoding), "decodes come first, and none is left out"
        prompt = sum(len(row.tokens) for row in work[len(decoding) :])
        assert prompt <= self.scheduler.pace.budget(len(decoding)), "more of a prompt than the pace allows"

    def _check_books(self) -> None:
        memory = self.scheduler.memory
        assert 0 <= memory.cells.used <= self.traits.n_cells
        assert self.scheduler._alone.keys() <= set(self.open), "a suspect that is gone is still remembered"
        host = memory.host
        assert host.size_bytes <= host.limit_bytes or all(host.is_kept(blob) for blob in host._sizes)
        assert host.size_bytes == sum(host._sizes.values())
        seqs = [*memory._free, *memory._idle, *memory._busy]
        assert sorted(seqs) == list(range(self.traits.n_seq)), "a sequence is nowhere or in two places"
        assert sorted(memory._busy) == sorted(a.seq for a in self.scheduler.running.values() if a.seq is not None)
        if memory._moves:
            return
        assert memory.cells.used == self.backend.used_cells(), "the books and the cells differ"
        for seq in seqs:
            assert memory.cells.length(seq) == len(self.backend.tokens(seq))
        for seq in memory._idle:
            assert list(memory.index.text(seq)) == self.backend.tokens(seq)
        assert {blob.number for blob in host._sizes} == self.backend.blobs()

    def _check_end(self, number: int, end: Finished) -> None:
        request, usage = self.requests[number], end.usage
        assert usage.prompt_tokens == len(request.tokens)
        assert usage.completion_tokens == len(self.answer(number))
        assert 0 <= usage.cached_tokens <= usage.prompt_tokens - 1
        scored = [
            event.first + i
            for event in self.events[number]
            if isinstance(event, PromptLogprobs)
            for i in range(len(event.values))
        ]
        assert scored == (list(range(1, len(request.tokens))) if request.prompt_logprobs else [])


def several(rig: Rig, n: int, length: int = 10, **fields: Any) -> list[int]:
    """Requests whose prompts have nothing in common."""
    return [rig.submit([k + 1] * length, **fields) for k in range(n)]


def traits_of(kind: MemoryKind, **fields: Any) -> Traits:
    """Traits of a small model with this memory."""
    window = {"n_window": 8} if kind is MemoryKind.WINDOW and "n_window" not in fields else {}
    return fake_traits(memory=kind, **window, **fields)
