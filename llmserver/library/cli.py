"""The command `models`: turns arguments into calls and results into plain text. Decides nothing about models."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from llmserver.errors import BadSettings, LlmServerError, ModelFileMissing
from llmserver.library import catalog, cli_list, pull
from llmserver.library.importing import add_import
from llmserver.library.quantize import TYPES, quantize
from llmserver.library.remove import remove
from llmserver.library.terminal import progress, say, size, write
from llmserver.library.verify import Verdict, models_in, verify

_PROG = "python -m llmserver models"
_INTERRUPTED = 130

_ABOUT_PULL = (
    "Download a model and check it. One that was interrupted goes on where it stopped. Any part of a split model "
    "(x-00002-of-00003.gguf) brings all of them. Gated and private repositories open with a token in the environment "
    "variable HF_TOKEN, once its account has accepted the licence at the repository's page."
)
_ABOUT_VERIFY = (
    "Check header, sizes and, where the catalog knows it, the checksum. Prints one line a model; the exit status is 1 "
    "if one of them is bad."
)
_ABOUT_RM = (
    "Remove a model with all its parts and what interrupted downloads of it left. It asks nothing. A running service "
    "that has the model in memory is not noticed: on Linux and macOS it goes on until it stops, and only then does the "
    "room come free."
)
_ABOUT_QUANTIZE = (
    "Write a model with smaller weights, through llama.cpp. Best from an F16, BF16 or F32 file: what is quantized "
    "already is refused without --force, because rounding twice costs quality. Tensors whose rows do not fit the type "
    "get the nearest one that does, as llama-quantize does it. IQ1, IQ2, IQ3_XS, IQ3_XXS and Q2_K_S need an importance "
    "matrix, which this command does not make. Prints the path of the result, which has its name only when it is whole."
)


def main(argv: Sequence[str]) -> int:
    """Run one command and return the exit status: 0, 1 for failed work or a bad file, 2 for a wrong name or file."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.run(arguments) or 0)
    except LlmServerError as why:
        say(f"error: {why.message}")
        return why.exit_code
    except KeyboardInterrupt:
        say("stopped; the same command goes on from here" if arguments.run is _pull else "stopped")
        return _INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=_PROG, description="Get and choose the models of this machine.")
    parser.add_argument(
        "--models-dir", type=Path, default=catalog.MODELS_DIR, help="folder of the model files (default: %(default)s)"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    cli_list.add(commands)
    fetch = commands.add_parser("pull", help="download a model", description=_ABOUT_PULL)
    fetch.add_argument("model", help="a catalog name, a path or owner/repo:file.gguf")
    fetch.add_argument("--use", action="store_true", help="make it the default")
    fetch.set_defaults(run=_pull)
    choose = commands.add_parser("use", help="make a model that is here the default")
    choose.add_argument("model", help="a catalog name or a path")
    choose.set_defaults(run=_use)
    add_import(commands)
    _add_care(commands)
    return parser


def _add_care(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands for files that are here."""
    check = commands.add_parser("verify", help="check model files that are here", description=_ABOUT_VERIFY)
    check.add_argument("model", nargs="*", help="catalog names or paths (default: every model of the folder)")
    check.add_argument("--quick", action="store_true", help="leave the checksum out, which reads the whole file")
    check.set_defaults(run=_verify)
    drop = commands.add_parser("rm", help="remove a model that is here", description=_ABOUT_RM)
    drop.add_argument("model", help="a catalog name, a file name or a path inside the models folder")
    drop.add_argument("--force", action="store_true", help="also if it is the default model; its link goes too")
    drop.set_defaults(run=_remove)
    shrink = commands.add_parser(
        "quantize", help="make a smaller file of a model that is here", description=_ABOUT_QUANTIZE
    )
    shrink.add_argument("model", metavar="FILE", help="a path or a catalog name; of a split model any part")
    shrink.add_argument("type", metavar="TYPE", help=f"upper or lower case: {', '.join(TYPES)}")
    shrink.add_argument("--out", type=Path, help="the result (default: beside FILE, named for the type)")
    shrink.add_argument(
        "--force", action="store_true", help="overwrite the result if it is there; quantize what is quantized already"
    )
    shrink.set_defaults(run=_quantize)


def _pull(arguments: argparse.Namespace) -> None:
    known = catalog.load()
    if arguments.use and known.has(arguments.model):
        _refuse_as_default(known.find(arguments.model).file, known)  # before the download
    path = pull.pull(arguments.model, arguments.models_dir, known, say)
    if arguments.use:
        _refuse_as_default(path.name, known)
        pull.use(path, arguments.models_dir)
        say(f"{path.name} is the default now")
    write(str(path))


def _use(arguments: argparse.Namespace) -> None:
    here: Path = arguments.models_dir
    path = _local(arguments.model, here)
    _refuse_as_default(path.name, catalog.load())
    pull.use(path, here)
    say(f"{path.name} is the default now")


def _refuse_as_default(file: str, known: catalog.Catalog) -> None:
    model = next((model for model in known.models if model.file == file and model.kind != catalog.CHAT), None)
    if model is not None:
        raise BadSettings(f"{model.name} cannot chat: it needs no --use, the next start serves it beside another")


def _verify(arguments: argparse.Namespace) -> int:
    here: Path = arguments.models_dir
    names: list[str] = arguments.model or [str(path) for path in models_in(here)]
    known = catalog.load()
    verdicts = []
    for name in names:
        verdicts.append(_verdict(name, here, known, quick=arguments.quick))
        write(str(verdicts[-1]))
    return 1 if any(verdict.fault for verdict in verdicts) else 0


def _verdict(name: str, here: Path, known: catalog.Catalog, *, quick: bool) -> Verdict:
    try:
        path = _local(name, here)
    except ModelFileMissing as why:
        return Verdict(name, fault=why.message)
    return verify(path, known, quick=quick, progress=progress(f"{path.name}: checksum", _size_of(path)))


def _remove(arguments: argparse.Namespace) -> None:
    gone = remove(arguments.model, arguments.models_dir, catalog.load(), force=arguments.force)
    files = "1 file" if gone.n_files == 1 else f"{gone.n_files} files"
    write(f"{gone.name}: {files} removed, {gone.n_bytes:,} bytes ({size(gone.n_bytes)}) free")


def _quantize(arguments: argparse.Namespace) -> None:
    source = _local(arguments.model, arguments.models_dir)
    out: Path | None = arguments.out.expanduser() if arguments.out else None
    shown = progress(f"{source.name} to {arguments.type.upper()}")
    done = quantize(source, arguments.type, out, force=arguments.force, progress=shown)
    if done.n_other:
        say(f"{done.n_other} of {done.n_tensors} tensors have rows that do not fit {done.type}: they got the next type")
    say(f"{done.path.name}: {size(done.n_bytes)} ({done.n_bytes:,} bytes), made of {size(done.n_source_bytes)}")
    write(str(done.path))


def _local(wanted: str, here: Path) -> Path:
    """Return the path that a catalog name, a path or the name of a file in the models folder means."""
    path = Path(wanted).expanduser()
    is_path = path.exists() or (here / path).exists() or "/" in wanted or path.suffix == ".gguf"
    known = catalog.load()
    if known.has(wanted) or not is_path:
        model = known.find(wanted)
        path = here / model.file
        if not path.is_file():
            pulled = f"--use {model.name}" if model.kind == catalog.CHAT else model.name
            raise ModelFileMissing(f"{model.name} is not here yet: get it with `{_PROG} pull {pulled}`")
    elif not path.exists() and (here / path).exists():
        path = here / path
    return path


def _size_of(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
