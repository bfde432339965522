"""The command `bench`: its arguments, the order of the runs, its exit status. Knows neither HTTP nor any scenario."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from llmserver.bench import scenarios
from llmserver.bench.client import Server, meet
from llmserver.bench.record import record
from llmserver.bench.report import Report, table
from llmserver.bench.scenarios import Run, Trial
from llmserver.bench.soak import N_CONCURRENT, soak
from llmserver.errors import BadSettings

DEFAULT_URL = "http://127.0.0.1:8000/v1"
DEFAULT_SCENARIOS = ("single", "burst", "turns", "mixed", "crowded", "many")
N_RUNS = 5
N_TOKENS = 96
SOAK_S = 60.0
_INTERRUPTED = 130
_BURSTS = " and ".join(map(str, scenarios.BURSTS))


def main(argv: Sequence[str]) -> int:
    """Measure and report: 0 fine, 1 a server is away or made errors, 2 wrong arguments, 130 stopped by Ctrl-C."""
    arguments = _parser().parse_args(argv)
    bench = Bench(arguments)
    status = 0
    try:
        asyncio.run(bench.measure())
    except KeyboardInterrupt:
        sys.stderr.write("stopped; what was measured so far:\n")
        status = _INTERRUPTED
    if not bench.runs:
        return status
    report = Report(tuple(bench.servers), tuple(bench.runs), bench.seed, arguments.tokens)
    sys.stdout.write(table(report))
    if arguments.json:
        content = json.dumps(record(report, ["python", "-m", "llmserver", "bench", *argv]))
        arguments.json.write_text(f"{content}\n", encoding="utf-8")
    return status or int(report.n_problems > 0)


class Bench:
    """One call of the command; `runs` grows while it measures."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.runs: list[Run] = []
        self.seed: int = random.SystemRandom().randrange(10**6) if arguments.seed is None else arguments.seed
        self.servers = _servers(arguments)
        self._arguments = arguments
        self._pids: list[int] = arguments.pid
        if len(self._pids) > len(self.servers):
            raise BadSettings("--pid is there once for each URL, in their order")
        if arguments.json:
            _check_writable(arguments.json)

    async def measure(self) -> None:
        """Meet every server, then run scenario after scenario, the servers in turn within each repetition."""
        self.servers = [await meet(server, self._arguments.model) for server in self.servers]
        names = self._arguments.scenario or DEFAULT_SCENARIOS
        wanted = scenarios.chosen((name for name in names if name != "soak"), self._arguments.concurrency)
        for name, scenario in wanted.items():
            for number, server in _turns(self.servers, self._arguments.runs):
                _show(f"{name}, run {number} of {self._arguments.runs}, {server.label}")
                self.runs.append(await scenarios.run(scenario, self._trial(server, number, name)))
        if "soak" in names:
            await self._soak()
        _show("")

    async def _soak(self) -> None:
        run = partial(soak, seconds=self._arguments.seconds, n_concurrent=self._arguments.concurrency)
        for n, server in enumerate(self.servers):
            _show(f"soak, {self._arguments.seconds:g} s, {server.label}")
            pid = self._pids[n] if n < len(self._pids) else None
            self.runs.append(await run(self._trial(server, 1, "soak"), pid=pid))

    def _trial(self, server: Server, number: int, name: str) -> Trial:
        return Trial(server, self.seed, number, self._arguments.tokens, name)


def _turns(servers: Sequence[Server], n_runs: int) -> Iterator[tuple[int, Server]]:
    """Every server once in each repetition; every other repetition begins with the last one."""
    for number in range(1, n_runs + 1):
        for server in servers if number % 2 else reversed(servers):
            yield number, server


def _servers(arguments: argparse.Namespace) -> list[Server]:
    urls = [url.rstrip("/") for url in (arguments.url, *arguments.against)]
    key = ""
    if arguments.api_key_env:
        key = os.environ.get(arguments.api_key_env, "")
        if not key:
            raise BadSettings(f"--api-key-env: there is no variable {arguments.api_key_env} in the environment")
    return [Server(_label(n), url, api_key=key, n_twin=urls[:n].count(url)) for n, url in enumerate(urls)]


def _label(n: int) -> str:
    """A, B, ... Z, then S27, S28."""
    return chr(ord("A") + n) if n < 26 else f"S{n + 1}"


def _check_writable(path: Path) -> None:
    try:
        path.open("a").close()
    except OSError as why:
        raise BadSettings(f"cannot write {path}: {why.strerror}") from why


def _show(what: str) -> None:
    """Say on a terminal what is going on, on one line that is overwritten."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{what}")
        sys.stderr.flush()


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return number


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 < number < 10**7:
        raise argparse.ArgumentTypeError(f"{text} is no length of time")
    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m llmserver bench",
        description="Put load on an OpenAI-compatible server and report its speed; against others, side by side.",
        epilog="docs/operations.md says what each scenario does.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("url", nargs="?", default=DEFAULT_URL, metavar="URL", help="the server (default: %(default)s)")
    add("--against", action="append", default=[], metavar="URL", help="another server to compare with; repeatable")
    add(
        "--scenario",
        action="append",
        choices=(*DEFAULT_SCENARIOS, "soak"),
        help="what to measure; repeatable (default: all but soak)",
    )
    add("--runs", type=_count, default=N_RUNS, help="repetitions; soak runs once (default: %(default)s)")
    add("--tokens", type=_count, default=N_TOKENS, help="most tokens of an answer (default: %(default)s)")
    add(
        "--concurrency",
        type=_count,
        metavar="N",
        help=f"streams at once in burst (default: {_BURSTS}), the most requests at once in soak ({N_CONCURRENT})",
    )
    add("--model", metavar="NAME", help="model to ask for (default: the first that each server lists)")
    add("--api-key-env", metavar="NAME", help="environment variable that holds the API key")
    add("--json", type=Path, metavar="FILE", help="write machine, samples, medians and ratios there")
    add("--seconds", type=_seconds, default=SOAK_S, help="length of soak (default: %(default)g)")
    add("--seed", type=int, help="makes the same prompts again (default: drawn, and shown)")
    add("--pid", type=int, action="append", default=[], help="process whose memory soak watches; once for each URL")
    return parser
