"""Random load on the real server, with clients that leave, prompts that are too long and broken bodies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.processes import REPO, llmserver, running, until

SECONDS = int(os.environ.get("PADDOCK_SOAK_S", "20"))
GROWTH_MB = 60.0  # of a process with 100 MB of weights; a leaked request or saved text would be far more


def plan_of(url: str) -> dict[str, Any]:
    models: list[dict[str, Any]] = httpx2.get(f"{url}/plan", trust_env=False).json()["models"]
    return models[0]


def counts_agree(url: str) -> bool:
    """Whether the books of the KV cache say what llama.cpp counts, with nobody being answered."""
    plan = plan_of(url)
    return bool(plan["kv_cells_used"] == plan["kv_cells_counted"])


@pytest.mark.model
@pytest.mark.timeout(180 + SECONDS)
def test_random_load_breaks_no_promise_and_leaks_nothing(tmp_path: Path) -> None:
    report = tmp_path / "soak.json"
    with running(llmserver("--n_ctx", "2048", "--cache_ram_mib", "16", "--max_queue", "4")) as server:
        command = [sys.executable, "-m", "llmserver", "bench", f"{server.url}/v1", "--scenario", "soak"]
        command += ["--seconds", str(SECONDS), "--pid", str(server.process.pid), "--json", str(report)]
        done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=140 + SECONDS, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        until(lambda: counts_agree(server.url), "the books and the count agree")  # a cancel may be on its way
        assert plan_of(server.url)["host_cache_bytes"] <= 16 * 2**20
    figures = json.loads(report.read_text())["scenarios"]["soak"]["runs"][0]["figures"]
    assert next(value for name, value in figures.items() if "growth" in name) < GROWTH_MB, figures
