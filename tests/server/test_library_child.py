"""A child process of the model library is heard line by line and never outlives what listens to it."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from llmserver.library.child import listen

DEAF = "import os, signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print(os.getpid(), flush=True); "


def test_lines_and_status_come_from_the_child() -> None:
    heard: list[str] = []
    status = listen(
        [sys.executable, "-c", "import sys; print('a'); sys.stderr.write('b\\n'); sys.exit(3)"], {}, heard.append
    )
    assert status == 3 and sorted(heard) == ["a\n", "b\n"]


@pytest.mark.timeout(20)
def test_a_child_that_hears_nothing_is_ended_by_ctrl_c() -> None:
    pids: list[int] = []

    def interrupt(line: str) -> None:
        pids.append(int(line))
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        listen([sys.executable, "-c", f"{DEAF}time.sleep(600)"], {}, interrupt)
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)
