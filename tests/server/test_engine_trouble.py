"""A batch, a sampler or a cache that fails costs the guilty request its answer, and nobody else."""

from __future__ import annotations

import pytest

from llmserver.engine.fake import fake_traits
from llmserver.engine.plan import MemoryKind, Plan, Result, Status
from llmserver.engine.request import Failed, Finished
from llmserver.errors import ContextExceeded, EngineFailed
from tests.server.engine_rig import Rig, several, traits_of

KINDS = pytest.mark.parametrize("kind", list(MemoryKind))


@KINDS
@pytest.mark.parametrize("n_before", [0, 1, 4])
def test_of_a_batch_that_cannot_be_computed_only_the_guilty_request_fails(kind: MemoryKind, n_before: int) -> None:
    rig = Rig(traits_of(kind, n_cells=300, n_batch=64))
    numbers = several(rig, 4, max_tokens=10)
    for _ in range(n_before):
        rig.step()
    rig.backend.poison = {numbers[1]}
    rig.finish()
    assert isinstance(rig.error(numbers[1]), EngineFailed)
    assert "poison" in rig.error(numbers[1]).message
    assert [len(rig.answer(number)) for number in numbers if number != numbers[1]] == [10, 10, 10]


@KINDS
def test_two_guilty_requests_fail_and_the_third_does_not(kind: MemoryKind) -> None:
    rig = Rig(traits_of(kind, n_cells=300, n_batch=64))
    numbers = several(rig, 3, max_tokens=10)
    rig.step()
    rig.backend.poison = {numbers[0], numbers[2]}
    rig.finish()
    assert rig.finished(numbers[1]).reason == "length"
    assert all(isinstance(rig.ended[number], Failed) for number in (numbers[0], numbers[2]))


@KINDS
def test_nobody_fails_by_a_batch_that_can_be_computed_the_second_time(kind: MemoryKind) -> None:
    rig = Rig(traits_of(kind, n_cells=300, n_batch=64))
    several(rig, 3, max_tokens=10)
    rig.step()
    rig.backend.hooks.append(lambda _: Result(Status.FAILED))
    rig.finish()
    assert all(isinstance(end, Finished) for end in rig.ended.values())


@KINDS
def test_a_request_that_fails_at_its_last_token_only_does_not_fail_the_others_again_and_again(kind: MemoryKind) -> None:
    rig = Rig(traits_of(kind, n_cells=300, n_batch=8))
    numbers = several(rig, 2, length=30, max_tokens=5)
    compute = rig.backend.run

    def run(plan: Plan) -> Result:
        ends = any(work.request == numbers[0] and work.samples for work in plan.work)
        if ends:
            rig.backend.hooks.append(lambda _: Result(Status.FAILED))
        return compute(plan)

    rig.backend.run = run  # type: ignore[method-assign]
    rig.finish()
    assert isinstance(rig.error(numbers[0]), EngineFailed)
    assert rig.finished(numbers[1]).reason == "length"


def test_a_sampler_that_fails_fails_its_request_only() -> None:
    rig = Rig()
    numbers = several(rig, 3, max_tokens=5)
    rig.step()
    rig.backend.sampler_errors[numbers[1]] = EngineFailed("no token is allowed")
    rig.finish()
    assert rig.error(numbers[1]).message == "no token is allowed"
    assert [len(rig.answer(number)) for number in (numbers[0], numbers[2])] == [5, 5]


def test_a_cache_without_room_makes_smaller_batches_and_nobody_fails() -> None:
    rig = Rig(fake_traits(n_cells=200, n_batch=64))
    number = rig.submit([1] * 60, max_tokens=3)
    rig.backend.hooks += [lambda _: Result(Status.NO_ROOM)] * 3
    rig.finish()
    assert [len(plan.work[0].tokens) for plan in rig.backend.steps[:4]] == [60, 30, 15, 7]
    assert rig.finished(number).reason == "length"
    again = rig.submit([2] * 60, max_tokens=1)
    rig.finish()
    assert [len(work.tokens) for work in rig.rows(again)] == [60], "the next batches are whole again"


def test_a_cache_that_never_has_room_fails_the_request_instead_of_trying_for_ever() -> None:
    rig = Rig(fake_traits(n_cells=200, n_batch=64))
    number = rig.submit([1] * 60, max_tokens=3)
    rig.backend.hooks += [lambda _: Result(Status.NO_ROOM)] * 20
    rig.run()
    assert isinstance(rig.error(number), ContextExceeded)
