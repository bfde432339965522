#!/usr/bin/env python3
"""The terminal chat: `chat` in the virtual environment, python -m chatbot.chat, or this file itself.

Answers go to stdout, everything else to stderr. Exit status: 0 answered, 1 the model server failed, no document answers
or the output cannot be written, 2 wrong use, 3 nobody answers at its address, 4 too long for the model, 130
interrupted, 141 the reader of a pipe went away.
"""

from __future__ import annotations

import errno
import gc
import io
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

if not __package__:  # run as a file: find the packages, and the environment that setup.sh made
    sys.path[0] = str(ROOT)
    python = ROOT / ".venv" / "bin" / "python"
    if python.exists() and Path(sys.prefix) != ROOT / ".venv":
        os.execv(python, [str(python), __file__, *sys.argv[1:]])  # noqa: S606 - our own interpreter, no shell

from chatbot.errors import BadRequest, ChatError, OutputLost  # noqa: E402
from chatbot.terminal.flags import TerminalSettings, Wanted, command_in, read  # noqa: E402

INTERRUPTED, PIPE_CLOSED = 130, 141
_UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF}


def main(argv: Sequence[str] | None = None) -> int:
    """Answer once (a prompt argument or piped input), hold a conversation, or manage chats; the exit status."""
    _prepare_streams()
    logging.getLogger("chatbot").addHandler(logging.NullHandler())  # what went wrong is said in a line, without a trace
    try:
        with _writing("make room, or send it elsewhere"):
            return _run(list(sys.argv[1:] if argv is None else argv))
    except ChatError as why:
        with suppress(OSError):
            sys.stderr.write(f"chat: {why.message}\n")
        return 2 if isinstance(why, BadRequest) else why.exit_code
    except KeyboardInterrupt:
        with suppress(OSError):
            sys.stderr.write("\n")
        return INTERRUPTED
    except BrokenPipeError:
        _give_up_stdout()
        return PIPE_CLOSED


def _prepare_streams() -> None:
    """What the model's text has and the terminal does not is replaced; what goes to a closed stream is lost."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            nowhere = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - open until the program ends
            setattr(sys, name, nowhere)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


@contextmanager
def _writing(otherwise: str) -> Iterator[None]:
    """Write all that the block says to stdout. Raises OutputLost, with what to do then, where stdout takes no more."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OSError as why:
        if why.errno not in _UNWRITABLE or why.filename:
            raise
        _give_up_stdout()
        raise OutputLost(f"the output cannot be written: {why.strerror}; {otherwise}") from why


def _give_up_stdout() -> None:
    """What is still buffered has nowhere to go."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


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
    kept = _writing("chat -c shows what is kept of the answer") if wanted.is_saved else nullcontext()
    with opened(settings, wanted) as session, kept:
        if is_conversation:
            from chatbot.terminal.app import App

            return App(session, settings, wanted).converse()
        from chatbot.terminal.oneshot import answer_once

        return answer_once(session, wanted)


if __name__ == "__main__":
    sys.exit(main())
