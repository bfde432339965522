"""No token is read twice that need not be, and none is taken from a text that is not the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from llmserver.engine.fake import fake_traits
from llmserver.engine.plan import Forget, Limits, Load, MemoryKind, Plan, Result, Save, Share, Traits, Trim
from llmserver.engine.request import Adapter, Finished
from tests.server.engine_rig import Rig, RiggedBackend, traits_of

KINDS = pytest.mark.parametrize("kind", list(MemoryKind))
NOT_PLAIN = pytest.mark.parametrize("kind", [MemoryKind.WINDOW, MemoryKind.STATE])


def n_computed(rig: Rig, number: int) -> int:
    """Tokens that were computed for a request, its prompt's and its answer's."""
    return sum(len(work.tokens) for work in rig.rows(number))


def moves(rig: Rig, kind: type) -> list[Any]:
    """All moves of a kind so far."""
    return [move for plan in rig.backend.steps for move in plan.moves if isinstance(move, kind)]


def ask(rig: Rig, prompt: Sequence[int], *, max_tokens: int = 5, adapter: Adapter | None = None) -> int:
    """One request, answered before the next comes."""
    number = rig.submit(prompt, max_tokens=max_tokens, adapter=adapter)
    rig.run()
    return number


def turn(rig: Rig, before: int, tail: Sequence[int]) -> int:
    """The next turn of a conversation: the whole text so far and something new."""
    return ask(rig, [*rig.requests[before].tokens, *rig.answer(before), *tail])


def cached(rig: Rig, number: int) -> int:
    """What the client is told about reuse."""
    return rig.finished(number).usage.cached_tokens


def test_the_prefix_of_a_running_request_is_shared() -> None:
    rig = Rig(fake_traits(n_cells=200, n_batch=64))
    first = rig.submit([1] * 40, max_tokens=50)
    rig.step()
    second = rig.submit([*[1] * 40, 2, 3, 4], max_tokens=5)
    rig.run(second)
    assert first not in rig.ended
    assert cached(rig, second) == 40
    assert n_computed(rig, second) == 3 + 4
    assert rig.scheduler.memory.cells.used == 40 + len(rig.answer(first)) - 1 + 3 + 4
    assert [(move.source, move.n) for move in moves(rig, Share)] == [(0, 40)]
    rig.finish()


def test_a_text_that_ends_amid_another_is_reused_up_to_the_token_that_differs() -> None:
    rig = Rig(fake_traits(n_cells=200, n_batch=64))
    ask(rig, [1] * 30 + [2] * 10)
    number = ask(rig, [1] * 30 + [2] * 4 + [3] * 6)
    assert cached(rig, number) == 34
    assert n_computed(rig, number) == 6 + 4
    rig.finish()


@KINDS
def test_the_last_token_of_a_prompt_that_is_known_whole_is_computed_again(kind: MemoryKind) -> None:
    rig = Rig(traits_of(kind, n_cells=200, n_batch=64))
    first, second = ask(rig, [1] * 40), ask(rig, [1] * 40)
    assert cached(rig, second) == 39
    assert rig.answer(first) == rig.answer(second)
    rig.finish()


@KINDS
def test_the_next_turn_of_a_conversation_reads_only_what_is_new(kind: MemoryKind) -> None:
    rig = Rig(traits_of(kind, n_cells=200, n_batch=64))
    number = ask(rig, [1] * 40)
    for length in (45, 52, 59):
        number = turn(rig, number, [2, 3])
        assert cached(rig, number) == length - 1, "all but the answer's last token, which was never computed"
        assert n_computed(rig, number) == 3 + 4
    rig.finish()


@KINDS
def test_conversations_that_do_not_fit_together_go_to_host_ram_and_are_not_read_twice(kind: MemoryKind) -> None:
    rig = Rig(traits_of(kind, n_cells=100, n_batch=64))
    talks = [ask(rig, [k] * 40) for k in (1, 2, 3, 4)]
    for _ in range(2):
        talks = [turn(rig, number, [5, 6]) for number in talks]
        for number in talks:
            assert n_computed(rig, number) == 3 + 4
    assert len(moves(rig, Load)) >= 6
    rig.finish()


def test_conversations_beyond_the_byte_bound_are_forgotten_the_longest_unused_first() -> None:
    rig = Rig(fake_traits(n_cells=64, n_batch=64), Limits(cache_bytes=2 * 44 * 4))
    talks = [ask(rig, [k] * 40) for k in (1, 2, 3, 4)]
    assert len(rig.scheduler.memory.host) == 2, "the newest is resident, the two before it are saved"
    oldest = turn(rig, talks[0], [5])
    assert cached(rig, oldest) == 0
    assert rig.scheduler.memory.host.size_bytes <= 2 * 44 * 4
    newest = turn(rig, talks[3], [5])
    assert cached(rig, newest) == 44
    rig.finish()


def test_a_saved_conversation_that_was_used_again_outlives_the_others() -> None:
    rig = Rig(fake_traits(n_cells=64, n_seq=2, n_batch=64), Limits(n_parallel=1, cache_bytes=3 * 44 * 4))
    talks = [ask(rig, [k] * 40) for k in (1, 2, 3)]
    again = ask(rig, [1] * 40)
    assert cached(rig, again) == 39
    for k in (4, 5):
        ask(rig, [k] * 40)
    assert cached(rig, ask(rig, [1] * 40)) == 39
    assert cached(rig, turn(rig, talks[1], [5])) == 0
    rig.finish()


def test_nothing_is_saved_where_there_is_no_host_ram() -> None:
    rig = Rig(fake_traits(n_cells=64, n_batch=64), Limits(cache_bytes=0))
    first, *_ = [ask(rig, [k] * 40) for k in (1, 2, 3)]
    assert cached(rig, turn(rig, first, [5])) == 0
    assert not moves(rig, Save)
    rig.finish()


def test_what_is_saved_of_a_text_that_grew_is_dropped_for_the_longer_one() -> None:
    rig = Rig(fake_traits(n_cells=64, n_batch=64), Limits(cache_bytes=100_000))
    one, other = ask(rig, [1] * 40), ask(rig, [2] * 40)
    for _ in range(3):
        one, other = turn(rig, one, [3]), turn(rig, other, [3])
    assert len(rig.scheduler.memory.host) <= 2
    assert moves(rig, Forget)
    rig.finish()


AN_END = 64  # prompt tokens that may be read twice: waiting for so few is not worth it


@pytest.mark.parametrize("n_batch", [32, 100, 2000])
def test_prompts_that_come_at_once_and_are_the_same_are_read_once(n_batch: int) -> None:
    rig = Rig(fake_traits(n_cells=4100, n_batch=n_batch))
    numbers = [rig.submit([1] * 1000, max_tokens=2) for _ in range(4)]
    rig.finish()
    assert rig.n_read <= 1000 + 3 * AN_END + 4
    assert sorted(cached(rig, number) for number in numbers)[1] >= 1000 - AN_END


@pytest.mark.parametrize("n_batch", [32, 100, 2000])
def test_prompts_that_come_at_once_and_begin_alike_are_read_once_as_far_as_that_goes(n_batch: int) -> None:
    rig = Rig(fake_traits(n_cells=4100, n_batch=n_batch))
    for k in (2, 3, 4):
        rig.submit([1] * 1000 + [k] * 20, max_tokens=1)
    rig.finish()
    assert rig.n_read <= 1000 + 3 * 20 + 2 * AN_END


def test_who_waits_for_another_to_read_the_prompt_reads_it_when_the_other_leaves() -> None:
    rig = Rig(fake_traits(n_cells=600, n_batch=16))
    first, second = (rig.submit([1] * 100, max_tokens=2) for _ in range(2))
    rig.step()
    rig.step()
    assert rig.admitted == [first]
    rig.cancel(first)
    rig.finish()
    assert cached(rig, second) == 32, "what the other had read is there"


def test_a_cancelled_request_leaves_what_it_read_to_the_next() -> None:
    rig = Rig(fake_traits(n_cells=200, n_batch=16))
    first = rig.submit([1] * 60)
    rig.step()
    rig.step()
    rig.cancel(first)
    assert cached(rig, ask(rig, [1] * 60)) == 32
    rig.finish()


@NOT_PLAIN
def test_another_answer_to_the_same_prompt_goes_on_from_the_checkpoint_at_its_end(kind: MemoryKind) -> None:
    rig = Rig(traits_of(kind, n_cells=300, n_batch=64))
    first = ask(rig, [1] * 50, max_tokens=30)
    again = ask(rig, [1] * 50, max_tokens=30)
    assert cached(rig, again) == 49
    assert rig.answer(first) == rig.answer(again)
    other = ask(rig, [1] * 50 + [7] * 5)
    assert cached(rig, other) == 49
    assert [move.partial for move in moves(rig, Load)] == [True, True]
    rig.finish()


@NOT_PLAIN
def test_a_text_that_differs_before_the_checkpoint_is_read_from_its_beginning(kind: MemoryKind) -> None:
    rig = Rig(traits_of(kind, n_cells=300, n_batch=64))
    ask(rig, [1] * 50, max_tokens=30)
    assert cached(rig, ask(rig, [1] * 40 + [2] * 10)) == 0
    rig.finish()


@NOT_PLAIN
def test_a_checkpoint_without_the_cells_before_it_is_not_gone_on_from(kind: MemoryKind) -> None:
    rig = Rig(traits_of(kind, n_cells=64, n_batch=64), Limits(cache_bytes=70))
    ask(rig, [1] * 50, max_tokens=2)
    ask(rig, [2] * 50, max_tokens=2)
    assert cached(rig, ask(rig, [1] * 50)) == 0
    rig.finish()


def test_a_window_is_cut_where_it_is_still_there() -> None:
    rig = Rig(traits_of(MemoryKind.WINDOW, n_cells=300, n_batch=64, n_window=20))
    ask(rig, [1] * 25, max_tokens=1)
    assert cached(rig, ask(rig, [1] * 10 + [2] * 15)) == 0, "the first five are gone, and the cut needs them"
    rig = Rig(traits_of(MemoryKind.WINDOW, n_cells=300, n_batch=64, n_window=20))
    ask(rig, [1] * 18, max_tokens=1)
    assert cached(rig, ask(rig, [1] * 10 + [2] * 15)) == 10, "nothing is gone yet"
    rig.finish()


def test_base_tuned_and_base_again_gives_the_cold_text_and_shares_nothing_with_the_tuned_one() -> None:
    prompt, tuned, replaced = [1] * 40, Adapter("x", 1.0, 1), Adapter("x", 1.0, 2)
    rig = Rig(fake_traits(n_cells=400, n_batch=64))
    cold = ask(rig, prompt)
    under = [ask(rig, prompt, adapter=adapter) for adapter in (tuned, replaced, Adapter("x", 0.5, 1))]
    assert [cached(rig, number) for number in under] == [0, 0, 0]
    assert len({tuple(rig.answer(number)) for number in (cold, *under)}) == 4
    warm = ask(rig, prompt)
    assert cached(rig, warm) == 39
    assert rig.answer(warm) == rig.answer(cold)
    assert cached(rig, ask(rig, prompt, adapter=tuned)) == 39
    rig.finish()


def test_a_prompt_does_not_wait_for_one_that_is_read_under_an_adapter() -> None:
    rig = Rig(fake_traits(n_cells=600, n_batch=16))
    rig.submit([1] * 100, max_tokens=1, adapter=Adapter("x"))
    rig.step()
    number = rig.submit([1] * 100, max_tokens=1)
    rig.step()
    assert number in rig.admitted
    rig.finish()


def test_what_was_computed_under_an_adapter_that_left_is_not_found_again() -> None:
    tuned = Adapter("x", 1.0, 1)
    rig = Rig(fake_traits(n_cells=64, n_batch=64))
    for k in (1, 2):
        ask(rig, [k] * 40, adapter=tuned)
    ask(rig, [3] * 40)
    rig.scheduler.memory.forget_scope(tuned)
    assert [cached(rig, ask(rig, [k] * 40, adapter=tuned)) for k in (1, 2)] == [0, 0]
    rig.finish()
    assert not rig.scheduler.memory.index.holders("unknown")


def test_forgetting_an_adapter_leaves_the_base_alone() -> None:
    rig = Rig(fake_traits(n_cells=200, n_batch=64))
    ask(rig, [1] * 40)
    rig.scheduler.memory.forget_scope(Adapter("x", 1.0, 1))
    assert cached(rig, ask(rig, [1] * 40)) == 39


@KINDS
@pytest.mark.parametrize("kind_of_move", [Save, Load, Share])
def test_a_move_that_fails_costs_time_and_never_the_right_text(kind: MemoryKind, kind_of_move: type) -> None:
    rig = Rig(traits_of(kind, n_cells=100, n_batch=64))
    talks = [ask(rig, [k] * 40) for k in (1, 2)]
    rig.backend.bad_moves = {kind_of_move}
    talks = [turn(rig, number, [4]) for number in talks]
    shared = [rig.submit([9] * 20 + [k], max_tokens=5) for k in (1, 2)]
    rig.finish()
    assert all(isinstance(rig.ended[number], Finished) for number in (*talks, *shared))


def test_a_prefix_that_cannot_be_shared_is_read_anew_at_once() -> None:
    rig = Rig(fake_traits(n_cells=300, n_batch=64))
    first = rig.submit([1] * 40, max_tokens=100)
    rig.step()
    rig.backend.bad_moves = {Share}
    second = rig.submit([1] * 40 + [2], max_tokens=5)
    rig.run(second)
    assert first not in rig.ended
    assert len(moves(rig, Share)) == 1, "it is not tried again and again"
    rig.finish()


def test_a_saved_text_that_cannot_be_loaded_is_forgotten_and_read_anew() -> None:
    rig = Rig(fake_traits(n_cells=64, n_batch=64))
    first, _ = ask(rig, [1] * 40), ask(rig, [2] * 40)
    rig.backend.bad_moves = {Load}
    again = turn(rig, first, [3])
    assert rig.finished(again).reason == "length"
    assert len(moves(rig, Load)) == 1, "it is not tried again and again"
    rig.finish()


class Stubborn(RiggedBackend):
    """Cannot cut a sequence anywhere but at its beginning, though its traits promise it."""

    def run(self, plan: Plan) -> Result:
        cuts = [move for move in plan.moves if isinstance(move, Trim) and move.n]
        if not cuts:
            return super().run(plan)
        done = super().run(replace(plan, moves=tuple(m for m in plan.moves if m not in cuts), work=()))
        return replace(done, unmoved=(*done.unmoved, *cuts))


def test_a_sequence_that_cannot_be_cut_is_read_anew() -> None:
    traits: Traits = fake_traits(n_cells=200, n_batch=64)
    rig = Rig(traits)
    rig.backend = Stubborn(traits)
    ask(rig, [1] * 40)
    number = ask(rig, [1] * 39 + [2])
    assert rig.finished(number).reason == "length"
    rig.finish()


def test_the_size_of_what_is_saved_is_the_real_one() -> None:
    rig = Rig(fake_traits(n_cells=64, n_batch=64), Limits(cache_bytes=600), byte_factor=2.0)
    for k in (1, 2, 3, 4):
        ask(rig, [k] * 40)
    assert rig.scheduler.memory.host.size_bytes == 44 * 4 * 2
    rig.finish()
