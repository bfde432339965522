"""The terminal chat on a terminal that can draw, inside tmux: what a person presses and what is seen then."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chat.terminal import Tmux, said, stored
from tests.fakes import WAIT_S, Cut, FakeServer, Finish, Gate, Reason, Refuse, Usage, prompt_progress, queue_position
from tests.processes import until

pytestmark = [
    pytest.mark.skipif(not shutil.which("tmux"), reason="tmux is not installed"),
    pytest.mark.usefixtures("home"),
]

ANSWER = """## Making tea

Boil *fresh* water, then:

1. warm the pot
2. add `two` spoons

```python
def brew(minutes: int) -> str:
    return "tea" * minutes
```

| leaf | minutes |
|---|---|
| green | 2 |

That is **all**.
"""


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer(["Hello", " you", Finish(), Usage(7, 2)]) as fake:
        yield fake


def test_an_answer_is_seen_as_a_person_reads_it(server: FakeServer) -> None:
    server.scripts = [[*(ANSWER[n : n + 3] for n in range(0, len(ANSWER), 3)), Finish(), Usage(40, 90)]]
    with Tmux(server.url) as tmux:
        tmux.until("fake-model. /help")  # what the model holds is known by then
        tmux.keys("tea?", "Enter")
        tmux.until("tokens/s")
        seen = tmux.until_prompt()
        styled = tmux.screen(styles=True)
    for part in ("> tea?", "Making tea", "Boil fresh water", " 1 warm the pot", "  def brew(minutes: int)", "green"):
        assert part in seen
    for mark in ("```", "**", "##", "`two`", "1. warm"):
        assert mark not in seen
    assert seen.count("Making tea") == seen.count("warm the pot") == seen.count("That is all.") == 1
    assert "90 tokens" in seen and "130 of 4.1k context" in seen
    assert "\x1b[1m" in styled and "\x1b[36m" in styled


def test_a_message_of_several_lines_is_written_in_three_ways(server: FakeServer) -> None:
    with Tmux(server.url) as tmux:
        tmux.until_prompt()
        tmux.keys("one", "M-Enter", "two", "Enter")
        tmux.until("Hello you")
        assert said(server)[-1] == "one\ntwo"
        tmux.until_prompt()
        tmux.keys("three\\", "Enter", "four", "Enter")
        until(lambda: len(server.requests) == 2, "the second message")
        assert said(server)[-1] == "three\nfour"
        tmux.until_prompt()
        tmux.keys('"""five', "Enter", "", "Enter", 'six"""', "Enter")
        until(lambda: len(server.requests) == 3, "the third message")
        assert said(server)[-1] == "five\n\nsix"


def test_a_paste_of_ten_thousand_lines_is_one_message_and_waits_for_enter(server: FakeServer) -> None:
    text = "".join(f"line {n} of what was pasted\n" for n in range(10_000))
    server.n_ctx = 1_000_000
    with Tmux(server.url) as tmux:
        tmux.until_prompt()
        began = time.monotonic()
        tmux.paste(text)
        tmux.until("[pasted 1: 10,001 lines]")
        took_s = time.monotonic() - began
        assert server.requests == []
        tmux.keys(" what is this?", "Enter")
        tmux.until("Hello you")
    assert said(server)[-1] == f"{text} what is this?"
    assert took_s < 10.0, "the bar is 0.3 s on a quiet machine"


def test_a_short_paste_is_seen_and_can_be_changed(server: FakeServer) -> None:
    with Tmux(server.url) as tmux:
        tmux.until("fake-model. /help")
        tmux.until_prompt()
        tmux.paste("first\nsecond\n")
        tmux.until("second")
        tmux.keys("third", "Enter")
        tmux.until("Hello you")
    assert said(server)[-1] == "first\nsecond\nthird"


def test_ctrl_c_stops_in_each_phase_and_the_conversation_goes_on(server: FakeServer, home: Path) -> None:
    reading = [Gate() for _ in range(3)]
    server.scripts = [
        [queue_position(2), reading[0], Finish()],
        [prompt_progress(43, 100), reading[1], Finish()],
        ["half an ans", reading[2], Finish()],
        ["whole", Finish()],
    ]
    with Tmux(server.url) as tmux:
        tmux.until_prompt()
        for number, shown in enumerate(("waiting, 2 before you", "reading your message 43 %", "half an ans")):
            tmux.keys(f"message {number}", "Enter")
            tmux.until(shown)
            server.client_left.clear()
            began = time.monotonic()
            tmux.keys("C-c")
            tmux.until_prompt()
            assert time.monotonic() - began < 1.0, "the bar is 0.2 s on a quiet machine"
            assert server.client_left.wait(WAIT_S), "the model went on"
            reading[number].open()
        seen = tmux.until_prompt()
        assert seen.count("[stopped; what was written is kept]") == 3
        assert "before you" not in seen and "^C" not in seen and "reading your" not in seen
        tmux.keys("and now?", "Enter")
        tmux.until("whole")
        assert "half an ans" in said(server)
        until(lambda: stored(home)[-1] == ("whole", "done"), "the last answer in the store")
    assert stored(home) == [("", "stopped"), ("", "stopped"), ("half an ans", "stopped"), ("whole", "done")]


def test_ctrl_c_twice_at_an_empty_prompt_leaves_and_ctrl_d_leaves_too(server: FakeServer) -> None:
    with Tmux(server.url) as tmux:
        tmux.until_prompt()
        tmux.keys("typed", "C-c")
        tmux.until_prompt()
        tmux.keys("C-c")
        tmux.until("Ctrl-C again leaves")
        tmux.keys("C-c")
        tmux.until("status 130")
    with Tmux(server.url) as tmux:
        tmux.until_prompt()
        tmux.keys("C-d")
        tmux.until("status 0")


def test_a_resize_in_mid_answer_leaves_nothing_broken(server: FakeServer) -> None:
    gates = [Gate(), Gate()]
    words = " ".join(f"word{n}" for n in range(30))
    server.scripts = [["First block.\n\n", words, gates[0], " and more", gates[1], " and the end.", Finish()]]
    with Tmux(server.url, columns=70) as tmux:
        tmux.until_prompt()
        tmux.keys("go", "Enter")
        tmux.until("word29")
        tmux.resize(30, 24)
        gates[0].open()
        tmux.until("and more")
        tmux.resize(90, 24)
        gates[1].open()
        tmux.until("and the end.")
        tmux.until_prompt()
        seen = " ".join(tmux.screen(history=True).split())
    assert seen.count("First block.") == 1
    assert seen.count(f"{words} and more and the end.") == 1


def test_suspended_and_resumed_in_mid_answer_nothing_is_lost(server: FakeServer) -> None:
    gate = Gate()
    server.scripts = [["A first part.\n\nA second", gate, " part.", Finish()]]
    with Tmux(server.url, after='read -r _; fg; echo "status $?"; ') as tmux:
        tmux.until_prompt()
        tmux.keys("go", "Enter")
        tmux.until("A second")
        tmux.keys("C-z")
        tmux.until("status 148")
        gate.open()
        tmux.keys("shell", "Enter")
        tmux.until("A second part.")
        seen = tmux.until_prompt()
        assert seen.count("A first part.") == 1 and "shell" in seen
        tmux.keys("and then?", "Enter")
        until(lambda: len(server.requests) == 2, "the next message")
        assert said(server)[1] == "A first part.\n\nA second part."


def test_a_closed_window_keeps_what_was_written(server: FakeServer, home: Path) -> None:
    gate = Gate()
    server.scripts = [["half an answer", gate, Finish()]]
    with Tmux(server.url) as tmux:
        tmux.until_prompt()
        tmux.keys("go", "Enter")
        tmux.until("half an answer")
    assert server.client_left.wait(WAIT_S)
    until(lambda: stored(home)[0][1] in {"interrupted", "stopped"}, "the end of the answer")
    assert stored(home)[0][0] == "half an answer"
    gate.open()


def test_history_goes_over_sessions_and_is_found_with_ctrl_r(server: FakeServer, home: Path) -> None:
    with Tmux(server.url) as tmux:
        tmux.until_prompt()
        tmux.keys("a question about leeks", "Enter")
        tmux.until("Hello you")
    with Tmux(server.url) as tmux:
        tmux.until_prompt()
        tmux.keys("Up")
        tmux.until("> a question about leeks")
        tmux.keys("C-c")
        tmux.until_prompt()
        tmux.keys("C-r", "leek")
        tmux.until("a question about leeks")
        tmux.keys("Enter", "Enter")
        tmux.until("Hello you")
    assert (home / "paddock" / "terminal_history").stat().st_mode & 0o077 == 0


def test_the_editor_gets_the_draft_and_gives_it_back(server: FakeServer, tmp_path: Path) -> None:
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nprintf "%s" "$(cat "$1") and edited" > "$1"\n')
    editor.chmod(0o755)
    with Tmux(server.url, EDITOR=str(editor), VISUAL=str(editor)) as tmux:
        tmux.until_prompt()
        tmux.keys("a draft", "C-g")
        tmux.until("> a draft and edited")
        tmux.keys("Enter")
        tmux.until("Hello you")
    assert said(server)[-1] == "a draft and edited"


def test_tab_completes_commands_options_and_paths(server: FakeServer, tmp_path: Path) -> None:
    (tmp_path / "notes-of-mine.txt").write_text("x")
    with Tmux(server.url, columns=160) as tmux:
        tmux.until_prompt()
        tmux.keys("/wea", "Tab")
        tmux.until("> /weather")
        tmux.keys("C-u", "/set temp", "Tab")
        tmux.until("> /set temperature")
        tmux.keys("C-u", f"/file {tmp_path}/notes", "Tab")
        tmux.until("notes-of-mine.txt")


def test_thoughts_are_dim_and_can_be_hidden(server: FakeServer) -> None:
    server.scripts = [[Reason("First I think.\n"), Reason("Then more."), "Answer.", Finish()]]
    with Tmux(server.url) as tmux:
        tmux.until_prompt()
        tmux.keys("why?", "Enter")
        tmux.until("Answer.")
        assert "First I think." in tmux.until_prompt()
        assert "\x1b[2;3m" in tmux.screen(styles=True) or "\x1b[2m" in tmux.screen(styles=True)
        tmux.keys("/think hide", "Enter")
        tmux.until("thoughts are hidden")
        tmux.keys("why?", "Enter")
        until(lambda: tmux.screen().count("Answer.") == 2, "the second answer")
        assert tmux.until_prompt().count("First I think.") == 1
        tmux.keys("/clear", "Enter")
        until(lambda: "Answer." not in tmux.screen(history=True), "the empty screen")


def test_the_answer_and_its_code_are_copied(server: FakeServer) -> None:
    server.scripts = [[ANSWER, Finish()]]
    with Tmux(server.url) as tmux:
        tmux.until_prompt()
        tmux.keys("tea?", "Enter")
        tmux.until("That is all.")
        tmux.until_prompt()
        tmux.keys("/copy code", "Enter")
        until(lambda: tmux.clipboard() == ANSWER.split("```python\n")[1].split("```")[0], "the code in the clipboard")
        tmux.keys("/copy", "Enter")
        until(lambda: tmux.clipboard() == ANSWER, "the answer in the clipboard")


def test_a_failure_is_said_and_the_conversation_goes_on(server: FakeServer, home: Path) -> None:
    server.scripts = [[Refuse(500, "x", "it broke")], ["some text", Cut()], ["fine", Finish()]]
    with Tmux(server.url) as tmux:
        for shown in ("[it broke]", "went away in the middle", "fine"):
            tmux.until_prompt()
            tmux.keys("again", "Enter")
            tmux.until(shown)
    assert [status for _, status in stored(home)] == ["error", "error", "done"]


def test_what_is_typed_while_an_answer_runs_stands_at_the_next_prompt(server: FakeServer) -> None:
    gate = Gate()
    server.scripts = [["Hello", gate, " you", Finish()]]
    with Tmux(server.url) as tmux:
        tmux.until_prompt()
        tmux.keys("one", "Enter")
        tmux.until("Hello")
        tmux.keys("typed ahead")
        gate.open()
        seen = tmux.until("> typed ahead")
    assert seen.count("typed ahead") == 1


def test_a_terminal_of_twenty_columns_is_enough(server: FakeServer) -> None:
    server.scripts = [[ANSWER, Finish()]]
    with Tmux(server.url, columns=20, rows=40) as tmux:
        tmux.until_prompt()
        tmux.keys("tea?", "Enter")
        tmux.until("That is all.")
        tmux.until_prompt()


def test_without_colours_there_are_none(server: FakeServer) -> None:
    server.scripts = [[ANSWER, Finish()]]
    with Tmux(server.url, NO_COLOR="1") as tmux:
        tmux.until_prompt()
        tmux.keys("tea?", "Enter")
        tmux.until("That is all.")
        tmux.until_prompt()
        assert "\x1b[3" not in tmux.screen(styles=True).replace("\x1b[3m", "").replace("\x1b[39m", "")


def test_one_answer_is_drawn_on_a_terminal_and_plain_with_plain(server: FakeServer) -> None:
    server.scripts = [[ANSWER, Finish()]]
    with Tmux(server.url, "tea?") as tmux:
        seen = tmux.until("status 0")
        assert "Making tea" in seen and "##" not in seen
    with Tmux(server.url, "--plain", "tea?") as tmux:
        assert "## Making tea" in tmux.until("status 0")
