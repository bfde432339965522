#!/usr/bin/env python3
"""The terminal chat: `chat` in the virtual environment, python -m chatbot.chat, or this file itself.

Answers go to stdout, everything else to stderr. Exit status: 0 answered, 1 the model server failed, 2 wrong use,
3 nobody answers at its address, 4 too long for the model, 130 interrupted, 141 the reader of a pipe went away.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

if not __package__:  # run as a file: find the packages, and the environment that setup.sh made
    sys.path[0] = str(ROOT)
    python = ROOT / ".venv" / "bin" / "python"
    if python.exists() and Path(sys.prefix) != ROOT / ".venv":
        os.execv(python, [str(python), __file__, *sys.argv[1:]])  # noqa: S606 - our own interpreter, no shell

from chatbot import __version__  # noqa: E402
from chatbot.core.llm import ModelClient  # noqa: E402
from chatbot.errors import BadRequest, ChatError, ContextFull  # noqa: E402
from chatbot.settings import ChatSettings, from_command_line  # noqa: E402
from chatbot.terminal.app import Session  # noqa: E402

MAX_STDIN_BYTES = 2_000_000
INTERRUPTED, PIPE_CLOSED = 130, 141


def main(argv: Sequence[str] | None = None) -> int:
    """Answer once (a prompt argument or piped input) or hold a conversation; the exit status."""
    try:
        return _run(list(sys.argv[1:] if argv is None else argv))
    except ChatError as why:
        sys.stderr.write(f"chat: {why.message}\n")
        return 2 if isinstance(why, BadRequest) else why.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("\n")
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is still buffered has nowhere to go
        return PIPE_CLOSED


def _run(argv: list[str]) -> int:
    settings, found = from_command_line(ChatSettings, parser(), argv)
    words: list[str] = found.prompt
    session = Session(settings, ModelClient(settings.url, settings.api_key, settings.answer_timeout_s))
    if not words and sys.stdin.isatty():
        return session.converse()
    return session.answer_once(_prompt(words))


def parser() -> argparse.ArgumentParser:
    """The command line, apart from the settings' own flags."""
    out = argparse.ArgumentParser(
        prog="chat",
        description="Talk to the local model. With a prompt or piped input: one answer. Otherwise: a conversation.",
        epilog="Piped input comes before the prompt: `cat log | chat what broke?`. A prompt of - is piped input alone. "
        "Exit status: 0 answered, 1 server error, 2 wrong use, 3 cannot connect, 4 too long, 130 interrupted.",
        allow_abbrev=False,
    )
    out.add_argument("prompt", nargs="*", help="What to ask; - reads it from piped input.")
    out.add_argument("--version", action="version", version=__version__)
    return out


def _prompt(words: list[str]) -> str:
    """Piped input, then the prompt. Raises BadRequest when both are empty and ContextFull for a flood."""
    parts = [] if sys.stdin.isatty() else [_piped()]
    if words != ["-"]:
        parts.append(" ".join(words))
    text = "\n\n".join(filter(None, (part.strip() for part in parts)))
    if not text:
        raise BadRequest("nothing to ask: give a prompt, or pipe some text in")
    return text


def _piped() -> str:
    content = sys.stdin.buffer.read(MAX_STDIN_BYTES + 1)
    if len(content) > MAX_STDIN_BYTES:
        raise ContextFull(f"the piped input has more than {MAX_STDIN_BYTES:,} bytes: pipe in the part that matters")
    return content.decode("utf-8", "replace")


if __name__ == "__main__":
    sys.exit(main())
