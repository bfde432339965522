"""Workers: refused where strangers reach them, left out when they do not answer, real where the build has them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from llmserver.errors import BadSettings
from llmserver.offload import rpc
from tests.processes import MODEL, REPO, free_port, llmserver, running

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


@pytest.fixture
def worker() -> Iterator[str]:
    port = free_port()
    with subprocess.Popen([sys.executable, "-m", "llmserver", "worker", "--port", str(port)], cwd=REPO) as process:
        yield f"127.0.0.1:{port}"
        process.kill()


@needs_rpc
@pytest.mark.model
def test_layers_go_to_a_worker_and_the_plan_is_what_they_take(worker: str) -> None:
    with running(llmserver("--model", str(MODEL), "--rpc_servers", worker, "--n_gpu_layers", "10")) as server:
        assert server.is_healthy()
