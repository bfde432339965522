"""LoRA adapters over a real model: no cell computed under one is ever read under another, and the base stays itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from llmserver.engine.request import Adapter
from llmserver.errors import RequestError
from tests.server.lora import write_lora
from tests.server.real_engine import Engine, Run, story

pytestmark = pytest.mark.model

TIE = 0.05  # nat, see test_real_engine.py
N = 16
BASE, PIRATE, POET = None, Adapter("pirate", 1.0, 1), Adapter("poet", 1.0, 2)
WEAK = Adapter("pirate", 0.5, 3)
PROMPT = story("the sea")


@pytest.fixture(scope="module")
def shared(exact_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder = tmp_path_factory.mktemp("lora")
    engine = Engine(exact_model, n_ctx=1024)
    for adapter, seed in ((PIRATE, 1), (POET, 2), (WEAK, 1)):
        engine.backend.add_adapter(adapter, str(write_lora(folder / f"{seed}.gguf", seed=seed)))
    return engine


@pytest.fixture
def engine(shared: Engine) -> Iterator[Engine]:
    shared.reset()
    yield shared


def told(engine: Engine, adapter: Adapter | None) -> Run:
    number = engine.ask(PROMPT, N, n_logprobs=2, adapter=adapter)
    engine.run()
    return engine.run_of(number)


@pytest.fixture(scope="module")
def cold(shared: Engine) -> dict[Adapter | None, Run]:
    """What each says with nothing in memory."""
    found = {}
    for adapter in (BASE, PIRATE, POET, WEAK):
        shared.reset()
        found[adapter] = told(shared, adapter)
    return found


def is_same(run: Run, other: Run) -> bool:
    gap = run.gap(other)
    return gap is None or gap < TIE


def test_each_adapter_and_each_strength_says_something_else(cold: dict[Adapter | None, Run]) -> None:
    texts = [tuple(run.tokens) for run in cold.values()]
    assert len(set(texts)) == len(texts)


def test_base_adapter_base_gives_the_cold_bases_text_again(engine: Engine, cold: dict[Adapter | None, Run]) -> None:
    for adapter in (BASE, PIRATE, BASE, POET, PIRATE, WEAK, BASE):
        assert is_same(told(engine, adapter), cold[adapter]), adapter
    assert engine.n_read < 7 * len(engine.tokens_of(PROMPT)) + 7 * N  # what each knew was found again


def test_requests_under_different_adapters_at_once_say_what_each_says_alone(
    engine: Engine, cold: dict[Adapter | None, Run]
) -> None:
    order = (PIRATE, BASE, POET, BASE, PIRATE, WEAK)
    numbers = [engine.ask(PROMPT, N, n_logprobs=2, adapter=adapter) for adapter in order]
    engine.run()
    for number, adapter in zip(numbers, order, strict=True):
        assert is_same(engine.run_of(number), cold[adapter]), adapter
    of = dict(zip(numbers, order, strict=True))
    for plan in engine.steps:
        assert {of[work.request] for work in plan.work} <= {plan.adapter}
    assert {plan.adapter for plan in engine.steps} == set(order)


def test_an_adapter_that_was_removed_leaves_nothing_to_a_new_one_of_its_name(
    engine: Engine, cold: dict[Adapter | None, Run], tmp_path: Path
) -> None:
    guest, later = Adapter("guest", 1.0, 8), Adapter("guest", 1.0, 9)
    engine.backend.add_adapter(guest, str(write_lora(tmp_path / "a.gguf", seed=1)))
    assert is_same(told(engine, guest), cold[PIRATE])
    engine.scheduler.memory.forget_scope(guest)
    engine.backend.remove_adapter(guest)
    assert is_same(told(engine, BASE), cold[BASE])
    engine.backend.add_adapter(later, str(write_lora(tmp_path / "b.gguf", seed=2)))
    assert is_same(told(engine, later), cold[POET])
    engine.check_cells()
    engine.scheduler.memory.forget_scope(later)
    engine.backend.remove_adapter(later)
    assert is_same(told(engine, PIRATE), cold[PIRATE])


@pytest.mark.parametrize("content", [b"GGUF", b"GGUF\x03\0\0\0" + b"\xff" * 64, b"GGUF\x03\0\0\0" + b"\0" * 16])
def test_a_file_that_is_no_adapter_is_refused_and_the_model_lives_on(
    engine: Engine, cold: dict[Adapter | None, Run], tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "bad.gguf").write_bytes(content)
    with pytest.raises(RequestError, match="is no LoRA adapter"):
        engine.backend.add_adapter(Adapter("bad", 1.0, 10), str(tmp_path / "bad.gguf"))
    assert is_same(told(engine, BASE), cold[BASE])
