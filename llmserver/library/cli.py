"""The command `models`: list, recommend, pull and use. Turns arguments into calls and results into plain text."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from llmserver.errors import LlmServerError, ModelFileMissing
from llmserver.library import catalog, hub, machine, pull

_PROG = "python -m llmserver models"
_INTERRUPTED = 130


def main(argv: Sequence[str]) -> int:
    """Run one command and return the exit status: 0, 1 for a failed download, 2 for a wrong name or file."""
    arguments = _parser().parse_args(argv)
    try:
        arguments.run(arguments)
    except LlmServerError as why:
        _say(f"error: {why.message}")
        return why.exit_code
    except KeyboardInterrupt:
        _say("stopped; the same command goes on from here")
        return _INTERRUPTED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=_PROG, description="Get and choose the models of this machine.")
    parser.add_argument(
        "--models-dir", type=Path, default=catalog.MODELS_DIR, help="folder of the model files (default: %(default)s)"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    commands.add_parser("list", help="show the catalog and what is here").set_defaults(run=_list)
    recommend = commands.add_parser("recommend", help="name the largest model that suits this machine")
    recommend.add_argument("--json", action="store_true", help="print one JSON object")
    recommend.add_argument("--cpu-only", action="store_true", help="count no graphics card")
    recommend.set_defaults(run=_recommend)
    fetch = commands.add_parser("pull", help="download a model")
    fetch.add_argument("model", help="a catalog name, a path or owner/repo:file.gguf")
    fetch.add_argument("--use", action="store_true", help="make it the default")
    fetch.set_defaults(run=_pull)
    choose = commands.add_parser("use", help="make a model that is here the default")
    choose.add_argument("model", help="a catalog name or a path")
    choose.set_defaults(run=_use)
    return parser


def _list(arguments: argparse.Namespace) -> None:
    here: Path = arguments.models_dir
    known = catalog.load().models
    chosen = (here / pull.DEFAULT_LINK).resolve()
    rows = [("NAME", "SIZE", "FOR", "CONTEXT", "LICENCE", "HERE")]
    for model in known:
        about = "" if model.size_exact else "~"
        size = f"{about}{_size(model.size_bytes)}"
        state = _state(here / model.file, chosen)
        rows.append((model.name, size, model.tier, f"{model.n_ctx_train:,}", model.license, state))
    names = {model.file for model in known} | {pull.DEFAULT_LINK}
    for path in sorted(here.glob("*.gguf")):
        if path.name not in names and path.is_file():
            rows.append((path.name, _size(path.stat().st_size), "-", "-", "-", _state(path, chosen)))
    _write(_aligned(rows))


def _state(path: Path, chosen: Path) -> str:
    if not path.is_file():
        return ""
    return "default" if path.resolve() == chosen else "yes"


def _recommend(arguments: argparse.Namespace) -> None:
    memory = machine.look()
    if arguments.cpu_only:
        memory = replace(memory, vram_bytes=0, is_unified=False)
    model = catalog.load().recommend(memory)
    in_reach = hub.hub_in_reach()
    if arguments.json:
        answer = {"name": model.name, "size_bytes": model.size_bytes, "title": model.title, "hub_in_reach": in_reach}
        _write(json.dumps(answer))
        return
    place = f"a {_size(memory.vram_bytes)} card" if memory.vram_bytes else f"{_size(memory.ram_bytes)} of RAM"
    _write(f"{model.name}  {model.title}, {_size(model.size_bytes)}: {model.note}")
    _write(f"for {place}; get it with: {_PROG} pull --use {model.name}")
    if not in_reach:
        _say(f"the model hub {hub.endpoint()} does not answer right now")


def _pull(arguments: argparse.Namespace) -> None:
    path = pull.pull(arguments.model, arguments.models_dir, catalog.load(), _say)
    if arguments.use:
        pull.use(path, arguments.models_dir)
        _say(f"{path.name} is the default now")
    _write(str(path))


def _use(arguments: argparse.Namespace) -> None:
    here: Path = arguments.models_dir
    known = catalog.load()
    path = Path(arguments.model).expanduser()
    if known.has(arguments.model) or not (path.exists() or "/" in arguments.model or path.suffix == ".gguf"):
        model = known.find(arguments.model)
        path = here / model.file
        if not path.is_file():
            raise ModelFileMissing(f"{model.name} is not here yet: get it with `{_PROG} pull --use {model.name}`")
    elif not path.exists() and (here / path).exists():
        path = here / path
    pull.use(path, here)
    _say(f"{path.name} is the default now")


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.0f} MB"


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines)


def _write(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
