"""The real process: how it starts, how it says so, what it says when it cannot, and how it ends."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from llmserver import __version__
from llmserver.api.health import DEMO_NOTICE
from llmserver.library.modelfile import GET_ONE
from tests.processes import MODEL, REPO, Process, environment, free_port, llmserver, running, until
from tests.server.real import CHAT, ENDLESS, NAME, client_of, gated, get, is_listening, post, stops_within
from tests.server.standins import NotifySocket

pytestmark = pytest.mark.model

# case: flags, what its one line holds; {folder} and {port} stand for what the fixture makes
BAD_STARTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "missing": ("--model {folder}/missing.gguf", ("{folder}/missing.gguf", GET_ONE)),
    "directory": ("--model {folder}", ("{folder} is a folder", GET_ONE)),
    "not a model": ("--model {folder}/text.gguf", ("{folder}/text.gguf is not a GGUF", GET_ONE)),
    "old version": ("--model {folder}/old.gguf", ("{folder}/old.gguf has GGUF version 1", GET_ONE)),
    "truncated": (
        "--model {folder}/truncated.gguf",
        ("{folder}/truncated.gguf is cut short: it has 3,000,000 of 98,362,432 bytes", GET_ONE),
    ),
    "busy port": (f"--model {MODEL} --port {{port}}", ("port {port} ", "choose another with --port")),
    "unknown flag": ("--modle x", ("--modle",)),
}


@dataclass(frozen=True)
class Ended:
    """A process that could not start."""

    status: int
    out: str
    err: str
    says: tuple[str, ...]
    was_left_listening: bool


@pytest.fixture(scope="module")
def bad_starts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Ended]]:
    """Each bad start, tried once; all at the same time, since most of each is Python's imports."""
    folder = tmp_path_factory.mktemp("broken")
    (folder / "text.gguf").write_text("this is no model, it is a text")
    (folder / "old.gguf").write_bytes(b"GGUF" + (1).to_bytes(4, "little") + bytes(100))
    with MODEL.open("rb") as whole:
        (folder / "truncated.gguf").write_bytes(whole.read(3_000_000))
    with socket.create_server(("127.0.0.1", 0)) as busy, ThreadPoolExecutor(len(BAD_STARTS)) as pool:
        names = {"folder": str(folder), "port": str(busy.getsockname()[1])}
        tried = {
            case: pool.submit(start_badly, flags.format(**names).split(), tuple(say.format(**names) for say in says))
            for case, (flags, says) in BAD_STARTS.items()
        }
        yield {case: result.result() for case, result in tried.items()}


def start_badly(flags: list[str], says: tuple[str, ...]) -> Ended:
    port = free_port()
    flags = flags if "--port" in flags else [*flags, "--port", str(port)]
    done = subprocess.run(
        [sys.executable, "-m", "llmserver", *flags],
        env=environment(),
        cwd=REPO,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return Ended(done.returncode, done.stdout, done.stderr, says, is_listening(port))


@pytest.mark.parametrize("case", BAD_STARTS)
def test_a_start_that_cannot_work_ends_with_2_and_one_line_that_helps(bad_starts: dict[str, Ended], case: str) -> None:
    ended = bad_starts[case]
    helpful = [line for line in ended.err.splitlines() if all(say in line for say in ended.says)]
    assert (ended.status, len(helpful)) == (2, 1), ended.err
    assert "Traceback" not in ended.err
    assert ended.out == ""
    assert not ended.was_left_listening


@pytest.mark.parametrize("case", [case for case in BAD_STARTS if case != "truncated"])
def test_what_can_be_known_before_loading_is_all_that_is_said(bad_starts: dict[str, Ended], case: str) -> None:
    assert bad_starts[case].err.count("\n") == 1
    assert bad_starts[case].err.startswith("llmserver: ")


def test_two_servers_on_one_port_leave_the_first_alone(real_server: Process) -> None:
    second = llmserver(port=real_server.port)
    try:
        assert second.wait(30) == 2
    finally:
        second.kill()
    assert real_server.is_healthy()


def test_systemd_hears_ready_only_when_the_first_request_works(tmp_path: Path) -> None:
    with NotifySocket() as systemd, gated(tmp_path, NOTIFY_SOCKET=systemd.address) as (process, gate):
        status, body = get(process, "/health")
        assert (status, body["status"], body["error"]["code"]) == (503, "loading", "model_loading")
        status, body = get(process, "/v1/models")
        assert (status, body["data"][0]["meta"]["state"]) == (200, "loading")
        status, body = post(process, "/v1/chat/completions", CHAT)
        assert (status, body["error"]["code"]) == (503, "model_loading")
        assert "READY=1" not in systemd.catch_up()
        assert "ready:" not in process.output

        gate.write_bytes(b"go")
        systemd.until("READY=1")
        with client_of(process) as client:
            assert client.chat.completions.create(**CHAT, max_tokens=1).choices

        assert "STOPPING=1" not in systemd.catch_up()
        process.process.terminate()
        assert stops_within(process, 3) == 0
        assert systemd.catch_up()[-1] == "STOPPING=1"
        assert not is_listening(process.port)
        assert "Traceback" not in process.output


def test_a_stop_while_the_model_loads_is_clean(tmp_path: Path) -> None:
    with gated(tmp_path) as (process, _):
        process.process.terminate()
        assert stops_within(process, 3) == 0
        assert "Traceback" not in process.output


def test_a_stop_lets_a_short_answer_end() -> None:
    with running(llmserver("--n_ctx", "512", "--drain_timeout_s", "30")) as process, client_of(process) as client:
        stream = client.chat.completions.create(**CHAT, max_tokens=60, stream=True, extra_body={"min_tokens": 60})
        chunks = [next(stream)]
        process.process.terminate()
        until(lambda: not is_listening(process.port), "the port is closed to new requests")
        chunks += list(stream)
        assert chunks[-1].choices[0].finish_reason == "length"
        assert process.wait(10) == 0
        assert "Traceback" not in process.output


def test_a_stop_cuts_a_long_answer_at_the_deadline() -> None:
    with running(llmserver("--drain_timeout_s", "1")) as process, client_of(process) as client:
        stream = client.chat.completions.create(**ENDLESS)
        next(stream)
        process.process.terminate()
        assert stops_within(process, 1 + 2) == 0
        assert "Traceback" not in process.output


def test_a_second_signal_does_not_wait_for_the_deadline() -> None:
    with running(llmserver("--drain_timeout_s", "600")) as process, client_of(process) as client:
        stream = client.chat.completions.create(**ENDLESS)
        next(stream)
        process.process.terminate()
        until(lambda: "stopping" in process.output, "the first signal")
        process.process.terminate()
        assert stops_within(process, 2) == 0


def test_health_and_the_log_say_that_this_is_a_demonstration_model(real_server: Process) -> None:
    status, body = get(real_server, "/health")
    assert status == 200
    assert (body["status"], body["version"], body["notice"]) == ("ok", __version__, DEMO_NOTICE)
    facts = {"id": NAME, "n_ctx": 4096, "size_bytes": MODEL.stat().st_size, "demo": True}
    assert body["model"] == {**facts, "capabilities": ["chat", "completion"]}
    assert DEMO_NOTICE in real_server.output
    assert f"ready: {NAME} at {real_server.url}/v1" in real_server.output


def other_addresses() -> list[str]:
    """This machine's addresses beyond loopback; connecting a datagram socket sends nothing."""
    found = []
    for family, far in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as sock:
                sock.connect((far, 9))
                found.append(str(sock.getsockname()[0]))
        except OSError:
            continue
    return found


def test_only_this_machine_reaches_it_by_default(real_server: Process) -> None:
    assert is_listening(real_server.port)
    if not other_addresses():
        pytest.skip("this machine has no address but loopback")
    for address in other_addresses():
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((address, real_server.port), timeout=5)


def test_a_page_that_rebinds_its_name_is_refused(real_server: Process) -> None:
    request = urllib.request.Request(f"{real_server.url}/v1/models", headers={"Host": "evil.example"})
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=5)
    assert (caught.value.code, json.loads(caught.value.read())["error"]["code"]) == (403, "unknown_host")
