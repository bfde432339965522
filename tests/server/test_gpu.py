"""On a real card: the budget holds, what was predicted is what is taken, and many requests are computed at once.

Run with `pytest -m gpu` where an NVIDIA card and a CUDA build of llama-cpp-python are at hand.
"""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.processes import Process, free_port, llmserver, running
from tests.server.shapes import dense_7b

pytestmark = pytest.mark.gpu
BUDGET_MIB = 6144


def on_card_mib(process: Process) -> int:
    """What nvidia-smi says this process takes."""
    query = ["nvidia-smi", "--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits"]
    said = subprocess.run(query, capture_output=True, text=True, check=True).stdout
    rows = [line.split(",") for line in said.splitlines() if "," in line]
    taken = [int(mib) for pid, mib in rows if int(pid) == process.process.pid]
    if taken:
        return taken[0]
    query = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]  # in a container pids differ
    return int(subprocess.run(query, capture_output=True, text=True, check=True).stdout.split()[0])


def ask(url: str, n: int = 0) -> dict[str, Any]:
    body = {"prompt": f"t{n} " * 300, "max_tokens": 32, "temperature": 0, "ignore_eos": True}
    return dict(httpx2.post(f"{url}/v1/completions", json=body, timeout=300, trust_env=False).json())


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return dense_7b(tmp_path_factory.mktemp("shapes") / "7b.gguf", n_layer=48)  # 6 GB of weights: not all of it fits


def test_a_model_too_large_for_6_gib_takes_as_planned_and_no_more(large: Path, tmp_path: Path) -> None:
    port = free_port()
    flags = ("-m", "llmserver", "--model", str(large), "--port", str(port), "--card_mib", str(BUDGET_MIB))
    with running(Process(*flags, port=port, XDG_CACHE_HOME=str(tmp_path))) as server:
        answer = ask(server.url)
        assert answer["usage"]["completion_tokens"] == 32
        placement = httpx2.get(f"{server.url}/plan", trust_env=False).json()["models"][0]["placement"]
        card, free = placement["allocated"]["CUDA0"], placement["free"]["CUDA0"]
        planned = sum(placement["planned"]["card"].values())
        assert planned == pytest.approx(card["weights"] + card["kv"], rel=0.01)
        assert planned + card["compute"] == pytest.approx(free["before"] - free["warm"], rel=0.03)
        assert 0.8 * BUDGET_MIB <= on_card_mib(server) <= BUDGET_MIB, server.output
        assert placement["n_gpu_layers"] > 0


def test_eight_requests_at_once_are_answered_as_alone() -> None:
    with running(llmserver("--n_gpu_layers", "-1", "--n_ctx", "8192")) as server, ThreadPoolExecutor(8) as pool:
        alone = [ask(server.url, n)["choices"][0]["text"] for n in range(8)]
        together = [answer["choices"][0]["text"] for answer in pool.map(lambda n: ask(server.url, n), range(8))]
        assert sum(a == b for a, b in zip(alone, together, strict=True)) >= 6  # near ties may fall the other way
        placement = httpx2.get(f"{server.url}/plan", trust_env=False).json()["models"][0]["placement"]
        assert placement["n_gpu_layers"] == placement["n_layers"]
