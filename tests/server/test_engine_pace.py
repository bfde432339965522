"""The budget finds the target time on machines it knows nothing about, and a prompt always gets on."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmserver.engine.pace import Pace
from tests.server.engine_rig import search

N_BATCH = 512


@dataclass
class Machine:
    """Takes a base time for the decoding rows and a price for each prompt token."""

    base_s: float
    token_s: float

    def step(self, pace: Pace, n_decode: int, n_prompt: int) -> float:
        seconds = (self.base_s if n_decode else 0.0) + n_prompt * self.token_s
        pace.observe(n_decode, n_prompt, seconds)
        return seconds


def settle(pace: Pace, machine: Machine, n_steps: int = 60) -> float:
    """Read an endless prompt beside three streams; how long a step takes in the end."""
    for _ in range(5):
        machine.step(pace, 3, 0)
    return [machine.step(pace, 3, pace.budget(3)) for _ in range(n_steps)][-1]


def wanted_s(target_s: float, base_s: float, token_s: float) -> float:
    """How long a step beside three streams should take: at least 16 prompt tokens, no three quarters of a tile."""
    n = min(max(int((target_s - base_s) / token_s), 16), N_BATCH - 3)
    return base_s + (61 if 42 <= n + 3 < 64 else n) * token_s


@pytest.mark.parametrize("target_s", [0.02, 0.1, 0.4])
@pytest.mark.parametrize("token_s", [0.0001, 0.0004, 0.002])
def test_a_step_beside_streams_settles_near_the_target(target_s: float, token_s: float) -> None:
    pace = Pace(target_s, N_BATCH)
    seconds = settle(pace, Machine(0.005, token_s))
    assert seconds == pytest.approx(wanted_s(target_s, 0.005, token_s), rel=0.1)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9, 0.98])
def test_prompts_get_their_share_of_a_step_on_a_machine_too_slow_for_the_target(share: float) -> None:
    pace = Pace(0.01, N_BATCH, share)
    seconds = settle(pace, Machine(0.05, 0.0005))
    assert seconds == pytest.approx(wanted_s(0.05 / (1 - share), 0.05, 0.0005), rel=0.1)


def test_a_step_of_nearly_a_tile_is_filled_up_to_it() -> None:
    pace = Pace(0.025, N_BATCH)
    settle(pace, Machine(0.005, 0.0004))  # 50 prompt tokens fit into the target
    assert pace.budget(3) + 3 == 64
    pace = Pace(0.02, N_BATCH)
    settle(pace, Machine(0.005, 0.0004))  # 37 do
    assert pace.budget(3) == pytest.approx(37, abs=2)


@search(60)
@given(
    target_s=st.floats(0.005, 1.0),
    before=st.tuples(st.floats(0.0005, 0.05), st.floats(1e-5, 5e-3)),
    after=st.tuples(st.floats(0.0005, 0.05), st.floats(1e-5, 5e-3)),
)
def test_a_machine_that_becomes_slower_or_faster_is_followed(
    target_s: float, before: tuple[float, float], after: tuple[float, float]
) -> None:
    pace = Pace(target_s, N_BATCH)
    settle(pace, Machine(*before))
    machine = Machine(*after)
    for _ in range(40):
        machine.step(pace, 3, 0)
    seconds = settle(pace, machine, 100)
    near = [wanted_s(target_s * off, *after) for off in (0.85, 1.0, 1.15)]  # a little more may fill a tile
    assert min(near) * 0.85 - 2 * after[1] <= seconds <= max(near) * 1.15 + 2 * after[1]


def test_the_whole_batch_is_for_the_prompt_when_nobody_decodes() -> None:
    pace = Pace(0.01, N_BATCH)
    settle(pace, Machine(0.005, 0.01))
    assert pace.budget(0) == N_BATCH


@search(100)
@given(
    target_s=st.floats(0.001, 1.0),
    seen=st.lists(
        st.tuples(st.integers(0, 8), st.integers(0, N_BATCH), st.just(0.0) | st.floats(1e-9, 100.0)), max_size=20
    ),
    n_decode=st.integers(1, 64),
)
def test_whatever_was_measured_a_prompt_gets_on_and_the_batch_holds_it(
    target_s: float, seen: list[tuple[int, int, float]], n_decode: int
) -> None:
    pace = Pace(target_s, N_BATCH)
    for step in seen:
        pace.observe(*step)
    assert 16 <= pace.budget(n_decode) <= N_BATCH - n_decode


def test_the_first_step_beside_streams_is_a_careful_one() -> None:
    assert Pace(0.1, N_BATCH).budget(1) < N_BATCH / 4


def test_a_batch_that_is_nearly_full_of_decoding_rows_leaves_the_rest_to_the_prompt() -> None:
    pace = Pace(0.1, 20)
    assert pace.budget(12) == 8
    settle(pace, Machine(0.5, 0.1))
    assert pace.budget(12) == 8
    assert pace.budget(20) == 0


def test_one_slow_step_does_not_stop_the_reading() -> None:
    pace, machine = Pace(0.1, N_BATCH), Machine(0.005, 0.0005)
    settle(pace, machine)
    before = pace.budget(3)
    pace.observe(3, before, 2.0)
    assert 16 <= pace.budget(3) < before
    settle(pace, machine)
    assert pace.budget(3) == pytest.approx(before, rel=0.1)


def test_steps_with_few_prompt_tokens_do_not_change_the_price() -> None:
    pace = Pace(0.1, N_BATCH)
    settle(pace, Machine(0.005, 0.0005))
    before = pace.prompt_tokens_per_s
    pace.observe(3, 2, 5.0)
    assert pace.prompt_tokens_per_s == before


def test_the_speed_of_reading_is_learned() -> None:
    pace = Pace(0.1, N_BATCH)
    assert pace.prompt_tokens_per_s == 0.0
    settle(pace, Machine(0.005, 0.0005))
    assert pace.prompt_tokens_per_s == pytest.approx(2000, rel=0.1)
