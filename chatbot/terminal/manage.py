"""chat models, list, search, export, import, library and completion: what is done besides talking."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from chatbot.core.llm import ModelClient
from chatbot.core.store import OWNER, Store
from chatbot.errors import BadRequest
from chatbot.settings import parse
from chatbot.terminal.flags import TerminalSettings, environment
from chatbot.terminal.library_flags import ACTS, add_acts
from chatbot.terminal.listing import chat_lines, hit_lines, model_lines
from chatbot.terminal.session import find
from chatbot.terminal.shells import SHELLS, script

_MAX_IMPORT_BYTES = 2_000_000_000
_HITS = 50


def manage(argv: Sequence[str]) -> int:
    """Do one of the commands; the exit status. Raises ChatError."""
    act = argv[1] if argv[0] == "library" and len(argv) > 1 else ""
    if act and not act.startswith("-") and act not in ACTS:
        raise BadRequest(
            f"chat library knows no {act}, but {', '.join(ACTS)}; "
            "a prompt that begins with this word goes behind --: chat -- library ..."
        )
    found, unknown = _parser().parse_known_args(argv)
    if unknown:
        raise BadRequest(
            f"{' '.join(unknown)} means nothing to `chat {argv[0]}`, and chat {argv[0]} --help says what does; "
            f"a prompt that begins with this word goes behind --: chat -- {argv[0]} ..."
        )
    return int(found.does(found))


def export_text(store: Store, chat_id: str, is_json: bool) -> str:
    """One chat as text: JSON with all its branches, or the shown branch as Markdown."""
    from chatbot.core.transfer import keep

    return keep.as_json(store, chat_id) if is_json else keep.as_markdown(store, chat_id)


def _models(found: argparse.Namespace) -> int:
    settings = _settings(found)
    models = ModelClient(settings.url, settings.api_key, settings.answer_timeout_s).models()
    if found.json:
        _print_json([model.wire() for model in models])
    else:
        _print_lines(line[2:] for line in model_lines(models))
    return 0


def _list(found: argparse.Namespace) -> int:
    if found.number is not None and found.number < 1:
        raise BadRequest(f"{found.number} is no number of chats: give one from 1 on")
    store = _store(found)
    chats = sorted(store.chats(), key=lambda chat: -chat.updated_at)[: found.number]
    if found.ids:
        _print_lines(chat.id for chat in chats)
    elif found.json:
        _print_json([asdict(chat) for chat in chats])
    else:
        _print_lines(line[2:] for line in chat_lines(chats, time.time()))
    return 0


def _search(found: argparse.Namespace) -> int:
    hits = _store(found).search(" ".join(found.text), _HITS)
    if found.json:
        _print_json([asdict(hit) for hit in hits])
    else:
        _print_lines(hit_lines(hits))
    return 0 if hits else 1


def _export(found: argparse.Namespace) -> int:
    """One chat by its id, or all as one JSON list."""
    from chatbot.core.transfer import keep

    store = _store(found)
    is_json = not found.id or (found.format or Path(found.output).suffix.removeprefix(".") or "md") == "json"
    if not found.id and found.format == "md":
        raise BadRequest("all chats together are exported as JSON: name a chat to get it as Markdown")
    pieces = [export_text(store, find(store.chats(), found.id).id, is_json)] if found.id else keep.all_as_json(store)
    if found.output in {"", "-"}:
        for piece in pieces:
            sys.stdout.write(piece)
        sys.stdout.write("" if not found.id else "\n")
        return 0
    try:
        with Path(found.output).open("w", encoding="utf-8") as file:
            for piece in pieces:
                file.write(piece)
    except OSError as why:
        raise BadRequest(f"cannot write {found.output}: {why.strerror or why}") from why
    return 0


def _import(found: argparse.Namespace) -> int:
    """Take chats from files; what is here already is left alone."""
    from chatbot.core.library import open_library
    from chatbot.core.library.returned import relinked
    from chatbot.core.transfer import detect, keep

    store, settings = _store(found), _settings(found)
    door = open_library(settings, settings.database())
    for name in found.files:
        try:
            with Path(name).open("rb") as file:
                taken = keep.take(store, relinked(detect.read(file, _MAX_IMPORT_BYTES), door, OWNER))
        except OSError as why:
            raise BadRequest(f"cannot read {name}: {why.strerror or why}") from why
        skipped = f", {taken.n_skipped:,} skipped" if taken.n_skipped else ""
        sys.stderr.write(f"{name}: {len(taken.chat_ids):,} chats with {taken.n_messages:,} messages{skipped}\n")
        for notice in taken.notices:
            sys.stderr.write(f"  {notice}\n")
    door.close()
    return 0


def _library(found: argparse.Namespace) -> int:
    from chatbot.terminal import library

    return library.run(_settings(found), found.acts, found)


def _completion(found: argparse.Namespace) -> int:
    sys.stdout.write(script(found.shell))
    return 0


def _parser() -> argparse.ArgumentParser:
    out = argparse.ArgumentParser(prog="chat", allow_abbrev=False)
    commands = out.add_subparsers(metavar="COMMAND", required=True)
    for name, (does, help_text, add) in _COMMANDS.items():
        each = commands.add_parser(name, help=help_text, description=help_text, allow_abbrev=False)
        each.set_defaults(does=does)
        add(each)
    return out


def parsers() -> Mapping[str, argparse.ArgumentParser]:
    """Each command's own parser by its words, for the manual."""
    return _below(_parser())


def _below(parser: argparse.ArgumentParser, before: str = "") -> dict[str, argparse.ArgumentParser]:
    found: dict[str, argparse.ArgumentParser] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, each in action.choices.items():
                found |= _below(each, f"{before}{name} ") or {f"{before}{name}": each}
    return found


def _add_data_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data_dir", "--data-dir", metavar="DIR", help="Folder of the chats, as in the settings.")


def _add_models(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", help="Address of the OpenAI-compatible model server.")
    parser.add_argument("--json", action="store_true", help="A JSON list.")


def _add_list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("number", nargs="?", type=int, default=None, help="How many; all without it.")
    shapes = parser.add_mutually_exclusive_group()
    shapes.add_argument("--json", action="store_true", help="A JSON list.")
    shapes.add_argument("--ids", action="store_true", help="Only the ids, a line each.")
    _add_data_dir(parser)


def _add_search(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("text", nargs="+", help="Words that begin so, in titles and messages.")
    parser.add_argument("--json", action="store_true", help="A JSON list.")
    _add_data_dir(parser)


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", nargs="?", default="", help="The beginning of a chat's id; all chats without it.")
    parser.add_argument("-o", "--output", default="", metavar="FILE", help="Where to; stdout without it, or for -.")
    parser.add_argument(
        "--format", choices=("md", "json"), help="md: the shown branch; json: everything. The ending of FILE says it."
    )
    _add_data_dir(parser)


def _add_import(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="Exports of Paddock, llama.cpp's page, Open WebUI or ChatGPT."
    )
    _add_data_dir(parser)


def _add_completion(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS)


_Command = tuple[Callable[[argparse.Namespace], int], str, Callable[[argparse.ArgumentParser], None]]
_COMMANDS: Mapping[str, _Command] = {
    "models": (_models, "The models that the server offers.", _add_models),
    "list": (_list, "The chats, the one that changed last first.", _add_list),
    "search": (_search, "Find words in all chats; status 1 when there are none.", _add_search),
    "export": (_export, "Write a chat as Markdown or JSON, or all chats as JSON.", _add_export),
    "import": (_import, "Take chats from exports.", _add_import),
    "library": (_library, "Shelves of documents that answers can come from.", add_acts),
    "completion": (_completion, "A script that completes commands and flags in a shell.", _add_completion),
}


def _settings(found: argparse.Namespace) -> TerminalSettings:
    return parse(TerminalSettings, vars(found), environment())


def _store(found: argparse.Namespace) -> Store:
    return Store(_settings(found).database())


def _print_lines(lines: Any) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def _print_json(what: Any) -> None:
    sys.stdout.write(f"{json.dumps(what, ensure_ascii=False, indent=1)}\n")
