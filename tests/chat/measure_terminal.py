"""Measure the terminal chat against a model server that speaks Markdown at a given pace, in a process of its own.

python -m tests.chat.measure_terminal [N_TOKENS] [--only NAME ...]   prints a line of JSON for each as it is measured:
seconds that the first piece of a single answer comes after curl's, until the prompt stands, and until a paste of 10,000
lines is seen; milliseconds until a key is seen while 100 tokens a second stream, and from Ctrl-C until its line
and the next prompt are; processor time and memory of an answer of N_TOKENS (default 10,000) at 400 a second, drawn
and in a pipe.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import pty
import re
import resource
import select
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Mapping

from chatbot.bench.processes import running
from chatbot.bench.scripted import Handler, Server
from tests.chat.measure_page import SECTION
from tests.chat.terminal import CHAT
from tests.processes import REPO, environment, free_port

_WORDS = re.findall(r"\s*\S+", "".join(SECTION.format(n=n) for n in range(40)))
_PAIRS, _STARTS, _KEYS, _STOPS = 9, 5, 150, 40
_TICKS = os.sysconf("SC_CLK_TCK")


class _Writer(Handler):
    """The scripted server, with words of Markdown in place of numbers."""

    def _event(self, delta: dict[str, str], reason: str | None) -> None:
        if delta:
            number = int(delta["content"].partition(":")[0])
            delta = {"content": _WORDS[number % len(_WORDS)]}
        super()._event(delta, reason)


class _Typist:
    """The chat on a pseudo-terminal that can draw."""

    def __init__(self, url: str, *flags: str) -> None:
        self.began = time.monotonic()
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.chdir(REPO)
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("4H", 40, 100, 0, 0))
            os.execve(sys.executable, [*CHAT, *flags, "--url", url], environment(TERM="xterm-256color"))
        self._seen = b""

    def until(self, what: bytes) -> None:
        while what not in self._seen:
            ready, _, _ = select.select([self._fd], [], [], 120)
            assert ready, f"{what!r} never came: {self._seen[-500:]!r}"
            self._seen += os.read(self._fd, 65_536)
        self._seen = self._seen.split(what, 1)[1]

    def watch(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if select.select([self._fd], [], [], left)[0]:
                self._seen = (self._seen + os.read(self._fd, 65_536))[-1000:]

    def type(self, keys: bytes) -> None:
        os.write(self._fd, keys)

    def cpu_s(self) -> float:
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def memory_mb(self) -> float:
        with open(f"/proc/{self.pid}/status", encoding="ascii") as file:
            return next(int(line.split()[1]) / 1e3 * 1.024 for line in file if line.startswith("VmHWM"))

    def leave(self) -> None:
        self.type(b"\x15\x04")
        try:
            while os.read(self._fd, 65_536):
                pass
        except OSError:
            os.waitpid(self.pid, 0)
            os.close(self._fd)


def _asked(n: int, per_s: float) -> str:
    return json.dumps({"n": n, "per_s": per_s})


def first_piece(url: str) -> float:
    """Seconds that one answer begins later than curl's: the median of pairs."""
    question = {"model": "x", "stream": True, "messages": [{"role": "user", "content": _asked(2, 1000)}]}
    curl = ["curl", "-sN", f"{url}/chat/completions", "-H", "Content-Type: application/json", "-d"]
    commands = ([*curl, json.dumps(question)], [*CHAT, "--url", url, _asked(2, 1000)])
    added = []
    for _ in range(_PAIRS):
        took = []
        for command in commands:
            began = time.monotonic()
            with subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, cwd=REPO, env=environment()
            ) as run:
                assert run.stdout and run.stdout.read(1)
                took.append(time.monotonic() - began)
                run.stdout.read()
        added.append(took[1] - took[0])
    return statistics.median(added)


def start(url: str) -> float:
    """Seconds until the prompt stands: the median."""
    took = []
    for _ in range(_STARTS):
        typist = _Typist(url, "-n")
        typist.until(b"> ")
        took.append(time.monotonic() - typist.began)
        typist.leave()
    return statistics.median(took)


def paste(url: str) -> float:
    """Seconds until the words for a paste of 10,000 lines stand in the line: the median."""
    took = []
    for _ in range(_STARTS):
        typist = _Typist(url, "-n")
        typist.until(b"> ")
        typist.watch(2)
        began = time.monotonic()
        typist.type(b"\x1b[200~" + b"line\n" * 10_000 + b"\x1b[201~")
        typist.until(b"[pasted 1: 10,001 lines]")
        took.append(time.monotonic() - began)
        typist.leave()
    return statistics.median(took)


def echo(url: str) -> dict[str, float]:
    """Milliseconds until a key is seen while 100 tokens a second stream. The letters are in no answer."""
    typist = _Typist(url, "-n")
    typist.until(b"> ")
    typist.watch(2)
    typist.type(_asked(100 * _KEYS // 5 + 500, 100).encode() + b"\r")
    typist.watch(2)
    found = []
    for number in range(_KEYS):
        typist.watch(0.1 + number % 7 / 100)
        key = chr(0x3B1 + number % 24).encode()
        began = time.monotonic()
        typist.type(key)
        typist.until(key)
        found.append(1000 * (time.monotonic() - began))
        if number % 24 == 23:
            typist.type(b"\x15")
    typist.type(b"\x15")
    typist.until(b"first word after")
    typist.leave()
    return _shares(found, 50, 95, 99)


def stop(url: str) -> dict[str, dict[str, float]]:
    """Milliseconds from Ctrl-C in the middle of an answer, which is kept on the disk, until the line that says so is
    seen, and until the prompt is."""
    typist = _Typist(url)
    typist.until(b"> ")
    typist.watch(2)
    found: dict[str, list[float]] = {"line": [], "prompt": []}
    for number in range(_STOPS):
        typist.type(_asked(3000, 100).encode() + b"\r")
        typist.until(b"while,")  # of the first words
        typist.watch(number % 7 / 10)
        began = time.monotonic()
        typist.type(b"\x03")
        for name, what in (("line", b"stopped; what was written is kept"), ("prompt", b"> ")):
            typist.until(what)
            found[name].append(1000 * (time.monotonic() - began))
        typist.watch(0.3)
    typist.leave()
    return {name: _shares(times, 50, 95) for name, times in found.items()}


def _shares(found: list[float], *shares: int) -> dict[str, float]:
    """So many hundredths of the times are at most these."""
    found.sort()
    return {f"p{share}": round(found[len(found) * share // 100], 1) for share in shares} | {"max": round(found[-1], 1)}


def drawn(url: str, n: int) -> dict[str, float]:
    """Processor seconds and memory of a long answer on a terminal."""
    typist = _Typist(url, "-n")
    typist.until(b"> ")
    typist.watch(2)
    before = typist.cpu_s()
    typist.type(_asked(n, 400).encode() + b"\r")
    typist.until(b"first word after")
    out = {"cpu_s": round(typist.cpu_s() - before, 2), "memory_mb": round(typist.memory_mb(), 1)}
    typist.leave()
    return out


def piped(url: str, n: int) -> dict[str, float]:
    """The same in a pipe, with the start."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [*CHAT, "--url", url, "--max_tokens", str(2 * n), _asked(n, 400)]
    subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True, cwd=REPO, env=environment())
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"cpu_s": round(cpu_s, 2)}


_Measured = float | dict[str, float] | dict[str, dict[str, float]]
MEASURES: Mapping[str, Callable[[str, int], _Measured]] = {
    "first_piece_after_curl_s": lambda url, _: round(first_piece(url), 3),
    "start_to_prompt_s": lambda url, _: round(start(url), 3),
    "paste_s": lambda url, _: round(paste(url), 3),
    "echo_ms": lambda url, _: echo(url),
    "stop_ms": lambda url, _: stop(url),
    "drawn": drawn,
    "piped": piped,
}


def main(argv: list[str]) -> None:
    """What is wanted of it, each as soon as it is known."""
    parser = argparse.ArgumentParser(prog="python -m tests.chat.measure_terminal")
    parser.add_argument("n_tokens", nargs="?", type=int, default=10_000)
    parser.add_argument("--only", nargs="+", choices=MEASURES, default=list(MEASURES), metavar="NAME")
    wanted = parser.parse_args(argv)
    port = free_port()
    with tempfile.TemporaryDirectory() as home, running("tests.chat.measure_terminal", port):
        os.environ["XDG_DATA_HOME"] = home
        for name in wanted.only:
            measured = MEASURES[name](f"http://127.0.0.1:{port}/v1", wanted.n_tokens)
            sys.stdout.write(f"{json.dumps({name: measured})}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    if "--port" in sys.argv:
        Server(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), _Writer).serve_forever()
    main(sys.argv[1:])
