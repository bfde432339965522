#!/usr/bin/env python3
"""The terminal chat: `chat` in the virtual environment, python -m chatbot.chat, or this file itself.

Answers go to stdout, everything else to stderr. Exit status: 0 answered, 1 the model server failed or no document
answers, 2 wrong use, 3 nobody answers at its address, 4 too long for the model, 130 interrupted, 141 the reader of a
pipe went away.
"""

from __future__ import annotations

import gc
import io
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

if not __package__:  # run as a file: find the packages, and the environment that setup.sh made
    sys.path[0] = str(ROOT)
    python = ROOT / ".venv" / "bin" / "python"
    if python.exists() and Path(sys.prefix) != ROOT / ".venv":
        os.execv(python, [str(python), __file__, *sys.argv[1:]])  # noqa: S606 - our own interpreter, no shell

from chatbot.errors import BadRequest, ChatError  # noqa: E402
from chatbot.terminal.flags import TerminalSettings, Wanted, command_in, read  # noqa: E402

INTERRUPTED, PIPE_CLOSED = 130, 141


def main(argv: Sequence[str] | None = None) -> int:
    """Answer once (a prompt argument or piped input), hold a conversation, or manage chats; the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    logging.getLogger("chatbot").addHandler(logging.NullHandler())  # what went wrong is said in a line, without a trace
    try:
        return _run(list(sys.argv[1:] if argv is None else argv))
    except ChatError as why:
        sys.stderr.write(f"chat: {why.message}\n")
        return 2 if isinstance(why, BadRequest) else why.exit_code
    except KeyboardInterrupt:
        with suppress(OSError):
            sys.stderr.write("\n")
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is still buffered has nowhere to go
        return PIPE_CLOSED


def _run(argv: list[str]) -> int:
    if command := command_in(argv):
        from chatbot.terminal.manage import manage

        return manage(command)
    settings, wanted = read(argv)
    if wanted.is_verbose:
        logging.getLogger("chatbot").addHandler(logging.StreamHandler())
    return _chat(settings, wanted)


def _chat(settings: TerminalSettings, wanted: Wanted) -> int:
    """Looking for rubbish among what is being imported takes a twentieth of the start: it begins with the first event
    or prompt."""
    gc.disable()
    try:
        return _chatted(settings, wanted)
    finally:
        gc.enable()


def _chatted(settings: TerminalSettings, wanted: Wanted) -> int:
    from chatbot.terminal.opening import opened

    is_conversation = not wanted.words and sys.stdin is not None and sys.stdin.isatty()
    if is_conversation and (wanted.is_json or wanted.schema):
        raise BadRequest("--json and --schema need a prompt, or piped input")
    with opened(settings, wanted) as session:
        if is_conversation:
            from chatbot.terminal.app import App

            return App(session, settings, wanted).converse()
        from chatbot.terminal.oneshot import answer_once

        return answer_once(session, wanted)


if __name__ == "__main__":
    sys.exit(main())
