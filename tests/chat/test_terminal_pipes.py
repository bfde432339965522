"""The terminal chat in pipes and scripts: what is on stdout, on stderr, and the exit status."""

from __future__ import annotations

import os
import pty
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from chatbot.core.llm import ModelClient
from chatbot.core.store import Store
from chatbot.errors import StorageError
from tests.chat.terminal import CHAT, Terminal, chat, converse, manage, program, started
from tests.fakes import WAIT_S, Cut, FakeServer, Finish, Gate, Refuse, prompt_progress, queue_position
from tests.processes import MODEL, REPO, environment, free_port, llmserver, running

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer(["Hello", " you", Finish()]) as fake:
        yield fake


def test_the_answer_is_on_stdout_and_nothing_else_is(server: FakeServer) -> None:
    done = program(server.url, "hi")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"Hello you\n", b"")


def test_an_answer_that_no_disk_takes_says_so_once_behind_itself(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> int:
        raise StorageError("the chat could not be saved: disk is full")

    monkeypatch.setattr(Store, "save", full)
    done = chat(server.url, "hi")
    assert done.stdout == b"Hello you\n"
    assert done.stderr.count(b"This answer is not saved yet: the chat could not be saved: disk is full") == 1


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
    done = chat(server.url, "hi", "--loading_timeout_s", "5")
    assert done.returncode == status
    assert said in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_busy_server_is_asked_again_when_it_says_so(server: FakeServer) -> None:
    server.scripts = [[Refuse(429, "queue_full", "busy", 0)], ["Hello", Finish()]]
    done = chat(server.url, "hi")
    assert (done.returncode, done.stdout) == (0, b"Hello\n")
    assert b"[waiting for the model to be ready]" in done.stderr


def test_a_wrong_key_says_what_the_server_says(server: FakeServer) -> None:
    server.scripts = [[Refuse(401, "invalid_api_key", "this key opens nothing")]]
    done = chat(server.url, "hi", OPENAI_API_KEY="wrong")
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr == b"[this key opens nothing]\n"


class _Garbage(BaseHTTPRequestHandler):
    def _answer(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html>\x00\xff this is no model server </html>")

    do_GET = do_POST = _answer  # noqa: N815 - named by the library

    def log_message(self, *_: object) -> None:
        """A test says nothing."""


def test_garbage_instead_of_an_answer_is_an_error_in_one_line() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Garbage) as garbage:
        threading.Thread(target=garbage.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        url = f"http://127.0.0.1:{garbage.server_address[1]}/v1"
        done, talked, listed = chat(url, "hi"), converse(url, "hi"), manage("models", "--url", url)
        garbage.shutdown()
    said = f"what answers at {url} is no model server: give another --url"
    assert (done.returncode, done.stdout, done.stderr.decode()) == (1, b"", f"[{said}]\n")
    assert (talked.returncode, talked.stderr.decode().count(said)) == (0, 2)
    assert (listed.returncode, listed.stderr.decode()) == (1, f"chat: {said}\n")


def test_nobody_at_the_address_is_status_3() -> None:
    done = chat(f"http://127.0.0.1:{free_port()}/v1", "hi")
    assert done.returncode == 3
    assert b"nobody answers" in done.stderr


def test_a_flood_is_refused_at_once_with_status_4(server: FakeServer) -> None:
    done = program(server.url, stdin=b"y\n" * 25_000_000)
    assert done.returncode == 4
    assert b"2,000,000 bytes" in done.stderr
    assert server.requests == []


def test_a_closed_pipe_is_quiet_and_ends_the_answer_on_the_server(server: FakeServer) -> None:
    gate = Gate()
    server.scripts = [["first\n", gate, *["more\n"] * 20_000, Finish()]]
    program = started(server.url, "hi")
    assert program.stdout and program.stderr
    assert program.stdout.readline() == b"first\n"
    program.stdout.close()
    gate.open()
    assert program.wait(WAIT_S) == 141
    assert program.stderr.read() == b""


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("hi",), "chat -c shows what is kept of the answer"),
        (("--json", "hi"), "chat -c shows what is kept of the answer"),
        (("-n", "hi"), "make room, or send it elsewhere"),
        (("models",), "make room, or send it elsewhere"),
        (("completion", "bash"), "make room, or send it elsewhere"),
    ],
)
def test_a_full_disk_behind_stdout_is_told_in_one_line(server: FakeServer, args: tuple[str, ...], said: str) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*CHAT, *args],
            stdin=subprocess.DEVNULL,
            stdout=full,
            stderr=subprocess.PIPE,
            env=environment(CHATBOT_URL=server.url),
            cwd=REPO,
            timeout=60,
        )
    line = f"chat: the output cannot be written: No space left on device; {said}\n"
    assert (done.returncode, done.stderr.decode()) == (1, line)


def test_what_came_of_an_answer_that_a_full_disk_cut_off_is_kept(server: FakeServer) -> None:
    with Path("/dev/full").open("wb") as full:
        begun = [*CHAT, "--url", server.url, "hi"]
        subprocess.run(begun, stdin=subprocess.DEVNULL, stdout=full, env=environment(), cwd=REPO, timeout=60)
    kept = manage("list", "--ids").stdout.decode().strip()
    assert b"Hello" in manage("export", kept).stdout


@pytest.mark.parametrize("closed", ["0", "1", "2"])
def test_a_stream_that_is_closed_ends_nothing(server: FakeServer, closed: str) -> None:
    command = f'exec {closed}>&-; exec "$@"'
    begun = ["bash", "-c", command, "chat", *CHAT, "--url", server.url, "hi"]
    done = subprocess.run(begun, stdin=subprocess.DEVNULL, capture_output=True, env=environment(), cwd=REPO, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == (b"" if closed == "1" else b"Hello you\n")


def test_ctrl_c_in_a_single_answer_is_status_130_and_keeps_what_came(server: FakeServer) -> None:
    gate = Gate()
    server.scripts = [["half an answer", gate, Finish()]]
    program = started(server.url, "hi")
    gate.wait_until_reached()
    assert program.stdout
    assert os.read(program.stdout.fileno(), 100) == b"half an answer"
    program.send_signal(signal.SIGINT)
    out, err = program.communicate(timeout=WAIT_S)
    assert program.returncode == 130
    assert (out, b"Traceback" in err) == (b"\n", False)
    assert server.client_left.wait(WAIT_S)
    gate.open()


def test_ctrl_c_while_the_server_does_not_even_answer_leaves_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        program = started(f"http://127.0.0.1:{silent.getsockname()[1]}/v1", "hi")
        connection, _ = silent.accept()
        began = time.monotonic()
        program.send_signal(signal.SIGINT)
        out, err = program.communicate(timeout=WAIT_S)
        took_s = time.monotonic() - began
        connection.close()
    assert (program.returncode, out) == (130, b"")
    assert b"stopped" in err and b"Traceback" not in err
    assert took_s < 2.0, "the bar is 0.2 s on a quiet machine; the server's silence would last 3 s"


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


def test_a_long_chat_is_folded_before_its_next_single_answer_and_not_after_one(server: FakeServer) -> None:
    server.n_ctx = 400
    long = "word " * 90
    server.scripts = [[long, Finish()], [long, Finish()], ["the notes", Finish()], ["short", Finish()]]
    flags = ("--keep_turns", "1", "--max_tokens", "50")
    chat(server.url, *flags, f"{long} one")
    chat(server.url, "-c", *flags, f"{long} two")
    assert len(server.requests) == 2, "the end of a single answer waits for nothing"
    done = chat(server.url, "-c", *flags, "three")
    assert (done.returncode, done.stdout, len(server.requests)) == (0, b"short\n", 4)
    assert "Summarize" in server.requests[2]["messages"][-1]["content"]
    head, *said = [sent["content"] for sent in server.requests[3]["messages"]]
    assert "the notes" in head and len(said) == 3 and said[-1] == "three"


@pytest.mark.model
def test_the_real_model_answers_in_a_pipe(real_server: object) -> None:
    done = program(f"{real_server.url}/v1", "Say something.", "--max_tokens", "200")  # type: ignore[attr-defined]
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


def test_one_continuation_is_announced_to_a_person_and_not_to_a_script(server: FakeServer) -> None:
    server.capabilities = ["completion"]
    done = chat(server.url, "hi")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"Hello you\n", b"")
    terminal = Terminal(server.url, "hi")
    terminal.until("[fake-model is a base model: it continues your text instead of answering]\nHello you\n")
    assert terminal.status() == 0
