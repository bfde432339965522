"""Start the real processes for a test, wait until they answer, and end them."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parent.parent
MODEL = REPO / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
START_S = 60.0


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def until(condition: Callable[[], object], what: str, timeout_s: float = START_S) -> None:
    """Wait until a condition of another process holds; what is said when it never does."""
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"never came: {what}")
        threading.Event().wait(0.02)


def copy_tree(target: Path) -> Path:
    """What a clone would hold: the files that git tracks or would add."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPO,
        capture_output=True,
        check=True,
    ).stdout
    for name in filter(None, listed.decode().split("\0")):
        if (REPO / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPO / name, target / name)
    return target


def environment(**changes: str) -> dict[str, str]:
    """This process's environment without settings of ours, with the given ones."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("CHATBOT_", "LLMSERVER_", "NOTIFY_"))}
    for name in ("MODEL", "HOST", "PORT", "API_KEY", "CONFIG_FILE", "N_CTX"):
        kept.pop(name, None)
    # What lies in this machine's models folder must not change what is tested.
    return kept | {"PYTHONPATH": str(REPO), "PYTHONUNBUFFERED": "1", "LLMSERVER_EMBEDDING_MODEL": "off"} | changes


class Process:
    """A program of ours with its output, collected as it comes."""

    def __init__(self, *args: str, port: int = 0, **env: str) -> None:
        self.port = port
        self.process = subprocess.Popen(
            [sys.executable, *args],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment(**env),
            cwd=REPO,
            start_new_session=True,
        )
        self._output: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def output(self) -> str:
        return "".join(self._output)

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self._output.append(line.decode("utf-8", "replace"))

    def is_healthy(self) -> bool:
        """Whether /health answers 200. Fails the test when the process has ended instead."""
        assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.output}"
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def until_healthy(self) -> None:
        until(self.is_healthy, f"{self.url}/health\n{self.output}")

    def terminate(self, timeout_s: float = 20) -> int:
        """SIGTERM; the exit status."""
        self.process.terminate()
        return self.wait(timeout_s)

    def wait(self, timeout_s: float = 20) -> int:
        status = self.process.wait(timeout_s)
        self._reader.join(5)
        return status

    def children(self) -> list[int]:
        """The processes that it has started itself. Skips the test where no kernel lists them."""
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        if not listed.exists():
            pytest.skip("this kernel does not list a process's children")
        return [int(each) for each in listed.read_text().split()]

    def kill(self) -> None:
        """SIGKILL to the process and all it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)


@contextlib.contextmanager
def running(process: Process) -> Iterator[Process]:
    """A process that is healthy within the block and gone after it."""
    try:
        process.until_healthy()
        yield process
    finally:
        process.kill()


def llmserver(*flags: str, port: int | None = None, **env: str) -> Process:
    """The real model server with the embedded model."""
    port = port or free_port()
    return Process("-m", "llmserver", "--model", str(MODEL), "--port", str(port), *flags, port=port, **env)


def chatbot(url: str, data_dir: Path, *flags: str, port: int | None = None, **env: str) -> Process:
    """The real web chat, in front of a model server."""
    port = port or free_port()
    args = ("-m", "chatbot", "--url", url, "--data_dir", str(data_dir), "--port", str(port), *flags)
    return Process(*args, port=port, **env)
