"""Workers: refused where strangers reach them, left out when they do not answer, real where the build has them."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import multiprocessing
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import httpx2
import pytest

from llmserver import settings
from llmserver.__main__ import main
from llmserver.engine.info import Placement
from llmserver.engine.llama.model import Model
from llmserver.errors import BadSettings
from llmserver.offload import rpc
from tests.processes import MODEL, Process, free_port, llmserver, running, until
from tests.server.real import CHAT, get, is_listening, post

# ./setup.sh test sees to it that a build for the processor has it.
needs_rpc = pytest.mark.skipif(not rpc.is_supported(), reason="this build of llama.cpp has no RPC: ./setup.sh --rpc")
SHORT = CHAT | {"max_tokens": 32}
ENDLESS = CHAT | {"max_tokens": 3500, "min_tokens": 3500, "stream": True}
MIB = 1024 * 1024
LOADS = list(itertools.product((512, 8192), (1, 8), ((1, 0), (10, 4), (31, 4))))  # n_ctx, KV type, (layers, n_cpu_ffn)


@pytest.mark.parametrize("host", ["0.0.0.0", "8.8.8.8", "::", "example.org"])
def test_a_worker_listens_to_no_strangers(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc, "_library", lambda: None)
    with pytest.raises(BadSettings, match=r"private|IP address"):
        rpc.serve(host, 50_052, 1)


def test_a_worker_whose_port_is_busy_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rpc, "_library", lambda: None)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BadSettings, match=f"cannot listen on 127.0.0.1:{port}: .*; choose another --port"):
            rpc.serve("127.0.0.1", port, 1)


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


def test_a_worker_that_says_nothing_is_left_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(rpc, "_library", lambda: None)
    monkeypatch.setattr(rpc, "_HELLO_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert rpc.add(f"127.0.0.1:{silent.getsockname()[1]}") == []
    assert "takes connections and says nothing" in caplog.text


@needs_rpc
@pytest.mark.model
def test_a_worker_that_falls_silent_counts_as_dead() -> None:
    with (
        working() as worker,
        running(helped(f"127.0.0.1:{worker.port}", "--n_gpu_layers", "10", "--rpc_timeout_s", "2")) as server,
    ):
        assert said(server)
        try:
            events = events_until_the_end(server, lambda: worker.process.send_signal(signal.SIGSTOP))
        finally:
            worker.process.send_signal(signal.SIGCONT)
        assert [event["error"]["code"] for event in events if "error" in event] == ["engine_lost"]


def test_a_build_without_it_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rpc, "_find", lambda: None)
    monkeypatch.setenv("GGML_NO_BACKTRACE", "1")
    assert main(["worker"]) == 2
    err = capsys.readouterr().err
    assert "./setup.sh --rpc" in err and err.count("\n") == 1


@contextlib.contextmanager
def working() -> Iterator[Process]:
    """A worker on this machine, gone after the block."""
    port = free_port()
    process = Process("-m", "llmserver", "worker", "--port", str(port), port=port)
    try:
        until(lambda: is_listening(port), "the worker listens")
        yield process
    finally:
        process.kill()


@pytest.fixture(scope="module")
def worker() -> Iterator[str]:
    with working() as process:
        yield f"127.0.0.1:{process.port}"


def placements(worker: str) -> list[Placement]:
    """Where the model lies after each load."""
    rpc.add(worker)
    return [loaded(n_ctx, str(kind), *map(str, layers)) for n_ctx, kind, layers in LOADS]


def loaded(n_ctx: int, kind: str, layers: str, split: str) -> Placement:
    flags = ["--model", str(MODEL), "--n_ctx", str(n_ctx), "--type_k", kind, "--type_v", kind]
    model = Model(settings.load([*flags, "--n_gpu_layers", layers, "--n_cpu_ffn", split]).models[0])
    model.free()
    return model.placement


@needs_rpc
@pytest.mark.model
def test_what_lies_on_a_worker_is_what_was_planned(worker: str) -> None:
    # In a process of its own: llama.cpp never forgets a device, and the tests after this one have no worker.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as child:
        found = child.submit(placements, worker).result()
    for load, lies in zip(LOADS, found, strict=True):
        card, ram = lies.allocated[f"RPC0[{worker}]"], lies.allocated["CPU"]
        assert lies.planned["card"]["weights"] == pytest.approx(card["weights"], rel=0.01), load
        assert lies.planned["card"]["kv"] == pytest.approx(card.get("kv", 0), rel=0.01), load
        assert lies.planned["ram"]["kv"] == pytest.approx(ram.get("kv", 0), rel=0.01), load


@needs_rpc
@pytest.mark.model
def test_a_plan_measures_the_worker_and_counts_on_no_more_of_it_than_asked(worker: str) -> None:
    command = [sys.executable, "-m", "llmserver", "plan", str(MODEL), "--rpc_servers", worker, "--json"]
    done = subprocess.run([*command, "--card_mib", "900"], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    (card,) = json.loads(done.stdout)["cards"]
    assert card["bandwidth_is_measured"] and 0.2e9 < card["bandwidth"] < 1e12
    assert card["total"] == 900 * MIB and card["reserve"] + sum(card["bytes"].values()) <= card["free"] <= 600 * MIB


def said(server: Process) -> str:
    status, answer = post(server, "/v1/chat/completions", SHORT)
    assert status == 200, answer
    return str(answer["choices"][0]["message"]["content"])


def places(server: Process) -> dict[str, dict[str, int]]:
    """Bytes by device, as GET /plan tells them."""
    return dict(get(server, "/plan")[1]["models"][0]["placement"]["allocated"])


def helped(worker: str, *flags: str) -> Process:
    """A server with a worker. What a trial load costs here is a second load."""
    return llmserver("--rpc_servers", worker, "--trial_load", "false", *flags)


@pytest.fixture(scope="module")
def alone() -> str:
    """What a server without a worker answers first."""
    with running(llmserver()) as server:
        return said(server)


@needs_rpc
@pytest.mark.model
@pytest.mark.parametrize(
    "flags", [("--card_gbs", "192"), ("--n_gpu_layers", "10", "--n_cpu_ffn", "3")], ids=["planned", "a part"]
)
def test_a_server_answers_with_a_worker_as_it_does_alone(worker: str, alone: str, flags: tuple[str, ...]) -> None:
    with running(helped(worker, *flags)) as server:
        assert places(server)[f"RPC0[{worker}]"]["weights"] > 1_000_000
        assert (get(server, "/plan")[1]["models"][0]["n_ctx"] > 4096) is (
            flags[0] == "--card_gbs"
        )  # chosen where nobody said
        assert said(server) == alone
        assert len(alone) > 32


@needs_rpc
@pytest.mark.model
def test_a_bad_endpoint_ends_the_server_in_one_line() -> None:
    server = llmserver("--rpc_servers", "box")
    try:
        assert server.wait(30) == 2
    finally:
        server.kill()
    helpful = [line for line in server.output.splitlines() if "'box' is no worker: write host:port" in line]
    assert len(helpful) == 1 and "Traceback" not in server.output


@needs_rpc
@pytest.mark.model
def test_a_server_starts_without_a_worker_that_is_not_there() -> None:
    port = free_port()
    with running(llmserver("--rpc_servers", f"127.0.0.1:{port}")) as server:
        warned = [line for line in server.output.splitlines() if f"worker 127.0.0.1:{port} does not answer" in line]
        assert len(warned) == 1 and " WARNING " in warned[0]
        assert said(server)


@needs_rpc
@pytest.mark.model
def test_a_worker_that_dies_ends_the_stream_in_clear_words_and_the_server_goes_on_without_it() -> None:
    with working() as worker, running(helped(f"127.0.0.1:{worker.port}", "--n_gpu_layers", "10")) as server:
        assert f"RPC0[127.0.0.1:{worker.port}]" in places(server)
        events = events_until_the_end(server, worker.kill)
        assert not any(choice["finish_reason"] for event in events for choice in event.get("choices", ()))
        errors = [event["error"] for event in events if "error" in event]
        assert [error["code"] for error in errors] == ["engine_lost"]
        assert "is being started again" in errors[0]["message"]
        until(lambda: answers(server), f"an answer without the worker\n{server.output}", 60)
        assert not any(name.startswith("RPC") for name in places(server))
        assert server.process.poll() is None, "the same process"


def events_until_the_end(server: Process, strike: Callable[[], None]) -> list[dict[str, Any]]:
    """The events of a stream during whose words something happens to the worker."""
    events = []
    url = f"{server.url}/v1/chat/completions"
    with (
        httpx2.stream("POST", url, json=ENDLESS, timeout=60, trust_env=False) as answer,
        contextlib.suppress(httpx2.TransportError),
    ):
        for line in answer.iter_lines():
            if line.startswith("data: {"):
                events.append(json.loads(line[6:]))
                strike()
    assert events
    return events


def answers(server: Process) -> bool:
    """Whether a new request is answered. Fails the test when the process has ended."""
    assert server.process.poll() is None, f"ended with {server.process.returncode}:\n{server.output}"
    try:
        return post(server, "/v1/chat/completions", SHORT)[0] == 200
    except (OSError, http.client.HTTPException):
        return False
