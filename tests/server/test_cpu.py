"""How many threads a machine gets, with made-up machines."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from llmserver import cpu


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Linux without processors or quota yet."""
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(cpu, "_TOPOLOGY", str(tmp_path))
    monkeypatch.setattr(cpu, "_quota", partial(cpu._quota, tmp_path / "cpu.max"))
    return tmp_path


def build(machine: Path, siblings: list[str]) -> None:
    """Give the machine one logical processor for each entry, which names those that share its core."""
    for number, shared in enumerate(siblings):
        topology = machine / f"cpu{number}" / "topology"
        topology.mkdir(parents=True)
        (topology / "thread_siblings_list").write_text(f"{shared}\n")


def allow(monkeypatch: pytest.MonkeyPatch, *cpus: int) -> None:
    monkeypatch.setattr(cpu.os, "sched_getaffinity", lambda _: set(cpus), raising=False)


@pytest.mark.parametrize(
    ("siblings", "n_cores"),
    [
        (["0", "1", "2", "3"], 4),
        (["0,4", "1,5", "2,6", "3,7", "0,4", "1,5", "2,6", "3,7"], 4),
        (["0-1", "0-1", "2-3", "2-3", "4", "5"], 4),  # two large cores with two threads each, two small ones
        (["0"], 1),
    ],
)
def test_hyper_threads_of_one_core_count_once(
    machine: Path, monkeypatch: pytest.MonkeyPatch, siblings: list[str], n_cores: int
) -> None:
    build(machine, siblings)
    allow(monkeypatch, *range(len(siblings)))
    assert cpu.physical_cores() == n_cores


def test_only_cores_that_this_process_may_use_count(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(machine, ["0,4", "1,5", "2,6", "3,7", "0,4", "1,5", "2,6", "3,7"])
    allow(monkeypatch, 1, 5, 2)
    assert cpu.physical_cores() == 2


def test_without_a_topology_each_processor_is_a_core(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    allow(monkeypatch, 0, 1, 2)
    assert cpu.physical_cores() == 3


def test_without_affinity_all_processors_are_allowed(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(cpu.os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(cpu.os, "cpu_count", lambda: 6)
    assert cpu.physical_cores() == 6


@pytest.mark.parametrize(
    ("quota", "n_cores"),
    [
        ("200000 100000", 2),
        ("150000 100000", 1),
        ("50000 100000", 1),
        ("9900000 100000", 4),
        ("max 100000", 4),
        ("", 4),
        ("nonsense", 4),
    ],
)
def test_a_containers_quota_limits_the_count(
    machine: Path, monkeypatch: pytest.MonkeyPatch, quota: str, n_cores: int
) -> None:
    build(machine, ["0", "1", "2", "3"])
    allow(monkeypatch, 0, 1, 2, 3)
    (machine / "cpu.max").write_text(f"{quota}\n")
    assert cpu.physical_cores() == n_cores


@pytest.mark.parametrize(
    ("known", "n_cores"),
    [
        ({"hw.perflevel0.physicalcpu": "8", "hw.physicalcpu": "10"}, 8),
        ({"hw.physicalcpu": "6"}, 6),
        ({}, 4),
    ],
)
def test_a_mac_counts_its_fast_cores(monkeypatch: pytest.MonkeyPatch, known: dict[str, str], n_cores: int) -> None:
    def sysctl(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 0, known.get(command[-1], "") + "\n", "")

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(cpu.subprocess, "run", sysctl)
    monkeypatch.setattr(cpu.os, "cpu_count", lambda: 8)
    assert cpu.physical_cores() == n_cores


def test_this_machine_has_at_least_one() -> None:
    assert cpu.physical_cores() >= 1
