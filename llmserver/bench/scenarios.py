"""Decide what each scenario sends and which figures it yields. Knows neither the command line nor how it is shown."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from llmserver.bench.answer import Answer, Recorder
from llmserver.bench.busy import busy, n_cores
from llmserver.bench.client import Messages, Server, chat
from llmserver.bench.prompts import dice, go_on, story
from llmserver.bench.stats import median

BURSTS = (4, 8)
N_SINGLE = 3
N_CONVERSATIONS = 4
N_TURNS = 6
N_MANY = 32
N_DECODING = 3
N_LONG_WORDS = 900
_N_WORDS = 60
_N_WORDS_OF_CONVERSATION = 200
_N_SHORT_TOKENS = 16
_N_CHUNKS_BEFORE_LONG = 8
_MOST_SEED = 2**31 - 1


@dataclass(frozen=True)
class Figure:
    """One measured value; None when the server gave nothing to measure. Unit: tokens/s, s, tokens, MB, or a count."""

    name: str
    unit: str
    value: float | None


@dataclass(frozen=True)
class Sample:
    """One answer with what it was asked for."""

    kind: str
    answer: Answer


@dataclass(frozen=True)
class Run:
    """What one run of a scenario against one server brought."""

    scenario: str
    server: str
    number: int
    wall_s: float
    cpu_s: float
    """Processor time of the load generator itself."""
    figures: tuple[Figure, ...]
    samples: tuple[Sample, ...]
    problems: tuple[str, ...] = ()
    """What was wrong, one entry each: errors, cut-off streams, broken promises."""


@dataclass(frozen=True)
class Trial:
    """One run to be made."""

    server: Server
    seed: int
    number: int
    n_tokens: int
    scenario: str = ""

    def dice(self, *place: object) -> random.Random:
        """Chance of this run alone: other runs, scenarios and twins of the server get other texts."""
        return dice(self.seed, self.server.n_twin, self.number, self.scenario, *place)

    async def ask(
        self,
        messages: Messages,
        rng: random.Random,
        n_tokens: int | None = None,
        on_text: Callable[[int], None] | None = None,
    ) -> Recorder:
        """Stream one answer. Streams that run at once are taken apart after the last has ended."""
        body = self.server.chat(messages, n_tokens or self.n_tokens, rng.randrange(_MOST_SEED))
        return await chat(self.server, body, on_text=on_text)


Outcome = tuple[list[Figure], list[Sample]]
Scenario = Callable[[Trial], Awaitable[Outcome]]


async def run(scenario: Scenario, trial: Trial) -> Run:
    """Run a scenario once."""
    began, cpu_began = time.perf_counter(), time.process_time()
    figures, samples = await scenario(trial)
    return Run(
        scenario=trial.scenario,
        server=trial.server.label,
        number=trial.number,
        wall_s=time.perf_counter() - began,
        cpu_s=time.process_time() - cpu_began,
        figures=tuple(figures),
        samples=tuple(samples),
        problems=tuple(filter(None, (problem(sample.answer) for sample in samples))),
    )


def problem(answer: Answer) -> str:
    """What is wrong with an answer that should have been a good one; empty for a good one."""
    if answer.error:
        return answer.error
    return "cut off: the stream ended without a finish_reason" if answer.is_cut_off else ""


async def single(trial: Trial) -> Outcome:
    """One stream at a time."""
    answers = [(await _story(trial, i)).answer() for i in range(N_SINGLE)]
    figures = [
        Figure("decode", "tokens/s", median(a.decode_rate for a in answers)),
        Figure("first token", "s", median(a.first_s for a in answers)),
    ]
    return figures, _samples("stream", answers)


def burst_of(n_streams: int) -> Scenario:
    """The scenario of n streams that are asked for at the same moment."""

    async def burst(trial: Trial) -> Outcome:
        answers = _answers(await asyncio.gather(*(_story(trial, i) for i in range(n_streams))))
        firsts = [a.first_s for a in answers if a.first_s is not None]
        figures = [
            Figure("all streams", "tokens/s", _total_rate(answers)),
            Figure("first token, median", "s", median(firsts)),
            Figure("first token, last stream", "s", max(firsts, default=None)),
        ]
        return figures, _samples("stream", answers)

    return burst


async def turns(trial: Trial) -> Outcome:
    """Conversations in turn: A1 B1 C1 D1 A2 ..., each turn with the whole history and the real answers."""
    rounds = await _converse(trial, N_CONVERSATIONS, N_TURNS, max(_N_SHORT_TOKENS, trial.n_tokens // 3))
    later = [a for answers in rounds[1:] for a in answers]
    figures = [
        Figure("first token, turn 2 and later", "s", median(a.first_s for a in later)),
        Figure("first token, all turns", "s", median(a.first_s for a in rounds[0] + later)),
    ]
    return figures, _samples("turn 1", rounds[0]) + _samples("later turn", later)


async def many(trial: Trial) -> Outcome:
    """More conversations in turn than a KV cache holds, each asked twice."""
    first, second = await _converse(trial, N_MANY, 2, _N_SHORT_TOKENS)
    again = [_n_read_again(before, after) for before, after in zip(first, second, strict=True)]
    known = [n for n in again if n is not None]
    figures = [
        Figure("first token, round 1", "s", median(a.first_s for a in first)),
        Figure("first token, round 2", "s", median(a.first_s for a in second)),
        Figure("read again in round 2", "tokens", sum(known) if known else None),
    ]
    return figures, _samples("round 1", first) + _samples("round 2", second)


async def mixed(trial: Trial) -> Outcome:
    """Streams are decoding when a long prompt arrives: what they wait for it, and it for them."""
    started = [asyncio.Event() for _ in range(N_DECODING)]
    streams = [
        asyncio.create_task(_story(trial, i, 4 * trial.n_tokens, _setter(event))) for i, event in enumerate(started)
    ]
    for stream, event in zip(streams, started, strict=True):
        stream.add_done_callback(_opener(event))
    await asyncio.gather(*(event.wait() for event in started))
    rng = trial.dice("long")
    recorder = await trial.ask(story(rng, N_LONG_WORDS), rng, _N_SHORT_TOKENS)
    answers = _answers(await asyncio.gather(*streams))
    long = recorder.answer()
    until = long.sent + (long.total_s if long.first_s is None else long.first_s)
    figures = [
        Figure("longest gap while the long prompt is read", "s", longest_gap(answers, long.sent, until)),
        Figure("first token of the long prompt", "s", long.first_s),
    ]
    return figures, _samples("stream", answers) + _samples("long prompt", [long])


async def crowded(trial: Trial) -> Outcome:
    """One stream on the idle machine, then one beside as many busy processes as cores."""
    idle = (await _story(trial, "idle")).answer()
    with busy(n_cores()):
        crowd = (await _story(trial, "busy")).answer()
    figures = [
        Figure("decode, machine busy", "tokens/s", crowd.decode_rate),
        Figure("decode, machine idle", "tokens/s", idle.decode_rate),
        Figure("first token, machine busy", "s", crowd.first_s),
    ]
    return figures, _samples("idle", [idle]) + _samples("busy", [crowd])


def longest_gap(answers: Iterable[Answer], begin: float, end: float) -> float | None:
    """The longest time between two chunks of one stream that overlaps begin to end (perf_counter), in seconds."""
    gaps = []
    for answer in answers:
        times = [answer.sent + stamp for stamp in answer.stamps]
        if answer.finish_s is not None:
            times.append(answer.sent + answer.finish_s)
        gaps += [b - a for a, b in pairwise(times) if a < end and b > begin]
    return max(gaps, default=None)


async def _story(
    trial: Trial, place: object, n_tokens: int | None = None, on_text: Callable[[int], None] | None = None
) -> Recorder:
    rng = trial.dice(place)
    return await trial.ask(story(rng, _N_WORDS), rng, n_tokens, on_text)


async def _converse(trial: Trial, n_conversations: int, n_turns: int, n_tokens: int) -> list[list[Answer]]:
    """The answers of each round, in which every conversation has one turn."""
    chances = [trial.dice(i) for i in range(n_conversations)]
    histories = [list(story(rng, _N_WORDS_OF_CONVERSATION)) for rng in chances]
    rounds: list[list[Answer]] = []
    for _ in range(n_turns):
        rounds.append([])
        for history, rng in zip(histories, chances, strict=True):
            answer = (await trial.ask(history, rng, n_tokens)).answer()
            rounds[-1].append(answer)
            history += [{"role": "assistant", "content": answer.text}, go_on(rng)]
    return rounds


def _opener(event: asyncio.Event) -> Callable[[object], None]:
    return lambda _: event.set()


def _setter(event: asyncio.Event) -> Callable[[int], None]:
    return lambda n_chunks: event.set() if n_chunks >= _N_CHUNKS_BEFORE_LONG else None


def _answers(recorders: Iterable[Recorder]) -> list[Answer]:
    return [recorder.answer() for recorder in recorders]


def _samples(kind: str, answers: Iterable[Answer]) -> list[Sample]:
    return [Sample(kind, answer) for answer in answers]


def _total_rate(answers: Sequence[Answer]) -> float | None:
    """Tokens of finished answers over the time from the first request to the last end."""
    ends = [(a.sent + a.finish_s, a.n_tokens) for a in answers if a.is_finished and a.finish_s is not None]
    if not ends:
        return None
    return sum(n for _, n in ends) / max(max(end for end, _ in ends) - min(a.sent for a in answers), 1e-9)


def _n_read_again(before: Answer, after: Answer) -> int | None:
    """Tokens that the server had seen at the end of one turn and read again in the next; None if it does not say."""
    if after.n_cached is None or before.n_prompt is None or before.n_completion is None:
        return None
    return max(0, before.n_prompt + before.n_completion - after.n_cached)


SCENARIOS: Mapping[str, Scenario] = {
    "single": single,
    "turns": turns,
    "mixed": mixed,
    "crowded": crowded,
    "many": many,
}


def chosen(names: Iterable[str], n_concurrent: int | None) -> dict[str, Scenario]:
    """The scenarios of the names; burst stands for its default sizes or the given one."""
    found: dict[str, Scenario] = {}
    for name in names:
        if name == "burst":
            found |= {f"burst-{n}": burst_of(n) for n in ((n_concurrent,) if n_concurrent else BURSTS)}
        else:
            found[name] = SCENARIOS[name]
    return found
