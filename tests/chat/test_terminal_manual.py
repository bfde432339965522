"""The manual page of chat: it tells all there is, and man can read it. That it is current is tested with the others."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from chatbot.core.commands import COMMANDS, TERMINAL
from chatbot.terminal.flags import chat_parser
from chatbot.terminal.manage import parsers
from chatbot.terminal.manual import page
from tests.chat.terminal import manage
from tests.processes import REPO


def test_every_flag_command_and_key_is_in_the_manual() -> None:
    text = page().replace("\\-", "-")
    for action in (*chat_parser()._actions, *(each for parser in parsers().values() for each in parser._actions)):
        assert all(f"\\fB{option}\\fR" in text for option in action.option_strings)
    assert all(f"\\fB{spec.usage}\\fR" in text for spec in COMMANDS if spec.is_for(TERMINAL))
    assert all(word in text for word in ("Ctrl-R", "NO_COLOR", "\\fB130\\fR", "chat.db"))


@pytest.mark.skipif(not shutil.which("groff"), reason="groff is not installed")
def test_man_reads_the_manual_without_a_warning() -> None:
    command = ["groff", "-man", "-ww", "-Tutf8", "-P-cbou", "docs/chat.1"]
    read = subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=60)
    assert (read.returncode, read.stderr) == (0, "")
    assert read.stdout.index("EXAMPLES") < read.stdout.index("OPTIONS")
    assert r"\-" not in read.stdout and r"\f" not in read.stdout


def test_help_begins_with_examples() -> None:
    told = manage("--help").stdout.decode()
    assert told.index("examples:") < told.index("--file") and "docs/chat.1" in told
