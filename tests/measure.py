"""Measure what docs/benchmarks.md says of the two processes: overhead of the web chat over curl, start, memory.

python tests/measure.py [PAIRS]   prints one JSON object; medians over PAIRS alternating requests (default 9).
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import socketio

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.processes import Process, chatbot, llmserver, running

MAX_TOKENS = 128


def curl(url: str, n: int) -> tuple[float, float]:
    """(seconds to the first piece of text, seconds in all) of one streamed answer."""
    body = {
        "messages": [
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": f"Tell a long story about the number {n}."},
        ],
        "temperature": 0,
        "max_tokens": MAX_TOKENS,
        "stream": True,
    }
    args = ["curl", "-sN", "-H", "Content-Type: application/json", "-d", json.dumps(body)]
    began, first = time.perf_counter(), None
    with subprocess.Popen([*args, f"{url}/v1/chat/completions"], stdout=subprocess.PIPE) as running_curl:
        assert running_curl.stdout
        for line in running_curl.stdout:
            if first is None and b'"content"' in line:
                first = time.perf_counter() - began
    assert first and running_curl.returncode == 0
    return first, time.perf_counter() - began


class Page:
    """A browser's side of the socket."""

    def __init__(self, url: str) -> None:
        self.client = socketio.Client()
        self.client.on("event", self.hear)
        self.first: float | None = None
        self.ended = threading.Event()
        self.client.connect(url, transports=["websocket"])

    def hear(self, *events: dict[str, Any]) -> None:
        types = {event["type"] for event in events}
        if "delta" in types and self.first is None:
            self.first = time.perf_counter()
        if "done" in types:
            self.ended.set()

    def ask(self, n: int) -> tuple[float, float]:
        """(seconds to the first piece, seconds in all) of one answer through the web chat."""
        self.first = None
        self.ended.clear()
        began = time.perf_counter()
        self.client.emit("send", {"text": f"Tell a long story about the number {n}."})
        assert self.ended.wait(120) and self.first
        return self.first - began, time.perf_counter() - began


def memory_mb(process: Process) -> float:
    """Proportional set size of a process and its children."""
    pids = [process.process.pid]
    for pid in pids:
        pids += [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    rollups = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in pids]
    return sum(int(line.split()[1]) for text in rollups for line in text.splitlines() if line.startswith("Pss:")) / 1000


def started_in(process: Process) -> float:
    began = time.perf_counter()
    process.until_healthy()
    return time.perf_counter() - began


def main() -> None:
    """Run everything and print the figures."""
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    server = llmserver()
    out: dict[str, Any] = {"pairs": pairs, "max_tokens": MAX_TOKENS, "llmserver_start_s": started_in(server)}
    with tempfile.TemporaryDirectory() as folder, running(server):
        web = chatbot(f"{server.url}/v1", Path(folder), "--temperature", "0", "--max_tokens", str(MAX_TOKENS))
        out["chatbot_start_s"] = started_in(web)
        with running(web):
            out |= {"llmserver_idle_mb": memory_mb(server), "chatbot_idle_mb": memory_mb(web)}
            page = Page(web.url)
            curl(server.url, 0)
            page.ask(1)
            direct, through = [], []
            for n in range(pairs):
                direct.append(curl(server.url, 100 + 2 * n))
                through.append(page.ask(101 + 2 * n))
            out |= {"llmserver_after_mb": memory_mb(server), "chatbot_after_mb": memory_mb(web)}
            page.client.disconnect()
    out["total_s_curl"] = statistics.median(total for _, total in direct)
    out["total_s_web"] = statistics.median(total for _, total in through)
    out["total_ratio"] = statistics.median(w[1] / c[1] for c, w in zip(direct, through, strict=True))
    out["first_s_curl"] = statistics.median(first for first, _ in direct)
    out["first_s_web"] = statistics.median(first for first, _ in through)
    sys.stdout.write(json.dumps({k: round(v, 3) for k, v in out.items()}, indent=1) + "\n")


if __name__ == "__main__":
    main()
