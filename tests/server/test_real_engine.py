"""The batched engine over a real model, without HTTP: whatever it shares, moves or takes back, the text is the same.

The texts come from float16 weights. With the embedded model's own, llama.cpp rounds activations to 8 bits in kernels
that depend on how many rows a batch has: log probabilities then move by 0.2 nat with the company, in llama.cpp alone.
"""

from __future__ import annotations

import logging
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmserver.engine.plan import Load, MemoryKind, Share
from tests.server.real_engine import TOPICS, Engine, Run, chat, story

pytestmark = pytest.mark.model

log = logging.getLogger(__name__)
TIE = 0.05  # nat; float noise moves log probabilities of this model by less than 0.01
N = 16
LONG = chat("Here is a list: " + ", ".join(f"item {i} is {topic}" for i, topic in enumerate(TOPICS * 3)) + ". Go on.")


@pytest.fixture(scope="module")
def shared(exact_model: Path) -> Engine:
    return Engine(exact_model, n_ctx=1024)


@pytest.fixture
def exact(shared: Engine) -> Engine:
    shared.reset()
    return shared


@pytest.fixture(scope="module")
def small(exact_model: Path) -> Engine:
    """Cells for about two of the requests that it may run at once."""
    return Engine(exact_model, n_ctx=256, n_batch=64)


@pytest.fixture(scope="module")
def alone(shared: Engine) -> dict[str, Run]:
    """Each topic's story, told by a model that knows nothing else."""
    runs = {}
    for topic in TOPICS:
        shared.reset()
        number = shared.ask(story(topic), N, n_logprobs=2)
        shared.run()
        runs[topic] = shared.run_of(number)
    return runs


def assert_same(run: Run, other: Run) -> None:
    gap = run.gap(other)
    if gap is not None:
        log.info("they part at a tie of %.4f nat", gap)
    assert gap is None or gap < TIE


def computed(engine: Engine) -> Counter[tuple[int, int]]:
    """How often each position of each request was computed."""
    return Counter(
        (work.request, work.start + i) for plan in engine.steps for work in plan.work for i in range(len(work.tokens))
    )


def moves(engine: Engine, kind: type) -> list[object]:
    return [move for plan in engine.steps for move in plan.moves if isinstance(move, kind)]


def test_eight_requests_at_once_get_the_text_that_each_gets_alone(exact: Engine, alone: dict[str, Run]) -> None:
    numbers = {topic: exact.ask(story(topic), N, n_logprobs=2) for topic in TOPICS}
    exact.run()
    assert max(len(plan.work) for plan in exact.steps) == len(TOPICS), "they never ran together"
    gaps = [exact.run_of(number).gap(alone[topic]) for topic, number in numbers.items()]
    log.info("gaps in nat where the texts part: %s", [gap and round(gap, 4) for gap in gaps])
    assert all(gap is None or gap < TIE for gap in gaps)
    assert gaps.count(None) >= len(TOPICS) / 2


def test_second_turn_goes_on_from_the_first_with_the_text_of_a_cold_start(exact: Engine) -> None:
    first = exact.answer(LONG, 8)
    second = exact.tokens_of(
        LONG + first + "<|im_end|>\n<|im_start|>user\nAnd then?<|im_end|>\n<|im_start|>assistant\n"
    )
    before = exact.n_read
    warm = exact.ask(second, N, n_logprobs=2)
    exact.run()
    usage = exact.usage(warm)
    assert usage.cached_tokens >= len(exact.tokens_of(LONG)) + 6
    assert exact.n_read - before == usage.prompt_tokens - usage.cached_tokens + usage.completion_tokens - 1
    resumed = exact.run_of(warm)
    exact.reset()
    cold = exact.ask(second, N, n_logprobs=2)
    exact.run()
    assert exact.usage(cold).cached_tokens == 0
    assert_same(resumed, exact.run_of(cold))


def test_prefix_of_a_running_request_is_shared_and_both_go_their_own_way(exact: Engine, alone: dict[str, Run]) -> None:
    older = exact.ask(story(TOPICS[0]), 2 * N, n_logprobs=2)
    while not exact.tokens(older):
        exact.step()
    younger = exact.ask(story(TOPICS[1]), N, n_logprobs=2)
    while not exact.tokens(younger):
        exact.step()
    assert not exact.is_over(older)
    assert moves(exact, Share)
    exact.check_cells()
    exact.run()
    assert exact.usage(younger).cached_tokens > 10
    assert_same(exact.run_of(younger), alone[TOPICS[1]])
    assert_same(Run(exact.tokens(older)[:N], exact.logprobs(older)), alone[TOPICS[0]])


def test_conversation_comes_back_from_host_ram_with_the_same_text(small: Engine, alone: dict[str, Run]) -> None:
    small.reset()
    small.answer(story(TOPICS[0]), N)
    for topic in TOPICS[1:]:  # each of its own, so that nothing of the first one stays in the cells
        small.answer(topic + LONG[: 400 + len(topic)], 2)
    assert len(small.scheduler.memory.host) > 0
    before = len(small.steps)
    again = small.ask(story(TOPICS[0]), N, n_logprobs=2)
    small.run()
    small.steps = small.steps[before:]
    assert moves(small, Load)
    assert small.usage(again).cached_tokens == small.usage(again).prompt_tokens - 1
    assert_same(small.run_of(again), alone[TOPICS[0]])
    small.check_cells()


def test_preempted_requests_end_with_the_same_text_and_read_nothing_twice(small: Engine, alone: dict[str, Run]) -> None:
    small.reset()
    n_long = 48  # five of them want 400 cells, there are 256
    numbers = [small.ask(story(topic), n_long, n_logprobs=2) for topic in TOPICS[:5]]
    small.run()
    assert small.scheduler.n_preempted > 0
    for topic, number in zip(TOPICS, numbers, strict=False):
        assert len(small.tokens(number)) == n_long
        assert_same(Run(small.tokens(number)[:N], small.logprobs(number)), alone[topic])
    assert max(computed(small).values()) == 1
    small.check_cells()


def test_without_host_ram_a_preempted_request_is_read_again_and_ends_with_the_same_text(
    exact_model: Path, alone: dict[str, Run]
) -> None:
    engine = Engine(exact_model, n_ctx=128, n_batch=64, cache_mib=0)
    numbers = [engine.ask(story(topic), N, n_logprobs=2) for topic in TOPICS[:3]]
    engine.run()
    for topic, number in zip(TOPICS, numbers, strict=False):
        assert_same(engine.run_of(number), alone[topic])
    engine.check_cells()


def test_a_prompt_of_many_batches_is_answered_like_one_of_a_single_batch(exact: Engine, small: Engine) -> None:
    small.reset()
    prompt = chat(" ".join(f"{topic}," for topic in TOPICS * 4))
    whole, cut = (engine.ask(prompt, N, n_logprobs=2) for engine in (exact, small))
    exact.run()
    small.run()
    assert len(small.steps) > len(exact.steps)
    assert_same(exact.run_of(whole), small.run_of(cut))


# Books and costs


@pytest.fixture(scope="module")
def quick() -> Iterator[Engine]:
    """The embedded model as it is, with few cells."""
    engine = Engine(n_ctx=192, n_batch=64, n_parallel=4, cache_mib=16)
    yield engine
    engine.backend.free()


@pytest.mark.parametrize("seed", range(2))
def test_the_books_of_cells_equal_llama_cpps_own_count_after_every_step(quick: Engine, seed: int) -> None:
    quick.reset()
    dice = random.Random(seed)  # noqa: S311
    texts = [story(topic) for topic in TOPICS[:4]]
    n_asked = n_checked = 0
    while n_asked < 10 or not quick.scheduler.is_idle:
        if n_asked < 10 and (quick.scheduler.is_idle or dice.random() < 0.3):
            n_asked += 1
            begin = dice.choice(texts)
            number = quick.ask(begin + dice.choice(TOPICS) * dice.randrange(20), dice.choice((1, 8, 24)))
            if dice.random() < 0.2:
                quick.scheduler.cancel(number)
                quick.backend.close(number)
                del quick.events[number]
        quick.step()
        if not quick.scheduler.memory._moves:
            quick.check_cells()
            n_checked += 1
    assert n_checked > 30
    assert quick.backend.traits.memory is MemoryKind.PLAIN


def test_the_count_of_cells_counts_what_sequences_share_once(quick: Engine) -> None:
    quick.reset()
    for topic in TOPICS[:4]:  # one after the other, so that each finds the beginning of the one before
        number = quick.ask(story(topic), 10)
        while not quick.tokens(number):
            quick.step()
    lengths = sum(len(answer.text) - 1 for answer in quick.scheduler.running.values())
    assert len(quick.scheduler.running) == 4
    assert 0 < quick.backend.used_cells() < lengths - 3 * 15
    quick.check_cells()
    quick.run()


@pytest.mark.parametrize("n_streams", [1, 8])
def test_deciding_and_recording_cost_next_to_nothing(exact: Engine, n_streams: int) -> None:
    for topic in TOPICS[:n_streams]:
        exact.ask(story(topic), 24)
    costs = []
    while not exact.scheduler.is_idle:
        began = time.thread_time()  # of this thread: a busy machine does not count
        plan = exact.scheduler.plan(time.perf_counter())
        planned = time.thread_time() - began
        assert plan is not None
        result = exact.backend.run(plan)
        began = time.thread_time()
        exact.scheduler.apply(plan, result, time.perf_counter())
        exact.scheduler.take_events()
        if all(len(work.tokens) == 1 for work in plan.work):
            costs.append(planned + time.thread_time() - began)
    exact.events.clear()
    median = sorted(costs)[len(costs) // 2]
    log.info("%d streams: %.3f ms a step", n_streams, 1e3 * median)
    assert median < 0.5e-3
