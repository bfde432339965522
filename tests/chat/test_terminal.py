"""The terminal chat as a program: pipes, exit statuses, Ctrl-C, a real terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from chatbot.core.llm import ModelClient
from tests.fakes import WAIT_S, Cut, FakeServer, Finish, Gate, Refuse, prompt_progress, queue_position
from tests.processes import MODEL, REPO, environment, free_port, llmserver, running

CHAT = [sys.executable, "-m", "chatbot.chat"]
Done = subprocess.CompletedProcess[bytes]


def chat(url: str, *args: str, stdin: bytes | None = None, **env: str) -> Done:
    """Run it once; without stdin there is nothing to read."""
    return subprocess.run(
        [*CHAT, "--url", url, *args],
        input=b"" if stdin is None else stdin,
        capture_output=True,
        env=environment(**env),
        cwd=REPO,
        timeout=60,
    )


class Terminal:
    """The program on a pseudo-terminal, as a person has it."""

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
            ready, _, _ = select.select([self._fd], [], [], WAIT_S)
            assert ready, f"{text!r} never came:\n{self.screen}"
            self.screen += self._read()
        self.screen = self.screen.split(text, 1)[1]

    def _read(self) -> str:
        text = os.read(self._fd, 65536).decode("utf-8", "replace").replace("\r\n", "\n")
        self.all += text
        return text

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def interrupt(self) -> None:
        """Ctrl-C, once the program waits: Python misses a signal between the prompt and the wait for a key."""
        seen = 0
        while seen < 3 and Path("/proc/self/stat").exists():
            state = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
            seen = seen + 1 if state == "S" else 0
            threading.Event().wait(0.01)
        self.type("\x03")

    def status(self) -> int:
        """Wait for the end; what is still printed is read so that the program is not held."""
        while True:
            try:
                if not self._read():
                    break
            except OSError:
                break
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer(["Hello", " you", Finish()]) as fake:
        yield fake


def test_the_answer_is_on_stdout_and_nothing_else_is(server: FakeServer) -> None:
    done = chat(server.url, "hi")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"Hello you\n", b"")


def test_piped_input_comes_before_the_prompt(server: FakeServer) -> None:
    chat(server.url, "what", "broke?", stdin=b"line one\nline two\n")
    assert server.requests[0]["messages"][-1]["content"] == "line one\nline two\n\nwhat broke?"


@pytest.mark.parametrize("args", [[], ["-"]])
def test_piped_input_alone_is_the_prompt(server: FakeServer, args: list[str]) -> None:
    assert chat(server.url, *args, stdin=b"why?\n").returncode == 0
    assert server.requests[0]["messages"][-1]["content"] == "why?"


def test_a_log_that_is_not_utf8_is_asked_about_all_the_same(server: FakeServer) -> None:
    assert chat(server.url, stdin=b"caf\xe9\n").returncode == 0
    assert server.requests[0]["messages"][-1]["content"] == "caf\ufffd"


def test_flags_and_environment_reach_the_request(server: FakeServer) -> None:
    chat(server.url, "hi", "--system_prompt", "Be brief.", "--temperature", "0", "--max_tokens", "9")
    sent = server.requests[0]
    assert sent["messages"][0] == {"role": "system", "content": "Be brief."}
    assert (sent["temperature"], sent["max_tokens"]) == (0, 9)
    chat(server.url, "hi", CHATBOT_MAX_TOKENS="8")
    assert server.requests[1]["max_tokens"] == 8


def test_nothing_to_ask_is_wrong_use(server: FakeServer) -> None:
    done = chat(server.url, stdin=b"  \n")
    assert done.returncode == 2
    assert b"nothing to ask" in done.stderr
    assert chat(server.url, "hi", "--bogus").returncode == 2
    assert chat(server.url, "hi", "--temperature", "9").returncode == 2


@pytest.mark.parametrize(
    ("script", "status", "said"),
    [
        ([Refuse(500, "internal_error", "it broke")], 1, b"[it broke]"),
        ([Refuse(429, "queue_full", "busy with 8 others; try again in 12 seconds", 12)], 1, b"again in 12 seconds]"),
        ([queue_position(1), Refuse(503, "queue_timeout", "waited in vain")], 1, b"[waited in vain]"),
        ([Refuse(400, "context_length_exceeded", "9,120 tokens, holds 8,192")], 4, b"[9,120 tokens, holds 8,192]"),
        (["cut", Finish("length")], 4, b"--max_tokens"),
        (["some", Cut()], 1, b"went away in the middle"),
    ],
)
def test_each_kind_of_failure_has_its_status_and_a_line(
    server: FakeServer, script: list[object], status: int, said: bytes
) -> None:
    server.scripts = [script]  # type: ignore[list-item]
    done = chat(server.url, "hi")
    assert done.returncode == status
    assert said in done.stderr
    assert b"Traceback" not in done.stderr


def test_nobody_at_the_address_is_status_3() -> None:
    done = chat(f"http://127.0.0.1:{free_port()}/v1", "hi")
    assert done.returncode == 3
    assert b"nobody answers" in done.stderr


def test_a_flood_is_refused_at_once_with_status_4(server: FakeServer) -> None:
    done = chat(server.url, stdin=b"y\n" * 25_000_000)
    assert done.returncode == 4
    assert b"2,000,000 bytes" in done.stderr
    assert server.requests == []


def test_a_closed_pipe_is_quiet_and_ends_the_answer_on_the_server(server: FakeServer) -> None:
    gate = Gate()
    server.scripts = [["first\n", gate, *["more\n"] * 20_000, Finish()]]
    program = subprocess.Popen(
        [*CHAT, "--url", server.url, "hi"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        cwd=REPO,
    )
    assert program.stdout and program.stderr
    assert program.stdout.readline() == b"first\n"
    program.stdout.close()
    gate.open()
    assert program.wait(WAIT_S) == 141
    assert program.stderr.read() == b""


def test_ctrl_c_in_a_single_answer_is_status_130_and_keeps_what_came(server: FakeServer) -> None:
    gate = Gate()
    server.scripts = [["half an answer", gate, Finish()]]
    program = subprocess.Popen(
        [*CHAT, "--url", server.url, "hi"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        cwd=REPO,
    )
    gate.wait_until_reached()
    assert program.stdout
    assert os.read(program.stdout.fileno(), 100) == b"half an answer"
    program.send_signal(signal.SIGINT)
    out, err = program.communicate(timeout=WAIT_S)
    assert program.returncode == 130
    assert (out, b"Traceback" in err) == (b"\n", False)
    assert server.client_left.wait(WAIT_S)
    gate.open()


def test_a_conversation_remembers_and_survives_a_stopped_answer(server: FakeServer) -> None:
    gate = Gate()
    server.scripts = [["first answer", Finish()], ["half", gate, Finish()], ["third", Finish()]]
    terminal = Terminal(server.url)
    terminal.until("fake-model")
    terminal.until("> ")
    terminal.type("one\r")
    terminal.until("first answer\n")
    terminal.until("> ")
    terminal.type("two\r")
    terminal.until("half")
    terminal.interrupt()
    terminal.until("stopped")
    assert server.client_left.wait(WAIT_S)
    gate.open()
    terminal.until("> ")
    terminal.type("three\r")
    terminal.until("third\n")
    sent = [m["content"] for m in server.requests[2]["messages"]]
    assert sent[1:] == ["one", "first answer", "two", "half", "three"]
    terminal.until("> ")
    terminal.type("/exit\r")
    assert terminal.status() == 0


def test_a_terminal_shows_the_queue_and_the_reading_on_one_line_and_then_the_answer_alone(server: FakeServer) -> None:
    gates = [Gate(), Gate(), Gate()]
    steps = [queue_position(2), gates[0], prompt_progress(43, 100), gates[1], prompt_progress(100, 100), gates[2]]
    server.scripts = [[*steps, "Hello", Finish()]]
    terminal = Terminal(server.url, "hi", n_columns=60)
    for gate, words in zip(gates, ["[waiting, 2 before you]", "message 43 %]", "message 100 %]"], strict=True):
        terminal.until(words)
        gate.open()
    assert terminal.status() == 0
    assert screen(terminal.all) == ["Hello"]
    assert "\x1b" not in terminal.all


def test_a_line_of_progress_never_wraps_in_a_narrow_terminal(server: FakeServer) -> None:
    server.scripts = [[queue_position(2), prompt_progress(43, 100), "Hello", Finish()]]
    terminal = Terminal(server.url, "hi", n_columns=12)
    assert terminal.status() == 0
    written = [part for line in terminal.all.split("\n") for part in line.split("\r")]
    assert "[waiting, 2" in written and max(map(len, written)) < 12
    assert screen(terminal.all) == ["Hello"]


def test_ctrl_c_in_the_queue_stops_the_answer_and_leaves_a_clean_line(server: FakeServer) -> None:
    gate = Gate()
    server.scripts = [[queue_position(2), gate, Finish()], ["Hello", Finish()]]
    terminal = Terminal(server.url, n_columns=60)
    terminal.until("> ")
    terminal.type("one\r")
    terminal.until("[waiting, 2 before you]")
    terminal.interrupt()
    terminal.until("stopped")
    assert server.client_left.wait(WAIT_S)
    gate.open()
    terminal.until("> ")
    terminal.type("two\r")
    terminal.until("Hello\n")
    terminal.until("> ")
    terminal.type("\x04")
    assert terminal.status() == 0
    shown = screen(terminal.all)
    assert "[stopped; what was written is kept]" in shown
    assert not any("before you" in line or "^C" in line for line in shown)


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_progress_is_shown_only_where_both_streams_are_a_terminal(server: FakeServer, stream: str) -> None:
    server.scripts = [[queue_position(2), prompt_progress(43, 100), "Hello", Finish()]]
    assert (done := chat(server.url, "hi")).stdout == b"Hello\n"
    assert done.stderr == b""
    outside, inside = pty.openpty()
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | {stream: inside}
    program = subprocess.Popen(
        [*CHAT, "--url", server.url, "hi"], stdin=subprocess.DEVNULL, env=environment(), cwd=REPO, **streams
    )
    out, err = program.communicate(timeout=WAIT_S)
    os.close(inside)
    seen = b"Hello\r\n" if stream == "stdout" else b""
    ready, _, _ = select.select([outside], [], [], 0)
    assert (os.read(outside, 1000) if ready and seen else b"") == seen
    assert (out or b"") + (err or b"") == (b"" if seen else b"Hello\n")
    os.close(outside)


def screen(written: str) -> list[str]:
    """What a terminal shows of this in the end, without empty lines: a carriage return writes over what was there."""
    lines = []
    for line in written.split("\n"):
        shown: list[str] = []
        for part in line.split("\r"):
            shown[: len(part)] = part
        lines.append("".join(shown).rstrip())
    return [line for line in lines if line]


def test_an_error_does_not_end_the_conversation(server: FakeServer) -> None:
    server.scripts = [[Refuse(500, "x", "it broke")], ["fine", Finish()]]
    terminal = Terminal(server.url)
    terminal.until("> ")
    terminal.type("one\r")
    terminal.until("[it broke]")
    terminal.until("> ")
    terminal.type("two\r")
    terminal.until("fine")
    terminal.until("> ")
    terminal.type("\x04")
    assert terminal.status() == 0


def test_two_ctrl_c_at_an_empty_prompt_leave_with_130(server: FakeServer) -> None:
    terminal = Terminal(server.url)
    terminal.until("> ")
    terminal.interrupt()
    terminal.until("Ctrl-C again leaves")
    terminal.until("> ")
    terminal.interrupt()
    assert terminal.status() == 130


def test_commands_and_lines_that_only_look_like_one(server: FakeServer) -> None:
    terminal = Terminal(server.url)
    terminal.until("> ")
    terminal.type("/help\r")
    terminal.until("begin another")
    terminal.until("> ")
    terminal.type("/frob\r")
    terminal.until("no command /frob")
    terminal.until("> ")
    terminal.type("/etc/hosts is what?\r")
    terminal.until("Hello you")
    assert server.requests[0]["messages"][-1]["content"] == "/etc/hosts is what?"
    terminal.until("> ")
    terminal.type("line one\\\rline two\r")
    terminal.until("Hello you")
    assert server.requests[1]["messages"][-1]["content"] == "line one\nline two"
    terminal.until("> ")
    terminal.type("/new\r")
    terminal.until("a new conversation")
    terminal.until("> ")
    terminal.type("fresh\r")
    terminal.until("Hello you")
    assert [m["content"] for m in server.requests[2]["messages"]][1:] == ["fresh"]
    terminal.type("\x04")


def test_run_as_a_file_it_finds_its_packages(server: FakeServer) -> None:
    env = environment()
    del env["PYTHONPATH"]
    done = subprocess.run(
        [sys.executable, str(REPO / "chatbot" / "chat.py"), "--url", server.url, "hi"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=env,
        cwd="/",
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, b"Hello you\n")


def test_a_base_model_is_announced_and_continues_what_was_typed(server: FakeServer) -> None:
    server.capabilities = ["completion"]
    server.scripts = [[" upon a time.", Finish()], [" was a fox.", Finish()]]
    terminal = Terminal(server.url)
    terminal.until("[fake-model; a base model, it continues your text instead of answering. /help for help]\n")
    terminal.until("> ")
    terminal.type("Once\r")
    terminal.until(" upon a time.")
    terminal.until("> ")
    terminal.type("There\r")
    terminal.until(" was a fox.")
    terminal.until("> ")
    terminal.type("\x04")
    assert terminal.status() == 0
    assert server.paths == ["/v1/completions"] * 2
    assert [sent["prompt"] for sent in server.requests] == ["Once", "Once upon a time.\nThere"]


def test_one_continuation_is_announced_to_a_person_and_not_to_a_script(server: FakeServer) -> None:
    server.capabilities = ["completion"]
    done = chat(server.url, "hi")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"Hello you\n", b"")
    terminal = Terminal(server.url, "hi")
    terminal.until("[fake-model is a base model: it continues your text instead of answering]\nHello you\n")
    assert terminal.status() == 0


def test_model_tells_what_is_known_in_two_lines(server: FakeServer) -> None:
    terminal = Terminal(server.url)
    terminal.until("> ")
    terminal.type("/model\r")
    terminal.until("[fake-model]\n[A conversation may be 4,096 tokens long.]\n> ")
    server.capabilities = ["chat", "tools"]
    server.plan = {"models": [{"name": "fake-model", "summary": "It runs.", "file_bytes": 98_362_432}]}
    terminal.type("/model\r")
    terminal.until("[fake-model. It can chat and call tools. Its file takes 98 MB.]\n[It runs.]\n> ")
    server.state = "loading"
    terminal.type("/model\r")
    terminal.until("[the model is still being loaded]\n> ")
    terminal.type("\x04")
    assert terminal.status() == 0
    assert server.requests == []


@pytest.mark.model
def test_the_real_model_answers_in_a_pipe(real_server: object) -> None:
    done = chat(f"{real_server.url}/v1", "Say something.", "--max_tokens", "200")  # type: ignore[attr-defined]
    assert done.returncode in {0, 4}
    assert len(done.stdout.strip()) > 1
    assert b"\x1b" not in done.stdout


@pytest.mark.model
def test_the_real_model_without_its_chat_template_is_known_as_a_base_model_and_continues(tmp_path: Path) -> None:
    base, key = tmp_path / "base.gguf", b"tokenizer.chat_template"
    content = MODEL.read_bytes()
    assert content.count(key) == 1
    base.write_bytes(content.replace(key, key[:-1] + b"X"))
    with running(llmserver("--model", str(base))) as server:
        assert ModelClient(f"{server.url}/v1", "", 10).info().is_base
        done = chat(f"{server.url}/v1", "Once upon a time", "--max_tokens", "12", "--temperature", "0")
    assert done.returncode in {0, 4}
    assert len(done.stdout.strip()) > 1
    assert b"base model" not in done.stderr, "the server said so before it was asked for a chat"


def test_nothing_waits_for_ever_on_a_terminal_that_closes(server: FakeServer) -> None:
    terminal = Terminal(server.url)
    terminal.until("> ")
    os.close(terminal._fd)
    ended = threading.Event()
    threading.Thread(target=lambda: (os.waitpid(terminal.pid, 0), ended.set()), daemon=True).start()
    assert ended.wait(WAIT_S)
