"""Several cards: the best deal of the layers that each has room for, and llama.cpp deals them as planned."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmserver import settings
from llmserver.engine.info import Placement
from llmserver.engine.llama.model import Model
from llmserver.offload import gguf, rpc, table
from llmserver.offload.cli import compute_of
from llmserver.offload.devices import Device
from llmserver.offload.memory import sequences
from llmserver.offload.planner import Card, Machine, Plan, Wish, choose
from llmserver.offload.probe import Prober, buffer_names, in_order
from llmserver.offload.shape import Shape, shape_of
from tests.processes import MODEL, Process, free_port, until
from tests.server.engine_rig import search
from tests.server.planning import (
    GB,
    MIB,
    best,
    compute,
    every_setup,
    machine,
    model,
    richer,
    seconds,
    takes,
    uneven,
)
from tests.server.real import is_listening
from tests.server.shapes import dense_7b, experts

ONE = Wish(2048, kv=("f16",), n_ubatch=(128,))
BLOCKS = st.lists(st.tuples(st.integers(1, 300), st.integers(1, 900), st.integers(1, 4096)), min_size=1, max_size=4)
CARDS = st.lists(st.integers(200, 5000), min_size=1, max_size=3)
SPEEDS = st.lists(st.sampled_from([5.0, 60.0, 192.0, 192.0, 400.0]), min_size=3, max_size=3)


@search(200)
@given(blocks=BLOCKS, output=st.integers(1, 400), cards=CARDS, speeds=SPEEDS, ram=st.integers(600, 4000))
def test_no_way_to_deal_the_layers_is_quicker(
    blocks: list[tuple[int, int, int]], output: int, cards: list[int], speeds: list[float], ram: int
) -> None:
    shape, here = uneven(blocks, output), machine(*cards, ram_mib=ram, gbs=speeds)
    plan = best(shape, here, Wish(8192, kv=("f16",), n_ubatch=(1024,)))  # with buffers of 288 MiB
    base = replace(plan.setup, n_card=0, n_split=0, layers_by_card=())
    known = [seconds(shape, here, s) for s in every_setup(shape, base, len(cards)) if takes(shape, here, s)]
    assert plan.fits == bool(known)
    if known:
        assert takes(shape, here, plan.setup)
        assert 1 / plan.tokens_per_s == pytest.approx(seconds(shape, here, plan.setup), rel=1e-6)
        assert 1 / plan.tokens_per_s == pytest.approx(min(known), rel=1e-6)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> list[Shape]:
    """Of files, and of nobody."""
    folder = tmp_path_factory.mktemp("shapes")
    files = [dense_7b(folder / "dense.gguf", n_layer=32), experts(folder / "experts.gguf", n_layer=12)]
    return [
        *(shape_of(gguf.read(file)) for file in files),
        uneven([(9, 80, 128), (300, 1, 4096), (50, 700, 0)] * 4, 60),
    ]


@search(30)
@given(which=st.integers(0, 2), cards=CARDS, speeds=SPEEDS, at=st.integers(0, 2), more=st.integers(1, 3000))
def test_no_card_gets_more_than_its_budget_and_more_memory_is_never_worse(
    shapes: list[Shape], which: int, cards: list[int], speeds: list[float], at: int, more: int
) -> None:
    shape, here, wish = shapes[which], machine(*cards, gbs=speeds), Wish(n_ubatch=(512, 128), n_seq=8)
    larger = richer(here, at % len(cards), more * MIB)
    plan, other = best(shape, here, wish), best(shape, larger, wish)
    for found, place in ((plan, here), (other, larger)):
        assert found.fits and takes(shape, place, found.setup)
        assert sum(found.setup.layers_by_card) == found.setup.n_card
        assert all(sizes.total <= card.budget for sizes, card in zip(found.cards, place.cards, strict=True))
    assert other.worth >= plan.worth * (1 - 1e-6)


def by_card(plan: Plan) -> tuple[int, ...]:
    return plan.setup.layers_by_card


def test_what_one_card_holds_is_not_spread() -> None:
    assert by_card(best(model(), machine(8000, 8000), ONE)) == (33, 0)
    assert by_card(best(model(), machine(3000, 8000), ONE)) == (0, 33)


def test_the_quicker_card_holds_it_all_or_as_much_as_it_can() -> None:
    assert by_card(best(model(), machine(8000, 8000, gbs=(100, 400)), ONE)) == (0, 33)
    quick_last = by_card(best(model(), machine(4000, 3000, gbs=(100, 400)), ONE))
    quick_first = by_card(best(model(), machine(4000, 3000, gbs=(400, 100)), ONE))
    assert sum(quick_last) == sum(quick_first) == 33 and quick_last[0] < quick_first[0]


def test_equal_cards_are_filled_alike() -> None:
    first, second = by_card(best(model(), machine(3500, 3500), ONE))
    assert first + second == 33 and abs(first - second) <= 2
    small, large = by_card(best(model(), machine(2000, 4000), ONE))
    assert small + large == 33 and 2 * small < large < 3 * small


def test_two_cards_hold_more_than_the_larger_one() -> None:
    both, one = best(model(), machine(2500, 1500), ONE), best(model(), machine(2500), ONE)
    assert min(by_card(both)) > 0 and both.tokens_per_s > one.tokens_per_s


def test_a_way_between_cards_that_costs_much_keeps_the_model_together(monkeypatch: pytest.MonkeyPatch) -> None:
    here = machine(4000, 4500, gbs=(192, 191))
    monkeypatch.setattr("llmserver.offload.planner._BETWEEN_S", 0.0)
    assert by_card(best(model(), here, ONE))[0] > 0
    monkeypatch.setattr("llmserver.offload.planner._BETWEEN_S", 0.1)
    assert by_card(best(model(), here, ONE)) == (0, 33)


def test_a_card_slower_than_ram_gets_nothing_unless_ram_is_short() -> None:
    assert by_card(best(model(), machine(8000, gbs=(5,)), ONE)) == (0,)
    plan = best(model(), machine(8000, gbs=(5,), ram_mib=3000), ONE)
    assert plan.fits and plan.cards[0].weights > 0 and plan.ram.total > 2200 * MIB


def test_layers_that_the_user_set_are_dealt_and_what_is_short_is_named() -> None:
    here = machine(2500, 1500)
    plan = best(model(), here, replace(ONE, n_card=20))
    assert plan.fits and sum(by_card(plan)) == 20 and min(by_card(plan)) > 0
    choice = choose(model(), here, replace(ONE, n_card=-1), compute(here))
    short = [at for at, lacks in enumerate(choice.plan.card_lacks) if lacks > 0]
    assert sum(by_card(choice.plan)) == 33 and len(short) == 1
    lacks = choice.plan.card_lacks[short[0]]
    assert f"{table.mib(lacks)} MiB on card {short[0]};" in table.text(model(), here, choice)
    all_of_it = replace(ONE, n_card=-1)
    assert best(model(), richer(here, short[0], lacks), all_of_it).fits
    assert not any(best(model(), richer(here, at, lacks - MIB), all_of_it).fits for at in (0, 1))


def test_the_table_names_each_card_and_the_flags_deal_as_planned() -> None:
    here = machine(2000, 1500)
    wish = replace(ONE, n_card=18)
    choice = choose(model(), here, wish, compute(here))
    counts, text = by_card(choice.plan), table.text(model(), here, choice, "10.0.0.7:50052")
    assert f"18 of 33 layers on the cards ({counts[0]} + {counts[1]})" in text
    assert "--rpc_servers 10.0.0.7:50052 --n_gpu_layers 18 " in text
    assert f"--tensor_split {counts[0]} {counts[1]}" in text
    rows = table.rows(here, choice.plan)
    assert [row[0] for row in rows] == ["card 0 2,000", "card 1 1,500", "RAM 32,000"]
    for row, size in zip(rows, (2000, 1500, 32_000), strict=True):
        assert sum(int(cell.replace(",", "")) for cell in row[1:]) == pytest.approx(size, abs=4)
    told = settings.load(["--model", str(MODEL), *table.flags(model(), choice.plan).split()]).models[0]
    assert told.tensor_split == [float(n) for n in counts] and told.n_gpu_layers == 18
    measured = replace(here, cards=(replace(here.cards[0], reserve_is_measured=True), here.cards[1]))
    said = table.reasons(model(), measured, choice)
    assert said[0].endswith("256 stay in reserve, measured at an earlier load") and "of card 1 are free" in said[1]
    assert "the driver takes" not in said[0] and "the driver takes" in said[1]


def test_a_workers_devices_have_other_names_for_their_memory() -> None:
    names = [("CUDA0", "A card"), ("CUDA1", "A card"), ("RPC0", "a:1"), ("RPC1", "a:1"), ("RPC2", "b:1")]
    found = buffer_names([Device(name, description, "gpu", 0, 0) for name, description in names])
    assert found == ("CUDA0", "CUDA1", "RPC0[a:1]", "RPC1[a:1]", "RPC0[b:1]")


needs_rpc = pytest.mark.skipif(not rpc.is_supported(), reason="this build of llama.cpp has no RPC: ./setup.sh --rpc")
KINDS = {"f16": "1", "q8_0": "8"}
ROUNDED = 5300  # bytes: the log's MiB have two decimals
BY_HAND = [  # n_ctx, KV type, n_gpu_layers, tensor_split, n_cpu_ffn
    *((512, "f16", 31, "3 1", 0), (3000, "q8_0", 31, "1 2", 4), (512, "q8_0", 31, "0 1", 2)),
    *((3000, "f16", 30, "1 0", 0), (512, "q8_0", 10, "0.3 0.7", 0), (3000, "f16", 7, "5 2", 3)),
]
PLANNED = [  # n_ctx, KV type, MiB of each card
    *((512, "f16", (150, 150)), (3000, "q8_0", (40, 300)), (3000, "f16", (300, 40)), (512, "q8_0", (60, 60))),
    *((3000, "q8_0", (0, 80)), (512, "f16", (90, 0)), (3000, "f16", (80, 70))),
]
_Found = TypeVar("_Found")


@contextlib.contextmanager
def working() -> Iterator[str]:
    """A worker on this machine, gone after the block."""
    port = free_port()
    process = Process("-m", "llmserver", "worker", "--port", str(port), port=port)
    try:
        until(lambda: is_listening(port), "the worker listens")
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()


@pytest.fixture(scope="module")
def workers() -> Iterator[str]:
    with working() as one, working() as other:
        yield f"{one},{other}"


def load(n_ctx: int, kv: str, *flags: str) -> Placement:
    """Where the model lies after a load."""
    given = ["--model", str(MODEL), "--n_ctx", str(n_ctx), "--type_k", KINDS[kv], "--type_v", KINDS[kv], *flags]
    found = Model(settings.load(given).models[0])
    found.free()
    return found.placement


def loads_by_hand(workers: str) -> list[Placement]:
    """One for each of BY_HAND."""
    rpc.add(workers)
    return [
        load(n_ctx, kv, "--n_gpu_layers", str(n), "--n_cpu_ffn", str(split), "--tensor_split", *given.split())
        for n_ctx, kv, n, given, split in BY_HAND
    ]


@dataclass(frozen=True)
class Loaded:
    """A plan, and what came of it."""

    plan: Plan
    placement: Placement


def loads_as_planned(workers: str) -> list[Loaded]:
    """One for each of PLANNED."""
    rpc.add(workers)
    shape, prober, found = shape_of(gguf.read(MODEL)), Prober(MODEL, n_card=-1), []
    names = [device.name for device in in_order()]
    for n_ctx, kv, budgets in PLANNED:
        cards = [Card(name, mib * MIB, mib * MIB, 0, 100 * GB) for name, mib in zip(names, budgets, strict=True)]
        here = Machine(tuple(cards), 16_000 * MIB, 10 * GB)
        wish = Wish(n_ctx, kv=(kv,), n_ubatch=(512,), n_seq=sequences(8, is_small=False))
        plan = choose(shape, here, wish, compute_of(prober, shape, here, is_here=True)).plan
        found.append(Loaded(plan, load(n_ctx, kv, *table.flags(shape, plan).split())))
    return found


def in_a_child(work: Callable[[str], list[_Found]], workers: str) -> list[_Found]:
    """In a process of its own: llama.cpp never forgets a device, and the tests after these have no workers."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as child:
        return child.submit(work, workers).result()


def names_of(workers: str) -> list[str]:
    return [f"RPC0[{worker}]" for worker in workers.split(",")]


@needs_rpc
@pytest.mark.model
def test_what_lies_on_two_workers_is_what_tensor_split_says(workers: str) -> None:
    for what, lies in zip(BY_HAND, in_a_child(loads_by_hand, workers), strict=True):
        planned: Mapping[str, Any] = lies.planned
        cards = planned["cards"]
        assert [card["name"] for card in cards] == names_of(workers)
        assert sum(card["layers"] for card in cards) == what[2], what
        for card in cards:
            took = lies.allocated.get(card["name"], {})
            assert card["weights"] == pytest.approx(took.get("weights", 0), rel=0.01), (what, lies)
            assert card["kv"] == pytest.approx(took.get("kv", 0), rel=0.01), (what, lies)
        for kind in ("weights", "kv"):
            assert planned["card"][kind] == sum(card[kind] for card in cards)
        assert lies.planned["ram"]["kv"] == pytest.approx(lies.allocated["CPU"].get("kv", 0), rel=0.01, abs=ROUNDED), (
            what
        )


@needs_rpc
@pytest.mark.model
def test_a_plan_for_two_workers_takes_of_each_what_it_says(workers: str) -> None:
    used = set()
    for (n_ctx, kv, budgets), loaded in zip(PLANNED, in_a_child(loads_as_planned, workers), strict=True):
        plan, lies = loaded.plan, loaded.placement
        assert plan.fits
        used.add(tuple(n > 0 for n in by_card(plan)))
        for name, n, sizes, mib in zip(names_of(workers), by_card(plan), plan.cards, budgets, strict=True):
            took = lies.allocated.get(name, {}) if n else {}
            said = (n_ctx, kv, budgets, plan.setup, lies.allocated)
            assert sizes.weights == pytest.approx(took.get("weights", 0), rel=0.01), said
            assert sizes.kv == pytest.approx(took.get("kv", 0), rel=0.01), said
            assert took.get("compute", 0) <= sizes.compute * 1.01, said
            assert sum(took.values()) <= mib * MIB, said
    assert used == {(True, True), (True, False), (False, True)}
