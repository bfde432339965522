"""The terminal chat as a program: run once, on a pseudo-terminal line by line, and inside tmux."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import pty
import select
import shlex
import signal
import sqlite3
import struct
import subprocess
import sys
import termios
import threading
import time
import uuid
from pathlib import Path
from unittest.mock import patch

from chatbot.chat import main
from tests.fakes import WAIT_S, FakeServer
from tests.processes import REPO, environment

CHAT = [sys.executable, "-m", "chatbot.chat"]
Done = subprocess.CompletedProcess[bytes]


def chat(url: str, *args: str, stdin: bytes | None = None, **env: str) -> Done:
    """Run it once inside this process; without stdin there is nothing to read."""
    return manage("--url", url, *args, stdin=stdin, **env)


def manage(*args: str, stdin: bytes | None = None, **env: str) -> Done:
    """Run it once inside this process with exactly these arguments."""
    return _run(args, io.TextIOWrapper(io.BytesIO(stdin or b""), encoding="utf-8"), env)


def converse(url: str, *lines: str, args: tuple[str, ...] = (), **env: str) -> Done:
    """A conversation in plain lines inside this process; it ends with the last line."""
    typed = _Keys(io.BytesIO("".join(f"{line}\n" for line in lines).encode()), encoding="utf-8")
    return _run(("--url", url, *args), typed, env)


class _Keys(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


def _run(args: tuple[str, ...], typed: io.TextIOWrapper, env: dict[str, str]) -> Done:
    out, err = io.BytesIO(), io.BytesIO()
    streams = [io.TextIOWrapper(each, encoding="utf-8", write_through=True) for each in (out, err)]
    with (
        patch.dict(os.environ, env),
        patch.object(sys, "stdin", typed),
        contextlib.redirect_stdout(streams[0]),
        contextlib.redirect_stderr(streams[1]),
    ):
        try:
            status = main(args)
        except SystemExit as left:
            status = int(left.code or 0)
    return Done(args, status, out.getvalue(), err.getvalue())


def program(url: str, *args: str, stdin: bytes | None = None, **env: str) -> Done:
    """Run it once as a program of its own."""
    return subprocess.run(
        [*CHAT, "--url", url, *args],
        input=b"" if stdin is None else stdin,
        capture_output=True,
        env=environment(**env),
        cwd=REPO,
        timeout=60,
    )


def started(url: str, *args: str, **env: str) -> subprocess.Popen[bytes]:
    """Begin an answer in a pipe."""
    return subprocess.Popen(
        [*CHAT, "--url", url, *args],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(**env),
        cwd=REPO,
    )


class Terminal:
    """The program on a pseudo-terminal that cannot draw, as a person has it."""

    def __init__(self, url: str, *args: str, n_columns: int = 0) -> None:
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.chdir(REPO)
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("4H", 24 if n_columns else 0, n_columns, 0, 0))
            os.execve(sys.executable, [*CHAT, "--url", url, *args], environment(TERM="dumb"))
        self.screen = ""
        self.all = ""

    def until(self, text: str) -> None:
        """Read the screen until it shows a text."""
        while text not in self.screen:
            assert self._has_more(WAIT_S), f"{text!r} never came:\n{self.screen}"
            self.screen += self._read()
        self.screen = self.screen.split(text, 1)[1]

    def leave(self) -> int:
        """Ctrl-D at the prompt, and the exit status: pressed before there is one, the system would swallow it."""
        while not self.all.endswith("> ") or self._has_more(0):
            assert self._has_more(WAIT_S), f"no prompt came:\n{self.screen}"
            self.screen += self._read()
        self.type("\x04")
        return self.status()

    def _has_more(self, timeout_s: float) -> bool:
        return bool(select.select([self._fd], [], [], timeout_s)[0])

    def _read(self) -> str:
        text = os.read(self._fd, 65536).decode("utf-8", "replace").replace("\r\n", "\n")
        self.all += text
        return text

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def interrupt(self) -> None:
        """Ctrl-C, once the program waits: reading lines, Python misses a signal just before it waits for a key."""
        seen = 0
        while seen < 3 and Path("/proc/self/stat").exists():
            state = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
            seen = seen + 1 if state == "S" else 0
            threading.Event().wait(0.01)
        self.type("\x03")

    def hang_up(self) -> None:
        """Close the window."""
        os.close(self._fd)

    def status(self) -> int:
        """Wait for the end; what is still printed is read so that the program is not held."""
        with contextlib.suppress(OSError):
            while self._has_more(WAIT_S) and self._read():
                pass
            if not self._has_more(0):
                os.kill(self.pid, signal.SIGKILL)  # it says nothing and does not end: a failure, and no hang
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


class Tmux:
    """The program inside tmux: real keys go in, and what is seen is what a person would see."""

    def __init__(self, url: str, *args: str, columns: int = 80, rows: int = 24, after: str = "", **env: str) -> None:
        self._name = f"paddock-{uuid.uuid4().hex[:8]}"
        command = shlex.join([*CHAT, "--url", url, *args])
        script = f'set -m; {command}; echo "status $?"; {after}exec cat'
        self._env = environment(TERM="xterm-256color", HISTFILE="", **env)
        size = ("-x", str(columns), "-y", str(rows))
        self._tmux("new-session", "-d", *size, "-c", str(REPO), "bash", "--norc", "-c", script)
        self._tmux("set-option", "-s", "set-clipboard", "on")

    def __enter__(self) -> Tmux:
        return self

    def __exit__(self, *_: object) -> None:
        self._tmux("kill-server")

    def keys(self, *keys: str) -> None:
        """Press keys by tmux's names, such as Enter, C-c, M-Enter; other words are typed."""
        self._tmux("send-keys", *keys)

    def paste(self, text: str) -> None:
        """Paste as a terminal does: bracketed where the program asks for it."""
        self._tmux("load-buffer", "-", stdin=text.encode())
        self._tmux("paste-buffer", "-p", "-r")

    def resize(self, columns: int, rows: int) -> None:
        """Make the window larger or smaller."""
        self._tmux("resize-window", "-x", str(columns), "-y", str(rows))

    def screen(self, *, history: bool = False, styles: bool = False) -> str:
        """What is seen now; with what has scrolled away, with escape sequences."""
        extra = (["-S", "-"] if history else []) + (["-e"] if styles else [])
        return self._tmux("capture-pane", "-p", *extra).stdout.decode().rstrip()

    def clipboard(self) -> str:
        """What the program has copied."""
        return self._tmux("show-buffer").stdout.decode()

    def until(self, text: str, *, timeout_s: float = WAIT_S) -> str:
        """Wait until a text is seen; the whole screen."""
        end = time.monotonic() + timeout_s
        while text not in (seen := self.screen()):
            assert time.monotonic() < end, f"{text!r} never came:\n{seen}"
            threading.Event().wait(0.02)
        return seen

    def until_prompt(self) -> str:
        """Wait until the last line is an empty prompt."""
        end = time.monotonic() + WAIT_S
        while (seen := self.screen()).rpartition("\n")[2].rstrip() != ">":
            assert time.monotonic() < end, f"no prompt came:\n{seen}"
            threading.Event().wait(0.02)
        return seen

    def _tmux(self, *args: str, stdin: bytes = b"") -> Done:
        called = ["tmux", "-L", self._name, "-f", "/dev/null", *args]
        return subprocess.run(called, input=stdin, capture_output=True, env=self._env, timeout=30)


def screen(written: str) -> list[str]:
    """What a terminal shows of this in the end, without empty lines: a carriage return writes over what was there."""
    lines = []
    for line in written.split("\n"):
        shown: list[str] = []
        for part in line.split("\r"):
            shown[: len(part)] = part
        lines.append("".join(shown).rstrip())
    return [line for line in lines if line]


def half_answered(tmux: Tmux) -> None:
    """An answer that has begun with "half", a message queued behind it, and a draft."""
    tmux.until_prompt()
    tmux.keys("one", "Enter")
    tmux.until("half")
    tmux.keys("queued one", "Enter", "not sent")
    tmux.until("> not sent")


def said(server: FakeServer, number: int = -1) -> list[str]:
    """What persons and model have said, as it was sent, without the system prompt."""
    return [m["content"] for m in server.requests[number]["messages"] if m["role"] != "system"]


def stored(home: Path) -> list[tuple[str, str]]:
    """(content, status) of all answers."""
    with sqlite3.connect(home / "paddock" / "chat.db") as db:
        query = "SELECT content, status FROM messages WHERE role = 'assistant' ORDER BY rowid"
        return [(str(content), str(status)) for content, status in db.execute(query)]
