"""A real model with a scheduler that a test steps by hand: no HTTP, no thread, every event kept."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmserver.engine.llama.load import load_chat
from llmserver.engine.plan import Limits, Plan, Trim
from llmserver.engine.request import Event, Failed, Finished, Logprob, Request, Sampling, Token, Usage
from llmserver.engine.scheduler import Scheduler
from llmserver.errors import LlmServerError
from llmserver.settings import ModelOptions
from tests.processes import MODEL

GREEDY = Sampling(temperature=0)
MIB = 1024 * 1024
_MANY_STEPS = 20_000
TOPICS = ("the sea", "a fox", "two brothers", "the moon", "a clock", "bread", "a bridge", "rain")


@dataclass(frozen=True)
class Run:
    """The tokens of an answer, each with the two likeliest of its place."""

    tokens: list[int]
    logprobs: list[Logprob]

    def gap(self, other: Run) -> float | None:
        """None for the same tokens; else how far apart the two candidates were, in nat, where they part first."""
        if self.tokens == other.tokens:
            return None
        at = next(i for i, (a, b) in enumerate(zip(self.tokens, other.tokens, strict=False)) if a != b)
        tops = [run.logprobs[at].top for run in (self, other)]
        assert {token for token, _ in tops[0]} == {token for token, _ in tops[1]}, "they part, and not at a tie"
        return max(first - second for (_, first), (_, second) in tops)


class Engine:
    """One model, loaded. Its methods are called from one thread only."""

    def __init__(self, model: Path = MODEL, *, cache_mib: int = 256, **options: Any) -> None:
        given = {"model": str(model), "model_alias": "m", "n_ctx": 2048} | options
        self.info, self.words, self.backend = load_chat(ModelOptions(**given))
        self._limits = Limits(n_parallel=int(given.get("n_parallel", 8)), cache_bytes=cache_mib * MIB)
        self._number = 0
        self.reset()

    def reset(self) -> None:
        """Begin anew with empty caches."""
        for number in range(1, self._number + 1):
            self.backend.close(number)
        self.backend.run(Plan(tuple(Trim(seq, 0) for seq in range(self.backend.traits.n_seq)), ()))
        self.backend._blobs.clear()
        self.scheduler = Scheduler(self.backend.traits, self._limits)
        self.events: dict[int, list[Event]] = {}
        self.steps: list[Plan] = []

    # -- ask

    def tokens_of(self, text: str) -> tuple[int, ...]:
        """A text as it is, special tokens read."""
        return tuple(self.words.tokenize(text, bos=False, special=True))

    def ask(self, prompt: str | Sequence[int], max_tokens: int | None = 24, **fields: Any) -> int:
        """Queue a request; its number. Greedy unless a sampling is given."""
        self._number += 1
        tokens = self.tokens_of(prompt) if isinstance(prompt, str) else tuple(prompt)
        request = Request(tokens, max_tokens, **{"sampling": GREEDY} | fields)
        self.backend.open(self._number, request)
        self.scheduler.submit(self._number, request, time.perf_counter())
        self.events[self._number] = []
        return self._number

    def step(self) -> bool:
        """One step; whether there was anything to do."""
        plan = self.scheduler.plan(time.perf_counter())
        if plan is not None:
            self.steps.append(plan)
            self.scheduler.apply(plan, self.backend.run(plan), time.perf_counter())
        for number, event in self.scheduler.take_events():
            assert not self.is_over(number), f"{event} after the end of {number}"
            self.events[number].append(event)
            if self.is_over(number):
                self.backend.close(number)
        return plan is not None

    def run(self) -> None:
        """Step until everybody is answered."""
        for _ in range(_MANY_STEPS):
            if self.scheduler.is_idle:
                assert all(map(self.is_over, self.events)), "requests were lost"
                return
            self.step()
        raise AssertionError("requests starve")

    def answer(self, prompt: str | Sequence[int], max_tokens: int | None = 24, **fields: Any) -> str:
        """The text of a request that runs now, beside those under way."""
        number = self.ask(prompt, max_tokens, **fields)
        self.run()
        return self.text(number)

    # -- what came

    def is_over(self, number: int) -> bool:
        """Whether the request has its end."""
        return bool(self.events[number]) and isinstance(self.events[number][-1], Finished | Failed)

    def end(self, number: int) -> Finished:
        """How the request ended; fails the test when it failed."""
        end = self.events[number][-1]
        assert isinstance(end, Finished), end
        return end

    def error(self, number: int) -> LlmServerError:
        """Why the request failed."""
        end = self.events[number][-1]
        assert isinstance(end, Failed), end
        return end.error

    def usage(self, number: int) -> Usage:
        """What the request cost."""
        return self.end(number).usage

    def tokens(self, number: int) -> list[int]:
        """The answer's tokens."""
        return [event.token for event in self.events[number] if isinstance(event, Token)]

    def logprobs(self, number: int) -> list[Logprob]:
        """What was told beside each token."""
        return [event.logprob for event in self.events[number] if isinstance(event, Token) and event.logprob]

    def text(self, number: int) -> str:
        """The answer."""
        told = "".join(event.text for event in self.events[number] if isinstance(event, Token))
        return told + self.end(number).text

    def run_of(self, number: int) -> Run:
        """A finished request's tokens, with what was told beside them."""
        return Run(self.tokens(number), self.logprobs(number))

    @property
    def n_read(self) -> int:
        """Tokens computed so far."""
        return sum(len(work.tokens) for plan in self.steps for work in plan.work)

    def check_cells(self) -> None:
        """The scheduler's books say what llama.cpp says, once the moves are made that wait for the next step."""
        if self.scheduler.memory._moves:
            self.step()
        assert self.scheduler.memory.cells.used == self.backend.used_cells()


def chat(*turns: str) -> str:
    """A conversation in the embedded model's own form; user and assistant take turns."""
    roles = ("user", "assistant")
    said = "".join(f"<|im_start|>{roles[i % 2]}\n{text}<|im_end|>\n" for i, text in enumerate(turns))
    return f"<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{said}<|im_start|>assistant\n"


def story(topic: str) -> str:
    """A prompt that the model answers at length."""
    return chat(f"Tell me a story about {topic}.")
