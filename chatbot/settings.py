"""What can be set for the web chat and the terminal chat: one default, one help text, one range each.

A flag wins over the environment (CHATBOT_NAME), the environment over the default. Flags, --help and the
documentation are made from the fields below.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from chatbot.errors import BadSettings


def setting(default: Any, text: str, low: float | None = None, high: float | None = None, pattern: str = "") -> Any:
    """Declare a setting: its range, or a pattern with the words that say what it means."""
    return field(default=default, metadata={"help": text, "low": low, "high": high, "pattern": pattern, "flag": True})


def secret(text: str) -> Any:
    """Declare a setting that comes from the environment alone and is never printed."""
    return field(
        default="", repr=False, metadata={"help": text, "low": None, "high": None, "pattern": "", "flag": False}
    )


LOG_LEVELS = "debug, info, warning, error"


@dataclass(frozen=True)
class ChatSettings:
    """What both chats need: where the model is and how to ask it."""

    url: str = setting(
        "http://127.0.0.1:8000/v1", "Address of the OpenAI-compatible model server.", pattern="https?://.+"
    )
    api_key: str = secret("Key for the model server.")
    model: str = setting("", "Model name to ask for; empty takes the server's first.")
    system_prompt: str = setting(
        "You are a helpful assistant.", "What the model is told before every conversation; empty sends none."
    )
    temperature: float = setting(0.7, "How freely the model chooses words; 0 always takes the likeliest.", 0, 2)
    max_tokens: int = setting(1024, "Longest answer in tokens.", 1, 1_000_000)
    answer_timeout_s: int = setting(600, "Longest silence of the model server before an answer is given up.", 1, 86_400)
    loading_timeout_s: int = setting(300, "How long a message waits for a model that is still loading.", 0, 86_400)


@dataclass(frozen=True)
class WebSettings(ChatSettings):
    """What the web chat needs besides."""

    host: str = setting("127.0.0.1", "Listen address; only loopback ones are allowed, there are no accounts yet.")
    port: int = setting(5000, "Listen port.", 1, 65_535)
    data_dir: str = setting("", "Folder of the chat database; empty is paddock in $XDG_DATA_HOME or ~/.local/share.")
    allowed_hosts: str = setting("", "Further host names, comma-separated, that a reverse proxy serves the page under.")
    max_message_chars: int = setting(200_000, "Longest message in characters.", 1, 2_000_000)
    max_browsers: int = setting(64, "Browser tabs that can be connected at once; each holds one thread.", 2, 1_000)
    log_level: str = setting("info", f"Least severe log line: {LOG_LEVELS}.", pattern=LOG_LEVELS.replace(", ", "|"))

    def database(self) -> Path:
        """Path of the database file."""
        base = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
        return Path(self.data_dir or f"{base}/paddock").expanduser() / "chat.db"


S = TypeVar("S", bound=ChatSettings)


def add_flags(parser: argparse.ArgumentParser, kind: type[ChatSettings]) -> None:
    """Give the parser one flag a setting; none has a default here, so that a flag not given is seen."""
    for each in fields(kind):
        if each.metadata["flag"]:
            shown = f"{each.metadata['help']} (default: {each.default!r})"
            parser.add_argument(f"--{each.name}", metavar=type(each.default).__name__.upper(), help=shown)


def parse(kind: type[S], flags: Mapping[str, Any], environ: Mapping[str, str]) -> S:
    """Build the settings. Raises BadSettings that names the value and what it may be."""
    known = {env_name(each): each for each in fields(kind)}
    every = {env_name(each) for each in fields(WebSettings)}
    unknown = sorted(name for name in environ if name.startswith("CHATBOT_") and name not in every)
    if unknown:
        raise BadSettings(f"unknown setting {unknown[0]} in the environment: see docs/configuration.md")
    found: dict[str, Any] = {}
    for name, each in known.items():
        if flags.get(each.name) is not None:
            found[each.name] = _convert(each, flags[each.name], f"--{each.name}")
        elif name in environ:
            found[each.name] = _convert(each, environ[name], name)
    return kind(**found)


def _convert(each: Field[Any], text: str, name: str) -> Any:
    kind: Any = type(each.default)
    try:
        value = kind(text)
    except ValueError as why:
        raise BadSettings(f"{name} must be {_range(each)}, got {text!r}") from why
    low, high, pattern = each.metadata["low"], each.metadata["high"], each.metadata["pattern"]
    if low is not None and not low <= value <= high:
        raise BadSettings(f"{name} must be {_range(each)}, got {text}")
    if pattern and not re.fullmatch(pattern, value):
        raise BadSettings(f"{name} must {_meaning(pattern)}, got {text!r}")
    return value


def _meaning(pattern: str) -> str:
    return "begin with http:// or https://" if pattern.startswith("http") else f"be one of {pattern.replace('|', ', ')}"


def _range(each: Field[Any]) -> str:
    word = {int: "a whole number", float: "a number"}.get(type(each.default), "text")
    low, high = each.metadata["low"], each.metadata["high"]
    return word if low is None else f"{word} from {low} to {high}"


def env_name(each: Field[Any]) -> str:
    """The environment variable of a setting."""
    return f"CHATBOT_{each.name.upper()}"


def describe(kind: type[ChatSettings]) -> list[tuple[str, str, str, str]]:
    """(flag, environment name, default, help) of each setting, for the generated documentation."""
    rows = []
    for each in fields(kind):
        flag = f"--{each.name}" if each.metadata["flag"] else ""
        rows.append((flag, env_name(each), str(each.default), each.metadata["help"]))
    return rows


def from_command_line(
    kind: type[S], parser: argparse.ArgumentParser, argv: Sequence[str] | None
) -> tuple[S, argparse.Namespace]:
    """Parse flags and environment together; the namespace holds the parser's other arguments."""
    add_flags(parser, kind)
    found = parser.parse_intermixed_args(argv)
    return parse(kind, vars(found), os.environ), found
