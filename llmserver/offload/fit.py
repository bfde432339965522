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

from llmserver.offload.devices import cards

if TYPE_CHECKING:
    from llmserver.settings import ModelOptions

log = logging.getLogger("llmserver")
_RESERVES = ("auto", "768MiB", "1536MiB")  # a plan that failed is followed by one that leaves more of the card free
_TYPE_NUMBERS = {"f16": 1, "q8_0": 8}
_PLAN_TIMEOUT_S = 60

Planner = Callable[["ModelOptions", str], dict[str, Any]]
"""What `plan --json` says for these options and a reserve; empty when it says nothing."""


def ladder(
    options: ModelOptions, *, has_card: bool | None = None, plan: Planner | None = None
) -> Iterator[ModelOptions]:
    """Options to try until one loads. The next is only planned when it is asked for."""
    if "n_gpu_layers" in options.model_fields_set or options.n_gpu_layers == 0:
        yield options
        return
    if not (bool(cards()) if has_card is None else has_card):
        yield options
        return
    tried: list[dict[str, Any]] = []
    for reserve in _RESERVES:
        answer = (plan or _plan)(options, reserve)
        if not answer:  # the planner itself failed
            if not tried:
                yield options
            break
        setup = answer.get("setup") or {}
        if not answer.get("fits") or not setup.get("n_card") or setup in tried:
            continue
        tried.append(setup)
        log.info("%s: %s", options.model_alias or options.model, "; ".join(answer.get("reasons", ())))
        yield options.model_copy(update=_update(options, setup))
    yield options.model_copy(update={"n_gpu_layers": 0})


def _update(options: ModelOptions, setup: dict[str, Any]) -> dict[str, Any]:
    kind = _TYPE_NUMBERS.get(setup["kv"])
    found = {"n_gpu_layers": setup["n_card"], "n_cpu_ffn": setup["n_split"], "n_ctx": setup["n_ctx"]}
    found |= {"n_ubatch": setup["n_ubatch"], "type_k": kind, "type_v": kind}
    return {name: value for name, value in found.items() if name not in options.model_fields_set}


def _plan(options: ModelOptions, reserve: str) -> dict[str, Any]:
    given = [sys.executable, "-m", "llmserver", "plan", options.model, "--json", f"--reserve={reserve}"]
    given += [f"--n_ctx={options.n_ctx or 'auto'}", f"--parallel={options.n_parallel}"]
    if options.type_k is not None or options.type_v is not None:
        given.append("--kv=f16")
    if options.rpc_servers:
        given.append(f"--rpc_servers={options.rpc_servers}")
    if "n_ubatch" in options.model_fields_set:
        given.append(f"--n_ubatch={options.n_ubatch}")
    try:
        done = subprocess.run(  # noqa: S603  our own interpreter and module; the path is the owner's
            given, capture_output=True, text=True, timeout=_PLAN_TIMEOUT_S, check=False
        )
        return dict(json.loads(done.stdout))
    except (OSError, ValueError, subprocess.TimeoutExpired) as why:
        log.warning("no plan for the card (%s): every layer is tried on it, then none", why)
        return {}
