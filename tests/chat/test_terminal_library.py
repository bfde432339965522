"""The library in the terminal: its commands in pipes and on a terminal, what Tab knows."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rag import probe
from tests.chat.recipes import ANSWER, SLOWLY_S, lines, write_recipes
from tests.chat.site import recorded
from tests.chat.terminal import Terminal, Tmux, chat, converse, manage, started
from tests.documents.test_sources_disk import git
from tests.fakes import WAIT_S, FakeServer, Finish, Gate, Refuse
from tests.processes import REPO, environment

needs_tmux = pytest.mark.skipif(not shutil.which("tmux"), reason="tmux is not installed")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Chats and library go to a folder of the test's own."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    with FakeServer([*ANSWER, Finish()]) as fake:
        fake.embeds = True
        monkeypatch.setenv("CHATBOT_URL", fake.url)
        yield fake


@pytest.fixture
def recipes(tmp_path: Path) -> Path:
    return write_recipes(tmp_path)


@pytest.fixture
def cooking(server: FakeServer, read_once: Path, home: Path) -> Path:
    """A shelf with two documents, and a library of the test's own that has it."""
    shutil.copytree(read_once / "paddock", home / "data" / "paddock")
    return read_once / "recipes"


def test_a_folder_is_added_listed_and_brought_up_to_date(server: FakeServer, recipes: Path) -> None:
    (recipes / "broken.pdf").write_bytes(b"\x00\x01")
    done = manage("library", "add", "Cooking", str(recipes))
    assert (done.returncode, done.stdout) == (0, b"")
    assert f"{recipes}: a folder with all that is below it\n{recipes}: 2 new, 1 not read\n" in done.stderr.decode()
    assert "broken.pdf" in done.stderr.decode()
    head, source = lines(manage("library", "list"))
    assert head == "Cooking  2 documents"
    assert source.split("  ")[1:2] == ["folder"] and source.endswith(f"{recipes}  2 documents, 1 not read")
    n_embedded = len(server.embedded)
    (recipes / "broken.pdf").unlink()
    (recipes / "tea.txt").write_text("Black tea needs boiling water.\n")
    (recipes / "soup.md").write_text("# Soup\n\nLeeks first.\n")
    done = manage("library", "refresh", "cooking")
    assert done.stderr.decode() == f"{recipes}: 1 new, 1 changed, 1 as before\n"
    assert len([each for each in server.embedded[n_embedded:] if each != probe.TEXT]) == 2
    shown = lines(manage("library", "show", "cooking"))
    assert [line.split("  ")[1].strip() for line in shown] == ["Eggs", "Soup", "tea.txt"]
    assert manage("library", "refresh", "nothing-of-it").returncode == 2


def test_a_file_a_second_name_and_the_same_again_are_understood(server: FakeServer, recipes: Path) -> None:
    done = manage("library", "add", "one", str(recipes / "eggs.md"), "--share", "--data-dir", str(recipes.parent))
    assert "eggs.md: a file" in done.stderr.decode() and "1 new" in done.stderr.decode()
    again = manage("library", "add", "ONE", str(recipes / "eggs.md"), "--data-dir", str(recipes.parent))
    assert again.returncode == 0 and "1 as before" in again.stderr.decode()
    assert lines(manage("--data-dir", str(recipes.parent), "library", "list"))[0] == "one  1 document, shared"
    assert lines(manage("library", "list", "--names", "--data-dir", str(recipes.parent))) == ["one"]
    refused = manage("library", "add", "two", str(recipes / "nowhere"))
    assert refused.returncode == 2 and b"no file or folder" in refused.stderr
    assert lines(manage("library", "list", "--names")) == []


def test_a_script_hears_that_nothing_could_be_read_of_what_it_named(server: FakeServer, recipes: Path) -> None:
    broken = recipes / "broken.pdf"
    broken.write_bytes(b"%PDF-1.4 damaged")
    done = manage("library", "add", "one", str(broken))
    assert (done.returncode, done.stdout) == (1, b"") and "1 not read" in done.stderr.decode()
    assert manage("library", "add", "one", str(broken)).returncode == 1, "it is the same a second time"
    assert manage("library", "add", "one", str(recipes / "eggs.md"), str(broken)).returncode == 1
    assert manage("library", "add", "two", str(recipes)).returncode == 0, "of a folder the rest was read"
    assert manage("library", "refresh", "two").returncode == 0
    with recorded({}) as site:
        gone = manage("library", "add", "three", f"{site}/gone", CHATBOT_ALLOWED_FETCH_HOSTS="127.0.0.1")
    assert gone.returncode == 1 and "404" in gone.stderr.decode()
    assert b"status 1 when nothing could be read" in b" ".join(manage("library", "add", "--help").stdout.split())


def test_a_page_inside_the_house_is_read_as_the_refusal_says(server: FakeServer, recipes: Path) -> None:
    with recorded({"/eggs": b"<html><title>Eggs</title><body><p>Boil them for six minutes.</p></body></html>"}) as site:
        refused = manage("library", "add", "web", f"{site}/eggs")
        assert refused.returncode == 1
        advice = "start with --allowed_fetch_hosts 127.0.0.1"
        assert advice in refused.stderr.decode()
        done = manage("library", "add", "web", f"{site}/eggs", *advice.split()[2:])
        assert done.returncode == 0 and "1 new" in done.stderr.decode()
        again = manage("library", "refresh", "web", "--allowed-fetch-hosts", "127.0.0.1")
        assert again.returncode == 0 and "1 as before" in again.stderr.decode()
        off = manage("library", "refresh", "web", "--network", "false")
        assert off.returncode == 1


def test_a_source_that_is_there_already_takes_the_options_that_are_given(server: FakeServer, recipes: Path) -> None:
    assert manage("library", "add", "cooking", str(recipes), "--only", "*.md").returncode == 0
    done = manage("library", "add", "cooking", str(recipes), "--only", "*.txt", "--watch")
    said = "it is on cooking already, and from now on read with --only *.txt --watch"
    assert done.returncode == 0 and said in done.stderr.decode() and "1 new, 1 gone" in done.stderr.decode()
    assert [line.split("  ")[1].strip() for line in lines(manage("library", "show", "cooking"))] == ["tea.txt"]
    again = manage("library", "add", "cooking", str(recipes))
    assert "already" not in again.stderr.decode() and "1 as before" in again.stderr.decode()
    [shelf] = json.loads(manage("library", "list", "--json").stdout)
    [source] = shelf["sources"]
    assert source["options"] == {"only": ["*.txt"], "watch": True}


def test_options_of_a_source_are_turned_off_again(server: FakeServer, recipes: Path) -> None:
    def add(*flags: str) -> tuple[str, dict[str, object]]:
        done = manage("library", "add", "cooking", str(recipes), *flags)
        assert done.returncode == 0, done.stderr
        [shelf] = json.loads(manage("library", "list", "--json").stdout)
        return done.stderr.decode(), shelf["sources"][0]["options"]

    assert add("--only", "*.md", "--watch")[1] == {"only": ["*.md"], "watch": True}
    said, options = add("--no-watch")
    assert "it is on cooking already, and from now on read with --only *.md\n" in said
    assert options == {"only": ["*.md"]}
    said, options = add("--only", "")
    assert "it is on cooking already, and from now on read without options\n" in said
    assert options == {}
    assert "already" not in add("--no-watch", "--only", "")[0]


def test_a_branch_that_a_repository_does_not_have_is_no_success(server: FakeServer, recipes: Path) -> None:
    git("init", "-q", "-b", "main", place=recipes)
    git("add", ".", place=recipes)
    git("commit", "-q", "-m", "first", place=recipes)
    assert manage("library", "add", "cooking", str(recipes)).returncode == 0
    assert manage("library", "add", "cooking", str(recipes), "--ref", "nobranch").returncode == 1
    assert manage("library", "add", "cooking", str(recipes), "--ref", "main").returncode == 0


def test_a_search_shows_scores_and_says_whether_they_are_enough(cooking: Path) -> None:
    found = manage("library", "search", "cooking", "how long does a soft egg boil?")
    assert found.returncode == 0
    first = lines(found)[:3]
    assert "Eggs > Boiling" in first[0] and first[1].strip() == str(cooking / "eggs.md") and "six minutes" in first[2]
    nothing = manage("library", "search", "cooking", "who composed the ninth symphony?")
    assert nothing.returncode == 1
    told = json.loads(manage("library", "search", "cooking", "how long does a soft egg boil?", "--json").stdout)
    best = told["passages"][0]
    assert best["title"] == "Eggs" and best["is_enough"] and best["score"] >= told["min_score"]
    asked = ("library", "search", "cooking", "how long does a soft egg boil?", "--json")
    strict = manage(*asked, CHATBOT_LIBRARY_MIN_SCORE="1")
    assert (strict.returncode, json.loads(strict.stdout)["min_score"]) == (1, 1), "as answers are"


@pytest.mark.parametrize("number", ["0", "-3", "some"])
def test_a_search_for_no_passage_is_refused_with_what_can_be_given(cooking: Path, number: str) -> None:
    refused = manage("library", "search", "cooking", "how long does a soft egg boil?", "--number", number)
    assert refused.returncode == 2 and f"{number} is no number of passages: give 1 or more" in refused.stderr.decode()
    one = manage("library", "search", "cooking", "how long does a soft egg boil?", "--number", "1")
    assert (one.returncode, len(lines(one))) == (0, 3)


def test_a_search_without_the_embedding_server_finds_by_words_and_says_so(cooking: Path, server: FakeServer) -> None:
    server.embed_refusal = Refuse(500, "broken")
    found = manage("library", "search", "cooking", "how long does a soft egg boil?")
    assert found.returncode == 0 and b"six minutes" in found.stdout
    assert found.stderr.decode().startswith("This was found by words alone, not by what they mean: ")


def test_add_waits_for_its_own_shelf_alone_and_refresh_for_all(
    recipes: Path, tmp_path: Path, server: FakeServer
) -> None:
    server.embed_refusal = Refuse(500, "broken")
    manage("library", "add", "cooking", str(recipes))
    server.embed_refusal = None
    server.embedded.clear()
    (tmp_path / "wool.txt").write_text("Llama wool is spun by hand.\n")
    assert manage("library", "add", "farm", str(tmp_path / "wool.txt")).returncode == 0
    assert any("wool" in text for text in server.embedded) and not any("egg" in text for text in server.embedded)
    manage("library", "refresh")
    assert any("egg" in text for text in server.embedded)


def test_lists_and_runs_are_json_where_a_program_reads(cooking: Path) -> None:
    (shelf,) = json.loads(manage("library", "list", "--json").stdout)
    assert (shelf["name"], shelf["n_documents"], shelf["sources"][0]["state"]) == ("cooking", 2, "ok")
    told = json.loads(manage("library", "show", "cooking", "--json").stdout)
    assert [each["title"] for each in told["documents"]] == ["Eggs", "tea.txt"] and told["failures"] == []
    (run,) = json.loads(manage("library", "refresh", "--json").stdout)
    assert (run["n_same"], run["is_whole"], run["address"]) == (2, True, str(cooking))


def test_what_is_taken_away_comes_back_as_it_was_told(cooking: Path) -> None:
    gone = manage("library", "rm", "cooking", "tea.txt")
    assert gone.returncode == 0
    assert len(lines(manage("library", "show", "cooking"))) == 1
    manage("library", "refresh")
    assert len(lines(manage("library", "show", "cooking"))) == 1, "what a person took away stays away"
    assert manage("library", "restore", gone.stderr.decode().split()[-1]).returncode == 0
    assert len(lines(manage("library", "show", "cooking"))) == 2
    gone = manage("library", "rm", "cooking")
    assert lines(manage("library", "list")) == []
    assert manage("library", "restore", gone.stderr.decode().split()[-1]).returncode == 0
    assert lines(manage("library", "list"))[0] == "cooking  2 documents"
    assert manage("library", "rm", "cooking", str(cooking)).returncode == 0
    assert lines(manage("library", "list")) == ["cooking  0 documents"]
    for wrong in (("rm", "cooking", "nothing-of-it"), ("restore", "cooking"), ("rm", "nothing-of-it")):
        assert manage("library", *wrong).returncode == 2


def test_a_terminal_is_asked_before_something_goes(cooking: Path, server: FakeServer) -> None:
    for typed, status, n_left in (("\n", 1, 2), ("y\n", 0, 1)):
        terminal = Terminal(server.url, "library", "rm", "cooking", "Eggs")
        terminal.until("take Eggs from cooking? [y/N]")
        terminal.type(typed)
        assert terminal.status() == status
        assert len(lines(manage("library", "show", "cooking"))) == n_left


@pytest.mark.parametrize(
    ("item", "told"),
    [
        ("991", "no single document 991, but 1 document like it: give its number"),
        ("tea.t", "no single document tea.t, but 1 document like it"),
        ("e", "3 documents like it"),
        ("", "what shall go from cooking is empty"),
        (" ", "what shall go from cooking is empty"),
        ("1234567", "no document or source 1234567"),
    ],
)
@pytest.mark.parametrize("yes", [(), ("-y",)])
def test_a_script_takes_away_what_it_names_and_nothing_that_is_like_it(
    cooking: Path, home: Path, item: str, told: str, yes: tuple[str, ...]
) -> None:
    (home / "report-991.md").write_text("# Hens\n\nA hen lays an egg a day.\n")
    assert manage("library", "add", "cooking", str(home / "report-991.md")).returncode == 0
    done = manage("library", "rm", "cooking", item, *yes)
    assert done.returncode == 2 and told in done.stderr.decode()
    shown = lines(manage("library", "show", "cooking"))
    assert len(shown) == 3
    number = next(line.split()[0] for line in shown if "Hens" in line)
    assert manage("library", "rm", "cooking", number, *yes).returncode == 0
    assert len(lines(manage("library", "show", "cooking"))) == 2


def test_a_part_of_a_title_is_enough_where_a_person_is_asked(cooking: Path, server: FakeServer) -> None:
    terminal = Terminal(server.url, "library", "rm", "cooking", "tea")
    terminal.until("take tea.txt from cooking? [y/N]")
    terminal.type("y\n")
    assert terminal.status() == 0
    assert len(lines(manage("library", "show", "cooking"))) == 1


def test_ctrl_c_keeps_what_is_read_and_the_next_refresh_goes_on(server: FakeServer, recipes: Path) -> None:
    gate = server.embed_gate = Gate()
    terminal = Terminal(server.url, "library", "add", "cooking", str(recipes))
    assert gate.reached.wait(SLOWLY_S)
    terminal.interrupt()
    terminal.until("chat library refresh cooking goes on")
    gate.open()
    assert terminal.status() == 130
    assert "nothing is read yet" in terminal.all
    assert lines(manage("library", "list"))[1].endswith(", stopped")
    assert manage("library", "refresh").returncode == 0
    assert lines(manage("library", "list"))[0] == "cooking  2 documents"


@pytest.mark.parametrize("reads", [True, False])
def test_ctrl_c_does_not_wait_for_a_server_that_hangs(server: FakeServer, recipes: Path, reads: bool) -> None:
    if not reads:  # what is left is to make vectors
        server.embeds = False
        assert manage("library", "add", "cooking", str(recipes)).returncode == 0
        server.embeds = True
    gate = server.embed_gate = Gate()
    with started(server.url, "library", "add", "cooking", str(recipes)) as run:
        assert gate.reached.wait(SLOWLY_S)
        run.send_signal(signal.SIGINT)
        try:
            assert run.wait(WAIT_S) == 130
        finally:
            gate.open()


def test_a_run_is_seen_elsewhere_and_not_begun_twice(server: FakeServer, recipes: Path) -> None:
    gate = server.embed_gate = Gate()
    with started(server.url, "library", "add", "cooking", str(recipes)) as first:
        assert gate.reached.wait(SLOWLY_S)
        assert lines(manage("library", "list"))[1].endswith(", running")
        second = manage("library", "refresh", "cooking")
        assert second.returncode == 1 and f"{recipes} is being read already" in second.stderr.decode()
        gate.open()
        _, told = first.communicate(timeout=60)
    assert first.returncode == 0 and b"2 new" in told


def test_without_embeddings_words_find_and_the_next_refresh_makes_them(server: FakeServer, recipes: Path) -> None:
    server.embeds = False
    done = manage("library", "add", "cooking", str(recipes))
    assert done.returncode == 0
    assert b"2 new" in done.stderr and done.stderr.count(b"found by words alone for now: ") == 1
    found = manage("library", "search", "cooking", "soft egg")
    assert b"six minutes" in found.stdout and b"words alone" in found.stderr
    server.embeds = True
    assert manage("library", "refresh").returncode == 0
    assert server.embedded and b"words alone" not in manage("library", "search", "cooking", "soft egg").stderr


def test_a_chat_without_the_library_loads_nothing_of_it(server: FakeServer) -> None:
    check = "import sys; from chatbot.chat import main; main(sys.argv[1:]); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", check, "hi"], capture_output=True, env=environment(), cwd=REPO, stdin=subprocess.DEVNULL
    )
    loaded = set(lines(done)[-1].split())
    assert "chatbot.core.turn" in loaded
    assert not loaded & {"numpy", "openai", "rag.index", "rag.library", "rag.search"}


@needs_tmux
def test_a_run_on_a_terminal_says_how_far_it_is(server: FakeServer, recipes: Path) -> None:
    gate = server.embed_gate = Gate()
    with Tmux(server.url, "library", "add", "cooking", str(recipes), columns=60) as tmux:
        assert gate.reached.wait(SLOWLY_S)
        tmux.until("[reading ")
        gate.open()
        seen = tmux.until("status 0", timeout_s=SLOWLY_S)
    assert "2 new" in seen and "[reading" not in seen


def test_bash_completes_what_can_be_done_and_the_names_of_shelves(cooking: Path, tmp_path: Path) -> None:
    program = tmp_path / "chat"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m chatbot.chat "$@"\n')
    program.chmod(0o755)
    script = manage("completion", "bash").stdout.decode()
    check = 'COMP_WORDS=(chat "$@"); COMP_CWORD=$#; _paddock_chat; echo "${COMPREPLY[@]}"'
    path = f"{tmp_path}:{os.environ['PATH']}"
    for typed, wanted in (
        (["library", "re"], "refresh restore"),
        (["library", "show", "co"], "cooking"),
        (["-l", "co"], "cooking"),
    ):
        command = ["bash", "-c", f"{script}\n{check}", "x", *typed]
        shown = subprocess.run(command, capture_output=True, text=True, env=environment(PATH=path), cwd=REPO)
        assert shown.stdout.strip() == wanted, shown.stderr


def test_a_prompt_that_begins_with_library_goes_behind_two_dashes(server: FakeServer) -> None:
    done = manage("library", "of", "Alexandria?")
    assert done.returncode == 2 and b"chat library knows no of, but list, " in done.stderr
    assert b"chat -- library" in done.stderr
    chat(server.url, "--", "library", "of", "Alexandria?")
    assert server.requests[0]["messages"][-1]["content"] == "library of Alexandria?"


def test_a_shelf_whose_name_has_a_comma_is_searched_asked_and_chosen(recipes: Path, server: FakeServer) -> None:
    assert manage("library", "add", "salt, pepper", str(recipes)).returncode == 0
    assert b"A soft egg" in manage("library", "search", "Salt, pepper", "how long does a soft egg boil?").stdout
    assert b"six minutes [1]" in chat(server.url, "-l", "salt, pepper", "how long does a soft egg boil?").stdout
    told = converse(server.url, "/library salt, pepper", "/library")
    assert b"[answers come from salt, pepper now]" in told.stderr and b"* salt, pepper  2 documents" in told.stderr
    assert b"there is no shelf salt" in manage("library", "search", "salt", "egg").stderr


def test_the_examples_of_the_operations_page_work(
    server: FakeServer, recipes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(recipes.parent))
    server.by_words = {"Do these passages answer": [json.dumps({"answer": "yes"}), Finish()]}
    (recipes / "milk.md").write_text("# Milk\n\nA pancake needs milk and eggs.\n")
    text = (REPO / "docs" / "operations.md").read_text(encoding="utf-8").split("## The library")[1]
    examples = text.split("```sh\n")[1].split("```")[0].splitlines()
    assert len(examples) >= 8
    for line in examples:
        program, *words = shlex.split(line, comments=True)
        done = manage(*(os.path.expanduser(word) for word in words))
        assert program == "chat" and done.returncode == 0, f"{line}: {done.stderr.decode()}"
