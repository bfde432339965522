"""The plan keeps within the budgets, is the best of all there are, and says what the next better one lacks."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmserver.offload import table
from llmserver.offload.memory import on_cards
from llmserver.offload.planner import Machine, Plan, Wish, choose
from llmserver.offload.shape import Shape
from tests.server.engine_rig import search
from tests.server.planning import MIB, best, compute, machine, model, richer


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
    shape, here, wish = model(n, ffn=ffn), machine(card, ram_mib=ram), Wish(n_ctx, n_seq=8)
    choice = choose(shape, here, wish, compute(here))
    rivals = [plan for plan in everything(shape, here, wish) if plan.fits]
    if choice.plan.fits:
        assert choice.plan.cards[0].total <= here.cards[0].budget and choice.plan.ram.total <= here.ram_budget
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
    ours = machine(6144)
    theirs = replace(ours, cards=(replace(ours.cards[0], reserve=1024 * MIB),))
    plan = best(shape, ours, Wish(8192))
    fitted = best(shape, theirs, Wish(8192, kv=("f16",), n_ubatch=(512,)))
    assert plan.cards[0].weights > fitted.cards[0].weights and plan.tokens_per_s > fitted.tokens_per_s


def test_experts_stay_in_ram_before_attention_does() -> None:
    plan = best(model(ffn=400, n_expert=32, n_expert_used=4), machine(6144), Wish(8192))
    assert plan.setup.n_card == 33 and 0 < plan.setup.n_split < 32


def test_a_way_between_devices_that_costs_much_keeps_layers_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    assert best(model(ffn=110), machine(3000), Wish(8192)).setup.n_split > 0
    monkeypatch.setattr("llmserver.offload.planner._BETWEEN_S", 0.1)
    assert best(model(ffn=110), machine(3000), Wish(8192)).setup.n_split == 0


def test_without_a_card_nothing_is_put_on_it() -> None:
    plan = best(model(), machine(None), Wish(4096))
    assert (plan.setup.n_card, plan.cards, plan.fits) == (0, (), True)


def test_a_context_is_chosen_longer_where_there_is_room_and_never_under_the_floor() -> None:
    contexts = [best(model(), machine(size), Wish(n_ctx_least=4096)).setup.n_ctx for size in (5000, 8000, 12_000)]
    assert contexts == sorted(contexts) and contexts[0] >= 4096 and contexts[-1] == 32_768
    assert best(model(n_ctx_train=2048), machine(8000), Wish()).setup.n_ctx == 2048


def test_what_the_user_set_stays_even_where_it_does_not_fit() -> None:
    here = machine(2000)
    choice = choose(model(), here, Wish(8192, n_card=33), compute(here))
    assert choice.plan.setup.n_card == 33 and not choice.plan.fits
    assert f"{table.mib(choice.plan.card_lacks[0])} MiB on the card" in table.text(model(), here, choice)


def test_a_machine_that_is_too_small_gets_the_nearest_plan_and_what_it_lacks() -> None:
    here = machine(None, ram_mib=2000)
    choice = choose(model(), here, Wish(n_ctx_least=4096), compute(here))
    assert not choice.plan.fits and choice.plan.setup.n_ctx == 4096
    assert any("MiB of RAM" in reason for reason in table.reasons(model(), here, choice))


def test_the_next_better_plan_lacks_what_it_says() -> None:
    shape, here = model(n=40), machine(5000)
    choice = choose(shape, here, Wish(8192), compute(here))
    assert choice.better
    assert best(shape, richer(here, 0, choice.better.card_lacks[0]), Wish(8192)).worth >= choice.better.worth
    assert "next better: " in table.text(shape, here, choice)


def test_the_table_adds_up() -> None:
    shape, here = model(), machine(6144)
    choice = choose(shape, here, Wish(8192), compute(here))
    card, ram = ([int(cell.replace(",", "")) for cell in row[1:]] for row in table.rows(here, choice.plan))
    assert sum(card) == pytest.approx(6144, abs=4) and sum(ram) == pytest.approx(32_000, abs=4)
    assert on_cards(shape, choice.plan.setup)[0].weights == choice.plan.cards[0].weights


def test_flags_say_all_that_was_chosen() -> None:
    here = machine(6144)
    choice = choose(model(ffn=400, n_expert=32, n_expert_used=4), here, Wish(8192, kv=("q8_0",)), compute(here))
    flags = table.flags(model(), choice.plan)
    assert "--n_gpu_layers 33" in flags and f"--n_cpu_ffn {choice.plan.setup.n_split}" in flags
    assert "--type_k 8 --type_v 8" in flags and "--n_ctx 8192" in flags and "--tensor_split" not in flags
