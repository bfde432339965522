"""What loads taught is kept, is about one card, driver and architecture, and never fails a start."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from llmserver.offload import learned

MIB = 1024 * 1024


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(learned, "_in_use", {})
    return tmp_path


def test_nothing_is_known_of_a_card_at_first() -> None:
    assert learned.reserve("GTX 1060", "llama") is None


def test_a_measured_reserve_has_a_margin_and_belongs_to_its_card_and_architecture() -> None:
    learned.learn("GTX 1060", "llama", 100 * MIB)
    assert learned.reserve("GTX 1060", "llama") == 174 * MIB
    assert learned.reserve("GTX 1060", "gemma3") is None and learned.reserve("RTX 3060", "llama") is None


def test_the_most_that_was_ever_taken_counts() -> None:
    for taken in (100 * MIB, 40 * MIB, -5):
        learned.learn("GTX 1060", "llama", taken)
    assert learned.reserve("GTX 1060", "llama") == 174 * MIB


def test_a_card_that_takes_nothing_keeps_a_little_free() -> None:
    learned.learn("GTX 1060", "llama", 0)
    assert learned.reserve("GTX 1060", "llama") == 64 * MIB


def test_another_driver_has_to_be_measured_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "version"
    monkeypatch.setattr(learned, "_DRIVER_FILE", file)
    file.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39:15 UTC 2024\n")
    assert learned.driver() == "535.183.01"
    learned.learn("GTX 1060", "llama", 100 * MIB)
    file.write_text("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86  Release Build\n")
    assert learned.driver() == "570.86" and learned.reserve("GTX 1060", "llama") is None


def test_an_abort_for_want_of_memory_raises_the_reserve_and_takes_proofs_back() -> None:
    learned.learn("GTX 1060", "llama", 100 * MIB)
    learned.prove("setup")
    learned.raise_reserve()  # no card is in use: it was not about one
    assert learned.reserve("GTX 1060", "llama") == 174 * MIB and learned.is_proven("setup")
    learned.use("GTX 1060", "llama")
    learned.raise_reserve()
    assert learned.reserve("GTX 1060", "llama") == pytest.approx((612 * 1.1 + 64) * MIB, abs=1)
    assert not learned.is_proven("setup")


def test_a_proof_is_of_one_setup_on_one_card() -> None:
    one = learned.proof({"n_ctx": 4096}, ["GTX 1060"])
    assert one == learned.proof({"n_ctx": 4096}, ["GTX 1060"])
    assert len({one, learned.proof({"n_ctx": 8192}, ["GTX 1060"]), learned.proof({"n_ctx": 4096}, ["RTX"])}) == 3
    learned.prove(one)
    assert learned.is_proven(one) and not learned.is_proven("other")


def test_old_proofs_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(1000))
    monkeypatch.setattr(learned.time, "time", lambda: next(clock))
    for number in range(70):
        learned.prove(str(number))
    assert learned.is_proven("69") and learned.is_proven("6") and not learned.is_proven("5")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"taken": 3, "proven": {}}', '{"taken": {"a|b|c": "x"}}', "\x00"])
def test_a_file_that_makes_no_sense_is_as_none_and_is_written_anew(text: str, cache: Path) -> None:
    learned.path().parent.mkdir()
    learned.path().write_text(text)
    assert learned.reserve("GTX 1060", "llama") is None and not learned.is_proven("setup")
    learned.learn("GTX 1060", "llama", 0)
    assert learned.reserve("GTX 1060", "llama") == 64 * MIB


@pytest.mark.skipif(os.geteuid() == 0 and not Path("/proc/self").exists(), reason="needs /proc")
def test_a_folder_that_cannot_be_written_teaches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/self")
    learned.learn("GTX 1060", "llama", 0)
    learned.prove("setup")
    assert learned.reserve("GTX 1060", "llama") is None and not learned.is_proven("setup")
