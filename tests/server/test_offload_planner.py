"""The plan keeps within the budgets, is the best of all there are, and says what the next better one lacks."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmserver.offload import table
from llmserver.offload.memory import Setup, on_card
from llmserver.offload.planner import Card, Machine, Plan, Wish, choose
from llmserver.offload.shape import Layer, Shape, Weight
from tests.server.engine_rig import search

MIB = 1024 * 1024
GB = 1e9


def weight(mib: float, part: str = "rest") -> Weight:
    return Weight("w", int(mib * MIB), 4096, 4096 * 18 // 32, part)


def model(n: int = 32, rest: float = 24, ffn: float = 95, width: int = 1024, **changes: object) -> Shape:
    """Like a model of 7 billion weights in 4 bits, unless said otherwise."""
    layer = Layer((weight(rest), weight(ffn, "experts" if changes.get("n_expert") else "ffn")), width, width)
    shape = Shape("m", "llama", 32_768, 32_000, 0, 0, 0, True, (layer,) * n, (weight(70),), (weight(102),), False)
    return replace(shape, **changes)  # type: ignore[arg-type]


def machine(card_mib: int | None, ram_mib: int = 32_000, ram_gbs: float = 20) -> Machine:
    card = Card("card", card_mib * MIB, card_mib * MIB, 256 * MIB, 192 * GB) if card_mib is not None else None
    return Machine(card, ram_mib * MIB, ram_gbs * GB)


def compute(setup: Setup) -> tuple[int, int]:
    return setup.n_ubatch * 256 * 1024 + setup.n_ctx * 4096, 8 * MIB


def best(shape: Shape, here: Machine, wish: Wish) -> Plan:
    return choose(shape, here, wish, compute).plan


def everything(shape: Shape, here: Machine, wish: Wish) -> list[Plan]:
    """Each candidate by itself: a wish for a number of layers is weighed as it is, splits are tried one by one."""
    return [best(shape, here, replace(wish, n_card=n)) for n in range(shape.n_layers + 1)]


@search(80)
@given(
    card=st.integers(0, 12_000),
    ram=st.integers(600, 40_000),
    n=st.integers(1, 12),
    ffn=st.floats(1, 400),
    n_ctx=st.sampled_from([None, 2048, 8192]),
)
def test_a_plan_keeps_its_budgets_and_none_with_whole_layers_is_better(
    card: int, ram: int, n: int, ffn: float, n_ctx: int | None
) -> None:
    shape, here, wish = model(n, ffn=ffn), machine(card, ram), Wish(n_ctx, n_seq=8)
    choice = choose(shape, here, wish, compute)
    assert here.card
    rivals = [plan for plan in everything(shape, here, wish) if plan.fits]
    if choice.plan.fits:
        assert choice.plan.card.total <= here.card.budget and choice.plan.ram.total <= here.ram_budget
        assert choice.plan.worth >= max((plan.worth for plan in rivals), default=0) * (1 - 1e-9)
    else:
        assert not [plan for plan in rivals if plan.setup.n_ctx == choice.plan.setup.n_ctx]
    if choice.better:
        assert choice.better.worth > choice.plan.worth and not choice.better.fits


@search(60)
@given(card=st.integers(300, 9000), more=st.integers(1, 4000), experts=st.booleans())
def test_a_larger_card_never_makes_a_worse_plan(card: int, more: int, experts: bool) -> None:
    shape = model(n_expert=8, n_expert_used=2) if experts else model()
    small, large = (best(shape, machine(size), Wish(8192)) for size in (card, card + more))
    assert large.worth >= small.worth


def test_everything_goes_on_a_card_that_holds_it_with_the_finest_cache() -> None:
    plan = best(model(), machine(24_000), Wish(8192))
    assert (plan.setup.n_card, plan.setup.n_split, plan.setup.kv, plan.setup.n_ubatch) == (33, 0, "f16", 512)


def test_six_gibibytes_hold_more_than_a_reserve_of_one_leaves() -> None:
    shape = model(n=36, ffn=120)
    ours, theirs = machine(6144), machine(6144)
    assert theirs.card
    theirs = replace(theirs, card=replace(theirs.card, reserve=1024 * MIB))
    plan = best(shape, ours, Wish(8192))
    fitted = best(shape, theirs, Wish(8192, kv=("f16",), n_ubatch=(512,)))
    assert plan.card.weights > fitted.card.weights and plan.tokens_per_s > fitted.tokens_per_s


def test_experts_stay_in_ram_before_attention_does() -> None:
    plan = best(model(ffn=400, n_expert=32, n_expert_used=4), machine(6144), Wish(8192))
    assert plan.setup.n_card == 33 and 0 < plan.setup.n_split < 32


def test_a_way_between_devices_that_costs_much_keeps_layers_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    assert best(model(ffn=110), machine(3000), Wish(8192)).setup.n_split > 0
    monkeypatch.setattr("llmserver.offload.planner._BETWEEN_S", 0.1)
    assert best(model(ffn=110), machine(3000), Wish(8192)).setup.n_split == 0


def test_without_a_card_nothing_is_put_on_it() -> None:
    plan = best(model(), machine(None), Wish(4096))
    assert (plan.setup.n_card, plan.card.total, plan.fits) == (0, 0, True)


def test_a_context_is_chosen_longer_where_there_is_room_and_never_under_the_floor() -> None:
    contexts = [best(model(), machine(size), Wish(n_ctx_least=4096)).setup.n_ctx for size in (5000, 8000, 12_000)]
    assert contexts == sorted(contexts) and contexts[0] >= 4096 and contexts[-1] == 32_768
    assert best(model(n_ctx_train=2048), machine(8000), Wish()).setup.n_ctx == 2048


def test_what_the_user_set_stays_even_where_it_does_not_fit() -> None:
    choice = choose(model(), machine(2000), Wish(8192, n_card=33), compute)
    assert choice.plan.setup.n_card == 33 and not choice.plan.fits
    assert f"{table.mib(choice.plan.card_lacks)} MiB on the card" in table.text(model(), machine(2000), choice)


def test_a_machine_that_is_too_small_gets_the_nearest_plan_and_what_it_lacks() -> None:
    choice = choose(model(), machine(None, ram_mib=2000), Wish(n_ctx_least=4096), compute)
    assert not choice.plan.fits and choice.plan.setup.n_ctx == 4096
    assert any("MiB of RAM" in reason for reason in table.reasons(model(), machine(None, 2000), choice))


def test_the_next_better_plan_lacks_what_it_says() -> None:
    shape, here = model(n=40), machine(5000)
    choice = choose(shape, here, Wish(8192), compute)
    assert choice.better and here.card
    richer = replace(here, card=replace(here.card, free=here.card.free + choice.better.card_lacks))
    assert best(shape, richer, Wish(8192)).worth >= choice.better.worth
    assert "next better: " in table.text(shape, here, choice)


def test_the_table_adds_up() -> None:
    shape, here = model(), machine(6144)
    choice = choose(shape, here, Wish(8192), compute)
    card, ram = ([int(cell.replace(",", "")) for cell in row[1:]] for row in table.rows(here, choice.plan))
    assert sum(card) == pytest.approx(6144, abs=4) and sum(ram) == pytest.approx(32_000, abs=4)
    assert on_card(shape, choice.plan.setup).weights == choice.plan.card.weights


def test_flags_say_all_that_was_chosen() -> None:
    choice = choose(model(ffn=400, n_expert=32, n_expert_used=4), machine(6144), Wish(8192, kv=("q8_0",)), compute)
    flags = table.flags(model(), choice.plan)
    assert "--n_gpu_layers 33" in flags and f"--n_cpu_ffn {choice.plan.setup.n_split}" in flags
    assert "--type_k 8 --type_v 8" in flags and "--n_ctx 8192" in flags
