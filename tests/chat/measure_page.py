"""Measure how the page draws a stream in a real Chromium, from a scripted model server.

python -m tests.chat.measure_page [PART] [ROUNDS]   prints one JSON object: main-thread seconds and long tasks of an
answer of 12,360 tokens at 400 a second (drawing); frames a second of another one (frames); milliseconds from a token's
leaving the model server until it is painted, at 100 a second (painting); how long a chat of 400 messages holds up the
page when it is opened (opening). Without PART, all of them; ROUNDS is 3. stolen is the share of the processors that the
host gave to others during a round, where Linux tells.

Main-thread seconds are told twice: as the browser's clock counts its tasks, which includes the time in which other
programs have the processor, and as the processor time of the thread itself. Nothing is asked of the page meanwhile.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import expect, sync_playwright

from chatbot.core.events import Status
from chatbot.core.store import NewMessage, Store
from tests.chat.page import Tab, Tabs, renderers
from tests.conftest import CHROMIUM_FLAGS
from tests.fakes import FakeServer, Finish, Gate, Step
from tests.processes import chatbot, running

_CHROMIUM = os.environ.get("PADDOCK_BROWSER") or shutil.which("chromium") or shutil.which("google-chrome")
SECTION = (
    "## Section {n}\n\nSome **bold** text with `code` and a list that goes on for a while, as answers do:\n\n"
    "- one item of it\n- another item\n\n"
    "```python\ndef f{n}(x: int) -> int:\n    # a comment\n    return x + {n}\n```\n\n"
)
_WATCH = """() => {
  window.seen = [];
  const look = () => {
    const all = document.querySelector("#messages").textContent.match(/#\\d+/g) ?? [];
    const last = all.length ? Number(all.at(-1).slice(1)) : -1;
    const { port1, port2 } = new MessageChannel(); // the page changes within a frame, and this comes after its painting
    port1.onmessage = () => seen.push([last, performance.timeOrigin + performance.now()]);
    port2.postMessage(0);
  };
  const all = {subtree: true, childList: true, characterData: true};
  new MutationObserver(look).observe(document.querySelector("#messages"), all);
}"""
_NOTE = """() => {
  window.long = [];
  const note = (list) => list.getEntries().forEach((entry) => long.push(entry.duration));
  new PerformanceObserver(note).observe({type: "longtask"});
}"""
_COUNT = """() => {
  window.frames = 0;
  const count = () => { frames++; requestAnimationFrame(count); };
  count();
}"""

_UNTIL_DONE = """() => new Promise((done) => {
  const look = () => {
    if (document.querySelector(".answer:last-child")?.dataset.status === "done") done();
    else setTimeout(look, 250);
  };
  look();
})"""


class Pace(Gate):
    """Opens by itself at its time after the first one of a row; what it says is noted."""

    began = 0.0

    def __init__(self, at_s: float, sent: list[float] | None = None) -> None:
        super().__init__()
        self._at_s, self._sent = at_s, sent

    def pass_through(self, timeout_s: float = 0.0) -> bool:
        """Wait until the time has come."""
        if self._at_s == 0:
            type(self).began = time.time()
        time.sleep(max(0.0, type(self).began + self._at_s - time.time()))
        if self._sent is not None:
            self._sent.append(time.time() * 1000)
        return True


@contextmanager
def filled(fill: Callable[[Path], None]) -> Iterator[Path]:
    """A folder for a time, with what fill puts into it."""
    with tempfile.TemporaryDirectory() as folder:
        fill(Path(folder))
        yield Path(folder)


@contextmanager
def page(fill: Callable[[Path], None] = lambda _: None) -> Iterator[tuple[Tab, FakeServer]]:
    """The page in a browser, in front of a scripted model; fill puts chats into the folder before."""
    with (
        FakeServer() as model,
        filled(fill) as folder,
        running(chatbot(model.url, folder)) as chat,
        sync_playwright() as play,
    ):
        browser = play.chromium.launch(executable_path=_CHROMIUM, args=CHROMIUM_FLAGS)
        yield Tabs(browser).open(chat, viewport={"width": 1100, "height": 800}), model
        browser.close()


def tokens(n: int) -> list[str]:
    """A long answer in pieces of about four letters."""
    words = re.findall(r"\s?\S+|\s+", "".join(SECTION.replace("{n}", str(i)) for i in range(n // 40 + 1)))
    pieces = [word[at : at + 4] for word in words for at in range(0, len(word), 4)]
    return (pieces * (n // len(pieces) + 1))[:n]


def processor_s(pid: int) -> float:
    """Processor time of a process's main thread until now."""
    told = Path(f"/proc/{pid}/task/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(told[11]) + int(told[12])) / os.sysconf("SC_CLK_TCK")


def paced(n_tokens: int, rate: int) -> list[Step]:
    """The script of an answer, eight pieces at a time."""
    script: list[Step] = []
    for at, piece in enumerate(tokens(n_tokens)):
        script += [Pace(at / rate), piece] if at % 8 == 0 else [piece]
    return [*script, Finish()]


def drawing(n_tokens: int = 12_360, rate: int = 400) -> dict[str, Any]:
    """What an answer of this length costs the page's main thread."""
    with page() as (tab, model):
        model.scripts = [paced(n_tokens, rate)]
        client = tab.context.new_cdp_session(tab.page)
        client.send("Performance.enable")
        processes = renderers(tab)

        def cost() -> dict[str, float]:
            told = {each["name"]: each["value"] for each in client.send("Performance.getMetrics")["metrics"]}
            return told | {"Processor": sum(map(processor_s, processes))}

        tab.page.evaluate(_NOTE)
        before, began = cost(), time.time()
        tab.say("go")
        tab.page.evaluate(_UNTIL_DONE)
        after, seconds = cost(), time.time() - began
        long = tab.page.evaluate("long")
        spent = {name: round(after[name] - before[name], 2) for name in before}
        return {
            "n_tokens": n_tokens,
            "seconds": round(seconds, 1),
            "main_thread_s": spent["TaskDuration"],
            "main_thread_processor_s": spent["Processor"],
            "script_s": spent["ScriptDuration"],
            "layout_s": spent["LayoutDuration"],
            "style_s": spent["RecalcStyleDuration"],
            "n_long_tasks": len(long),
            "longest_task_ms": round(max(long, default=0)),
            "heap_mb": round(after["JSHeapUsedSize"] / 1e6),
        }


def frames(n_tokens: int = 4_000, rate: int = 400) -> dict[str, Any]:
    """Frames a second meanwhile: an answer of its own, as who counts them makes the page draw them all."""
    with page() as (tab, model):
        model.scripts = [paced(n_tokens, rate)]
        tab.page.evaluate(_COUNT)
        first, began = tab.page.evaluate("frames"), time.time()
        tab.say("go")
        tab.page.evaluate(_UNTIL_DONE)
        return {"n_tokens": n_tokens, "fps": round((tab.page.evaluate("frames") - first) / (time.time() - began), 1)}


def painting(n_tokens: int = 600, rate: int = 100) -> dict[str, Any]:
    """Milliseconds from the model server to the screen."""
    sent: list[float] = []
    script: list[Step] = []
    for at in range(n_tokens):
        script += [Pace(at / rate, sent), f"#{at} "]
    with page() as (tab, model):
        model.scripts = [[*script, Finish()]]
        tab.page.evaluate(_WATCH)
        tab.say("go")
        tab.page.evaluate(_UNTIL_DONE)
        painted: list[list[float]] = tab.page.evaluate("seen")
    first_seen: dict[int, float] = {}
    for last, at_ms in painted:
        for n in range(len(first_seen), int(last) + 1):
            first_seen[n] = at_ms
    delays = sorted(first_seen[n] - sent[n] for n in first_seen)
    cuts = statistics.quantiles(delays, n=100)
    return {
        "n_tokens": n_tokens,
        "p50_ms": round(cuts[49], 1),
        "p95_ms": round(cuts[94], 1),
        "p99_ms": round(cuts[98], 1),
    }


def a_long_chat(folder: Path, n_messages: int = 400) -> None:
    """One chat of so many messages."""
    store, now = Store(folder / "chat.db"), time.time()
    text = SECTION.replace("{n}", "7") * 2 + "A paragraph of some words, and one more sentence after it.\n\n" * 5
    made: list[NewMessage] = []
    for n in range(n_messages):
        role, said = ("user", f"question {n}") if n % 2 == 0 else ("assistant", text)
        made.append(NewMessage(f"m{n}", f"m{n - 1}" if n else None, role, said, now, "", {}, Status.DONE))
    store.add_chat("A long chat", now, now, made, {})
    store.close()


def opening(n_messages: int = 400) -> dict[str, Any]:
    """What opening a long chat costs while an answer streams in another one, three times."""
    script: list[Step] = []
    for at, piece in enumerate(tokens(20_000)):
        script += [Pace(at / 100), piece] if at % 4 == 0 else [piece]
    with page(a_long_chat) as (tab, model):
        model.scripts = [[*script, Finish()]]
        tab.say("go")
        tab.is_at("streaming")
        tab.page.evaluate(_NOTE)
        last: list[float] = []
        for _ in range(3):
            began = time.time()
            tab.page.get_by_role("link", name="A long chat").click()
            expect(tab.answer()).to_contain_text("A paragraph")
            last.append(time.time() - began)
            tab.page.wait_for_function(
                "n => document.querySelectorAll('.message').length === n", arg=n_messages, timeout=60_000
            )
            tab.page.get_by_role("link", name="go").click()
            expect(tab.find(".message")).to_have_count(2)
        long = tab.page.evaluate("long")
    return {
        "n_messages": n_messages,
        "end_seen_s": round(statistics.median(last), 2),
        "longest_task_ms": round(max(long, default=0)),
    }


def ticks() -> list[int]:
    """What the processors did until now: user, nice, system, idle, iowait, irq, softirq, steal; zeros but on Linux."""
    try:
        return [int(each) for each in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    except OSError:
        return [0] * 8


def rounds(measure: Callable[[], dict[str, Any]], n_rounds: int) -> list[dict[str, Any]]:
    """A measurement so many times, and how much of the processors others had meanwhile."""
    found = []
    for _ in range(n_rounds):
        before = ticks()
        made = measure()
        spent = [after - then for after, then in zip(ticks(), before, strict=True)]
        found.append({**made, "stolen": round(spent[7] / max(1, sum(spent)), 3)})
    return found


if __name__ == "__main__":
    parts = {each.__name__: each for each in (drawing, frames, painting, opening)}
    wanted = sys.argv[1:2] or list(parts)
    n_rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    measured = {name: rounds(parts[name], n_rounds) for name in wanted}
    sys.stdout.write(json.dumps(measured, indent=1) + "\n")
