"""setup.sh as a stranger runs it, in a clean copy of the tree."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import hub
from tests.processes import copy_tree, environment, free_port, until
from tests.server.real import is_listening

pytestmark = pytest.mark.setup
Done = subprocess.CompletedProcess[str]


def clean_environment(**changes: str) -> dict[str, str]:
    env = environment(**changes)
    del env["PYTHONPATH"], env["LLMSERVER_EMBEDDING_MODEL"]
    env.pop("VIRTUAL_ENV", None)
    env["PATH"] = ":".join(part for part in env["PATH"].split(":") if ".venv" not in part)
    return env


def setup(place: Path, *args: str, **env: str) -> Done:
    return subprocess.run(
        ["./setup.sh", *args],
        cwd=place,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=clean_environment(**env),
        timeout=1500,
    )


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A clean copy that has been set up once. Its path has a space in it."""
    place = copy_tree(tmp_path_factory.mktemp("some place"))
    done = setup(place, "--no-start")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Ready" in done.stdout
    yield place


def test_the_first_run_brings_everything(clone: Path) -> None:
    assert (clone / ".venv" / "bin" / "chat").exists()
    assert (clone / "models" / "default.gguf").resolve().name == "SmolLM2-135M-Instruct.Q4_1.gguf"
    help_text = subprocess.run([clone / ".venv/bin/chat", "--help"], capture_output=True, text=True, cwd="/")
    assert help_text.returncode == 0


def test_the_second_run_keeps_everything_and_takes_no_time(clone: Path) -> None:
    began = time.monotonic()
    done = setup(clone, "--no-start")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("keeping") == 5
    assert time.monotonic() - began < 10


def test_a_broken_environment_is_made_again(clone: Path) -> None:
    python = clone / ".venv" / "bin" / "python"
    link = os.readlink(python)
    python.unlink()
    python.symlink_to("/nonexistent/python")
    done = setup(clone, "--no-start", "--backend", "cpu")
    assert done.returncode == 0, done.stderr
    assert "making .venv" in done.stdout
    assert os.readlink(python) == link or python.exists()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def processes_of(place: Path) -> list[str]:
    listed = subprocess.run(["ps", "-eo", "pid=,args="], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if str(place) in line and " ps " not in line]


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_one_command_starts_both_and_one_key_stops_both_within_5_seconds(clone: Path, tmp_path: Path, by: int) -> None:
    port, api_port = free_port(), free_port()
    log = tmp_path / "log"
    with log.open("w") as out:
        running = subprocess.Popen(
            ["./setup.sh", "--port", str(port), "--api-port", str(api_port)],
            cwd=clone,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=clean_environment(CHATBOT_DATA_DIR=str(tmp_path / "data")),
            start_new_session=True,
        )
    until(lambda: answers(f"http://localhost:{api_port}/health"), "the model server", 60)
    until(lambda: answers(f"http://localhost:{port}/health"), "the chat", 60)
    until(lambda: f"http://localhost:{port}" in log.read_text(), "the address in the log", 10)
    began = time.monotonic()
    if by == signal.SIGINT:
        os.killpg(running.pid, by)  # as a terminal does: to everything in the foreground
    else:
        running.send_signal(by)
    assert running.wait(10) == 0, log.read_text()
    assert time.monotonic() - began < 5
    assert processes_of(clone) == []
    text = log.read_text()
    assert f"http://localhost:{api_port}/v1" in text
    assert "demonstration model" in text
    assert "Traceback" not in text and "\x1b" not in text


def test_a_busy_port_is_said_with_the_option_that_helps(clone: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for option in ("--port", "--api-port"):
            done = setup(clone, option, str(port))
            assert done.returncode == 1
            assert done.stderr.strip() == (
                f"setup: port {port} is in use: stop what uses it, or choose another with {option} {port + 1}"
            )


def test_when_one_process_fails_the_other_is_stopped_and_the_reason_shown(clone: Path, tmp_path: Path) -> None:
    done = setup(
        clone,
        "--port",
        str(free_port()),
        "--api-port",
        str(free_port()),
        MODEL="/nope.gguf",
        CHATBOT_DATA_DIR=str(tmp_path),
    )
    assert done.returncode == 2
    assert "no model file at /nope.gguf" in done.stdout
    assert "the model server ended with status 2" in done.stdout
    assert processes_of(clone) == []


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--bogus"], "unknown option --bogus"),
        (["--port", "70000"], "--port needs a port number from 1 to 65535"),
        (["--model"], "--model needs a value"),
        (["--backend", "tpu"], "--backend must be auto, cpu, cuda, vulkan, metal or rocm"),
        (["--user"], "--user goes with ./setup.sh service"),
    ],
)
def test_wrong_use_is_one_line(clone: Path, args: list[str], said: str) -> None:
    done = setup(clone, *args)
    assert done.returncode == 1
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_worker_starts_with_one_command_and_strangers_cannot_reach_it(clone: Path) -> None:
    helped = setup(clone, "worker", "--help")
    assert helped.returncode == 0 and "no login" in helped.stdout and "private networks" in helped.stdout
    if not list(clone.glob(".venv/lib/python3*/site-packages/llama_cpp/lib/libggml-rpc.*")):
        pytest.skip("setup took a prebuilt wheel, which has no RPC")
    refused = setup(clone, "worker", "--host", "0.0.0.0")
    assert refused.returncode == 2 and refused.stderr.count("\n") == 1 and "private address" in refused.stderr
    port = free_port()
    command = ["./setup.sh", "worker", "--port", str(port)]
    with subprocess.Popen(command, cwd=clone, stderr=subprocess.PIPE, text=True, env=clean_environment()) as worker:
        try:
            until(lambda: is_listening(port), "the worker")
        finally:
            worker.terminate()
        assert worker.stderr and f"127.0.0.1:{port}: no login, no encryption" in worker.stderr.read()
    assert processes_of(clone) == []


def test_a_worker_that_is_not_set_up_yet_is_told_how(tmp_path: Path) -> None:
    place = copy_tree(tmp_path / "tree")
    done = setup(place, "worker")
    assert done.returncode == 1
    assert done.stderr == "setup: Paddock is not set up yet: run ./setup.sh --rpc --no-start first\n"


def test_an_unknown_model_is_told_with_the_near_names(clone: Path) -> None:
    done = setup(clone, "--no-start", "--model", "smollm2-135")
    assert done.returncode != 0
    assert "smollm2-135m" in done.stderr
    assert (clone / "models" / "default.gguf").resolve().name == "SmolLM2-135M-Instruct.Q4_1.gguf"


def stripped_path(folder: Path, *without: str) -> str:
    """A PATH with every command of the system but those."""
    folder.mkdir()
    for place in ("/bin", "/usr/bin"):
        for tool in Path(place).iterdir():
            if not any(tool.name.startswith(name) for name in without) and not (folder / tool.name).exists():
                (folder / tool.name).symlink_to(tool)
    return str(folder)


def test_without_python_one_line_says_what_to_install(tmp_path: Path) -> None:
    place = tmp_path / "tree"
    place.mkdir()
    copy_tree(place)
    path = stripped_path(tmp_path / "bin", "python", "pypy")
    done = setup(place, "--no-start", PATH=path)
    assert done.returncode == 1
    assert done.stderr.startswith("setup: Python 3.10 or newer with venv is needed")
    assert len(done.stderr.splitlines()) == 1


def test_a_full_disk_is_said_before_anything_is_written(tmp_path: Path) -> None:
    place = tmp_path / "tree"
    place.mkdir()
    copy_tree(place)
    stub = tmp_path / "bin"
    stub.mkdir()
    (stub / "df").write_text("#!/bin/sh\necho header\necho 'disk 1000000 900000 51200 99% /'\n")
    (stub / "df").chmod(0o755)
    done = setup(place, "--no-start", PATH=f"{stub}:{os.environ['PATH']}")
    assert done.returncode == 1
    assert (
        done.stderr.strip() == f"setup: 700 MB are needed in {place} and 50 MB are free: make room, then run this again"
    )
    assert not (place / ".venv").exists()


def at_a_terminal(place: Path, answer: str, **env: str) -> tuple[int, str]:
    """Run setup.sh on a pseudo-terminal and give one answer to its question; the status and the screen."""
    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(place)
        os.execve("./setup.sh", ["./setup.sh", "--no-start"], clean_environment(**env))
    screen, answered = "", False
    while True:
        try:
            received = os.read(fd, 4096)
        except OSError:
            break
        if not received:
            break
        screen += received.decode("utf-8", "replace")
        if "[Y/n]" in screen and not answered:
            os.write(fd, f"{answer}\r".encode())
            answered = True
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), screen


def test_at_a_terminal_with_a_hub_in_reach_the_best_model_is_offered_with_its_size(clone: Path) -> None:
    default = clone / "models" / "default.gguf"
    link = os.readlink(default)
    default.unlink()
    try:
        with hub.running() as fake:
            status, screen = at_a_terminal(clone, "n", HF_ENDPOINT=fake.url)
        assert status == 0, screen
        assert re.search(r"For this machine: .+ \(.+\), a download of [\d]+ MB\. Get it\? \[Y/n\]", screen)
        assert os.readlink(default) == link, "no means the demonstration model"
        default.unlink()
        status, screen = at_a_terminal(clone, "y", HF_ENDPOINT="http://127.0.0.1:9")
        assert status == 0, screen
        assert "no model hub in reach" in screen and "[Y/n]" not in screen
    finally:
        if not default.is_symlink():
            default.symlink_to(link)
