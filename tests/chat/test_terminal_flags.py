"""What the flags of the terminal chat do: files, shapes of the answer, options, chats that go on."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from chatbot.core.store import Store
from tests.chat.terminal import chat, manage, started
from tests.fakes import FakeServer, Finish, Gate, Reason, Refuse, Usage
from tests.processes import REPO, environment

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer(["Hello", " you", Usage(7, 2), Finish()]) as fake:
        yield fake


def asked(server: FakeServer) -> str:
    """What the model was asked last."""
    return str(server.requests[-1]["messages"][-1]["content"])


def test_a_file_a_pattern_and_the_pipe_reach_the_model_with_the_prompt(server: FakeServer, tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(f"inside {name}")
    (tmp_path / "c.md").write_text("# inside c")
    done = chat(server.url, "-f", str(tmp_path / "c.md"), "-f", str(tmp_path / "*.txt"), "compare", stdin=b"piped")
    assert (done.returncode, done.stdout) == (0, b"Hello you\n")
    sent = asked(server)
    places = [sent.index(part) for part in ("inside c", "inside a.txt", "inside b.txt", "piped", "compare")]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere.txt", b"cannot read"),
        ("*.nothing", b"no file fits"),
        (".", b"is a folder"),
        ("http://127.0.0.1:9/secret", b"127.0.0.1"),
    ],
)
def test_what_cannot_be_attached_is_wrong_use_and_nothing_is_asked(server: FakeServer, name: str, said: bytes) -> None:
    done = chat(server.url, "-f", name, "hi")
    assert done.returncode == 2
    assert said in done.stderr
    assert server.requests == []


def test_json_is_one_object_with_everything(server: FakeServer) -> None:
    server.scripts = [[Reason("hmm"), "Hello", " you", Finish(), Usage(7, 2)]]
    done = chat(server.url, "--json", "hi")
    found = json.loads(done.stdout)
    assert found["model"] == "fake-model"
    assert (done.returncode, done.stderr) == (0, b"")
    assert (found["content"], found["reasoning"], found["status"]) == ("Hello you", "hmm", "done")
    assert found["usage"]["completion_tokens"] == 2
    assert found["chat_id"] in manage("list", "--ids").stdout.decode().split()


def test_json_with_stream_is_a_line_for_each_event_as_it_comes(server: FakeServer) -> None:
    gate = Gate()
    server.scripts = [["Hello", gate, " you", Finish()]]
    program = started(server.url, "--json", "--stream", "hi")
    assert program.stdout
    seen = []
    while not seen or seen[-1]["type"] != "delta":
        seen.append(json.loads(program.stdout.readline()))
    gate.open()
    out, _ = program.communicate(timeout=20)
    lines = [*seen, *map(json.loads, out.splitlines())]
    assert [line["text"] for line in lines if line["type"] == "delta"] == ["Hello", " you"]
    assert (lines[-1]["type"], lines[-1]["content"]) == ("done", "Hello you")


def test_json_of_a_failure_names_it_and_the_status_is_that_of_the_failure(server: FakeServer) -> None:
    server.scripts = [[Refuse(400, "context_length_exceeded", "too long")]]
    done = chat(server.url, "--json", "hi")
    assert done.returncode == 4
    assert json.loads(done.stdout)["error"]["message"] == "too long"
    assert done.stderr == b"[too long]\n"


def test_a_schema_reaches_the_server_and_not_the_chat(server: FakeServer, tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"name": {"type": "string"}}}
    (tmp_path / "s.json").write_text(json.dumps(schema))
    assert chat(server.url, "--schema", str(tmp_path / "s.json"), "Ada").returncode == 0
    assert server.requests[0]["response_format"]["json_schema"]["schema"] == schema
    assert chat(server.url, "-c", "and in words?").returncode == 0
    assert "response_format" not in server.requests[1]
    (tmp_path / "bad.json").write_text("{")
    assert b"is no JSON" in chat(server.url, "--schema", str(tmp_path / "bad.json"), "Ada").stderr


def test_no_stream_writes_the_answer_when_it_is_complete(server: FakeServer) -> None:
    gate = Gate()
    server.scripts = [["Hello", gate, " you", Finish()]]
    program = started(server.url, "--no-stream", "hi")
    gate.wait_until_reached()
    gate.open()
    out, _ = program.communicate(timeout=20)
    assert out == b"Hello you\n"


def opened_late(gate: Gate) -> None:
    """Between the first word and the second some time passes."""
    gate.wait_until_reached()
    threading.Timer(0.05, gate.open).start()


def test_verbose_tells_the_numbers_on_stderr_and_quiet_tells_nothing(server: FakeServer) -> None:
    gate = Gate()
    server.scripts = [["Hello", gate, " you", Finish(), Usage(7, 2)]]
    threading.Thread(target=opened_late, args=(gate,)).start()
    done = chat(server.url, "-v", "hi")
    assert done.stdout == b"Hello you\n"
    assert b"tokens/s" in done.stderr and b"2 tokens" in done.stderr
    server.scripts = [["cut", Finish("length")]]
    assert chat(server.url, "-q", "hi").stderr == b""


def test_each_sampling_flag_reaches_the_request_in_both_spellings(server: FakeServer) -> None:
    chat(server.url, "hi", "-t", "0.1", "--top-p", "0.5", "--top_k=7", "--max-tokens", "9", "-s", "Be a pirate.")
    sent = server.requests[0]
    assert (sent["temperature"], sent["top_p"], sent["top_k"], sent["max_tokens"]) == (0.1, 0.5, 7, 9)
    assert sent["messages"][0] == {"role": "system", "content": "Be a pirate."}
    assert chat(server.url, "hi", "--top-p", "7").returncode == 2


def test_options_of_a_new_chat_stay_with_it_and_a_flag_wins_for_once(server: FakeServer) -> None:
    chat(server.url, "-t", "0.1", "one")
    chat(server.url, "-c", "two")
    chat(server.url, "-c", "-t", "1.5", "three")
    chat(server.url, "-c", "four")
    assert [sent["temperature"] for sent in server.requests] == [0.1, 0.1, 1.5, 0.1]


def test_a_preset_gives_its_options_and_an_unknown_one_lists_the_names(server: FakeServer, home: Path) -> None:
    store = Store(home / "paddock" / "chat.db")
    store.save_preset("Pirate", {"system_prompt": "Arr.", "temperature": 0.2})
    store.close()
    assert chat(server.url, "-p", "pirate", "-t", "1", "hi").returncode == 0
    assert server.requests[0]["messages"][0]["content"] == "Arr."
    assert server.requests[0]["temperature"] == 1
    done = chat(server.url, "-p", "nobody", "hi")
    assert done.returncode == 2 and b"Pirate" in done.stderr
    assert chat(server.url, "-n", "-p", "pirate", "hi").returncode == 0
    assert server.requests[1]["messages"][0]["content"] == "Arr."


def test_the_last_chat_goes_on_and_one_by_the_beginning_of_its_id(server: FakeServer) -> None:
    first = json.loads(chat(server.url, "--json", "one").stdout)["chat_id"]
    chat(server.url, "another")
    chat(server.url, "-c", "more")
    assert [m["content"] for m in server.requests[-1]["messages"]][1:] == ["another", "Hello you", "more"]
    chat(server.url, "--id", first[:6], "two")
    assert [m["content"] for m in server.requests[-1]["messages"]][1:] == ["one", "Hello you", "two"]
    done = chat(server.url, "--id", "zz", "hi")
    assert done.returncode == 2 and b"chat list" in done.stderr


def test_no_save_keeps_nothing(server: FakeServer, home: Path) -> None:
    assert chat(server.url, "-n", "hi").stdout == b"Hello you\n"
    assert not (home / "paddock").exists()
    assert chat(server.url, "-n", "-c", "hi").returncode == 2


def test_a_database_that_cannot_be_opened_is_said_once_and_the_answer_comes(server: FakeServer, home: Path) -> None:
    (home / "paddock").write_text("a file where the folder should be")
    done = chat(server.url, "hi")
    assert (done.returncode, done.stdout) == (0, b"Hello you\n")
    assert done.stderr.count(b"nothing is kept") == 1


def test_an_answer_is_kept_with_its_status_however_it_ends(server: FakeServer, home: Path) -> None:
    chat(server.url, "one")
    server.scripts = [[Refuse(500, "x", "it broke")]]
    chat(server.url, "two")
    with sqlite3.connect(home / "paddock" / "chat.db") as db:
        rows = db.execute("SELECT content, status FROM messages WHERE role = 'assistant' ORDER BY rowid").fetchall()
    assert rows == [("Hello you", "done"), ("", "error")]


def test_openai_names_of_the_environment_are_known_and_ours_win(server: FakeServer) -> None:
    done = manage("hi", OPENAI_BASE_URL=server.url, OPENAI_API_KEY="k")
    assert done.stdout == b"Hello you\n"
    done = manage("hi", OPENAI_BASE_URL="http://127.0.0.1:9/v1", CHATBOT_URL=server.url)
    assert done.stdout == b"Hello you\n"


def test_escape_sequences_of_a_model_are_never_written(server: FakeServer) -> None:
    server.scripts = [["\x1b[31mred\x1b]0;title\x07", Finish()]]
    assert b"\x1b" not in chat(server.url, "hi").stdout


def test_one_answer_in_a_pipe_imports_nothing_that_draws(server: FakeServer) -> None:
    heavy = {"rich", "prompt_toolkit", "flask", "pygments", "openai"}
    code = (
        "import sys; from chatbot.chat import main; main(sys.argv[1:]);"
        f"print(sorted({{n.split('.')[0] for n in sys.modules}} & {heavy}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--url", server.url, "hi"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=environment(),
        cwd=REPO,
        timeout=60,
    )
    assert done.stdout == b"Hello you\n[]\n"


def test_help_begins_with_examples_and_names_every_status() -> None:
    shown = manage("--help").stdout.decode()
    assert shown.index("examples:") < shown.index("--temperature")
    for status in ("0 answered", "1 server error", "2 wrong use", "3 cannot connect", "4 too long", "130 interrupted"):
        assert status in shown
