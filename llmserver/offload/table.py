"""A plan in words and figures: a row for each place, why it is so, and what the next better plan lacks. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmserver.offload.memory import Setup, Sizes, split_blocks

if TYPE_CHECKING:
    from llmserver.offload.planner import Card, Choice, Machine, Plan
    from llmserver.offload.shape import Shape

_MIB = 1024 * 1024
_TYPE_NUMBERS = {"f16": 1, "bf16": 30, "q8_0": 8, "q4_0": 2}
_COLUMNS = ("", "weights", "KV", "compute", "output", "reserve", "free")


def text(shape: Shape, machine: Machine, choice: Choice, workers: str = "") -> str:
    """The whole answer for a terminal. workers: whose devices are among the cards, as --rpc_servers names them."""
    plan = choice.plan
    lines = [
        f"{shape.name or shape.architecture}: {shape.architecture}, {len(shape.layers)} blocks and the output, "
        f"{mib(shape.n_bytes)} MiB",
        "",
        *_aligned([_COLUMNS, *rows(machine, plan)]),
        "MiB",
        "",
        summary(shape, machine, plan),
        *(f"- {reason}" for reason in reasons(shape, machine, choice)),
    ]
    if plan.fits:
        beside = f"--rpc_servers {workers} " if workers else ""
        lines += ["", f"python -m llmserver {beside}{flags(shape, plan)}"]
    return "\n".join(lines)


def rows(machine: Machine, plan: Plan) -> list[tuple[str, ...]]:
    """A row for each place: its name, then MiB."""
    found: list[tuple[str, ...]] = []
    for card, sizes, lacks in zip(machine.cards, plan.cards, plan.card_lacks, strict=True):
        kept = card.reserve + card.total - card.free
        found.append((f"{card.name} {mib(card.total)}", *_row(sizes), mib(kept), mib(-lacks)))
    kept = machine.ram_free - machine.ram_budget
    found.append((f"RAM {mib(machine.ram_free)}", *_row(plan.ram), mib(kept), mib(-plan.ram_lacks)))
    return found


def summary(shape: Shape, machine: Machine, plan: Plan) -> str:
    """Where the model runs and how long a conversation may be, in a sentence."""
    setup, n_split = plan.setup, len(split_blocks(shape, plan.setup))
    if not setup.n_card:
        where = "All on the processor"
    elif setup.n_card < shape.n_layers:
        where = _layers(shape, machine, setup)
    else:
        where = f"All {_on(machine, setup)}"
        if n_split:
            what = "experts" if shape.n_expert else "feed-forward weights"
            where += f" but the {what} of {n_split} of {len(shape.layers)} blocks"
    return (
        f"{where}; context {setup.n_ctx:,} tokens, KV cache {setup.kv}, prompts in steps of {setup.n_ubatch}; "
        f"at most {plan.tokens_per_s:.1f} tokens/s by memory bandwidth"
    )


def reasons(shape: Shape, machine: Machine, choice: Choice) -> list[str]:
    """Why this plan, and what the next better one lacks."""
    plan, found = choice.plan, []
    if not plan.fits:
        found += [f"does not fit: {_lack(machine, plan)}; this is the nearest of {choice.n_weighed} plans"]
        found += ["a smaller file, a shorter --n_ctx, or --kv q8_0,q4_0 may"]
        return found
    found += [_budget(card, _name(machine, at)) for at, card in enumerate(machine.cards)]
    if not machine.cards:
        found.append("no card that this build of llama.cpp can use: planned for the processor")
    other = choice.whole_layers
    if plan.setup.n_split and other:
        found.append(
            f"whole layers in RAM instead, {_layers(shape, machine, other.setup)}, would give "
            f"at most {other.tokens_per_s:.1f} tokens/s"
        )
    if plan.setup.kv != "f16":
        found.append(f"KV cache in {plan.setup.kv}: the room is worth more than the finer cache")
    if shape.n_ctx_train and plan.setup.n_ctx > shape.n_ctx_train:
        found.append(f"the model was trained for {shape.n_ctx_train:,} tokens: answers past them may be poor")
    if choice.better:
        found.append(f"next better: {_brief(shape, machine, choice.better)}; it lacks {_lack(machine, choice.better)}")
    return found


def flags(shape: Shape, plan: Plan) -> str:
    """The plan as flags of the server."""
    setup, kv = plan.setup, _TYPE_NUMBERS[plan.setup.kv]
    given = [f"--n_gpu_layers {setup.n_card}", f"--n_ctx {setup.n_ctx}", f"--n_ubatch {setup.n_ubatch}"]
    if setup.n_card and len(setup.layers_by_card) > 1:
        given.append(f"--tensor_split {' '.join(map(str, setup.layers_by_card))}")
    if setup.kv != "f16":
        given.append(f"--type_k {kv} --type_v {kv}")
    if setup.n_split:
        given.append(f"--n_cpu_ffn {len(split_blocks(shape, setup))}")
    return " ".join(given)


def as_json(shape: Shape, machine: Machine, choice: Choice) -> dict[str, Any]:
    """The same for a program: bytes and tokens a second."""
    plan, better = choice.plan, choice.better
    return {
        "model": {"name": shape.name, "architecture": shape.architecture, "n_layers": shape.n_layers}
        | {"bytes": shape.n_bytes, "n_ctx_train": shape.n_ctx_train},
        "fits": plan.fits,
        "setup": vars(plan.setup),
        "cards": [
            {**vars(card), "layers": layers, "bytes": vars(sizes), "lacks": max(lacks, 0)}
            for card, layers, sizes, lacks in zip(
                machine.cards, plan.setup.layers_by_card, plan.cards, plan.card_lacks, strict=True
            )
        ],
        "ram": {"free": machine.ram_free, "bandwidth": round(machine.ram_bandwidth)},
        "ram_bytes": vars(plan.ram),
        "tokens_per_s": round(plan.tokens_per_s, 2),
        "lacks": {"card": _lacks_on_cards(plan), "ram": max(plan.ram_lacks, 0)},
        "reasons": reasons(shape, machine, choice),
        "next_better": {"setup": vars(better.setup), "card_lacks": _lacks_on_cards(better)} if better else None,
    }


def mib(n: int) -> str:
    """Whole MiB with separators."""
    return f"{round(n / _MIB):,}"


def _row(sizes: Sizes) -> tuple[str, str, str, str]:
    return mib(sizes.weights), mib(sizes.kv), mib(sizes.compute), mib(sizes.output)


def _name(machine: Machine, at: int) -> str:
    return "the card" if len(machine.cards) == 1 else machine.cards[at].name


def _budget(card: Card, name: str) -> str:
    why = (
        ", measured at an earlier load" if card.reserve_is_measured else " for what the driver takes while it computes"
    )
    return f"{mib(card.free)} of {mib(card.total)} MiB of {name} are free; {mib(card.reserve)} stay in reserve{why}"


def _on(machine: Machine, setup: Setup) -> str:
    """On which of the cards, with the layers of each where there are several."""
    used = [at for at, n in enumerate(setup.layers_by_card) if n]
    if len(used) == 1:
        return f"on {_name(machine, used[0])}"
    return f"on the cards ({' + '.join(map(str, setup.layers_by_card))})"


def _layers(shape: Shape, machine: Machine, setup: Setup) -> str:
    if not setup.n_card:
        return "all on the processor"
    return f"{setup.n_card} of {shape.n_layers} layers {_on(machine, setup)}"


def _brief(shape: Shape, machine: Machine, plan: Plan) -> str:
    setup, n_split = plan.setup, len(split_blocks(shape, plan.setup))
    but = f", {n_split} of them with their feed-forward weights in RAM" if n_split else ""
    where = _layers(shape, machine, setup)
    return f"{where}{but}, context {setup.n_ctx:,}, KV {setup.kv}, steps of {setup.n_ubatch}"


def _lacks_on_cards(plan: Plan) -> int:
    return sum(max(lacks, 0) for lacks in plan.card_lacks)


def _lack(machine: Machine, plan: Plan) -> str:
    found = [f"{mib(lacks)} MiB on {_name(machine, at)}" for at, lacks in enumerate(plan.card_lacks) if lacks > 0]
    if plan.ram_lacks > 0:
        found.append(f"{mib(plan.ram_lacks)} MiB of RAM")
    return " and ".join(found)


def _aligned(table: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[at]) for row in table) for at in range(len(table[0]))]
    return [
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
        for row in table
    ]
