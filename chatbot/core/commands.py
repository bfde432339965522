"""The commands that begin with a slash: one table for the page and the terminal. Decides what a line means, does
nothing."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from chatbot.core.options import BY_NAME, THINKING, Control, read_value
from chatbot.errors import BadRequest

BOTH, PAGE, TERMINAL = "both", "page", "terminal"


@dataclass(frozen=True)
class Spec:
    """One command. args names what follows it, in brackets what may be left out; where: page, terminal or both;
    instead: what to do in the other place."""

    name: str
    args: str
    help: str
    where: str = BOTH
    aliases: tuple[str, ...] = ()
    is_admin: bool = False  # for administrators alone
    instead: str = ""

    @property
    def usage(self) -> str:
        """As a person types it."""
        return f"/{self.name} {self.args}".rstrip()

    def is_for(self, where: str) -> bool:
        """Whether it exists on the page, or in the terminal."""
        return where == BOTH or self.where in {BOTH, where}

    def refusal(self, where: str, *, is_admin: bool = True) -> str:
        """Why it cannot be used on the page, or in the terminal, and what to do instead; empty where it can."""
        if not self.is_for(where):
            place = "in the terminal" if self.where == TERMINAL else "on the page"
            return f"/{self.name} works {place} alone: {self.instead}"
        return f"/{self.name} is for administrators: ask one of them" if self.is_admin and not is_admin else ""

    def wire(self, *, is_admin: bool) -> dict[str, Any]:
        """As sent to a browser, with why it cannot be used there."""
        return {**asdict(self), "aliases": list(self.aliases), "refusal": self.refusal(PAGE, is_admin=is_admin)}


@dataclass(frozen=True)
class Command:
    """A command that was typed, by its own name, with what followed it."""

    name: str
    args: str = ""


COMMANDS: tuple[Spec, ...] = (
    Spec("help", "[COMMAND]", "list the commands, or tell about one", aliases=("?",)),
    Spec("new", "", "begin another conversation"),
    Spec("model", "[NAME]", "tell about the model, or ask another one in this conversation"),
    Spec("system", "[TEXT]", "show the system prompt, or set it; none sends none, default takes it back"),
    Spec("set", "[NAME [VALUE]]", "show the options, or set one; default takes it back"),
    Spec("think", "[off|low|medium|high]", "how long a model that can reason thinks before it answers"),
    Spec("file", "[PATH]", "add a file to the next message"),
    Spec("url", "ADDRESS", "read a page of the web into the next message"),
    Spec("news", "[TOPIC]", "read the headlines of the news"),
    Spec("weather", "[PLACE]", "read the weather"),
    Spec(
        "library",
        "[SHELF|off]",
        "ask the shelves of the library in this conversation",
        where=TERMINAL,
        instead="choose the shelves under Options, or name one in the message with #SHELF",
    ),
    Spec(
        "stop",
        "",
        "end the answer that is written in this conversation elsewhere, on the page or in another terminal",
        where=TERMINAL,
        instead="press Stop or Escape",
    ),
    Spec("regen", "", "answer the last message once more", aliases=("retry",)),
    Spec("continue", "", "go on with the last answer where it ended early"),
    Spec("edit", "", "change the last message and send it again"),
    Spec("undo", "", "take the last message and its answer back"),
    Spec("copy", "[code]", "copy the last answer, or its last block of code"),
    Spec("save", "[FILE]", "write the conversation to a file: Markdown, or JSON with all branches by the ending .json"),
    Spec("list", "[N]", "list the conversations, the newest first"),
    Spec("open", "[ID]", "go on with another conversation; without an ID choose one"),
    Spec("search", "TEXT", "find a text in all conversations"),
    Spec("stats", "", "speed of the last answer, and how full the model's memory is"),
    Spec(
        "alert",
        "TEXT",
        "tell everybody who has the page open",
        where=PAGE,
        is_admin=True,
        instead="open the page as an administrator and say it there",
    ),
    Spec("clear", "", "clear the screen; the conversation goes on"),
    Spec(
        "exit",
        "",
        "leave",
        where=TERMINAL,
        aliases=("quit", "bye"),
        instead="close the tab, what was said is kept",
    ),
)
_NAMES = (
    "#NAME in a message asks a shelf of the library, a document on one or a file of this chat; "
    '#"TWO WORDS" where the name has spaces.'
)
_BY_NAME = {name: spec for spec in COMMANDS for name in (spec.name, *spec.aliases)}


def parse(text: str, where: str = BOTH) -> Command | None:
    """The command that a text is; None when it is a message, such as a path, or words behind what takes none.

    Raises BadRequest for a single word that looks like a command and is none, naming the nearest, and for a command of
    the other place, saying what to do instead.
    """
    word, args = _split(text)
    if not word:
        return None
    spec = _BY_NAME.get(word)
    if spec is not None:
        if args and not spec.args:
            return None
        if refusal := spec.refusal(where):
            raise BadRequest(refusal)
        if not args and spec.args and not spec.args.startswith("["):
            raise BadRequest(f"{spec.usage}: {spec.help}")
        return Command(spec.name, args)
    if args or not word.isalpha():
        return None
    raise _unknown(word, where)


def parse_setting(args: str) -> tuple[Control, Any] | Control | None:
    """What follows /set: nothing, an option to show, or an option and its value, None for the default.

    Raises BadRequest that names the option's range, or the nearest option.
    """
    name, _, value = args.strip().partition(" ")
    if not name:
        return None
    known = name.lower().replace("-", "_")
    control = BY_NAME.get(known)
    if control is None:
        near = difflib.get_close_matches(known, BY_NAME, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise BadRequest(f"there is no option {name}; {hint}the options are {', '.join(BY_NAME)}")
    return (control, read_value(known, value)) if value.strip() else control


def of(where: str, *, is_admin: bool = False) -> list[Spec]:
    """The commands of the page or the terminal, those of administrators only for them."""
    return [spec for spec in COMMANDS if spec.is_for(where) and (is_admin or not spec.is_admin)]


def help_text(where: str, name: str = "", *, is_admin: bool = False) -> str:
    """All commands of the page or the terminal, a line each, or what one of them does. Raises BadRequest."""
    if name:
        word = name.strip().removeprefix("/").lower()
        spec = _BY_NAME.get(word)
        if spec is None:
            raise _unknown(word, where)
        if refusal := spec.refusal(where, is_admin=is_admin):
            raise BadRequest(refusal)
        also = f" (also {', '.join(f'/{alias}' for alias in spec.aliases)})" if spec.aliases else ""
        return f"{spec.usage}: {spec.help}{also}"
    shown = of(where, is_admin=is_admin)
    width = max(len(spec.usage) for spec in shown)
    return "\n".join((*(f"{spec.usage:{width}}  {spec.help}" for spec in shown), "", _NAMES))


def complete(text: str, where: str, models: Sequence[str] = ()) -> list[str]:
    """What may stand in place of the last word of an unfinished command, best first; empty for a message."""
    if not text.startswith("/") or "\n" in text:
        return []
    word, space, rest = text[1:].partition(" ")
    if not space:
        found = [f"/{name}" for name, spec in _BY_NAME.items() if spec.is_for(where) and name.startswith(word.lower())]
        return sorted(found, key=lambda name: name[1:] not in {spec.name for spec in COMMANDS})
    spec = _BY_NAME.get(word.lower())
    if spec is None or not spec.is_for(where):
        return []
    first, more, last = rest.lstrip().partition(" ")
    if spec.name == "set" and more:
        return _begun_with(last.lstrip(), _values(first, models))
    choices: dict[str, Sequence[str]] = {
        "set": tuple(BY_NAME),
        "think": (*THINKING, "default"),
        "model": (*models, "default"),
        "copy": ("code",),
        "help": tuple(each.name for each in COMMANDS if each.is_for(where)),
    }
    return [] if more else _begun_with(first, choices.get(spec.name, ()))


def _split(text: str) -> tuple[str, str]:
    """The word behind the slash in small letters, and what follows; two empty texts for what is no command."""
    if not text.startswith("/") or not text[1:2].strip():
        return "", ""
    word, *rest = text[1:].split(maxsplit=1)
    return word.lower(), rest[0].strip() if rest else ""


def _unknown(word: str, where: str) -> BadRequest:
    """There is no such command, but perhaps one with nearly its name."""
    near = difflib.get_close_matches(word, [name for name, each in _BY_NAME.items() if each.is_for(where)], n=1)
    hint = f"did you mean /{near[0]}? " if near else ""
    return BadRequest(f"there is no command /{word}; {hint}/help lists them")


def _values(name: str, models: Sequence[str]) -> tuple[str, ...]:
    control = BY_NAME.get(name.lower().replace("-", "_"))
    if control is None:
        return ()
    return (*(models if control.name == "model" else control.choices), "default")


def _begun_with(word: str, choices: Sequence[str]) -> list[str]:
    return [choice for choice in choices if choice.lower().startswith(word.lower())]
