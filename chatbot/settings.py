"""What can be set for the web chat and the terminal chat: one default, one help text, one range each.

A flag wins over the environment (CHATBOT_NAME), the environment over the default. Flags, --help and the
documentation are made from the fields below.
"""

from __future__ import annotations

import argparse
import ipaddress
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from chatbot.core.options import BY_NAME, ChatOptions
from chatbot.errors import BadSettings


def setting(default: Any, text: str, low: float | None = None, high: float | None = None, pattern: str = "") -> Any:
    """Declare a setting: its range, or a pattern with the words that say what it means."""
    return field(default=default, metadata={"help": text, "low": low, "high": high, "pattern": pattern, "flag": True})


def control(name: str, default: Any = None) -> Any:
    """Declare a setting that is a chat's option where a chat has none of its own; None leaves it to the server."""
    of = BY_NAME[name]
    words = ("", *of.choices) if default == "" and of.choices else of.choices
    made = setting(default, of.help, of.low, of.high, "|".join(words))
    if of.kind != "number":
        return made
    return field(default=default, metadata={**made.metadata, "kind": int if of.is_whole else float})


def number(default: float | None, text: str, low: float, high: float) -> Any:
    """Declare a setting that is a number, or None, which is calibrated."""
    made = setting(default, text, low, high)
    return field(default=default, metadata={**made.metadata, "kind": float, "unset": "calibrated"})


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
    model: str = control("model", "")
    system_prompt: str = control("system_prompt", "You are a helpful assistant.")
    temperature: float = control("temperature", 0.7)
    top_p: float | None = control("top_p")
    top_k: int | None = control("top_k")
    min_p: float | None = control("min_p")
    repeat_penalty: float | None = control("repeat_penalty")
    presence_penalty: float | None = control("presence_penalty")
    frequency_penalty: float | None = control("frequency_penalty")
    seed: int | None = control("seed")
    max_tokens: int = control("max_tokens", 1024)
    thinking: str = control("thinking", "")
    context_rule: str = control("context_rule", "fold")
    keep_turns: int = setting(
        3, "How many of the last turns stay whole when older ones are folded; the length of a window.", 1, 100
    )
    long_message: str = setting(
        "refuse",
        "What becomes of a message that the model cannot hold: refuse says so, cut leaves out its middle.",
        pattern="refuse|cut",
    )
    answer_timeout_s: int = setting(600, "Longest silence of the model server before an answer is given up.", 1, 86_400)
    loading_timeout_s: int = setting(
        300, "How long a message waits for a model that is still loading, or for a server that is busy.", 0, 86_400
    )
    max_file_mb: int = setting(20, "Largest file in MB that can be added to a message.", 1, 200)
    network: str = setting(
        "true", "Whether pages, news and weather are fetched when a person asks for them.", pattern="true|false"
    )
    allowed_fetch_hosts: str = setting(
        "", "Host names or addresses inside the house, comma-separated, whose pages may be fetched as well."
    )
    news_url: str = setting("https://news.google.com/rss", "Feed (RSS, Atom) of the headlines.", pattern="https?://.+")
    news_search_url: str = setting(
        "https://news.google.com/rss/search?q={topic}", "Feed of headlines about {topic}.", pattern="https?://.+"
    )
    weather_url: str = setting(
        "https://wttr.in/{place}?format=j1",
        "Where the weather at {place} is asked, in wttr.in's JSON.",
        pattern="https?://.+",
    )

    embedding_url: str = setting(
        "",
        "Address of the OpenAI-compatible server that makes the library's embeddings; empty is the model server.",
        pattern="|https?://.+",
    )
    embedding_model: str = setting(
        "", "Model that makes the library's embeddings; empty takes the first that can. Another one reads all anew."
    )
    library_tokens: int = setting(
        1500,
        "Most tokens of passages from the library in one question; never more than half of what the model holds.",
        100,
        100_000,
    )
    library_min_score: float | None = number(
        None,
        "Least score of a passage that may answer; without it the one that is calibrated for the embedding model.",
        0,
        1,
    )

    def options(self) -> ChatOptions:
        """What a chat has that chose nothing."""
        names = [each.name for each in fields(ChatSettings) if each.name in BY_NAME]
        return ChatOptions(**{name: getattr(self, name) for name in names})


@dataclass(frozen=True)
class WebSettings(ChatSettings):
    """What the web chat needs besides."""

    host: str = setting(
        "127.0.0.1", "Listen address; 0.0.0.0 opens the chat to the house, where everybody needs an account."
    )
    port: int = setting(5000, "Listen port.", 1, 65_535)
    data_dir: str = setting("", "Folder of the chat database; empty is paddock in $XDG_DATA_HOME or ~/.local/share.")
    allowed_hosts: str = setting("", "Further host names, comma-separated, that a reverse proxy serves the page under.")
    max_message_chars: int = setting(200_000, "Longest message in characters.", 1, 2_000_000)
    max_browsers: int = setting(
        64,
        "Browser tabs that can be connected at once; each holds one thread. One account may have half of them.",
        2,
        1_000,
    )
    log_level: str = setting("info", f"Least severe log line: {LOG_LEVELS}.", pattern=LOG_LEVELS.replace(", ", "|"))
    max_import_mb: int = setting(200, "Largest file of chats in MB that can be imported, also when unpacked.", 1, 2_000)

    accounts: str = setting(
        "auto",
        "Whether people log in: auto everywhere but on a loopback address, always there too, behind a reverse proxy.",
        pattern="auto|always",
    )
    trusted_proxy: str = setting(
        "", "Addresses of reverse proxies, comma-separated, whose X-Forwarded-For and X-Forwarded-Proto are believed."
    )
    admin_password: str = secret("Password of the first administrator, whose name is admin; only used to make one.")

    def has_accounts(self) -> bool:
        """Whether people log in."""
        return self.accounts == "always" or not is_loopback(self.host)

    def names(self) -> frozenset[str]:
        """The host names besides loopback ones that requests may name."""
        return frozenset(_listed(self.allowed_hosts.lower()))

    def proxies(self) -> frozenset[str]:
        """The addresses of reverse proxies that are believed."""
        return frozenset(_listed(self.trusted_proxy))

    def database(self) -> Path:
        """Path of the database file."""
        base = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
        return Path(self.data_dir or f"{base}/paddock").expanduser() / "chat.db"


def is_loopback(name: str) -> bool:
    """Whether a host name or address means this machine."""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _listed(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]


S = TypeVar("S", bound=ChatSettings)


def add_flags(parser: argparse.ArgumentParser, kind: type[ChatSettings]) -> None:
    """Give the parser one flag a setting; none has a default here, so that a flag not given is seen."""
    for each in fields(kind):
        if each.metadata["flag"]:
            unset = each.metadata.get("unset", "the model server's")
            default = unset if each.default is None else repr(each.default)
            parser.add_argument(
                f"--{each.name}",
                metavar=kind_of(each).__name__.upper(),
                help=f"{each.metadata['help']} (default: {default})",
            )


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


def kind_of(each: Field[Any]) -> type:
    """The type of a setting's value, which its default may not show."""
    return each.metadata.get("kind") or type(each.default)


def _convert(each: Field[Any], text: str, name: str) -> Any:
    if each.default is None and not text.strip():
        return None
    kind: Any = kind_of(each)
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
    empty = "be empty or " if pattern.startswith("|") else ""
    if pattern.lstrip("|").startswith("http"):
        return f"{empty}begin with http:// or https://"
    return f"{empty or 'be '}one of {pattern.strip('|').replace('|', ', ')}"


def _range(each: Field[Any]) -> str:
    word = {int: "a whole number", float: "a number"}.get(kind_of(each), "text")
    low, high = each.metadata["low"], each.metadata["high"]
    return word if low is None else f"{word} from {low:.10g} to {high:.10g}"


def env_name(each: Field[Any]) -> str:
    """The environment variable of a setting."""
    return f"CHATBOT_{each.name.upper()}"


def describe(kind: type[ChatSettings]) -> list[tuple[str, str, str, str]]:
    """(flag, environment name, default, help) of each setting, for the generated documentation."""
    rows = []
    for each in fields(kind):
        flag = f"--{each.name}" if each.metadata["flag"] else ""
        default = "" if each.default is None else str(each.default)
        rows.append((flag, env_name(each), default, each.metadata["help"]))
    return rows


def from_command_line(
    kind: type[S], parser: argparse.ArgumentParser, argv: Sequence[str] | None
) -> tuple[S, argparse.Namespace]:
    """Parse flags and environment together; the namespace holds the parser's other arguments."""
    add_flags(parser, kind)
    found = parser.parse_intermixed_args(argv)
    return parse(kind, vars(found), os.environ), found
