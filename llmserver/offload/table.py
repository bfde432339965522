"""A plan in words and figures: a row for each place, why it is so, and what the next better plan lacks. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmserver.offload.memory import Sizes, split_blocks

if TYPE_CHECKING:
    from llmserver.offload.planner import Card, Choice, Machine, Plan
    from llmserver.offload.shape import Shape

_MIB = 1024 * 1024
_TYPE_NUMBERS = {"f16": 1, "bf16": 30, "q8_0": 8, "q4_0": 2}
_COLUMNS = ("", "weights", "KV", "compute", "output", "reserve", "free")


def text(shape: Shape, machine: Machine, choice: Choice) -> str:
    """The whole answer for a terminal."""
    plan = choice.plan
    lines = [
        f"{shape.name or shape.architecture}: {shape.architecture}, {len(shape.layers)} blocks and the output, "
        f"{mib(shape.n_bytes)} MiB",
        "",
        *_aligned([_COLUMNS, *rows(machine, plan)]),
        "MiB",
        "",
        summary(shape, plan),
        *(f"- {reason}" for reason in reasons(shape, machine, choice)),
    ]
    if plan.fits:
        lines += ["", f"python -m llmserver {flags(shape, plan)}"]
    return "\n".join(lines)


def rows(machine: Machine, plan: Plan) -> list[tuple[str, ...]]:
    """A row for each place: its name, then MiB."""
    found: list[tuple[str, ...]] = []
    if card := machine.card:
        kept = card.reserve + card.total - card.free
        found.append((f"{card.name} {mib(card.total)}", *_row(plan.card), mib(kept), mib(-plan.card_lacks)))
    kept = machine.ram_free - machine.ram_budget
    found.append((f"RAM {mib(machine.ram_free)}", *_row(plan.ram), mib(kept), mib(-plan.ram_lacks)))
    return found


def summary(shape: Shape, plan: Plan) -> str:
    """Where the model runs and how long a conversation may be, in a sentence."""
    setup, n_split = plan.setup, len(split_blocks(shape, plan.setup))
    if not setup.n_card:
        where = "All on the processor"
    elif setup.n_card >= shape.n_layers and not n_split:
        where = "All on the card"
    elif setup.n_card >= shape.n_layers:
        what = "experts" if shape.n_expert else "feed-forward weights"
        where = f"All on the card but the {what} of {n_split} of {len(shape.layers)} blocks"
    else:
        where = f"{setup.n_card} of {shape.n_layers} layers on the card"
    return (
        f"{where}; context {setup.n_ctx:,} tokens, KV cache {setup.kv}, prompts in steps of {setup.n_ubatch}; "
        f"at most {plan.tokens_per_s:.1f} tokens/s by memory bandwidth"
    )


def reasons(shape: Shape, machine: Machine, choice: Choice) -> list[str]:
    """Why this plan, and what the next better one lacks."""
    plan, found = choice.plan, []
    if not plan.fits:
        found += [f"does not fit: {_lack(plan)}; this is the nearest of {choice.n_weighed} plans"]
        found += ["a smaller file, a shorter --n_ctx, or --kv q8_0,q4_0 may"]
        return found
    if machine.card:
        found.append(_budget(machine.card))
    else:
        found.append("no card that this build of llama.cpp can use: planned for the processor")
    other = choice.whole_layers
    if plan.setup.n_split and other:
        found.append(
            f"whole layers in RAM instead ({other.setup.n_card} of {shape.n_layers} on the card) would give "
            f"at most {other.tokens_per_s:.1f} tokens/s"
        )
    if plan.setup.kv != "f16":
        found.append(f"KV cache in {plan.setup.kv}: the room is worth more than the finer cache")
    if shape.n_ctx_train and plan.setup.n_ctx > shape.n_ctx_train:
        found.append(f"the model was trained for {shape.n_ctx_train:,} tokens: answers past them may be poor")
    if choice.better:
        found.append(f"next better: {_brief(shape, choice.better)}; it lacks {_lack(choice.better)}")
    return found


def flags(shape: Shape, plan: Plan) -> str:
    """The plan as flags of the server."""
    setup, kv = plan.setup, _TYPE_NUMBERS[plan.setup.kv]
    given = [f"--n_gpu_layers {setup.n_card}", f"--n_ctx {setup.n_ctx}", f"--n_ubatch {setup.n_ubatch}"]
    if setup.kv != "f16":
        given.append(f"--type_k {kv} --type_v {kv}")
    if setup.n_split:
        given.append(f"--n_cpu_ffn {len(split_blocks(shape, setup))}")
    return " ".join(given)


def as_json(shape: Shape, machine: Machine, choice: Choice) -> dict[str, Any]:
    """The same for a program: bytes and tokens a second."""
    plan, card = choice.plan, machine.card
    return {
        "model": {"name": shape.name, "architecture": shape.architecture, "n_layers": shape.n_layers}
        | {"bytes": shape.n_bytes, "n_ctx_train": shape.n_ctx_train},
        "fits": plan.fits,
        "setup": vars(plan.setup),
        "card": {"name": card.name, "total": card.total, "free": card.free, "reserve": card.reserve} if card else None,
        "ram": {"free": machine.ram_free, "bandwidth": round(machine.ram_bandwidth)},
        "card_bytes": vars(plan.card) if card else None,
        "ram_bytes": vars(plan.ram),
        "tokens_per_s": round(plan.tokens_per_s, 2),
        "lacks": {"card": max(plan.card_lacks, 0), "ram": max(plan.ram_lacks, 0)},
        "reasons": reasons(shape, machine, choice),
        "next_better": {"setup": vars(choice.better.setup), "card_lacks": choice.better.card_lacks}
        if choice.better
        else None,
    }


def mib(n: int) -> str:
    """Whole MiB with separators."""
    return f"{round(n / _MIB):,}"


def _row(sizes: Sizes) -> tuple[str, str, str, str]:
    return mib(sizes.weights), mib(sizes.kv), mib(sizes.compute), mib(sizes.output)


def _budget(card: Card) -> str:
    return (
        f"{mib(card.free)} of {mib(card.total)} MiB of the card are free; {mib(card.reserve)} stay in reserve for what "
        "the driver takes while it computes"
    )


def _brief(shape: Shape, plan: Plan) -> str:
    setup, n_split = plan.setup, len(split_blocks(shape, plan.setup))
    on_card = f"{setup.n_card} of {shape.n_layers} layers on the card" if setup.n_card else "all on the processor"
    but = f", {n_split} of them with their feed-forward weights in RAM" if n_split else ""
    return f"{on_card}{but}, context {setup.n_ctx:,}, KV {setup.kv}, steps of {setup.n_ubatch}"


def _lack(plan: Plan) -> str:
    found = []
    if plan.card_lacks > 0:
        found.append(f"{mib(plan.card_lacks)} MiB on the card")
    if plan.ram_lacks > 0:
        found.append(f"{mib(plan.ram_lacks)} MiB of RAM")
    return " and ".join(found)


def _aligned(table: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[at]) for row in table) for at in range(len(table[0]))]
    return [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
        for row in table
    ]
