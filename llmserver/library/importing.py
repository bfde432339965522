"""The command `models import`: a Hugging Face checkpoint or LoRA becomes a GGUF file, named only when it is whole.

Decides the order of the work, its room on the disk and the names. What converts is llama.cpp's own script.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path

from llmserver.errors import BadSettings, CommandFailed, ModelFileBroken, ModelFileMissing
from llmserver.library import (
    convert_merge,
    convert_place,
    convert_run,
    convert_source,
    modelfile,
    pull,
    quantize,
    split,
)
from llmserver.library.convert_place import Place
from llmserver.library.convert_source import Adapter, Checkpoint
from llmserver.library.terminal import progress, say, size, write

_DEFAULT_TYPE, _DEFAULT_LORA_TYPE = "Q4_K_M", "F16"
_DIRECT = ("F32", "F16", "BF16")
_LORA_TYPES = (*_DIRECT, "Q8_0")
_WORKSHOP = ".import-"
_VOCABULARY_BYTES = 16_000_000  # as much as the largest takes
_FULL_BYTES = 1_000_000  # less than this is free where a disk is full
_CONVERTED = "-converted.gguf"
_MERGED, _BASE, _FINAL = "merged weights", "base model", "final result.gguf"  # no name given by a person has a space

_ABOUT = (
    "Make a GGUF file of a model that transformers saved (config.json, *.safetensors, a tokenizer), or of a LoRA "
    "adapter that PEFT saved (adapter_config.json), with llama.cpp's own converter. The first import gets the "
    "converter and what it imports, about 330 MB, into an environment apart in the cache folder. No code of the "
    "checkpoint is run and no pickle is read. Of models that see or hear the text part is imported. Prints the path of "
    "the result."
)


@dataclass(frozen=True)
class Order:
    """What was asked for; an empty type or name is to be chosen."""

    folder: Path
    models_dir: Path
    lora: Path | None = None
    base: Path | None = None
    type: str = ""
    name: str = ""
    out: Path | None = None
    force: bool = False

    def target(self, stem: str) -> Path:
        """Return the result's path."""
        return self.out or self.models_dir / f"{stem}.gguf"


def add_import(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser("import", help="make a GGUF file of a Hugging Face folder", description=_ABOUT)
    parser.add_argument(
        "folder", metavar="DIR", type=Path, nargs="?", help="a checkpoint's folder, or a LoRA adapter's"
    )
    parser.add_argument(
        "--prepare", action="store_true", help="only get the converter, to import without a network later"
    )
    parser.add_argument("--lora", metavar="DIR", type=Path, help="a LoRA adapter to merge into the model first")
    parser.add_argument(
        "--base", metavar="DIR", type=Path, help="for an adapter: a folder with its base model's config.json"
    )
    parser.add_argument(
        "--type", default="", help=f"as in quantize (default: {_DEFAULT_TYPE}; for an adapter {_DEFAULT_LORA_TYPE})"
    )
    parser.add_argument("--name", default="", help="what to call it (default: as the folder)")
    parser.add_argument("--out", type=Path, help="the result (default: NAME-TYPE.gguf in the models folder)")
    parser.add_argument("--force", action="store_true", help="overwrite the result if it is there")
    parser.add_argument("--use", action="store_true", help="make it the default")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    if arguments.prepare:
        place = convert_place.get((), say)
        say(f"the converter is here: {place.scripts}")
    if arguments.folder is None:
        if not arguments.prepare:
            raise BadSettings("name the folder of a model to import, or say --prepare to only get the converter")
        return
    paths = {name: getattr(arguments, name) for name in ("folder", "lora", "base", "out")}
    paths = {name: path.expanduser() if path else path for name, path in paths.items()}
    order = Order(
        models_dir=arguments.models_dir, type=arguments.type, name=arguments.name, force=arguments.force, **paths
    )
    is_adapter = convert_source.is_adapter(order.folder)
    if is_adapter and (arguments.use or order.lora):
        raise BadSettings(f"{order.folder} is an adapter, not a model: without --use and --lora it becomes a LoRA file")
    if order.base and not is_adapter:
        raise BadSettings("--base is for importing an adapter's folder; to merge an adapter into this model say --lora")
    done = (import_adapter if is_adapter else import_model)(order)
    say(f"{done.name}: {size(done.stat().st_size)} ({done.stat().st_size:,} bytes), checked")
    if is_adapter:
        say(f"serve it beside its model: --adapters NAME={done}")
    if arguments.use:
        pull.use(done, order.models_dir)
        say(f"{done.name} is the default now")
    write(str(done))


def import_model(order: Order) -> Path:
    """Return the path of the model, an adapter merged into it where one is asked for."""
    source = convert_source.checkpoint(order.folder)
    adapter = convert_source.adapter(order.lora) if order.lora else None
    type_name = _type(order.type or _DEFAULT_TYPE, quantize.TYPES)
    n_raw, n_room = _room(source, adapter, type_name)
    name = _name(order, f"{source.name}-{adapter.name}" if adapter else source.name)
    target = order.target(f"{name}-{type_name}")
    with _workshop(target, order) as work:
        _require(work, n_room, source.name)
        place = convert_place.get(source.architectures, say)
        weights = source.paths()
        if adapter:
            say(f"merging {adapter.name} into {source.name}")
            (work / _MERGED).mkdir()
            weights = convert_merge.merge(source, adapter, work / _MERGED, progress("merging"))
        convert_source.stage(source.folder, work / name, weights)
        say(f"converting {source.name} ({', '.join(source.architectures[:1]) or 'no architecture named'})")
        made = work / f"{name}{_CONVERTED}"
        kind = type_name.lower() if type_name in _DIRECT else "auto"
        words = [str(work / name), "--outtype", kind, "--model-name", name]
        _convert(place, "convert_hf_to_gguf.py", words, made, n_raw)
        shutil.rmtree(work / _MERGED, ignore_errors=True)  # its room is needed now
        if type_name not in _DIRECT:
            say(f"quantizing to {type_name}")
            final, show = work / _FINAL, progress("quantizing")
            made = quantize.quantize(made, type_name, final, force=True, progress=show).path
        _finish(made, target)
    return target


def import_adapter(order: Order) -> Path:
    """Return the path of the adapter as a LoRA file."""
    adapter = convert_source.adapter(order.folder)
    type_name = _type(order.type or _DEFAULT_LORA_TYPE, _LORA_TYPES)
    base = _base(order, adapter)
    asked = convert_source.architectures(convert_source.load(base / "config.json"))
    name = _name(order, adapter.name)
    target = order.target(f"{name}-lora-{type_name}")
    n_room = 2 * adapter.file.n_bytes
    with _workshop(target, order) as work:
        _require(work, n_room, name)
        place = convert_place.get(asked, say)
        convert_source.stage_adapter(adapter, work / name)
        convert_source.stage(base, work / _BASE, {})
        say(f"converting {name}, an adapter of {base.name}")
        made = work / f"{name}{_CONVERTED}"
        words = [str(work / name), "--base", str(work / _BASE), "--outtype", type_name.lower()]
        _convert(place, "convert_lora_to_gguf.py", words, made, n_room)
        _finish(made, target)
    return target


def _base(order: Order, adapter: Adapter) -> Path:
    """Return a folder with the config.json of the model that the adapter was trained on."""
    base = order.base or (Path(adapter.base) if adapter.base else None)
    if base is None or not (base / "config.json").is_file():
        raise BadSettings(
            f"{adapter.name} was trained on {adapter.base or 'a model that it does not name'}, and "
            f"{base or 'a folder of it'} has no config.json here: name a folder with that model's config.json "
            "(its weights are not needed) with --base DIR"
        )
    return base.resolve()


def _type(wanted: str, known: tuple[str, ...]) -> str:
    name = wanted.upper()
    name = name if name in known else f"{name}_M"  # Q4_K means Q4_K_M
    if name not in known:
        raise BadSettings(f"no type named {wanted!r} here: take one of {', '.join(known)}")
    if name in quantize._NEEDS_MATRIX:
        raise BadSettings(f"{name} needs an importance matrix, which is not made here: take Q3_K_S or IQ4_XS")
    return name


def _name(order: Order, chosen: str) -> str:
    if not order.name:
        return chosen
    name = order.name.removesuffix(".gguf")
    if name != convert_source.plain(name):
        raise BadSettings(f"--name {order.name!r} cannot be a file's name: use letters, digits, dots and hyphens")
    return name


@contextmanager
def _workshop(target: Path, order: Order) -> Iterator[Path]:
    """Lend a folder beside the result, in which all of the work is done, and leave nothing of it behind."""
    folder = target.parent
    try:
        if order.out is None:
            folder.mkdir(parents=True, exist_ok=True)
        _refuse_target(target, force=order.force)
        _sweep(folder)
        with (
            _terminated_as_interrupted(),
            tempfile.TemporaryDirectory(prefix=_WORKSHOP, dir=folder) as name,
            Path(name, ".lock").open("w") as lock,
        ):
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield Path(name)
    except OSError as why:
        raise CommandFailed(f"cannot write at {folder}: {why.strerror or why}; make room, run it again") from why


def _refuse_target(path: Path, *, force: bool) -> None:
    if not path.parent.is_dir():
        raise BadSettings(f"no folder {path.parent} for the result")
    if path.suffix != ".gguf" or len(split.parts(path.name)) > 1 or path.is_dir() or path.is_symlink():
        raise BadSettings(f"{path} cannot be the result: name one whole file that ends in .gguf, no link, with --out")
    if path.exists() and not force:
        raise BadSettings(f"{path} is there already: choose another --name or --out, or say --force")


def _sweep(folder: Path) -> None:
    """Remove the workshops of imports that were killed; those that are at work hold their lock."""
    for lock in folder.glob(f"{_WORKSHOP}*/.lock"):
        with lock.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            shutil.rmtree(lock.parent, ignore_errors=True)


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Let SIGTERM unwind like Ctrl-C, so that what lies about is removed."""
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _room(source: Checkpoint, adapter: Adapter | None, type_name: str) -> tuple[int, int]:
    """Estimate the bytes of the converted file, and of all that lies on the disk at once."""
    n_wide = 4 if type_name == "F32" else 2
    tensors = [tensor for file in source.files for tensor in file.tensors]
    n_raw = sum(prod(one.shape) * n_wide if "F" in one.dtype else one.n_bytes * n_wide for one in tensors)
    n_raw += _VOCABULARY_BYTES
    bits = re.search(r"\d", type_name)
    n_final = 0 if type_name in _DIRECT or bits is None else n_raw * (int(bits[0]) + 1) // 16
    n_merged = convert_merge.changed_bytes(source, adapter) if adapter else 0
    return n_raw, n_raw + max(n_merged, n_final)


def _require(work: Path, n_bytes: int, name: str) -> None:
    """Refuse before the work what cannot end well; the quantizer, which knows it exactly, checks once more."""
    free = shutil.disk_usage(work).free
    if n_bytes > free:
        raise CommandFailed(
            f"importing {name} needs {size(n_bytes)} at {work.parent}, {size(free)} free: make room or name another "
            "place with --out"
        )


def _convert(place: Place, script: str, words: list[str], made: Path, n_bytes: int) -> None:
    """Let the script write `made`, of about n_bytes, and check it."""
    name = made.name.removesuffix(_CONVERTED)
    try:
        convert_run.run(place, script, [*words, "--outfile", str(made)], made.parent, name, progress("converting"))
        modelfile.check(made)
    except (ModelFileBroken, ModelFileMissing) as why:
        raise CommandFailed(f"llama.cpp's converter wrote {name} wrongly ({why.message}): it was removed") from why
    except CommandFailed:
        free, n_there = shutil.disk_usage(made.parent).free, made.stat().st_size if made.exists() else 0
        if free < max(_FULL_BYTES, n_bytes - n_there):
            full = f"the disk is full at {made.parent.parent}: {size(n_there)} of about {size(n_bytes)} were written"
            raise CommandFailed(f"{full}, {size(free)} free; make room, run it again") from None
        raise


def _finish(made: Path, target: Path) -> None:
    """Give the checked file its name once all of it is on the disk."""
    with made.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(made, target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
