"""What a line that begins with a slash means."""

from __future__ import annotations

import json

import pytest

from chatbot.core.commands import COMMANDS, Command, complete, help_text, parse, parse_setting
from chatbot.core.options import BY_NAME
from chatbot.errors import BadRequest


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("/new", Command("new")),
        ("/NEW", Command("new")),
        ("/?", Command("help")),
        ("/help set", Command("help", "set")),
        ("/set temperature 0.5", Command("set", "temperature 0.5")),
        ("/system Be brief.\nBe kind.", Command("system", "Be brief.\nBe kind.")),
        ("/bye", Command("exit")),
        ("/quit", Command("exit")),
        ("/retry", Command("regen")),
        ("/file  a b.txt ", Command("file", "a b.txt")),
        ("/url https://example.org", Command("url", "https://example.org")),
    ],
)
def test_a_command_is_known_by_its_names(text: str, command: Command) -> None:
    assert parse(text, "terminal") == command


@pytest.mark.parametrize(
    "text",
    [
        *["/etc/hosts", "/etc/hosts is a file", "/", "//", "/ new", "/\n", "hello", "", " /new", "new", "/tmp/x.txt"],
        *["/new ideas for a garden", "/foo bar", "/2", "/undo this for me"],
    ],
)
def test_what_only_looks_like_a_command_is_a_message(text: str) -> None:
    assert parse(text, "terminal") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("/retyr", r"there is no command /retyr; did you mean /retry\?"),
        ("/xyzzy", r"there is no command /xyzzy; /help lists them"),
        ("/url", r"/url ADDRESS: "),
        ("/search", r"/search TEXT: "),
    ],
)
def test_a_slip_is_told_and_not_sent(text: str, said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        parse(text, "terminal")


def test_a_command_of_the_terminal_is_none_of_the_page() -> None:
    assert parse("/exit", "terminal") == Command("exit")
    assert "/exit" not in help_text("page") and "/exit" in help_text("terminal")
    assert complete("/ex", "page") == [] and complete("/ex", "terminal") == ["/exit"]


@pytest.mark.parametrize(
    ("text", "where", "said"),
    [
        ("/exit", "page", "/exit works in the terminal alone: close the tab"),
        ("/quit", "page", "/exit works in the terminal alone"),
        ("/library herons", "page", "/library works in the terminal alone: choose the shelves under Options"),
        ("/alert hello", "terminal", "/alert works on the page alone: open the page"),
    ],
)
def test_a_command_of_the_other_place_says_what_to_do_instead(text: str, where: str, said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        parse(text, where)
    assert parse("/exit strategies for a start-up", where) is None
    with pytest.raises(BadRequest, match=said):
        help_text(where, text.partition(" ")[0])


def test_help_has_a_line_for_every_command_and_tells_more_about_one() -> None:
    *listed, empty, names = help_text("terminal").splitlines()
    assert len(listed) == len([spec for spec in COMMANDS if spec.is_for("terminal")])
    assert empty == "" and names.startswith("#NAME in a message asks a shelf")
    assert help_text("terminal", "/quit") == "/exit: leave (also /quit, /bye)"
    with pytest.raises(BadRequest, match="no command /fly"):
        help_text("page", "fly")
    with pytest.raises(BadRequest, match="did you mean /news"):
        help_text("page", "/nwes")
    assert help_text("page", "/RETRY").startswith("/regen: ")
    assert json.loads(json.dumps([spec.wire(is_admin=False) for spec in COMMANDS]))[0] == {
        **{"name": "help", "args": "[COMMAND]", "help": "list the commands, or tell about one"},
        **{"where": "both", "aliases": ["?"], "is_admin": False, "instead": "", "refusal": ""},
    }


def test_a_command_of_administrators_is_offered_to_nobody_else() -> None:
    assert "/alert" in help_text("page", is_admin=True) and "/alert" not in help_text("page")
    assert help_text("page", "alert", is_admin=True).startswith("/alert TEXT: ")
    with pytest.raises(BadRequest, match="/alert is for administrators"):
        help_text("page", "alert")


def test_no_two_commands_share_a_name() -> None:
    names = [name for spec in COMMANDS for name in (spec.name, *spec.aliases)]
    assert len(names) == len(set(names))


def test_set_shows_or_sets_an_option() -> None:
    assert parse_setting("") is None
    assert parse_setting("top-p") == BY_NAME["top_p"]
    assert parse_setting("Temperature 0.5") == (BY_NAME["temperature"], 0.5)
    assert parse_setting("temperature default") == (BY_NAME["temperature"], None)
    assert parse_setting("system_prompt Be very kind.") == (BY_NAME["system_prompt"], "Be very kind.")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ("temprature 1", "there is no option temprature; did you mean temperature?"),
        ("temperature 5", "temperature must be a number from 0 to 2, got 5"),
    ],
)
def test_a_wrong_option_is_told_with_what_would_be_right(args: str, said: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_setting(args)
    assert said in caught.value.message


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("/se", ["/set", "/search"]),
        ("/re", ["/regen", "/retry"]),
        ("/set rep", ["repeat_penalty"]),
        ("/set thinking ", ["off", "low", "medium", "high", "default"]),
        ("/set context_rule w", ["window"]),
        ("/set model ll", ["Llama"]),
        ("/set temperature d", ["default"]),
        ("/set nothing ", []),
        ("/think me", ["medium"]),
        ("/model ", ["Llama", "Qwen", "default"]),
        ("/copy c", ["code"]),
        ("/help ur", ["url"]),
        ("/nothing x", []),
        ("hello /se", []),
        ("/new\n/se", []),
    ],
)
def test_what_can_be_completed(text: str, found: list[str]) -> None:
    assert complete(text, "page", ["Llama", "Qwen"]) == found
