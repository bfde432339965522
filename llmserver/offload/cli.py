"""The command `plan`: how a model would be loaded here, or on a machine one only thinks of. Loads nothing."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from llmserver import cpu
from llmserver.errors import BadSettings, ModelFileBroken
from llmserver.library import catalog
from llmserver.offload import gguf, learned, machine, rpc, table
from llmserver.offload.memory import BYTES_PER_VALUE, Setup, sequences
from llmserver.offload.planner import Buffers, Choice, Compute, Machine, Wish, choose
from llmserver.offload.probe import Prober
from llmserver.offload.shape import Shape, shape_of

_PROG = "python -m llmserver plan"
_MIB = 1024 * 1024
_MOST_CTX = 4_194_304  # a probe keeps books of every cell: 100 bytes each
_USUAL_CTX = 4096


def main(argv: Sequence[str]) -> int:
    """Print a plan; 0, 1 where nothing fits (the nearest plan is printed), 2 for a wrong argument or file."""
    arguments = _parser().parse_args(argv)
    file = gguf.read(_path(arguments.model))
    if arguments.rpc_servers:
        rpc.add(arguments.rpc_servers)
    here = machine.look(
        arguments.vram,
        arguments.ram,
        arguments.reserve,
        arguments.card_gbs,
        most=arguments.card_mib * _MIB,
        learned=lambda card: learned.reserve(card, file.architecture),
    )
    for name in arguments.beside:
        other = gguf.read(_path(name))
        _, choice = _chosen(other, here, Wish(n_ctx=_USUAL_CTX), arguments, [])
        here = machine.without(here, choice.plan)
    wish = Wish(
        n_ctx=arguments.n_ctx,
        n_ctx_least=arguments.n_ctx_least,
        kv=_kv(arguments.kv),
        n_ubatch=(arguments.n_ubatch,) if arguments.n_ubatch else (512, 256, 128),
        n_card=arguments.n_gpu_layers,
    )
    shape, choice = _chosen(file, here, wish, arguments, arguments.adapter)
    answer = json.dumps(table.as_json(shape, here, choice), indent=1) if arguments.json else ""
    sys.stdout.write(f"{answer or table.text(shape, here, choice, arguments.rpc_servers)}\n")
    return 0 if choice.plan.fits else 1


def _chosen(
    file: gguf.Gguf, here: Machine, wish: Wish, arguments: argparse.Namespace, adapters: Sequence[str]
) -> tuple[Shape, Choice]:
    """The model with its adapters, and how it is best loaded."""
    is_here = arguments.vram == "auto" and bool(here.cards)
    prober = Prober(file.paths[0], n_card=-1 if is_here else 0)
    try:
        shape = shape_of(file).with_windows(prober.windows)
        for adapter in adapters:
            shape = shape.with_adapter(gguf.read(Path(adapter).expanduser()))
        is_small = bool(shape.n_window) or any(layer.state_values for layer in shape.layers)
        n_ctx = shape.n_ctx_train or _USUAL_CTX if wish.n_ctx == 0 else wish.n_ctx
        wish = replace(wish, n_ctx=n_ctx, n_seq=sequences(arguments.parallel, is_small=is_small))
        return shape, choose(shape, here, wish, compute_of(prober, shape, here, is_here=is_here))
    finally:
        prober.free()


def worker(argv: Sequence[str]) -> int:
    """Compute for other machines until a signal ends it; 2 where that cannot begin."""
    parser = argparse.ArgumentParser(
        prog="python -m llmserver worker",
        description="Let other machines use this one's devices, through ggml's RPC backend.",
        epilog="There is no login and no encryption: for loopback and private networks only.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="a private address of this machine (default: %(default)s)")
    parser.add_argument("--port", type=_whole(1, 65_535), default=50_052, help="default: %(default)s")
    parser.add_argument("--threads", type=_whole(1, 1024), default=cpu.physical_cores(), help="default: %(default)s")
    arguments = parser.parse_args(argv)
    rpc.serve(arguments.host, arguments.port, arguments.threads)
    return 0


def compute_of(prober: Prober, shape: Shape, here: Machine, *, is_here: bool) -> Compute:
    """Compute buffers by a probe, of the cards that are in this machine or of ones like its processor."""
    names = [card.name for card in here.cards]

    def compute(setup: Setup) -> Buffers | None:
        try:
            found = prober.look(setup)
        except ModelFileBroken:
            return None
        if not is_here:
            return Buffers((found.compute_on_card(None),) * len(names), sum(found.compute.values()))
        sizes = [found.compute_on_card(name) for name in names]  # 0: more cards than layers
        logits = shape.n_vocab * setup.n_seq * 4  # the probe has them on the last card; a plan may have them on any
        most = [(size or max(sizes)) + logits for size in sizes[:-1]] + [sizes[-1] or max(sizes)]
        return Buffers(tuple(most), found.beside(names))

    return compute


def _path(name: str) -> Path:
    """A path, a file of the models folder or a name of the catalog that is here."""
    path = Path(name).expanduser()
    if path.exists():
        return path
    known = catalog.load()
    file = known.find(name).file if known.has(name) else name
    return catalog.MODELS_DIR / file if (catalog.MODELS_DIR / file).exists() else path


def _context(text: str) -> int | None:
    return None if text == "auto" else _whole(0, _MOST_CTX)(text)


def _whole(least: int, most: int) -> Callable[[str], int]:
    """An argument that is a whole number within these limits."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {least:,} to {most:,}")
        return value

    return parse


def _speeds(text: str) -> list[float]:
    found = []
    for part in text.split(","):
        try:
            value = float(part)
        except ValueError:
            value = 0.0
        if not 0 < value < float("inf"):
            raise argparse.ArgumentTypeError(f"{part!r} is no speed: write GB/s above 0")
        found.append(value)
    return found


def _kv(text: str) -> tuple[str, ...]:
    if text == "auto":
        return ("f16", "q8_0")
    kinds = tuple(text.split(","))
    if unknown := [kind for kind in kinds if kind not in BYTES_PER_VALUE]:
        raise BadSettings(f"no KV type {unknown[0]!r}: {', '.join(BYTES_PER_VALUE)}, several with commas, or auto")
    return kinds


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=_PROG,
        description="Decide how a model is loaded: context, KV cache, layers on the cards. Loads nothing.",
        epilog="Sizes are written like 6GiB or 800MiB. Exit status 1: nothing fits, the nearest plan is shown.",
    )
    add = parser.add_argument
    add("model", help="a path, a file of the models folder or a name of the catalog")
    _add_machine(add)
    add(
        "--n_ctx",
        type=_context,
        help="tokens of context, 0 for as many as the model was trained for (default: chosen, at least --n_ctx_least)",
    )
    add(
        "--n_ctx_least",
        type=_whole(256, _MOST_CTX),
        default=_USUAL_CTX,
        help="least context that may be chosen (default: %(default)s)",
    )
    add("--parallel", type=_whole(1, 64), default=8, help="requests that are computed at once (default: %(default)s)")
    add("--kv", default="auto", help="KV cache types that may be chosen: f16, bf16, q8_0, q4_0 (default: f16,q8_0)")
    add("--n_ubatch", type=_whole(1, 8192), help="prompt tokens of a step (default: chosen among 512, 256 and 128)")
    add("--n_gpu_layers", type=_whole(-1, 10_000), help="layers on the cards, -1 for all (default: chosen)")
    add("--adapter", action="append", default=[], metavar="FILE", help="a LoRA adapter to have beside; may be repeated")
    add("--json", action="store_true", help="print one JSON object, sizes in bytes")
    return parser


def _add_machine(add: Callable[..., object]) -> None:
    """The flags that say what the machine is."""
    add(
        "--vram",
        default="auto",
        help="memory of the card to plan for, of several with commas, 0 for none (default: the cards that are here)",
    )
    add("--ram", default="auto", help="RAM to plan for (default: what is free)")
    add("--reserve", default="auto", help="memory of each card to leave free (default: 4 %% of it, at least 256 MiB)")
    add(
        "--card_gbs",
        type=_speeds,
        default=[],
        help="the card's GB/s, of several with commas; the last one counts for the cards after it "
        f"(default: measured, {machine.CARD_GBS:g} for cards that are not here)",
    )
    add(
        "--card_mib",
        type=_whole(0, 10_000_000),
        default=0,
        help="most MiB of each card that is here to use (default: what is free)",
    )
    add(
        "--beside",
        action="append",
        default=[],
        metavar="MODEL",
        help=f"another model that is in memory as well, with {_USUAL_CTX:,} tokens of context; may be repeated",
    )
    add("--rpc_servers", default="", help="workers whose devices count as cards: host:port, several with commas")
