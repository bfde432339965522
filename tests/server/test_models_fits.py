"""What fits which machine, how, how quickly at most, and which model is named for it. Machines are values here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from llmserver.library import catalog, fits
from llmserver.library.cards import bandwidth_gbs
from llmserver.library.catalog import Catalog, Model
from llmserver.library.fits import CARD, NOWHERE, PROCESSOR, SPLIT, Fit
from llmserver.library.machine import Room, described, shared
from llmserver.offload import gguf
from llmserver.offload.devices import Device
from llmserver.offload.memory import Setup, sequences
from llmserver.offload.planner import Card, Machine
from llmserver.offload.probe import Prober
from llmserver.offload.shape import shape_of
from tests.processes import MODEL
from tests.server.shapes import dense_7b, experts

MIB, GIB = 1024**2, 1024**3
KNOWN = catalog.load()


def machine(*cards_gib: float, ram_gib: float = 16, ram_gbs: float = 20) -> Machine:
    """Cards as `plan --vram` thinks of them, and so much free RAM."""
    totals = [int(gib * GIB) for gib in cards_gib]
    cards = tuple(
        Card(f"card {n}", total, total - 300 * MIB, max(256 * MIB, total // 25), bandwidth_gbs("", total)[0] * 1e9)
        for n, total in enumerate(totals)
    )
    return Machine(cards, int(ram_gib * GIB), ram_gbs * 1e9)


def fit(name: str, here: Machine) -> Fit:
    return fits.fit(fits.estimated(KNOWN.find(name)), here, is_estimate=True)


def advice(here: Machine, shared_bytes: int = 0, known: Catalog = KNOWN) -> fits.Advice:
    found = [(model, fits.fit(fits.estimated(model), here, shared_bytes=shared_bytes)) for model in known.models]
    return fits.recommend(found, here)


@pytest.mark.parametrize(
    ("here", "name"),
    [
        (machine(24, ram_gib=60), "gemma-4-26b-a4b"),
        (machine(12, ram_gib=60), "ministral-3-14b"),
        (machine(12, 12, ram_gib=60), "gemma-4-26b-a4b"),
        (machine(8, ram_gib=60), "qwen3.5-9b"),
        (machine(6, ram_gib=60), "gemma-4-e4b"),
        (machine(4, ram_gib=60), "gemma-4-e4b"),
        (machine(ram_gib=11), "gemma-4-e2b"),
        (machine(ram_gib=250), "gemma-4-e2b"),
        (machine(ram_gib=250, ram_gbs=200), "gemma-4-26b-a4b"),
        (machine(ram_gib=2.2, ram_gbs=10), "qwen3.5-0.8b"),
        (machine(ram_gib=1.7, ram_gbs=4), "qwen3.5-0.8b"),
        (machine(ram_gib=0.6, ram_gbs=4), "smollm2-135m"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_machine_gets_the_best_model_that_answers_well_on_it(here: Machine, name: str) -> None:
    assert advice(here).model.name == name


def test_a_small_card_only_helps_the_processor() -> None:
    """What a 2 GiB card holds wholly is less than what both together answer with quickly enough."""
    found = advice(machine(2, ram_gib=60))
    assert found.model.size_bytes >= KNOWN.find("gemma-4-e2b").size_bytes
    assert found.fit.where == SPLIT and found.fit.tokens_per_s >= fits.USEFUL_TOKENS_PER_S


def test_a_card_is_filled_before_a_larger_model_is_named_that_is_partly_in_ram() -> None:
    found = advice(machine(8, ram_gib=60))
    assert found.fit.where == CARD and found.larger
    larger, slower = found.larger
    assert larger.size_bytes > found.model.size_bytes
    assert slower.where != CARD and fits.USEFUL_TOKENS_PER_S <= slower.tokens_per_s < found.fit.tokens_per_s


def test_a_processor_that_is_too_slow_for_all_gets_the_quickest_and_is_told() -> None:
    found = advice(machine(ram_gib=60, ram_gbs=2))
    assert found.model.name == "qwen3.5-0.8b" and "none reaches 12 tokens/s" in found.why


def test_nothing_fits_and_the_smallest_is_named_with_what_it_lacks() -> None:
    found = advice(machine(ram_gib=0.5))
    assert found.model.demo and found.fit.where == NOWHERE and found.fit.lacks > 0


@pytest.mark.parametrize("model", KNOWN.models, ids=lambda model: model.name)
def test_every_shipped_model_lies_wholly_on_the_card_of_its_tier(model: Model) -> None:
    if model.tier != "cpu":
        assert fit(model.name, machine(int(model.tier.removesuffix("GB")), ram_gib=16)).where == CARD


@pytest.mark.parametrize("model", KNOWN.models, ids=lambda model: model.name)
def test_what_a_model_lacks_is_what_it_needs(model: Model) -> None:
    small = machine(1, ram_gib=0.55)
    lacking = fit(model.name, small)
    assert lacking.where == NOWHERE
    assert fit(model.name, replace(small, ram_free=small.ram_free + lacking.lacks - MIB)).where == NOWHERE
    (card,) = small.cards
    enough = replace(
        small,
        cards=(replace(card, free=card.free + lacking.card_lacks),),
        ram_free=small.ram_free + lacking.ram_lacks,
    )
    assert fit(model.name, enough).where != NOWHERE


def test_one_model_on_more_and_more_memory() -> None:
    cards = [machine(total, ram_gib=4) for total in (1, 4, 8, 12)]
    found = [fit("qwen3.5-9b", here) for here in cards]
    assert [one.where for one in found] == [NOWHERE, SPLIT, CARD, CARD]
    assert found[1].tokens_per_s < found[2].tokens_per_s < found[3].tokens_per_s
    assert fit("qwen3.5-9b", machine(ram_gib=12)).where == PROCESSOR
    assert fit("qwen3.5-9b", machine(4, 4, ram_gib=4)).n_cards == 2


def test_a_token_reads_few_of_the_experts_and_none_of_the_tables() -> None:
    here = machine(24, ram_gib=60)
    mixture, dense = fit("gemma-4-26b-a4b", here), fit("qwen3.8-27b", here)
    assert mixture.tokens_per_s > 3 * dense.tokens_per_s
    with_tables = fit("gemma-4-e4b", here)
    assert with_tables.where == CARD and with_tables.ram_bytes > 1.5e9  # they stay in RAM
    both = machine(8, ram_gib=60)
    mixture, dense = fit("gemma-4-26b-a4b", both), fit("qwen3.8-27b", both)
    assert mixture.where == dense.where == SPLIT and mixture.tokens_per_s > 8 * dense.tokens_per_s


@pytest.mark.parametrize("here", [machine(24), machine(ram_gib=24), machine(3)], ids=["card", "processor", "both"])
@pytest.mark.parametrize("kind", ["dense", "experts", "smollm2"])
def test_an_estimate_is_near_what_the_file_says(tmp_path: Path, kind: str, here: Machine) -> None:
    known = KNOWN.models[0]
    if kind == "dense":
        path = dense_7b(tmp_path / "7b.gguf", n_layer=32)
        known = replace(known, n_layer=32, kv_token_bytes=32 * 2 * 8 * 128 * 2, state_bytes=0)
    elif kind == "experts":
        path = experts(tmp_path / "experts.gguf")
        known = replace(known, n_layer=24, kv_token_bytes=24 * 2 * 8 * 64 * 2, n_expert=32, n_expert_used=4)
        known = replace(known, parameters="9.9B", active="1.5B")
    else:
        path = MODEL
    shape = shape_of(gguf.read(path))
    known = replace(known, size_bytes=path.stat().st_size, n_ctx_train=shape.n_ctx_train)
    true, guess = fits.fit(shape, here), fits.fit(fits.estimated(known), here)
    assert guess.where == true.where
    assert guess.card_bytes + guess.ram_bytes == pytest.approx(true.card_bytes + true.ram_bytes, rel=0.1)
    assert guess.tokens_per_s == pytest.approx(true.tokens_per_s, rel=0.25)


@pytest.mark.parametrize("make", [dense_7b, experts, None], ids=["dense", "experts", "smollm2"])
def test_the_allowance_for_buffers_is_more_than_llama_takes_and_not_much_more(tmp_path: Path, make: object) -> None:
    path = make(tmp_path / "m.gguf") if callable(make) else MODEL
    shape = shape_of(gguf.read(path))
    prober = Prober(path)
    try:
        taken = sum(prober.look(Setup(4096, n_seq=24)).compute.values())
    finally:
        prober.free()
    allowed = fits.buffers(shape, machine(ram_gib=64)).ram
    assert taken <= allowed <= taken + 160 * MIB


def test_every_conversation_has_a_state_of_its_own() -> None:
    said = KNOWN.find("qwen3.5-4b")
    with_state, without = (
        fits.fit(fits.estimated(model), machine(8)) for model in (said, replace(said, state_bytes=0))
    )
    n_states = (with_state.card_bytes - without.card_bytes) / said.state_bytes
    assert n_states == pytest.approx(sequences(fits.N_PARALLEL, is_small=True), abs=0.1)


def test_a_model_of_which_the_catalog_says_little_is_estimated_by_its_size() -> None:
    said = KNOWN.find("qwen3-4b")
    little = replace(said, n_layer=0, kv_token_bytes=0)
    full, rough = (fits.fit(fits.estimated(model), machine(8)) for model in (said, little))
    assert rough.where == full.where == CARD
    assert rough.card_bytes == pytest.approx(full.card_bytes, rel=0.2)


def test_memory_that_is_shared_is_not_counted_twice() -> None:
    mac = machine(24, ram_gib=32)
    room = shared(Room(mac), 32 * GIB)
    assert room.shared_bytes == 16 * GIB
    assert advice(room.machine, room.shared_bytes).model.name == "gpt-oss-20b"
    half = fits.fit(fits.estimated(KNOWN.find("qwen3.8-27b")), room.machine, shared_bytes=room.shared_bytes)
    assert half.where == NOWHERE and half.lacks > 0
    assert fits.fit(fits.estimated(KNOWN.find("qwen3.8-27b")), room.machine).where == SPLIT  # were they two memories


@pytest.mark.parametrize(
    ("name", "gbs"),
    [
        ("NVIDIA GeForce GTX 1060 6GB", 192),
        ("NVIDIA GeForce RTX 3060", 360),
        ("NVIDIA GeForce RTX 3060 Ti", 448),
        ("NVIDIA GeForce RTX 3060 Laptop GPU", 336),
        ("NVIDIA A100-SXM4-80GB", 2039),
        ("AMD Radeon RX 7900 XTX (RADV NAVI31)", 960),
        ("Intel(R) Arc(TM) A770 Graphics", 560),
        ("Apple M2 Pro", 200),
    ],
)
def test_a_card_is_as_quick_as_its_maker_says(name: str, gbs: float) -> None:
    assert bandwidth_gbs(name, 8 * GIB) == (gbs, True)


def test_an_unknown_card_is_as_quick_as_is_usual_for_its_size_and_it_is_said() -> None:
    assert bandwidth_gbs("Mystery RTX 30600", 24 * GIB) == (900, False)
    speeds = [bandwidth_gbs("", gib * GIB)[0] for gib in (2, 4, 6, 8, 12, 16, 24)]
    assert speeds == sorted(speeds)
    room = described(machine(6), {"card 0": Device("card 0", "Mystery", "gpu", 6 * GIB, 6 * GIB)})
    assert "on Mystery (about 192 GB/s)" in str(room)


def test_the_room_names_cards_and_what_others_take_of_them() -> None:
    two = machine(12, 12)
    devices = {
        card.name: Device(card.name, "NVIDIA GeForce RTX 3060", "gpu", card.free, card.total) for card in two.cards
    }
    room = described(two, devices)
    assert str(room).startswith(
        "25.1 GB free of 25.8 GB on 2 x NVIDIA GeForce RTX 3060 (360 GB/s), and 17.2 GB of free RAM"
    )
    assert room.notes == ()
    full = replace(two, cards=tuple(replace(card, free=2 * GIB) for card in two.cards))
    (note,) = described(full, devices).notes
    assert note.startswith("21.5 GB of it are taken now") and "--vram 12288MiB,12288MiB" in note
