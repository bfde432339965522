"""The process that reads strangers' files lives on from file to file, within limits, and ends with its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rag.extract import bounded
from rag.extract.bounded import Readers
from rag.extract.limits import Bounds, Unreadable
from rag.sources import Readable
from tests.chat import samples
from tests.processes import REPO, until

ENDLESS = b"<p><b>x" * 2_000_000


@pytest.fixture
def readers() -> Iterator[Readers]:
    made = Readers(1)
    yield made
    made.close()


def page(readers: Readers, body: str, bounds: Bounds | None = None) -> Readable:
    return readers.read("page", f"<p>{body}".encode(), "", "", bounds or Bounds())


def runs(pid: int) -> bool:
    """Whether a process is there and not merely waits to be buried."""
    if not sys.platform.startswith("linux"):
        return subprocess.run(["ps", "-p", str(pid)], capture_output=True).returncode == 0
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_many_files_go_through_one_child_and_none_sees_another(readers: Readers) -> None:
    first = page(readers, "number 0")
    pids = readers.pids()
    kinds = [("pdf", samples.pdf("In a PDF")), ("table", b"a,b\n1,2"), ("zip", samples.docx(samples.paragraph("Doc")))]
    for number in range(1, 30):
        assert page(readers, f"number {number}").text == f"number {number}"
    texts = [readers.read(kind, data, "", "", Bounds()).text for kind, data in kinds]
    assert first.text == "number 0"
    assert [each.rpartition("\n")[2] for each in texts] == ["In a PDF", "a: 1; b: 2", "Doc"]
    assert readers.pids() == pids


def test_a_child_is_replaced_after_its_share_of_files() -> None:
    readers = Readers(1, most_files=2)
    page(readers, "one")
    (before,) = readers.pids()
    page(readers, "two")
    assert readers.pids() == []
    assert not runs(before)
    assert page(readers, "three").text == "three"
    readers.close()


def test_a_child_of_a_large_process_lives_on_too(readers: Readers) -> None:
    large = b"x" * (300 << 20)
    page(readers, "one")
    assert len(readers.pids()) == 1
    del large


def test_a_child_that_nobody_asks_ends() -> None:
    readers = Readers(1, idle_s=0.05)
    page(readers, "one")
    until(lambda: not readers.pids(), "the end of the child's rest")
    assert page(readers, "two").text == "two"
    readers.close()


def test_closing_leaves_no_process_behind(readers: Readers) -> None:
    page(readers, "one")
    (pid,) = readers.pids()
    readers.close()
    assert not runs(pid)


def test_a_child_that_was_killed_between_files_is_replaced_unseen(readers: Readers) -> None:
    page(readers, "one")
    (pid,) = readers.pids()
    os.kill(pid, signal.SIGKILL)
    assert page(readers, "two").text == "two"
    assert readers.pids() != [pid]


@pytest.mark.parametrize(
    ("end", "said"),
    [("os.kill(os.getpid(), 9)", "needs more memory or time"), ("os._exit(3)", "is damaged or built in a way")],
)
def test_a_child_that_dies_of_a_file_refuses_it_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, readers: Readers, end: str, said: str
) -> None:
    monkeypatch.setattr(bounded, "_CODE", f"import os\nprint('ready', flush=True)\ninput()\n{end}")
    with pytest.raises(Unreadable, match=said):
        page(readers, "x")
    assert readers.pids() == []


def test_a_child_that_cannot_begin_is_not_the_fault_of_the_file(
    monkeypatch: pytest.MonkeyPatch, readers: Readers
) -> None:
    monkeypatch.setattr(bounded, "_CODE", "import nothing_of_this_name")
    with pytest.raises(Unreadable, match="cannot be read now, since no process can be started: it ended before"):
        page(readers, "x")
    assert readers.pids() == []


def test_reading_ends_at_its_limit_of_processor_time_and_the_next_file_is_read(readers: Readers) -> None:
    page(readers, "started")
    with pytest.raises(Unreadable, match=r"takes longer to read than 1 s: split it"):
        readers.read("page", ENDLESS, "", "", Bounds(time_s=1))
    assert readers.pids() == []
    assert page(readers, "next").text == "next"


def test_a_child_that_does_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, readers: Readers) -> None:
    monkeypatch.setattr(bounded, "_CODE", "import time\nprint('ready', flush=True)\ntime.sleep(600)")
    with pytest.raises(Unreadable, match=r"takes longer to read than 0 s: split it"):
        page(readers, "x", Bounds(time_s=0))
    assert readers.pids() == []


def test_reading_ends_at_its_limit_of_memory_and_the_next_file_is_read(readers: Readers) -> None:
    few = Bounds(memory_bytes=120_000_000)
    assert page(readers, "x", few).text == "x"
    with pytest.raises(Unreadable, match="memory"):
        page(readers, "x" * 60_000_000, few)
    assert page(readers, "next", few).text == "next"


def test_what_a_parser_did_not_expect_is_one_refusal(monkeypatch: pytest.MonkeyPatch, readers: Readers) -> None:
    broken = "from rag.extract import child, page; page.readable = lambda *a, **k: 1 / 0; child.main()"
    monkeypatch.setattr(bounded, "_CODE", f"import sys; sys.path.insert(0, sys.argv[1]); {broken}")
    with pytest.raises(Unreadable, match="is damaged or built in a way"):
        page(readers, "x")
    assert readers.pids() == []


def test_no_more_children_than_allowed_read_at_once_and_each_gets_its_own_answer() -> None:
    readers = Readers(2)
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda number: page(readers, f"text {number}").text, range(40)))
    assert made == [f"text {number}" for number in range(40)]
    assert 1 <= len(readers.pids()) <= 2
    readers.close()


def test_a_file_that_waits_too_long_for_others_is_refused() -> None:
    with pytest.raises(Unreadable, match="other files are being read"):
        page(Readers(0), "x", Bounds(time_s=0))


def test_the_process_that_reads_a_file_gets_no_secret(monkeypatch: pytest.MonkeyPatch, readers: Readers) -> None:
    monkeypatch.setenv("CHATBOT_API_KEY", "secret")
    code = (
        "import json, os\nprint('ready', flush=True)\ninput()\n"
        "print(json.dumps({'text': ' '.join(os.environ), 'kind': '', 'title': '', 'pages': []}), flush=True)\ninput()"
    )
    monkeypatch.setattr(bounded, "_CODE", code)
    seen = set(page(readers, "").text.split())
    assert seen <= {"PATH", "LC_ALL", "MALLOC_ARENA_MAX", "__CF_USER_TEXT_ENCODING", "LC_CTYPE"}
    assert os.environ["CHATBOT_API_KEY"] == "secret"


def test_an_interrupt_from_the_terminal_is_not_for_the_child(readers: Readers) -> None:
    page(readers, "one")
    pids = readers.pids()
    os.kill(pids[0], signal.SIGINT)
    assert page(readers, "two").text == "two"
    assert readers.pids() == pids


@pytest.mark.parametrize("is_busy", [True, False], ids=["reading", "resting"])
def test_the_child_ends_with_its_parent(is_busy: bool) -> None:
    script = f"""
import sys, threading
from rag.extract import bounded
from rag.extract.limits import Bounds
bounded.READERS.read("page", b"<p>x", "", "", Bounds())
print(bounded.READERS.pids()[0], flush=True)
if {is_busy}:
    threading.Thread(target=bounded.READERS.read, args=("page", {ENDLESS[:7]!r} * 2_000_000, "", "", Bounds())).start()
sys.stdin.read()
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", script], cwd=REPO, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert runs(pid)
    began = _seconds_of(pid)
    if is_busy:
        until(lambda: _seconds_of(pid) > began + 0.2, "the child at work")
    parent.kill()
    parent.communicate()
    until(lambda: not runs(pid), "the end of the child")


def _seconds_of(pid: int) -> float:
    """Processor time of a process; elsewhere than on Linux the time that goes by."""
    if not sys.platform.startswith("linux"):
        return time.monotonic()
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
