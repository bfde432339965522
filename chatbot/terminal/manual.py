"""The manual page of `chat`, as man reads it: made from the parser and the table of commands. Pure."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator

from chatbot import __version__
from chatbot.core import commands
from chatbot.terminal.flags import EXAMPLES, chat_parser
from chatbot.terminal.manage import parsers
from chatbot.terminal.obey import KEYS

_STATUS = {
    "0": "The answer is complete; a command did what it should.",
    "1": "The model server answered with an error, or broke off; nothing was found by chat search, or on the shelves; "
    "the output cannot be written.",
    "2": "Wrong use: a flag, a file or an address that means nothing.",
    "3": "Nobody answers at the model server's address, or its model is still being loaded.",
    "4": "Too long for the model, or the answer reached its length limit.",
    "130": "Interrupted by Ctrl-C.",
    "141": "Whoever read the output of chat went away.",
}
_ENVIRONMENT = {
    "CHATBOT_NAME": "A setting, such as CHATBOT_TEMPERATURE; a flag wins over it.",
    "CHATBOT_API_KEY": "The key for the model server.",
    "OPENAI_BASE_URL, OPENAI_API_KEY": "Address and key where CHATBOT_URL and CHATBOT_API_KEY are not set.",
    "NO_COLOR": "An answer without colours; a single one as plain text.",
    "VISUAL, EDITOR": "What Ctrl-G opens.",
    "XDG_DATA_HOME": "Where the folder of the chats lies; ~/.local/share without it.",
}
_FILES = {
    "paddock/chat.db": "The chats, shared with the page.",
    "paddock/library.db": "The shelves of the library, shared with the page.",
    "paddock/terminal_history": "What was typed, for this person alone.",
}


def page() -> str:
    """The whole page."""
    return "".join(f"{line}\n" for line in _lines())


def _lines() -> Iterator[str]:
    yield "'\\\" -*- coding: UTF-8 -*-"
    yield '.\\" Made from the code by docs/build.py.'
    yield f'.TH CHAT 1 "" "Paddock {__version__}" "User Commands"'
    yield from (".SH NAME", r"chat \- talk to the local model in a terminal or a pipe")
    yield ".SH SYNOPSIS"
    yield from (".B chat", r"[\fIflags\fR] [\fIprompt\fR ...]", ".br")
    for name, parser in parsers().items():
        usage = parser.format_usage().removeprefix(f"usage: {parser.prog}").split()
        yield from (rf"\fBchat {name}\fR {_text(' '.join(usage))}", ".br")
    yield from (".SH EXAMPLES", ".nf", *(_line(line[2:]) for line in EXAMPLES.splitlines()), ".fi")
    yield ".SH DESCRIPTION"
    yield "Without a prompt and on a terminal chat holds a conversation; with a prompt, or in a pipe, it answers once."
    yield "Answers go to standard output and everything else to standard error. Chats are kept in one file with those"
    yield "of the page in the browser: what was begun here goes on there, and the other way round."
    yield r"Piped input comes before the prompt; a prompt of \- is piped input alone. A prompt that begins with the"
    yield r"name of a command goes behind \-\-."
    yield ".SH OPTIONS"
    for group in chat_parser()._action_groups:
        if group.title and group._group_actions and group.title != "positional arguments":
            yield f".SS {_text(group.title)}"
            yield from _actions(group._group_actions)
    yield ".SH COMMANDS"
    for name, parser in parsers().items():
        yield from (f".SS chat {name}", _line(parser.description or ""))
        yield from _actions(each for each in parser._actions if each.dest != "help")
    yield ".SH IN A CONVERSATION"
    for spec in commands.COMMANDS:
        if spec.is_for(commands.TERMINAL):
            also = f" Also {', '.join(f'/{alias}' for alias in spec.aliases)}." if spec.aliases else ""
            yield from (".TP", rf"\fB{_text(spec.usage)}\fR", _line(f"{spec.help[:1].upper()}{spec.help[1:]}.{also}"))
    yield from (".PP", *(_line(line) for line in KEYS.splitlines()))
    for title, rows in (("EXIT STATUS", _STATUS), ("ENVIRONMENT", _ENVIRONMENT), ("FILES", _FILES)):
        yield f".SH {title}"
        for name, told in rows.items():
            yield from (".TP", rf"\fB{_text(name)}\fR", _line(told))


def _actions(actions: Iterable[argparse.Action]) -> Iterator[str]:
    for each in actions:
        value = rf" \fI{_text(str(each.metavar or each.dest))}\fR" if each.nargs != 0 else ""
        names = ", ".join(rf"\fB{_text(name)}\fR" for name in each.option_strings)
        choices = f" One of {', '.join(map(str, each.choices))}." if each.choices else ""
        yield from (".TP", (names + value).strip() or _text(each.dest))
        yield _line(f"{(each.help or '').replace('%%', '%')}{choices}".strip() or each.dest)


def _text(text: str) -> str:
    """Words that mean nothing to roff."""
    return text.replace("\\", r"\e").replace("-", r"\-").replace("~", r"\(ti").replace("^", r"\(ha")


def _line(text: str) -> str:
    """A line of text: one that begins as a request does would be obeyed."""
    made = _text(text)
    return rf"\&{made}" if made.startswith((".", "'")) else made
