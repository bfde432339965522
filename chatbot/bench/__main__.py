"""Measure the web chat against its bars: `python -m chatbot.bench`. Real processes and sockets, a scripted model.

Needs the socket client of requirements-dev.txt and Linux. On a machine that does other things the numbers are worse.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from chatbot.bench.packages import weights
from chatbot.bench.processes import free_port, memory_mb, running
from chatbot.bench.viewers import Heard, Viewer, read_directly
from chatbot.core.store import Store
from chatbot.core.store_rows import NewMessage

_WORDS = ("stall", "hay", "gate", "lead", "mare", "foal", "oats", "saddle", "river", "field", "north", "fence", "barn")
_N_CALLS = 60
_IDLE_S = 3.0
_PER_S, _N_ANSWERS, _N_VIEWERS = 50, 10, 50
_CROWD_PER_S, _CROWD_ROUNDS, _FILLING_ROUNDS, _STEADY_ROUNDS = 20, 4, 20, 10


@dataclass(frozen=True)
class Line:
    """One measurement; bar is what it may be at most, None for what is told without one."""

    what: str
    value: float
    unit: str
    bar: float | None = None

    @property
    def is_met(self) -> bool:
        """Whether it is within its bar."""
        return self.bar is None or self.value <= self.bar


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    n_chats: int = 1_000
    n_messages: int = 100
    n_starts: int = 5
    n_pieces: int = 500


QUICK = Size(n_chats=50, n_messages=20, n_starts=1, n_pieces=50)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure everything; 0 when all bars are met."""
    parser = argparse.ArgumentParser(prog="python -m chatbot.bench", description="Measure the web chat.")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument(
        "--quick", action="store_true", help="a small run that shows whether all comes; how fast is not judged"
    )
    given = parser.parse_args(argv)
    if not sys.platform.startswith("linux"):
        parser.error("memory is read from /proc: run this on Linux")
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        lines = list(measure(Path(folder), QUICK if given.quick else Size()))
    if given.quick:
        lines = [each if each.bar == 0 else replace(each, bar=None) for each in lines]
    if given.json:
        body = {"load_before": load, "n_cpus": os.cpu_count(), "lines": [asdict(each) for each in lines]}
        sys.stdout.write(json.dumps(body, indent=1) + "\n")
    else:
        sys.stdout.write(f"load before: {load:.2f} on {os.cpu_count()} processors\n" + table(lines))
    return 0 if all(each.is_met for each in lines) else 1


def table(lines: Sequence[Line]) -> str:
    """The measurements as a Markdown table."""
    rows = ["| what | measured | bar | |", "|---|---|---|---|"]
    for each in lines:
        bar = "" if each.bar is None else f"{each.bar:g} {each.unit}".strip()
        verdict = "" if each.bar is None else "met" if each.is_met else "**missed**"
        value = f"{each.value:,.1f} {each.unit}" if each.unit else f"{each.value:g}"
        rows.append(f"| {each.what} | {value} | {bar} | {verdict} |")
    return "\n".join(rows) + "\n"


def measure(folder: Path, size: Size) -> Iterator[Line]:
    """All measurements, one group after the other."""
    seed(folder, size)
    yield from dependencies()
    yield from starts(folder, size)
    with scripted() as model_port, chat(folder, model_port) as (port, pid):
        yield from library(f"http://127.0.0.1:{port}", size)
        yield from relay(f"http://127.0.0.1:{port}", model_port, size)
        yield from crowd(f"http://127.0.0.1:{port}", pid, size)


def seed(folder: Path, size: Size) -> None:
    """Fill a database with chats of made-up words."""
    chance = random.Random(1)  # noqa: S311 - not for secrets
    store = Store(folder / "chat.db")
    for number in range(size.n_chats):
        messages = [
            NewMessage(
                str(place),
                str(place - 1) if place else None,
                "assistant" if place % 2 else "user",
                " ".join(chance.choices(_WORDS, k=60)) + f" no{number}x{place}",
                1.7e9 + number * 1_000 + place,
            )
            for place in range(size.n_messages)
        ]
        store.add_chat(f"Chat {number} about {chance.choice(_WORDS)}", 1.7e9 + number, 1.7e9 + number, messages)
    store.close()


@contextmanager
def scripted() -> Iterator[int]:
    """The scripted model server; its port."""
    port = free_port()
    with running("chatbot.bench.scripted", port):
        yield port


@contextmanager
def chat(folder: Path, model_port: int) -> Iterator[tuple[int, int]]:
    """The web chat in front of it; its port and its process."""
    port = free_port()
    with running("chatbot", port, *_flags(folder, model_port)) as (pid, _):
        yield port, pid


def _flags(folder: Path, model_port: int) -> tuple[str, ...]:
    return ("--url", f"http://127.0.0.1:{model_port}/v1", "--data_dir", str(folder))


def dependencies() -> Iterator[Line]:
    """What is installed for the web chat, the documents' numpy apart: llama-cpp-python needs it anyway."""
    sizes = weights()
    numpy_mb = sizes.pop("numpy", 0.0)
    yield Line("packages of the web chat, as unpacked, without numpy", sum(sizes.values()), "MB", 60)
    yield Line("numpy", numpy_mb, "MB")


def starts(folder: Path, size: Size) -> Iterator[Line]:
    """From nothing to the first answer, and what it weighs when nobody asks."""
    seconds, weights = [], []
    for _ in range(size.n_starts):
        with running("chatbot", free_port(), *_flags(folder, free_port())) as (pid, took_s):
            seconds.append(took_s)
            time.sleep(_IDLE_S)
            weights.append(memory_mb(pid))
    yield Line("start to first 200", statistics.median(seconds), "s", 2)
    yield Line("idle memory (proportional)", statistics.median(each[0] for each in weights), "MB", 90)
    yield Line("idle memory (resident, shared pages twice)", statistics.median(each[1] for each in weights), "MB")


def library(url: str, size: Size) -> Iterator[Line]:
    """The list, an old chat, a search."""
    chance, page = random.Random(2), Viewer(url)  # noqa: S311 - not for secrets
    listed = page.call("chats", {})["chats"]
    what = f"{size.n_chats:,} chats of {size.n_messages}"
    yield Line(f"{what}: list, p95", timed(lambda: page.call("chats", {})), "ms", 100)
    yield Line(
        f"{what}: open, p95", timed(lambda: page.call("open", {"chat_id": chance.choice(listed)["id"]})), "ms", 200
    )
    wanted: dict[str, Callable[[], str]] = {
        "a word in every message": lambda: chance.choice(_WORDS),
        "two words": lambda: " ".join(chance.choices(_WORDS, k=2)),
        "a word's beginning": lambda: chance.choice(_WORDS)[:2],
        "one message": lambda: f"no{chance.randrange(size.n_chats)}x{chance.randrange(size.n_messages)}",
    }
    for name, make in wanted.items():
        took = timed(lambda make=make: page.call("search", {"text": make()}))  # type: ignore[misc]
        yield Line(f"{what}: search for {name}, p95", took, "ms", 100)
    page.close()


def timed(act: Callable[[], object]) -> float:
    """The 95th percentile of many calls, in ms."""
    act()
    took = []
    for _ in range(_N_CALLS):
        began = time.perf_counter()
        act()
        took.append((time.perf_counter() - began) * 1e3)
    return percentile(took, 95)


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that so many percent do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def relay(url: str, model_port: int, size: Size) -> Iterator[Line]:
    """How long pieces are on their way, alone and with many who look."""
    pages = [Viewer(url) for _ in range(_N_VIEWERS)]
    yield from one_viewer(pages[0], model_port, size.n_pieces)
    some = pages[:_N_ANSWERS]
    answers = [each.ask(None, size.n_pieces, _PER_S)[1] for each in some]
    heard = [page.until_end(answer) for page, answer in zip(some, answers, strict=True)]
    yield from delays(f"{_N_ANSWERS} viewers of {_N_ANSWERS} answers, {_PER_S}/s each", heard, size.n_pieces, 30)
    chat_id, answer = pages[0].ask(None, 1, _PER_S)
    pages[0].until_end(answer)
    for page in pages:
        page.call("open", {"chat_id": chat_id})
    _, answer = pages[0].ask(chat_id, size.n_pieces, _PER_S)
    heard = [page.until_end(answer) for page in pages]
    yield from delays(f"{_N_VIEWERS} viewers of one answer, {_PER_S}/s", heard, size.n_pieces, 100)
    for page in pages:
        page.close()


def crowd(url: str, pid: int, size: Size) -> Iterator[Line]:
    """Fifty people ask at the same time, again and again: nothing lost, nobody late, nothing kept in memory."""
    pages, heard = [Viewer(url) for _ in range(_N_VIEWERS)], []
    for _ in range(_CROWD_ROUNDS):
        heard += _round(pages, size.n_pieces, _CROWD_PER_S)
    yield from delays(f"{_N_VIEWERS} people with an answer each, {_CROWD_PER_S}/s", heard, size.n_pieces, 100)
    weights_mb = []
    for n_rounds in (
        _FILLING_ROUNDS,
        _STEADY_ROUNDS,
    ):  # the logs of the last answers are kept, for pages that come late
        for _ in range(n_rounds):
            _round(pages, size.n_pieces // 5, _PER_S)
        weights_mb.append(memory_mb(pid)[0])
    for page in pages:
        page.close()
    n_answers = [_FILLING_ROUNDS * _N_VIEWERS, (_FILLING_ROUNDS + _STEADY_ROUNDS) * _N_VIEWERS]
    yield Line(f"memory after {n_answers[0]:,} further answers", weights_mb[0], "MB")
    yield Line(f"memory after {n_answers[1]:,}", weights_mb[1], "MB", weights_mb[0] * 1.05)


def _round(pages: Sequence[Viewer], n_pieces: int, per_s: float) -> list[Heard]:
    """Each page asks, all at the same time; what each hears."""
    answers = [page.ask(None, n_pieces, per_s)[1] for page in pages]
    return [page.until_end(answer) for page, answer in zip(pages, answers, strict=True)]


def one_viewer(page: Viewer, model_port: int, n_pieces: int) -> Iterator[Line]:
    """What the chat server adds to the model server's own stream."""
    direct = read_directly(model_port, n_pieces, _PER_S)
    _, answer = page.ask(None, n_pieces, _PER_S)
    relayed = page.until_end(answer)
    for percent in (50, 99):
        added = percentile(relayed.delays_ms, percent) - percentile(direct.delays_ms, percent)
        yield Line(f"1 viewer, {_PER_S}/s: added to the model server's own stream, p{percent}", added, "ms")


def delays(what: str, heard: Sequence[Heard], n_pieces: int, bar_ms: float | None = None) -> Iterator[Line]:
    """Whether all came in order, and how long it took."""
    yield Line(f"{what}: streams with a gap or out of order", sum(not each.is_whole(n_pieces) for each in heard), "", 0)
    took = [delay for each in heard for delay in each.delays_ms]
    yield Line(f"{what}: delay p50", percentile(took, 50), "ms")
    yield Line(f"{what}: delay p99", percentile(took, 99), "ms", bar_ms)


if __name__ == "__main__":
    sys.exit(main())
