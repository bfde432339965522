"""Which setups a server tries in turn: the plan for the card, plans that leave more of it free, the processor alone.

What the user set stays as it is. The planner runs in a process of its own: a driver that ends it ends only the plan.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from llmserver.offload.devices import names

if TYPE_CHECKING:
    from llmserver.settings import ModelOptions

log = logging.getLogger("llmserver")
_MIB = 1024 * 1024
_MOST_PLANS = 3
_STEP = 512 * _MIB  # that a plan leaves free beyond the one that failed
_TYPE_NUMBERS = {"f16": 1, "q8_0": 8}
_TYPE_NAMES = {1: "f16", 30: "bf16", 8: "q8_0", 2: "q4_0"}  # ggml_type in ggml.h
_PLAN_TIMEOUT_S = 60

Planner = Callable[["ModelOptions", str], dict[str, Any]]
"""What `plan --json` says for these options and a reserve; empty when it says nothing."""


def ladder(
    options: ModelOptions,
    *,
    has_card: bool | None = None,
    plan: Planner | None = None,
    lacked: Callable[[], int] = lambda: 0,
) -> Iterator[ModelOptions]:
    """Options to try until one loads. The next is only planned when it is asked for.

    lacked: bytes of the card that the last one was short of, 0 where nobody knows.
    """
    plan = plan or _plan
    if options.n_gpu_layers == 0 or not (bool(names()) if has_card is None else has_card):
        yield options
        return
    if "n_gpu_layers" in options.model_fields_set:
        _check(options, plan)
        yield options
        return
    tried: list[dict[str, Any]] = []
    reserve = "auto"
    for _ in range(_MOST_PLANS):
        answer = plan(options, reserve)
        if not answer:  # the planner itself failed
            if not tried:
                yield options
            break
        setup = answer.get("setup") or {}
        if answer.get("fits") and setup.get("n_card") and setup not in tried:
            tried.append(setup)
            log.info("%s: %s", options.model_alias or options.model, "; ".join(answer.get("reasons", ())))
            yield options.model_copy(update=_update(options, setup))
        reserve = str(_reserve(answer) + max(_STEP, lacked()))
    yield options.model_copy(update={"n_gpu_layers": 0})


def _check(options: ModelOptions, plan: Planner) -> None:
    """Warn where a number of layers that the user set is more than the planner would dare."""
    if options.n_cpu_ffn:
        return  # `plan` takes no wish for these
    short = (plan(options, "auto").get("lacks") or {}).get("card", 0)
    if short <= 0:
        return
    freely = options.model_copy()
    freely.model_fields_set.discard("n_gpu_layers")
    setup = plan(freely, "auto").get("setup") or {}
    better = f"--n_gpu_layers {setup['n_card']} would fit" if setup.get("n_card") else "fewer layers would fit"
    log.warning(
        "%s: --n_gpu_layers %d takes %d MiB more than the card has to give; trying it as asked (%s)",
        options.model_alias or options.model,
        options.n_gpu_layers,
        -(-short // _MIB),
        better,
    )


def _reserve(answer: dict[str, Any]) -> int:
    """The largest reserve of a plan's cards."""
    return max((int(card["reserve"]) for card in answer.get("cards") or ()), default=0)


def _update(options: ModelOptions, setup: dict[str, Any]) -> dict[str, Any]:
    kind = _TYPE_NUMBERS.get(setup["kv"])
    found = {"n_gpu_layers": setup["n_card"], "n_cpu_ffn": setup["n_split"], "n_ctx": setup["n_ctx"]}
    found |= {"n_ubatch": setup["n_ubatch"], "type_k": kind, "type_v": kind}
    by_card = setup.get("layers_by_card") or ()
    if len(by_card) > 1:
        found["tensor_split"] = [float(n) for n in by_card]
    return {name: value for name, value in found.items() if name not in options.model_fields_set}


def _plan(options: ModelOptions, reserve: str) -> dict[str, Any]:
    given = [sys.executable, "-m", "llmserver", "plan", options.model, "--json", f"--reserve={reserve}"]
    given += [f"--parallel={options.n_parallel}", f"--card_mib={options.card_mib}"]
    if options.type_k is not None or options.type_v is not None:
        given.append(f"--kv={_TYPE_NAMES.get(options.type_k or 1, 'f16')}")
    if options.card_gbs:
        given.append(f"--card_gbs={options.card_gbs}")
    if options.rpc_servers:
        given.append(f"--rpc_servers={options.rpc_servers}")
    given += [f"--adapter={adapter.split('=')[1]}" for adapter in options.adapters]  # NAME=PATH or NAME=PATH=SCALE
    for name in ("n_ctx", "n_ubatch", "n_gpu_layers"):
        if name in options.model_fields_set:
            given.append(f"--{name}={getattr(options, name)}")
    try:
        done = subprocess.run(  # noqa: S603  our own interpreter and module; the path is the owner's
            given, capture_output=True, text=True, timeout=_PLAN_TIMEOUT_S, check=False
        )
        return dict(json.loads(done.stdout))
    except (OSError, ValueError, subprocess.TimeoutExpired) as why:
        log.warning("no plan for the card (%s): every layer is tried on it, then none", why)
        return {}
