"""chat models, list, search, export, import and completion."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from chatbot.core.events import Status
from chatbot.core.store import Store
from tests.chat.terminal import chat, converse, manage
from tests.fakes import FakeServer, Finish
from tests.processes import free_port

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer(["Buy leeks and flour", Finish()]) as fake:
        yield fake


def test_list_search_and_export_find_what_was_said(server: FakeServer, tmp_path: Path) -> None:
    chat(server.url, "what shall I cook?")
    chat(server.url, "a second chat")
    listed = manage("list").stdout.decode().splitlines()
    assert [line.split("  ")[-1].strip() for line in listed] == ["a second chat", "what shall I cook?"]
    chat_id = listed[1].split()[0]
    assert len(manage("list", "1").stdout.splitlines()) == 1
    for wrong in ("0", "-3", "many"):
        assert manage("list", wrong).returncode == 2
    found = manage("search", "leek")
    assert found.returncode == 0 and b"leeks and flour" in found.stdout
    assert manage("search", "nothing-of-it").returncode == 1
    shown = manage("export", chat_id).stdout.decode()
    assert "what shall I cook?" in shown and "leeks and flour" in shown
    assert manage("export", chat_id, "-o", "-").stdout.decode() == shown
    assert manage("export", chat_id, "-o", str(tmp_path / "one.json")).returncode == 0
    assert json.loads((tmp_path / "one.json").read_text())["title"] == "what shall I cook?"
    assert manage("export", "zz").returncode == 2


def test_everything_exported_is_imported_elsewhere_once(server: FakeServer, tmp_path: Path) -> None:
    chat(server.url, "one")
    chat(server.url, "two")
    file, other = tmp_path / "all.json", str(tmp_path / "other")
    assert manage("export", "-o", str(file)).returncode == 0
    done = manage("import", str(file), "--data-dir", other)
    assert done.returncode == 0 and b"2 chats with 4 messages" in done.stderr
    assert b"0 chats" in manage("import", str(file), "--data-dir", other).stderr
    assert len(manage("list", "--data_dir", other).stdout.splitlines()) == 2
    assert manage("import", str(tmp_path / "nowhere")).returncode == 2


def test_flags_may_stand_before_the_command_and_the_model_is_not_asked(server: FakeServer, tmp_path: Path) -> None:
    other = str(tmp_path / "other")
    chat(server.url, "--data_dir", other, "leeks")
    for flags in (["--data_dir", other], ["--data-dir", other], [f"--data_dir={other}"]):
        assert b"flour" in manage(*flags, "search", "leeks").stdout
    assert json.loads(manage("--json", "--data_dir", other, "list").stdout)[0]["title"] == "leeks"
    assert b"fake-model" in manage("--url", server.url, "models").stdout
    done = manage("-t", "0", "list", "three", "colours")
    assert done.returncode == 2 and b"chat -- list" in done.stderr
    assert len(server.requests) == 1
    manage("--url", server.url, "--temperature", "0", "--", "list", "three", "colours")
    manage("--url", server.url, "--model", "search", "go", "on")
    assert [sent["messages"][-1]["content"] for sent in server.requests[1:]] == ["list three colours", "go on"]


def test_lists_are_json_where_a_program_reads(server: FakeServer) -> None:
    chat(server.url, "one")
    assert json.loads(manage("list", "--json").stdout)[0]["title"] == "one"
    assert json.loads(manage("search", "--json", "leeks").stdout)[0]["title"] == "one"
    assert json.loads(manage("models", "--json", "--url", server.url).stdout)[0]["name"] == "fake-model"


def test_models_are_listed_with_what_they_hold(server: FakeServer) -> None:
    server.models = [
        {"id": "small", "object": "model", "meta": {"n_ctx": 4096, "state": "ok"}},
        {"id": "large", "object": "model", "meta": {"n_ctx": 32768, "state": "unloaded"}},
    ]
    lines = manage("models", "--url", server.url).stdout.decode().splitlines()
    assert lines == ["small  4,096 tokens", "large  32,768 tokens, unloaded"]
    assert manage("models", "--url", f"http://127.0.0.1:{free_port()}/v1").returncode == 3


def test_a_prompt_that_begins_like_a_command_is_one_behind_two_dashes(server: FakeServer) -> None:
    assert chat(server.url, "--", "list", "three", "colours").returncode == 0
    assert server.requests[0]["messages"][-1]["content"] == "list three colours"
    done = manage("list", "three", "colours")
    assert done.returncode == 2


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_of_each_shell_is_valid_and_names_commands_and_flags(shell: str) -> None:
    script = manage("completion", shell).stdout
    assert b"models" in script and b"temperature" in script
    for left_open in (b"FLAGS", b"COMMANDS", b"SHELL_NAMES"):
        assert left_open not in script
    if shutil.which(shell):
        assert subprocess.run([shell, "-n"], input=script, capture_output=True).stderr == b""


def test_bash_completes_flags_and_commands() -> None:
    script = manage("completion", "bash").stdout.decode()
    check = 'COMP_WORDS=(chat "$1"); COMP_CWORD=1; _paddock_chat; echo "${COMPREPLY[@]}"'
    for typed, wanted in (("--temp", "--temperature"), ("mod", "models")):
        shown = subprocess.run(["bash", "-c", f"{script}\n{check}", "x", typed], capture_output=True, text=True).stdout
        assert shown.split() == [wanted]


def test_the_terminal_is_its_machines_owner_and_knows_nobody_elses_chats(server: FakeServer, home: Path) -> None:
    with closing(Store(home / "paddock" / "chat.db")) as store:
        guest = store.add_user("Guest", "no-password", is_admin=False)
        user, answer = store.add_turn(None, "a secret about leeks", "k", owner_id=guest.id)
        store.save(answer.id, "hush", Status.DONE, {})
        store.set_house_options({"model": "house-model", "temperature": 0.2})
    assert chat(server.url, "-c", "mine?").returncode == 2
    for args in (["search", "leeks"], ["list"], ["export"]):
        assert b"leeks" not in manage(*args).stdout
    assert b"no chat has an id" in chat(server.url, "--id", user.chat_id, "hi").stderr
    assert b"no chat has an id" in manage("export", user.chat_id).stderr
    told = converse(server.url, f"/open {user.chat_id}", "/search leeks", "/list", "mine", "/set temperature")
    assert b"secret" not in told.stdout + told.stderr
    assert (server.requests[-1]["model"], server.requests[-1]["temperature"]) == ("house-model", 0.2)
    assert b"[temperature is 0.2: " in told.stderr
    assert manage("list", "--json").stdout.count(b'"title"') == 1
