"""The command line of `chat`: what a person asked for, as values. Reads flags and environment, does nothing else."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chatbot import __version__
from chatbot.core.options import BY_NAME, DEPTHS, ChatOptions, read_value
from chatbot.errors import BadRequest
from chatbot.settings import ChatSettings, WebSettings, add_flags, parse, setting

COMMANDS = ("models", "list", "search", "export", "import", "library", "completion")
_WITH_ACTS = ("library",)
EXAMPLES = """\
  chat                                    a conversation; /help lists what can be done in it
  chat "why is the sky blue?"             one answer
  journalctl -b -p err | chat "what broke?" > report.txt
  chat -f notes.md -f https://example.org/page "what do these two disagree about?"
  chat -f photo.jpg "what is on it?"      a picture, for a model that can see
  chat -c "and shorter?"                  go on with the last chat, also one begun in the browser
  chat --schema person.json "Ada Lovelace, born 1815"        an answer of that shape
  chat --json "one word for happy" | jq -r .content
  chat -n -t 0 -m qwen3.5-4b "2 + 2"      nothing is kept; -t 0 takes the likeliest words
  chat library add cooking ~/recipes https://example.org/tea      documents that answers can come from
  chat -l cooking "how long do eggs boil?"                        with footnotes; --depth careful looks longer
  chat list    chat search pasta    chat export -o all.json    chat import conversations.json    chat models
  eval "$(chat completion bash)"          completion of commands and flags; zsh and fish as well
"""
_END = """\
Piped input comes before the prompt; a prompt of - is piped input alone. A prompt that begins with the name of a
command goes behind --: chat -- list three colours.
Exit status: 0 answered, 1 server error or nothing found, 2 wrong use, 3 cannot connect, 4 too long, 130 interrupted,
141 closed pipe.
Environment: CHATBOT_NAME for each setting; OPENAI_BASE_URL and OPENAI_API_KEY; NO_COLOR; EDITOR.
The manual page is docs/chat.1: man chat, where the commands of the virtual environment are in the PATH.
"""


@dataclass(frozen=True)
class TerminalSettings(ChatSettings):
    """What the terminal chat needs besides."""

    data_dir: str = setting(
        "", "Folder of the chats, shared with the page; empty is paddock in $XDG_DATA_HOME or ~/.local/share."
    )

    def database(self) -> Path:
        """Path of the database file, where the page has it too."""
        return WebSettings(data_dir=self.data_dir).database()


@dataclass(frozen=True)
class Wanted:
    """One call of `chat`: the words and files to ask about, which chat it belongs to, how the answer is written.

    options are those that flags chose: they win over a chat's own as long as this program runs.
    """

    words: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    continues: bool = False
    chat_id: str = ""
    preset: str = ""
    schema: str = ""
    is_saved: bool = True
    is_json: bool = False
    is_streamed: bool | None = None
    is_plain: bool = False
    is_quiet: bool = False
    is_verbose: bool = False
    options: ChatOptions = field(default_factory=ChatOptions)


def read(argv: Sequence[str]) -> tuple[TerminalSettings, Wanted]:
    """Read the flags of a chat. Raises BadSettings or BadRequest; leaves with 2 where argparse does."""
    parser = chat_parser()
    found = parser.parse_intermixed_args(spelled(parser, argv))
    if found.continues and found.chat_id:
        raise BadRequest("-c goes on with the last chat and --id with another: give one of them")
    if found.no_save and (found.continues or found.chat_id):
        raise BadRequest("-n keeps nothing and reads no chat: leave it out, or -c and --id")
    settings = parse(TerminalSettings, vars(found), environment())
    chosen = {
        name: getattr(settings, name) if hasattr(settings, name) else read_value(name, getattr(found, name))
        for name in BY_NAME
        if getattr(found, name, None) is not None
    }
    wanted = Wanted(
        tuple(found.prompt),
        tuple(found.files),
        found.continues,
        found.chat_id,
        found.preset,
        found.schema,
        not found.no_save,
        found.json,
        found.is_streamed,
        found.plain,
        found.quiet,
        found.verbose,
        ChatOptions(**chosen),
    )
    return settings, wanted


def command_in(argv: Sequence[str]) -> list[str]:
    """The arguments of a command such as search, with its name first; empty where a chat is wanted."""
    place = 0
    if not set(argv) & set(COMMANDS):
        return []
    known: Mapping[str, argparse.Action] = chat_parser()._option_string_actions
    while place < len(argv) and argv[place].startswith("-") and argv[place] not in {"-", "--"}:
        action = known.get(argv[place]) or known.get(f"--{argv[place][2:].replace('-', '_')}")
        place += 2 if action is not None and action.nargs != 0 else 1
    if place >= len(argv) or argv[place] not in COMMANDS:
        return []
    after = place + (2 if argv[place] in _WITH_ACTS else 1)
    return [*argv[place:after], *argv[:place], *argv[after:]]


def environment() -> dict[str, str]:
    """The environment, with OpenAI's names for the address and the key where ours are not set."""
    found = dict(os.environ)
    for ours, theirs in (("CHATBOT_URL", "OPENAI_BASE_URL"), ("CHATBOT_API_KEY", "OPENAI_API_KEY")):
        if ours not in found and found.get(theirs):
            found[ours] = found[theirs]
    return found


def spelled(parser: argparse.ArgumentParser, argv: Sequence[str]) -> list[str]:
    """The arguments with flags such as --max-tokens written as the settings are: --max_tokens."""
    known: Mapping[str, Any] = parser._option_string_actions
    out: list[str] = []
    for number, each in enumerate(argv):
        if each == "--":
            return [*out, *argv[number:]]
        flag, is_set, value = each.partition("=")
        ours = f"--{flag[2:].replace('-', '_')}"
        is_ours = flag.startswith("--") and flag not in known and ours in known
        out.append(f"{ours}{is_set}{value}" if is_ours else each)
    return out


def chat_parser() -> argparse.ArgumentParser:
    """The command line of a chat or of one answer."""
    out = argparse.ArgumentParser(
        prog="chat",
        usage="chat [flags] [prompt ...]\n       chat models | list | search | export | import | library | completion",
        description=f"Talk to the local model.\n\nexamples:\n{EXAMPLES}",
        epilog=_END,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    out.add_argument("prompt", nargs="*", help="What to ask; - reads it from piped input.")
    out.add_argument("--version", action="version", version=__version__)
    _add_what(out.add_argument_group("what is asked, and in which chat"))
    _add_how(out.add_argument_group("how the answer is written"))
    _add_short(out.add_argument_group("short names of settings"))
    add_flags(out.add_argument_group("settings"), TerminalSettings)  # type: ignore[arg-type]
    return out


def _add_what(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "-f",
        "--file",
        dest="files",
        action="append",
        default=[],
        metavar="FILE|GLOB|URL",
        help="A file or a picture, several by a pattern, or a page to ask about; may be repeated.",
    )
    group.add_argument(
        "-c", "--continue", dest="continues", action="store_true", help="Go on with the chat that changed last."
    )
    group.add_argument(
        "--id", dest="chat_id", default="", metavar="ID", help="Go on with this chat: the beginning of its id."
    )
    group.add_argument(
        "-l",
        "--library",
        metavar="SHELF[,SHELF]",
        help="Answer from these shelves of your library, with footnotes; none asks none. #name in a prompt asks one.",
    )
    group.add_argument(
        "--depth",
        type=lambda text: text.replace("-", "_"),
        choices=DEPTHS,
        help="How a question is looked up there: once, in smaller questions, or with a look at each passage as well.",
    )
    group.add_argument("-n", "--no-save", action="store_true", help="Keep nothing of this on the disk.")
    group.add_argument("-p", "--preset", default="", metavar="NAME", help="Begin with the options of this preset.")


def _add_how(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--plain", action="store_true", help="The text as the model wrote it, also on a terminal.")
    group.add_argument(
        "--json", action="store_true", help="One JSON object with the answer; with --stream a line for each event."
    )
    group.add_argument(
        "--schema", default="", metavar="FILE", help="The answer is JSON that fits the JSON schema in this file."
    )
    streams = group.add_mutually_exclusive_group()
    streams.add_argument("--stream", dest="is_streamed", action="store_true", default=None, help="Write as it comes.")
    streams.add_argument("--no-stream", dest="is_streamed", action="store_false", help="Write when it is complete.")
    noise = group.add_mutually_exclusive_group()
    noise.add_argument("-q", "--quiet", action="store_true", help="Nothing on stderr but errors.")
    noise.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="Tokens and seconds on stderr at the end, and what went wrong in full.",
    )


def _add_short(group: argparse._ArgumentGroup) -> None:
    for flags, name in (
        (("-m",), "model"),
        (("-s", "--system"), "system_prompt"),
        (("-t",), "temperature"),
    ):
        group.add_argument(*flags, dest=name, metavar=name.upper(), help=f"--{name}")
