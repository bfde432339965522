"""Whatever clients, models and machines do, in any order: each request ends once, with the text it has alone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from llmserver.engine.fake import fake_traits
from llmserver.engine.plan import Limits, Load, MemoryKind, Result, Save, Share, Status
from llmserver.engine.request import Adapter, PromptLogprobs, Waiting
from llmserver.errors import ContextExceeded, EngineFailed, QueueFull, QueueTimeout, RequestError
from tests.server.engine_rig import Rig, search, several, traits_of

X, X_AGAIN = Adapter("x", 1.0, 1), Adapter("x", 1.0, 2)


class Engine(RuleBasedStateMachine):
    """Everything that may happen to a scheduler; what must hold is checked by the rig."""

    kind = MemoryKind.PLAIN

    @initialize(
        n_cells=st.sampled_from([48, 64, 100]),
        n_seq=st.sampled_from([2, 4, 8]),
        n_batch=st.sampled_from([8, 16, 64]),
        n_parallel=st.sampled_from([1, 2, 4, 8]),
        cache_bytes=st.sampled_from([0, 200, 2000]),
        max_wait_s=st.sampled_from([5.0, 1e9]),
        byte_factor=st.sampled_from([1.0, 1.5]),
        prompts=st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=40), min_size=3, max_size=3),
    )
    def begin(self, prompts: list[list[int]], byte_factor: float, **fields: Any) -> None:
        self.prompts = prompts
        sizes = {name: fields[name] for name in ("n_cells", "n_seq", "n_batch")}
        limits = {name: fields[name] for name in ("n_parallel", "cache_bytes", "max_wait_s")}
        self.rig = Rig(traits_of(self.kind, **sizes), Limits(max_queue=6, **limits), byte_factor)

    @rule(
        prompt=st.integers(0, 2),
        tail=st.lists(st.integers(1, 5), max_size=10),
        owner=st.sampled_from("ab"),
        adapter=st.sampled_from([None, None, X, X_AGAIN]),
        max_tokens=st.sampled_from([0, 1, 5, 20, None]),
        prompt_logprobs=st.sampled_from([False, False, False, True]),
    )
    def submit(self, prompt: int, tail: list[int], **fields: Any) -> None:
        self._submit([*self.prompts[prompt], *tail], **fields)

    @precondition(lambda self: self.rig.ended)
    @rule(which=st.integers(0, 99), tail=st.lists(st.integers(1, 5), min_size=1, max_size=6))
    def go_on_with_a_conversation(self, which: int, tail: list[int]) -> None:
        rig = self.rig
        number = [*rig.ended][which % len(rig.ended)]
        before = rig.requests[number]
        text = [*before.tokens, *rig.answer(number), *tail]
        self._submit(text, max_tokens=5, owner=before.owner, adapter=before.adapter)

    def _submit(self, tokens: list[int], **fields: Any) -> None:
        try:
            self.rig.submit(tokens, **fields)
        except QueueFull as why:
            assert len(self.rig.scheduler.queue) >= 6
            assert why.retry_after_s >= 1
        except ContextExceeded:
            assert len(tokens) >= self.rig.traits.n_ctx

    @precondition(lambda self: self.rig.open)
    @rule(which=st.integers(0, 99))
    def cancel(self, which: int) -> None:
        self.rig.cancel(self.rig.open[which % len(self.rig.open)])

    @rule(n=st.integers(1, 8))
    def steps(self, n: int) -> None:
        for _ in range(n):
            self.rig.step()

    @rule(status=st.sampled_from([Status.NO_ROOM, Status.FAILED]))
    def step_that_fails(self, status: Status) -> None:
        self.rig.backend.hooks.append(lambda _: Result(status))
        self.rig.step()

    @rule(moves=st.sampled_from([{Save}, {Load}, {Share}, {Save, Load}]))
    def step_that_cannot_move(self, moves: set[type]) -> None:
        self.rig.backend.bad_moves = moves
        self.rig.step()
        self.rig.backend.bad_moves = set()

    @precondition(lambda self: self.rig.scheduler.running)
    @rule(which=st.integers(0, 99))
    def sampler_that_fails(self, which: int) -> None:
        running = [*self.rig.scheduler.running]
        self.rig.backend.sampler_errors[running[which % len(running)]] = EngineFailed("no token is allowed")

    @precondition(lambda self: self.rig.open)
    @rule(which=st.integers(0, 99))
    def poison(self, which: int) -> None:
        self.rig.backend.poison.add(self.rig.open[which % len(self.rig.open)])

    @rule()
    def time_passes(self) -> None:
        self.rig.now += 2.0

    def teardown(self) -> None:
        if hasattr(self, "rig"):
            self.rig.backend.hooks.clear()
            self.rig.finish()


class WindowEngine(Engine):
    """The same over a sliding window."""

    kind = MemoryKind.WINDOW


class StateEngine(Engine):
    """The same over a recurrent state."""

    kind = MemoryKind.STATE


TestPlainEngine = Engine.TestCase
TestWindowEngine = WindowEngine.TestCase
TestStateEngine = StateEngine.TestCase
TestPlainEngine.settings = TestWindowEngine.settings = TestStateEngine.settings = search(40, 60)


# -- order and room


def test_a_step_holds_a_token_of_each_stream_and_as_much_of_a_prompt_as_the_target_time_allows() -> None:
    rig = Rig(fake_traits(n_cells=1000, n_batch=256), Limits(step_s=0.03, prompt_share=0.0))
    rig.backend.token_s = 0.001
    streams = several(rig, 3, max_tokens=100)
    while not all(rig.answer(number) for number in streams):
        rig.step()
    long = rig.submit([9] * 600, max_tokens=1)
    n_steps = []
    while long not in rig.ended:
        plan = rig.step()
        assert plan is not None
        assert [work.request for work in plan.work][:3] == streams
        n_steps.append(sum(len(work.tokens) for work in plan.work))
    assert len(n_steps) > 10 and all(0.02 <= 0.001 * (n + 1) <= 0.036 for n in n_steps[5:-1])
    assert n_steps[0] <= 64 + 3, "the first step is careful"
    rig.finish()


def test_a_prompt_is_read_in_whole_batches_when_nobody_waits_for_a_token() -> None:
    rig = Rig(fake_traits(n_cells=400, n_batch=100))
    number = rig.submit([1] * 300, max_tokens=1)
    rig.run()
    assert [len(work.tokens) for work in rig.rows(number)] == [100, 100, 100]


def test_the_youngest_is_preempted_when_cells_run_out_and_its_text_is_the_same() -> None:
    rig = Rig(fake_traits(n_cells=90, n_seq=2), Limits(cache_bytes=10_000))
    old, young = several(rig, 2, max_tokens=60)
    rig.run(old)
    assert rig.scheduler.n_preempted >= 1
    assert young not in rig.ended
    assert [work.start for work in rig.rows(old)] == [0, *range(10, 69)], "the old one was never interrupted"
    rig.finish()
    assert len(rig.answer(young)) == 60


def test_a_preempted_request_is_brought_back_from_host_ram_instead_of_being_read_again() -> None:
    rig = Rig(fake_traits(n_cells=90, n_seq=2), Limits(cache_bytes=10_000))
    _, young = several(rig, 2, max_tokens=60)
    rig.finish()
    assert rig.scheduler.n_preempted >= 1
    assert sum(len(work.tokens) for work in rig.rows(young)) == 10 + 59


def test_a_preempted_request_comes_back_before_those_who_waited() -> None:
    rig = Rig(fake_traits(n_cells=90, n_seq=2), Limits(cache_bytes=10_000))
    old, young, waiting = several(rig, 3, max_tokens=60)
    rig.run(old)
    assert (rig.scheduler.n_preempted, waiting in rig.admitted) == (1, False)
    n_before = len(rig.rows(young))
    while waiting not in rig.admitted:
        rig.step()
    assert len(rig.rows(young)) > n_before
    rig.finish()


def test_a_preempted_request_is_read_again_where_there_is_no_host_ram() -> None:
    rig = Rig(fake_traits(n_cells=90, n_seq=2), Limits(cache_bytes=0))
    _, young = several(rig, 2, max_tokens=60)
    rig.finish()
    assert sum(len(work.tokens) for work in rig.rows(young)) > 10 + 59


def test_half_an_answer_is_not_thrown_away_by_the_time_limit_of_the_queue() -> None:
    rig = Rig(fake_traits(n_cells=90, n_seq=2), Limits(cache_bytes=10_000, max_wait_s=1.0))
    _, young = several(rig, 2, max_tokens=60)
    while not rig.scheduler.n_preempted:
        rig.step(0.0)
    rig.step(100.0)
    rig.finish()
    assert rig.finished(young).reason == "length"


def test_a_large_prompt_waits_for_cells_without_being_overtaken() -> None:
    rig = Rig(fake_traits(n_cells=100), Limits(n_parallel=8))
    first = rig.submit([1] * 40, max_tokens=20)
    rig.step()
    large = rig.submit([2] * 90, max_tokens=5)
    small = rig.submit([3] * 4, max_tokens=1, owner="somebody else")
    rig.run(first)
    assert large not in rig.admitted
    rig.finish()
    assert rig.admitted == [first, large, small]


def test_requests_are_served_in_turn_over_owners() -> None:
    rig = Rig(limits=Limits(n_parallel=1))
    greedy = several(rig, 3, max_tokens=1, owner="greedy")
    modest = several(rig, 2, max_tokens=1, owner="modest")
    rig.finish()
    assert rig.admitted == [greedy[0], modest[0], greedy[1], modest[1], greedy[2]]


def test_who_waits_is_told_the_place_in_the_queue_and_each_change_of_it() -> None:
    rig = Rig(limits=Limits(n_parallel=1))
    numbers = several(rig, 3, max_tokens=2)
    rig.finish()
    places = [event.position for event in rig.events[numbers[2]] if isinstance(event, Waiting)]
    assert places == [2, 1]


def test_a_full_queue_refuses_and_says_when_to_try_again() -> None:
    rig = Rig(limits=Limits(n_parallel=2, max_queue=3))
    several(rig, 2, max_tokens=20)
    rig.step()
    several(rig, 3)
    with pytest.raises(QueueFull, match="3 requests wait already") as why:
        rig.submit([1])
    assert why.value.retry_after_s == 2
    assert why.value.status == 429
    rig.finish()


def test_a_place_that_is_free_is_not_a_place_in_the_queue() -> None:
    rig = Rig(limits=Limits(n_parallel=2, max_queue=0))
    several(rig, 2, max_tokens=1)
    with pytest.raises(QueueFull):
        rig.submit([1])
    rig.finish()


def test_who_waits_too_long_is_told_so_and_the_others_go_on() -> None:
    rig = Rig(limits=Limits(n_parallel=1, max_wait_s=10.0))
    running, waiting = several(rig, 2, max_tokens=20)
    rig.step()
    rig.step(11.0)
    error = rig.error(waiting)
    assert isinstance(error, QueueTimeout)
    assert (error.status, error.retry_after_s >= 1) == (503, True)
    rig.finish()
    assert rig.finished(running).reason == "length"


def test_a_prompt_that_can_never_fit_is_refused_at_once() -> None:
    rig = Rig(fake_traits(n_cells=64))
    with pytest.raises(ContextExceeded, match="64 tokens, this model holds 64"):
        rig.submit([1] * 64)
    number = rig.submit([1] * 63)
    rig.finish()
    assert len(rig.answer(number)) == 1


def test_streams_under_different_adapters_take_turns() -> None:
    rig = Rig(fake_traits(n_cells=200))
    base, tuned = rig.submit([1] * 5, max_tokens=20), rig.submit([1] * 5, max_tokens=20, adapter=X)
    for _ in range(12):  # turns of four steps: putting an adapter in force has its price
        rig.step()
    assert abs(len(rig.answer(base)) - len(rig.answer(tuned))) <= 4
    assert len(rig.answer(base)) >= 3 and len(rig.answer(tuned)) >= 3
    rig.finish()


@pytest.mark.parametrize("n_steps", [0, 1, 2, 5])
def test_a_cancelled_request_is_not_computed_any_more(n_steps: int) -> None:
    rig = Rig(fake_traits(n_cells=200, n_batch=16), Limits(n_parallel=2))
    other, number = rig.submit([2] * 5, max_tokens=20), rig.submit([1] * 40, max_tokens=20)
    for _ in range(n_steps):
        rig.step()
    rig.cancel(number)
    n_rows = len(rig.rows(number))
    rig.finish()
    assert len(rig.rows(number)) == n_rows
    assert rig.finished(other).reason == "length"


def test_everybody_is_answered_when_all_is_given_up() -> None:
    rig = Rig(limits=Limits(n_parallel=2))
    numbers = several(rig, 4)
    rig.step()
    rig.scheduler.fail_all(EngineFailed("over"))
    rig.finish()
    assert [rig.error(number).message for number in numbers] == ["over"] * 4


def test_log_probabilities_of_the_prompt_are_told_for_each_token_but_the_first() -> None:
    rig = Rig(fake_traits(n_cells=200, n_seq=4))
    several(rig, 1, length=30, max_tokens=1)
    rig.run()
    number = rig.submit([1] * 30, max_tokens=1, prompt_logprobs=True)
    rig.finish()
    told = [event for event in rig.events[number] if isinstance(event, PromptLogprobs)]
    assert [value.token for event in told for value in event.values] == [1] * 29
    assert rig.finished(number).usage.cached_tokens == 0, "cached tokens have no probabilities"


def test_an_empty_prompt_is_refused_before_it_can_block_the_queue() -> None:
    rig = Rig()
    with pytest.raises(RequestError, match="empty"):
        rig.submit([])
    assert rig.scheduler.is_idle


def test_a_short_prompt_does_not_wait_until_a_long_one_is_read() -> None:
    rig = Rig(fake_traits(n_cells=900, n_batch=32, n_seq=4))
    stream = rig.submit([5] * 4, max_tokens=100)
    rig.step()
    long, short = rig.submit([1] * 600, max_tokens=2), rig.submit([2] * 6, max_tokens=2)
    for _ in range(3):
        rig.step()
    assert rig.answer(short) and not rig.answer(long) and rig.answer(stream)
    rig.run()
    assert len(rig.answer(long)) == 2
