"""Measure what a database of 1,000 chats with 100 messages each takes to list, open and search.

python -m tests.chat.measure_store [CHATS]   prints one JSON object: the 95th percentile of each in milliseconds of
processor time, the size of the file.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from chatbot.core.store import NewMessage, Store

QUERIES = ("the", "t", "kanaa", "the mora", "lu ka te", "moso", "needle", "nothing like it", "th kanab ri", "k m r")


def fill(store: Store, n_chats: int) -> list[str]:
    """Chats of a hundred messages of about 300 letters, a rare word in one of 3,000; their ids."""
    dice = random.Random(1)  # noqa: S311 - no secret
    words = [f"{a}{b}{c}" for a in ("ka", "mo", "ri", "te", "lu") for b in ("na", "so", "vi") for c in "abcdefghij"]
    texts = [f"the {' '.join(dice.choices(words, k=50))}" for _ in range(500)]

    def message(n: int, i: int) -> NewMessage:
        rare = " needle" if i == 7 and n % 30 == 0 else ""
        return NewMessage(
            str(i), str(i - 1) if i else None, ("user", "assistant")[i % 2], dice.choice(texts) + rare, float(i)
        )

    return [
        store.add_chat(f"chat {n}", float(n), float(n), [message(n, i) for i in range(100)]) for n in range(n_chats)
    ]


def measure(store: Store, chats: Sequence[str]) -> dict[str, float]:
    """Milliseconds that 95 of 100 calls stay below. Processor time, since others may use the machine."""
    return {
        "list_ms": _p95(lambda _: store.chats(), [""] * 20),
        "open_ms": _p95(store.messages, chats[:: len(chats) // 40]),
        "search_ms": _p95(store.search, QUERIES * 4),
    }


def _p95(call: Callable[[str], object], over: Sequence[str]) -> float:
    times = []
    for each in over:
        began = time.thread_time()
        call(each)
        times.append(1000 * (time.thread_time() - began))
    return round(statistics.quantiles(times, n=20)[-1], 1)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "chat.db"
        store = Store(path)
        found = measure(store, fill(store, int(sys.argv[1]) if len(sys.argv) > 1 else 1_000))
        store.close()
        sys.stdout.write(json.dumps(found | {"file_mb": round(path.stat().st_size / 1e6)}) + "\n")
