"""The soak: what random load is drawn, that leaving really closes connections, and that broken promises are seen."""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from llmserver.__main__ import main
from llmserver.bench import soak as soak_module
from llmserver.bench.answer import Answer
from llmserver.bench.client import Server, meet
from llmserver.bench.prompts import dice
from llmserver.bench.scenarios import Run, Trial
from llmserver.bench.soak import Ask, Memory, checked, draw, soak
from tests.server.test_bench import CUT_OFF, FIELDS, N_CTX, Script, Scripted, refusal, values

TRIAL = Trial(Server("A", "http://a/v1", n_ctx=N_CTX), 1, 1, 16, "soak")
GOOD = Answer(0, 1, 200, finish_reasons=("stop",), n_done=1, is_streamed=True)


def strict(body: Any) -> Script:
    """What a server that keeps its promises answers."""
    if body is None or not set(body) <= FIELDS:
        return refusal(400)
    messages = body["messages"]
    is_typed = isinstance(messages, list) and all(isinstance(each.get("content"), str) for each in messages)
    if not is_typed or not (isinstance(body["max_tokens"], int) and isinstance(body["temperature"], float)):
        return refusal(422)
    if not isinstance(body["stream"], bool) or len(messages[0]["content"].split()) > N_CTX:
        return refusal(400)
    return Script(n_chunks=body["max_tokens"], gap_s=0.002, delay_s=0.002)


@pytest.fixture
def server() -> Iterator[Scripted]:
    with Scripted() as made:
        made.answer = strict
        yield made


def soaked(server: Scripted, seconds: float = 1.5, pid: int | None = None) -> Run:
    async def load() -> Run:
        met = await meet(replace(TRIAL.server, url=server.url), None)
        return await soak(replace(TRIAL, server=met), seconds, pid=pid)

    return asyncio.run(load())


def test_a_fifth_is_cancelled_and_every_kind_is_drawn() -> None:
    rng = dice(1)
    asks = [draw(rng, TRIAL) for _ in range(2000)]
    kinds = Counter(ask.kind for ask in asks)
    assert 0.16 < sum(ask.leave is not None for ask in asks) / len(asks) < 0.24
    assert set(kinds) == {
        *("stream", "whole", "oversized", "bad JSON", "wrong types", "unknown field"),
        *("cancelled at once", "cancelled in prefill", "cancelled in the stream"),
    }
    assert min(kinds.values()) > 40


def test_what_is_drawn_is_what_it_is_called() -> None:
    rng = dice(2)
    for ask in (draw(rng, TRIAL) for _ in range(500)):
        try:
            body = json.loads(ask.content)
        except ValueError:
            body = None
        assert (body is None) == (ask.kind == "bad JSON")
        assert strict(body).status in ask.expected, ask.kind


def test_a_good_server_passes_and_the_connections_that_we_leave_are_closed(server: Scripted) -> None:
    run = soaked(server)
    found = values(run)
    assert run.problems == () and found["broken promises"] == 0
    assert found["requests"] == len(run.samples) > 20
    n_closed = sum(sample.answer.is_cancelled for sample in run.samples)
    assert found["connections closed by us"] == n_closed > 0
    assert 0 < server.n_left <= n_closed
    assert run.samples[-1].kind == "after the load" and run.samples[-1].answer.is_finished
    assert 1 < server.most_at_once <= soak_module.N_CONCURRENT


def test_the_memory_of_a_process_is_read_at_start_warm_up_and_end(server: Scripted) -> None:
    found = values(soaked(server, 0.5, os.getpid()))
    start, warm, end = (found[f"memory, {name}"] for name in ("start", "after warm-up", "end"))
    assert start and warm and end and 5 < start < 5000
    assert found["memory, growth after warm-up"] == pytest.approx(end - warm)


def test_growth_is_counted_from_the_warm_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = iter([100_000_000, 150_000_000, 170_000_000, 180_000_000])
    monkeypatch.setattr(soak_module, "rss_bytes", lambda pid: next(sizes))
    memory = Memory(1, 10)
    for at_s in (0, 0.5, 1, 2.1, 10):
        memory.look(at_s)
    assert [(figure.name, figure.value) for figure in memory.figures()] == [
        ("memory, start", 100),
        ("memory, after warm-up", 170),
        ("memory, end", 180),
        ("memory, growth after warm-up", 10),
    ]


def test_without_a_process_there_are_no_memory_figures(server: Scripted) -> None:
    assert not any(name.startswith("memory") for name in values(soaked(server, 0.2)))


def faulty(is_hit: Callable[[Any], bool], script: Script) -> Callable[[Any], Script]:
    return lambda body: script if is_hit(body) else strict(body)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (faulty(lambda body: body is None, refusal(500)), "bad JSON: expected 400 or 422, got 500: as the script says"),
        (faulty(lambda body: bool(body) and not set(body) <= FIELDS, Script()), "unknown field: expected 400 or 422"),
        (faulty(lambda body: bool(body) and body["max_tokens"] == 5, refusal(500)), "expected 200, got 500"),
        (faulty(lambda body: bool(body) and body["max_tokens"] == 5, CUT_OFF), "cut off"),
        (faulty(lambda body: bool(body) and body["max_tokens"] == 5, Script(tail=2 * Script().tail)), "ended 2 times"),
    ],
    ids=["500 for bad JSON", "ignores unknown fields", "500 for a good request", "cut off", "two ends"],
)
def test_a_server_that_breaks_a_promise_is_caught(
    server: Scripted, fault: Callable[[Any], Script], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answer = fault
    flags = ["--scenario", "soak", "--seconds", "2", "--seed", "1", "--tokens", "6"]
    assert main(["bench", server.url, *flags]) == 1
    assert words in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "is_fine"),
    [
        (GOOD, True),
        (replace(GOOD, n_done=2), False),
        (replace(GOOD, n_after_done=1), False),
        (replace(GOOD, finish_reasons=()), False),
        (replace(GOOD, finish_reasons=(), n_done=0, is_cancelled=True), True),
        (replace(GOOD, finish_reasons=(), n_done=0, is_cancelled=True, error="error in the answer"), False),
        (Answer(0, 1, 429, error="429: busy", retry_after="1"), True),
        (Answer(0, 1, 429, error="429: busy"), False),
        (Answer(0, 1, 0, error="no end of the answer within 180 s"), False),
    ],
)
def test_each_answer_of_a_good_request_ends_once(answer: Answer, is_fine: bool) -> None:
    assert (checked(Ask("stream", b"", is_stream=True), answer) == "") == is_fine


def test_a_server_that_never_answers_runs_into_the_deadline(server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soak_module, "DEADLINE_S", 0.4)
    is_met = False

    def silent(body: Any) -> Script:
        nonlocal is_met
        was_met, is_met = is_met, True
        return Script(delay_s=60) if was_met else Script()

    server.answer = silent
    problems = soaked(server, 0.3).problems
    assert problems and all("no end of the answer within 0.4 s" in each for each in problems)
