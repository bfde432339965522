"""Workers: refused where strangers reach them, left out when they do not answer, real where the build has them."""

from __future__ import annotations

import itertools
import socket
import subprocess
import sys
from collections.abc import Iterator

import httpx2
import pytest

from llmserver import settings
from llmserver.engine.llama.load import open_model
from llmserver.errors import BadSettings
from llmserver.offload import rpc
from tests.processes import MODEL, REPO, free_port, llmserver, running, until

needs_rpc = pytest.mark.skipif(not rpc.is_supported(), reason="this build of llama.cpp has no RPC backend")


@pytest.mark.parametrize("host", ["0.0.0.0", "8.8.8.8", "::", "example.org"])
def test_a_worker_listens_to_no_strangers(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc, "_library", lambda: None)
    with pytest.raises(BadSettings, match=r"private|IP address"):
        rpc.serve(host, 50_052, 1)


@pytest.mark.parametrize("servers", ["box", "box:", "box:0", "box:70000", ":50052", "127.0.0.1:x"])
def test_what_is_no_worker_is_said(servers: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc, "_library", lambda: None)
    with pytest.raises(BadSettings, match="write host:port"):
        rpc.add(servers)


def test_a_worker_that_does_not_answer_is_left_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(rpc, "_library", lambda: None)
    port = free_port()
    assert rpc.add(f"127.0.0.1:{port}") == []
    assert f"worker 127.0.0.1:{port} does not answer" in caplog.text


@pytest.mark.skipif(rpc.is_supported(), reason="this build has the RPC backend")
def test_a_build_without_it_says_how_to_get_it() -> None:
    command = [sys.executable, "-m", "llmserver", "worker"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPO, timeout=60, check=False)
    assert done.returncode == 2 and "GGML_RPC=ON" in done.stderr and done.stderr.count("\n") == 1


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def worker() -> Iterator[str]:
    port = free_port()
    with subprocess.Popen([sys.executable, "-m", "llmserver", "worker", "--port", str(port)], cwd=REPO) as process:
        until(lambda: answers(port), "the worker listens")
        yield f"127.0.0.1:{port}"
        process.kill()


@needs_rpc
@pytest.mark.model
def test_what_lies_on_a_worker_is_what_was_planned(worker: str) -> None:
    for n_ctx, kind, layers, split in itertools.product((512, 2000, 8192), (1, 8), (1, 10, 31), (0, 4)):
        flags = ["--model", str(MODEL), "--n_ctx", str(n_ctx), "--type_k", str(kind), "--type_v", str(kind)]
        flags += ["--rpc_servers", worker, "--n_gpu_layers", str(layers), "--n_cpu_ffn", str(split)]
        model = open_model(settings.load(flags).models[0])
        planned = model.placement.planned
        (card,) = (took for name, took in model.placement.allocated.items() if name.startswith("RPC0"))
        assert planned["card"]["weights"] == pytest.approx(card["weights"], rel=0.01), flags
        assert planned["card"]["kv"] == pytest.approx(card.get("kv", 0), rel=0.01), flags
        assert planned["ram"]["kv"] == pytest.approx(model.placement.allocated["CPU"].get("kv", 0), rel=0.01), flags
        model.free()


@needs_rpc
@pytest.mark.model
def test_a_server_computes_with_a_worker(worker: str) -> None:
    with running(llmserver("--rpc_servers", worker, "--n_gpu_layers", "10", "--n_cpu_ffn", "3")) as server:
        body = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 8, "temperature": 0}
        answer = httpx2.post(f"{server.url}/v1/chat/completions", json=body, timeout=60, trust_env=False).json()
        assert len(answer["choices"][0]["message"]["content"]) > 8
