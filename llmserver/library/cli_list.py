"""The commands `models list` and `models recommend`: figures as a table, as sentences or as JSON. Decides nothing."""

from __future__ import annotations

import argparse
import json
import textwrap
from typing import Any

from llmserver import cpu
from llmserver.library import catalog, fits, machine, overview
from llmserver.library.fits import Fit
from llmserver.library.overview import Entry
from llmserver.library.terminal import aligned, say, size, write

_PROG = "python -m llmserver models"
_WIDTH = 100
_SHOWN_DIGITS = 10  # tokens/s from which on decimals say nothing

_ABOUT_LIST = (
    "Show the catalog and what else is in the models folder: what is here, whether it fits this machine and how "
    "quickly it would answer at most. Sizes are written like 6GiB or 800MiB."
)
_ABOUT_RECOMMEND = (
    "Name the best model for this machine: the largest that lies wholly on the card; without a card of 3 GiB or more, "
    f"the largest of which {fits.USEFUL_TOKENS_PER_S:.0f} tokens/s can be hoped for. Sizes are written like 6GiB."
)


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add both commands."""
    listing = commands.add_parser("list", help="show the catalog, what is here and what fits", description=_ABOUT_LIST)
    listing.set_defaults(run=_list)
    best = commands.add_parser(
        "recommend", help="name the largest model that suits this machine", description=_ABOUT_RECOMMEND
    )
    best.add_argument("--embedding", action="store_true", help="the best one that embeds, for the library of documents")
    best.set_defaults(run=_recommend)
    for parser in (listing, best):
        parser.add_argument("--json", action="store_true", help="print one JSON object, sizes in bytes")
        parser.add_argument("--cpu-only", action="store_true", help="count no graphics card, the same as --vram 0")
        parser.add_argument("--vram", default="auto", help="a card to think of, several with commas (default: as here)")
        parser.add_argument("--ram", default="auto", help="RAM to think of (default: what is free)")


def _look(arguments: argparse.Namespace) -> machine.Room:
    return machine.look("0" if arguments.cpu_only else arguments.vram, arguments.ram)


def _list(arguments: argparse.Namespace) -> None:
    room = _look(arguments)
    found = overview.entries(arguments.models_dir, catalog.load(), room)
    if arguments.json:
        write(json.dumps({"machine": room.as_json(), "models": [entry.as_json() for entry in found]}, indent=1))
        return
    rows = [_row(entry) for entry in found if entry.kind == catalog.CHAT]
    write(aligned([("NAME", "SIZE", "CONTEXT", "LICENCE", "FITS", "TOKENS/S", "HERE"), *rows]))
    write("")
    _say(_explained(room))
    write("")
    others = [_row_of_library(entry) for entry in found if entry.kind != catalog.CHAT]
    write(aligned([("FOR THE LIBRARY", "SIZE", "READS", "LICENCE", "CHUNKS/S", "HERE"), *others]))
    write("")
    cores = f"{cpu.physical_cores()} cores"
    _say([f"READS: the longest text in tokens. CHUNKS/S: texts of 200 tokens that {cores} embed in a second, about."])


def _say(lines: list[str]) -> None:
    for line in lines:
        write(textwrap.fill(line, _WIDTH, break_on_hyphens=False, break_long_words=False))


def _row(entry: Entry) -> tuple[str, ...]:
    is_about = entry.held is None and entry.model is not None and not entry.model.size_exact
    return (
        entry.name if entry.name.isprintable() else repr(entry.name),
        f"{'~' if is_about else ''}{size(entry.size_bytes)}",
        f"{entry.n_ctx_train:,}" if entry.n_ctx_train else "-",
        entry.license or "-",
        _fits(entry.fit) if entry.fit else "-",
        _speed(entry.fit) if entry.fit and entry.fit.where != fits.NOWHERE else "-",
        entry.state,
    )


def _row_of_library(entry: Entry) -> tuple[str, ...]:
    name, size_, reads, license_, _, _, here = _row(entry)
    speed = fits.chunks_per_s(entry.model, cpu.physical_cores()) if entry.model else 0.0
    return name, size_, reads, license_, f"~{speed:.0f}" if entry.kind == catalog.EMBEDDING else entry.kind, here


def _fits(fit: Fit) -> str:
    if fit.where == fits.NOWHERE:
        return f"no: lacks {size(fit.lacks)}"
    where = fit.where if fit.n_cards < 2 else fit.where.replace(fits.CARD, f"{fit.n_cards} cards")
    return f"{where}: {100 * fit.card_share:.0f} %" if fit.where == fits.SPLIT else where


def _speed(fit: Fit) -> str:
    speed = f"{fit.tokens_per_s:.0f}" if fit.tokens_per_s >= _SHOWN_DIGITS else f"{fit.tokens_per_s:.1f}"
    return f"~{speed}" if fit.is_estimate else speed


def _explained(room: machine.Room) -> list[str]:
    """What the two columns mean, and for which memory they were made."""
    share = "; % is what of it is on the card" if room.machine.cards else ""
    return [
        f"FITS: where a model would lie{share}. TOKENS/S: how quickly one answer would come at most, by what a token "
        "reads of memory; computing makes it slower, most of all on a processor. ~ is an estimate without the file.",
        f"Both are for {room}, with the server's defaults: {fits.N_CTX:,} tokens of context, {fits.N_PARALLEL} "
        "requests at once.",
        *room.notes,
    ]


def _recommend(arguments: argparse.Namespace) -> None:
    from llmserver.library import hub  # takes longer to import than all the rest to run

    room = _look(arguments)
    found = overview.entries(arguments.models_dir, catalog.load(), room)
    if arguments.embedding:
        _recommend_embedding(found, in_reach=hub.hub_in_reach(), is_json=arguments.json)
        return
    pairs = _pairs(found, catalog.CHAT)
    advice = fits.recommend(pairs, room.machine)
    in_reach = hub.hub_in_reach()
    if arguments.json:
        write(json.dumps(_as_json(advice, room) | {"hub_in_reach": in_reach}))
        return
    model, fit = advice.model, advice.fit
    is_here = any(entry.held and not entry.held.fault for entry in found if entry.model == model)
    write(f"{model.name}  {model.title}, {size(model.size_bytes)}: {model.note}")
    write(f"{_sentence(fit)}; {advice.why}")
    write(f"for {room}")
    if advice.larger:
        larger, slower = advice.larger
        write(f"larger and slower: {larger.name}, {size(larger.size_bytes)}, {_fits(slower)}, at most {_speed(slower)}")
    for note in room.notes:
        write(note)
    write(f"it is here: {_PROG} use {model.name}" if is_here else f"get it with: {_PROG} pull --use {model.name}")
    if not in_reach and not is_here:
        say(f"the model hub {hub.endpoint()} does not answer right now")


def _pairs(found: list[Entry], kind: str) -> list[tuple[catalog.Model, Fit]]:
    return [(entry.model, entry.fit) for entry in found if entry.model and entry.fit and entry.kind == kind]


def _recommend_embedding(found: list[Entry], *, in_reach: bool, is_json: bool) -> None:
    n_cores = cpu.physical_cores()
    model, why = fits.recommend_embedding(_pairs(found, catalog.EMBEDDING), n_cores)
    speed = fits.chunks_per_s(model, n_cores)
    if is_json:
        about = {"name": model.name, "size_bytes": model.size_bytes, "title": model.title, "why": why}
        write(json.dumps(about | {"chunks_per_s": round(speed, 1), "hub_in_reach": in_reach}))
        return
    write(f"{model.name}  {model.title}, {size(model.size_bytes)}: {model.note}")
    write(f"about {speed:.0f} chunks/s on {n_cores} cores; {why}")
    is_here = any(entry.held and not entry.held.fault for entry in found if entry.model == model)
    write("it is here" if is_here else f"get it with: {_PROG} pull {model.name}")


def _sentence(fit: Fit) -> str:
    if fit.where == fits.NOWHERE:
        return f"lacks {size(fit.lacks)} of memory"
    place = {fits.CARD: "all on the card", fits.PROCESSOR: "on the processor"}.get(fit.where, "partly on the card")
    return f"{place}, at most {_speed(fit)} tokens/s"


def _as_json(advice: fits.Advice, room: machine.Room) -> dict[str, Any]:
    model, larger = advice.model, advice.larger
    return {
        "name": model.name,
        "size_bytes": model.size_bytes,
        "title": model.title,
        "fit": overview.fit_as_json(advice.fit),
        "why": advice.why,
        "larger": {"name": larger[0].name, "fit": overview.fit_as_json(larger[1])} if larger else None,
        "machine": room.as_json(),
    }
