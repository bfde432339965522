"""A load is tried in a real process of its own: what it did is learned, how it failed is told, once is enough."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from llmserver import settings
from llmserver.offload import learned, trial
from llmserver.offload.devices import Device
from llmserver.settings import ModelOptions
from tests.processes import MODEL, REPO

MIB = 1024 * 1024
CARD = Device("CUDA0", "GTX 1060", "gpu", 0, 0)


@pytest.fixture(autouse=True)
def _card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(trial, "names", lambda: (CARD,))


def options(model: Path = MODEL, *flags: str) -> ModelOptions:
    return settings.load(["--model", str(model), "--n_gpu_layers", "5", "--n_ctx", "512", *flags]).models[0]


def never(*_: object) -> dict[str, Any]:
    raise AssertionError("it was tried")


@pytest.mark.model
def test_a_load_that_works_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert trial.failure(options(), None, embeds=False) is None
    monkeypatch.setattr(trial, "_run", never)
    assert trial.failure(options(), None, embeds=False) is None
    with pytest.raises(AssertionError, match="tried"):
        trial.failure(options(MODEL, "--n_ubatch", "64"), None, embeds=False)


@pytest.mark.model
def test_the_child_says_what_it_took() -> None:
    asked = {"options": options().model_dump(mode="json"), "n_seq": None, "embeds": False}
    command = [sys.executable, "-m", "llmserver", "trial"]
    done = subprocess.run(
        command, input=json.dumps(asked), capture_output=True, text=True, cwd=REPO, timeout=60, check=True
    )
    assert json.loads(done.stdout)["planned"]["ram"]["weights"] > 90_000_000


@pytest.mark.model
def test_a_model_that_does_not_load_is_told_and_not_proven(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(MODEL.read_bytes()[:5_000_000])
    for _ in range(2):
        failed = trial.failure(options(broken), None, embeds=False)
        assert failed and "broken.gguf" in failed.reason and failed.lacked == 0


def test_a_child_that_is_killed_is_a_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = tmp_path / "python"
    script.write_text('#!/bin/sh\necho "llmserver: last words" >&2\nkill -ABRT $$\n')
    script.chmod(0o755)
    monkeypatch.setattr(trial.sys, "executable", str(script))
    failed = trial.failure(options(), None, embeds=False)
    assert failed == trial.Failure("the trial ended with signal 6: last words")


def test_a_child_that_does_not_end_is_a_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\nexec sleep 60\n")
    script.chmod(0o755)
    monkeypatch.setattr(trial.sys, "executable", str(script))
    monkeypatch.setattr(trial, "_LEAST_TIMEOUT_S", 0.3)
    monkeypatch.setattr(trial, "_SLOW_DISK", 10**12)
    failed = trial.failure(options(), None, embeds=False)
    assert failed and "not over" in failed.reason


def answer(before: int, warm: int, buffers: int) -> dict[str, Any]:
    free = {"CUDA0": {"before": before * MIB, "loaded": 0, "warm": warm * MIB}}
    return {"free": free, "allocated": {"CUDA0": {"weights": buffers * MIB}, "CPU": {"weights": 9 * MIB}}}


def test_what_a_batch_took_beside_its_buffers_is_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "_run", lambda *_: answer(5000, 1000, 3900))
    assert trial.failure(options(), None, embeds=False) is None
    assert learned.reserve("GTX 1060", "llama") == 174 * MIB  # a tenth more than 100, and 64


@pytest.mark.parametrize("card", [Device("RPC0", "worker", "gpu", 0, 0), Device("CUDA0", "APU", "igpu", 0, 0)])
def test_nothing_is_learned_where_others_use_the_memory_too(card: Device) -> None:
    assert trial.overhead(card, answer(5000, 1000, 3900)) is None


def test_a_request_that_was_too_large_says_what_lacked(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"error": "allocating 4096.00 MiB on device 0: cudaMalloc failed", "free": {"CUDA0": 4000 * MIB}}
    monkeypatch.setattr(trial, "_run", lambda *_: said)
    failed = trial.failure(options(), None, embeds=False)
    assert failed and failed.lacked == 96 * MIB


@pytest.mark.parametrize("flags", [("--n_gpu_layers", "0"), ("--trial_load", "false")])
def test_without_layers_on_a_card_or_by_wish_nothing_is_tried(
    flags: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "_run", never)
    assert trial.failure(options(MODEL, *flags), None, embeds=False) is None


def test_without_a_card_nothing_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "names", lambda: ())
    monkeypatch.setattr(trial, "_run", never)
    assert trial.failure(options(), None, embeds=False) is None
