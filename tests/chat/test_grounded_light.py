"""A chat that asks no shelf pays nothing for the library: neither numpy nor the index is imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parent.parent.parent
TURN = """
import sys, pathlib, tempfile
import chatbot.terminal.session, chatbot.terminal.app, chatbot.terminal.oneshot, chatbot.core.jobs
from chatbot.core import turn
from chatbot.core.cancel import Cancel
from chatbot.core.events import Message
from chatbot.core.library import open_library
from chatbot.settings import ChatSettings
from tests.fakes import FakeModel
folder = pathlib.Path(tempfile.mkdtemp())
door = open_library(ChatSettings(), folder / "chat.db")
asked = turn.Turn([Message("user", {text!r})])
events = list(turn.run(asked, FakeModel(), ChatSettings(), Cancel(), library=door))
door.close()
heavy = ("numpy", "openai", "rag.index", "rag.library", "rag.search", "rag.embed")
print([name for name in heavy if name in sys.modules], list(folder.iterdir()), events[-1].status.value)
"""


@pytest.mark.parametrize("text", ["hello", "# A heading and #a-word that names nothing"])
def test_neither_the_terminal_nor_a_plain_question_opens_the_library(text: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TURN.replace("{text!r}", repr(text))],
        cwd=REPO,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.stdout.strip(), done.stderr) == ("[] [] done", "")
