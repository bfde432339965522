"""The life of the process in pieces: taking the port, loading in a thread, the log. No model."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from llmserver import serve as process
from llmserver.api.health import DEMO_NOTICE
from llmserver.api.readiness import ModelCard, Readiness, State
from llmserver.errors import AddressInUse, BadSettings, ModelFileBroken
from llmserver.serve import LineLog, Loader, listen
from llmserver.settings import ServerOptions
from tests.processes import environment
from tests.server.standins import FakeEngine, NotifySocket

WAIT_S = 10


def test_a_busy_port_is_refused_with_the_next_one() -> None:
    with listen(ServerOptions(port=0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AddressInUse) as caught:
            listen(ServerOptions(port=port))
    assert f"port {port} " in caught.value.message
    assert f"--port {port + 1}" in caught.value.message
    assert caught.value.exit_code == 2


def test_a_port_is_free_again_once_it_is_closed() -> None:
    with listen(ServerOptions(port=0)) as first:
        port = first.getsockname()[1]
    with listen(ServerOptions(port=port)) as second:
        assert second.getsockname()[1] == port


def test_the_port_is_taken_on_the_given_address_alone() -> None:
    with listen(ServerOptions(port=0)) as sock:
        assert sock.getsockname()[0] == "127.0.0.1"


def has_ipv6_loopback() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6_loopback(), reason="this machine has no ::1")


@needs_ipv6
def test_an_ipv6_address_works() -> None:
    with listen(ServerOptions(host="::1", port=0)) as sock:
        assert sock.family == socket.AF_INET6


def test_a_host_that_is_no_address_is_named() -> None:
    with pytest.raises(BadSettings, match=r"--host no\.such\.host\.invalid"):
        listen(ServerOptions(host="no.such.host.invalid", port=0))


class Load:
    """One run of the Loader around a FakeEngine; over once `ended` is set."""

    def __init__(self, load: Callable[[], None]) -> None:
        self.readiness = Readiness(ModelCard("tiny", 4096, 98_000_000, demo=False))
        self.ended = threading.Event()
        self.outcome = ""
        self._loader = Loader(FakeEngine(load), self.readiness, Path("/models/tiny.gguf"))
        self._loader.on_ready = lambda: self._end("ready")
        self._loader.on_failure = lambda: self._end("failed")
        self._loader.start()

    def _end(self, outcome: str) -> None:
        self.outcome = outcome
        self.ended.set()


def test_a_loaded_model_is_ready_with_its_real_context() -> None:
    gate = threading.Event()
    load = Load(lambda: assert_true(gate.wait(WAIT_S)))
    assert load.readiness.state is State.LOADING
    assert not load.ended.is_set()
    gate.set()
    assert load.ended.wait(WAIT_S)
    assert (load.outcome, load.readiness.state, load.readiness.card.n_ctx) == ("ready", State.OK, 2048)


def assert_true(value: object) -> None:
    assert value


@pytest.mark.parametrize("why", [ModelFileBroken("cannot load it: broken"), KeyError("a template"), MemoryError()])
def test_a_load_that_fails_for_any_reason_ends_the_process_instead_of_loading_for_ever(
    why: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise why

    load = Load(fail)
    assert load.ended.wait(WAIT_S)
    assert (load.outcome, load.readiness.state) == ("failed", State.FAILED)
    assert any("cannot load" in record.getMessage() for record in caplog.records if record.levelname == "ERROR")


@needs_ipv6
@pytest.mark.parametrize("is_demo", [True, False])
def test_ready_says_where_and_what_and_tells_systemd(
    is_demo: bool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    with NotifySocket() as systemd, listen(ServerOptions(host="::1", port=0)) as sock:
        monkeypatch.setenv("NOTIFY_SOCKET", systemd.address)
        process._announce(ServerOptions(), sock, Readiness(ModelCard("tiny", 1, 1, demo=is_demo)))
        assert systemd.listen(5) == "READY=1\nSTATUS=serving tiny"
        assert f"tiny at http://[::1]:{sock.getsockname()[1]}/v1" in caplog.text
    assert (DEMO_NOTICE in caplog.text) is is_demo


def test_what_the_library_prints_becomes_whole_lines_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "llmserver")
    out = LineLog()
    print("one\ntw", end="", file=out)
    print("o\n\nthree", end="", file=out)
    assert [record.getMessage() for record in caplog.records] == ["one", "two"]
    assert {record.levelname for record in caplog.records} == {"DEBUG"}


SPY = """
import os, sys
class Spy:
    def find_spec(self, name, path=None, target=None):
        if name == "llama_cpp":
            sys.stdout.write(os.environ.get("GOMP_SPINCOUNT", "unset"))
            sys.exit(0)
sys.meta_path.insert(0, Spy())
from llmserver.__main__ import main
assert "llama_cpp" not in sys.modules
main(["--model", "x.gguf"])
"""


@pytest.mark.parametrize(("before", "then"), [(None, "1000"), ("7", "7")])
def test_openmp_is_told_to_spin_less_before_llama_is_imported(before: str | None, then: str) -> None:
    env = environment()
    env.pop("GOMP_SPINCOUNT", None)
    done = subprocess.run(
        [sys.executable, "-c", SPY],
        env=env | ({"GOMP_SPINCOUNT": before} if before else {}),
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.returncode, done.stdout) == (0, then), done.stderr
