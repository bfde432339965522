"""Decide what random load is sent for how long, and what each of its answers must be. Knows nothing of reports."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from llmserver.bench.answer import Answer, Recorder
from llmserver.bench.client import Leave, exchange
from llmserver.bench.prompts import story, words
from llmserver.bench.scenarios import Figure, Run, Sample, Trial
from llmserver.bench.stats import spread

N_CONCURRENT = 12
CANCELLED_SHARE = 0.2
DEADLINE_S = 180.0
WARM_UP_SHARE = 0.2
_PHASE_S = (0.5, 4.0)
_WORDS_OF_PROMPT = (5, 300)
_WORDS_OF_LONG_PROMPT = 700
_UNKNOWN_CONTEXT = 65_536
_REFUSED = frozenset({400, 422})
_BUSY = frozenset({429, 503})
_RSS_EVERY_S = 1.0
_KINDS = {"stream": 50, "whole": 25, "oversized": 5, "bad JSON": 6, "wrong types": 7, "unknown field": 7}
_WRONG: tuple[dict[str, Any], ...] = (
    {"messages": "hello"},
    {"max_tokens": "many"},
    {"temperature": []},
    {"messages": [{"role": 7}]},
    {"stream": 9},
)


@dataclass(frozen=True)
class Ask:
    """One request of the load and what may come of it."""

    kind: str
    content: bytes
    is_stream: bool = False
    leave: Leave | None = None
    expected: frozenset[int] = frozenset({200})


async def soak(trial: Trial, seconds: float, n_concurrent: int | None = None, pid: int | None = None) -> Run:
    """Send random load; the run's problems are the promises that the server broke."""
    load = _Load(trial, seconds, n_concurrent or N_CONCURRENT, pid)
    began, cpu_began = time.perf_counter(), time.process_time()
    await load.run()
    samples, wall_s = load.samples, time.perf_counter() - began
    problems = tuple(filter(None, (checked(ask, answer) for ask, answer in load.answered)))
    return Run(
        scenario=trial.scenario,
        server=trial.server.label,
        number=trial.number,
        wall_s=wall_s,
        cpu_s=time.process_time() - cpu_began,
        figures=tuple(_figures(samples, wall_s, len(problems)) + load.memory.figures()),
        samples=tuple(samples),
        problems=problems,
    )


class _Load:
    """Keeps a random number of requests in flight until the time is over, then waits for the last of them."""

    def __init__(self, trial: Trial, seconds: float, n_concurrent: int, pid: int | None) -> None:
        self.answered: list[tuple[Ask, Answer]] = []
        self._trial = trial
        self._seconds = seconds
        self._n_concurrent = n_concurrent
        self.memory = Memory(pid, seconds)

    @property
    def samples(self) -> list[Sample]:
        return [Sample(ask.kind, answer) for ask, answer in self.answered]

    async def run(self) -> None:
        rng = self._trial.dice("load")
        began = change = time.perf_counter()
        running: set[asyncio.Task[None]] = set()
        n_wanted = 1
        try:
            while (now := time.perf_counter()) < began + self._seconds:
                self.memory.look(now - began)
                if now >= change:
                    n_wanted, change = rng.randint(1, self._n_concurrent), now + rng.uniform(*_PHASE_S)
                while len(running) < n_wanted:
                    running.add(asyncio.create_task(self._send(draw(rng, self._trial))))
                done, running = await asyncio.wait(running, timeout=0.5, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            await asyncio.gather(*running)
        finally:
            for task in running:
                task.cancel()
        last = _good(rng, self._trial, is_stream=True)
        await self._send(replace(last, kind="after the load"))
        self.memory.look(self._seconds)

    async def _send(self, ask: Ask) -> None:
        recorder = Recorder(wants_stream=ask.is_stream)
        server = self._trial.server
        await exchange(server, "/chat/completions", ask.content, recorder, leave=ask.leave, deadline_s=DEADLINE_S)
        answer = recorder.answer()
        lean = replace(answer, stamps=answer.stamps[:1], text="", body=b"")
        self.answered.append((replace(ask, content=b""), lean))


def draw(rng: random.Random, trial: Trial) -> Ask:
    """The next request: good, cancelled, too long or broken."""
    if rng.random() < CANCELLED_SHARE:
        return _cancelled(rng, trial)
    (kind,) = rng.choices(list(_KINDS), weights=list(_KINDS.values()))
    if kind in {"stream", "whole"}:
        return _good(rng, trial, is_stream=kind == "stream")
    if kind == "oversized":
        messages = story(rng, (trial.server.n_ctx or _UNKNOWN_CONTEXT) + 100)
        return Ask(kind, _content(rng, trial, messages), expected=frozenset({400, 413}))
    return _broken(rng, trial, kind)


def _good(rng: random.Random, trial: Trial, *, is_stream: bool) -> Ask:
    messages = story(rng, rng.randint(*_WORDS_OF_PROMPT))
    content = _content(rng, trial, messages, is_stream=is_stream)
    return Ask("stream" if is_stream else "whole", content, is_stream)


def _cancelled(rng: random.Random, trial: Trial) -> Ask:
    """A request that we leave at a random moment: at once, while its long prompt is read, or while it streams."""
    kind = rng.choice(("cancelled at once", "cancelled in prefill", "cancelled in the stream"))
    is_stream = kind == "cancelled in the stream" or rng.random() < 0.5
    n_words = _WORDS_OF_LONG_PROMPT if kind == "cancelled in prefill" else rng.randint(*_WORDS_OF_PROMPT)
    leave = {
        "cancelled at once": Leave(after_s=rng.uniform(0, 0.01)),
        "cancelled in prefill": Leave(after_s=rng.uniform(0.01, 0.5)),
        "cancelled in the stream": Leave(after_chunks=rng.randint(1, max(1, trial.n_tokens // 2))),
    }[kind]
    return Ask(kind, _content(rng, trial, story(rng, n_words), is_stream=is_stream), is_stream, leave)


def _broken(rng: random.Random, trial: Trial, kind: str) -> Ask:
    body = trial.server.chat(story(rng, 10), 8, 1, stream=rng.random() < 0.5)
    if kind == "bad JSON":
        content = json.dumps(body).encode()
        return Ask(kind, content[: rng.randrange(1, len(content))], expected=_REFUSED)
    wrong = rng.choice(_WRONG) if kind == "wrong types" else {f"x_{words(rng, 1)}": 1}
    return Ask(kind, json.dumps(body | wrong).encode(), expected=_REFUSED)


def _content(rng: random.Random, trial: Trial, messages: Sequence[dict[str, str]], *, is_stream: bool = False) -> bytes:
    n_tokens = rng.randint(1, trial.n_tokens)
    return json.dumps(trial.server.chat(messages, n_tokens, rng.randrange(2**31 - 1), stream=is_stream)).encode()


def checked(ask: Ask, answer: Answer) -> str:
    """The promise that this answer breaks, or nothing."""
    if answer.is_cancelled:
        return f"{ask.kind}: {answer.error}" if answer.error else ""
    if _is_turned_away(ask, answer):
        return ""
    if answer.status not in ask.expected:
        return (
            f"{ask.kind}: expected {' or '.join(map(str, sorted(ask.expected)))}, got {answer.error or answer.status}"
        )
    if answer.status == 200 and (answer.error or answer.is_cut_off):
        return f"{ask.kind}: {answer.error or 'cut off: the stream ended without a finish_reason'}"
    if not answer.is_ended_once:
        return f"{ask.kind}: ended {len(answer.finish_reasons)} times, with {answer.n_done} [DONE]"
    return ""


def _is_turned_away(ask: Ask, answer: Answer) -> bool:
    """A full server may refuse a good request when it says when to come again."""
    return 200 in ask.expected and answer.status in _BUSY and bool(answer.retry_after)


def _figures(samples: Sequence[Sample], wall_s: float, n_problems: int) -> list[Figure]:
    kinds = Counter(sample.kind for sample in samples)
    answers = [sample.answer for sample in samples]
    firsts = spread(a.first_s for a in answers if a.first_s is not None)
    return [
        Figure("requests", "", len(samples)),
        Figure("broken promises", "", n_problems),
        Figure("rate", "requests/s", len(samples) / wall_s),
        Figure("connections closed by us", "", sum(a.is_cancelled for a in answers)),
        Figure("turned away as busy", "", sum(a.status in _BUSY for a in answers)),
        *(Figure(f"sent: {kind}", "", n) for kind, n in sorted(kinds.items())),
        Figure("first token, p99", "s", firsts.p99 if firsts else None),
    ]


class Memory:
    """The resident memory of a process (none: nothing) at the start, after the warm-up, at the end and between."""

    def __init__(self, pid: int | None, seconds: float) -> None:
        self.seen: list[tuple[float, int]] = []
        self._pid = pid
        self._seconds = seconds

    def look(self, at_s: float) -> None:
        """Sample now, at most once a second, and always at the end."""
        is_due = not self.seen or at_s >= self.seen[-1][0] + _RSS_EVERY_S or at_s >= self._seconds
        if self._pid is not None and is_due and (found := rss_bytes(self._pid)) is not None:
            self.seen.append((at_s, found))

    def figures(self) -> list[Figure]:
        """Start, warm and end in MB, and the growth between the last two."""
        if not self.seen:
            return []
        warm = next(size for at_s, size in self.seen if at_s >= min(WARM_UP_SHARE * self._seconds, self.seen[-1][0]))
        start, end = self.seen[0][1], self.seen[-1][1]
        named = {"start": start, "after warm-up": warm, "end": end, "growth after warm-up": end - warm}
        return [Figure(f"memory, {name}", "MB", size / 1e6) for name, size in named.items()]


def rss_bytes(pid: int) -> int | None:
    """The resident set of a process, None if there is no such process."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
        found = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))
    except (OSError, StopIteration):
        asked = subprocess.run(["/bin/ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=False)  # noqa: S603
        found = asked.stdout.strip()
    return int(found) * 1024 if found.isdigit() else None
