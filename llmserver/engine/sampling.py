"""How a token is chosen, as a list of named steps. Decides their order; whoever runs them knows llama.cpp.

The order is llama.cpp's own (common/sampling.cpp), with the cheap cut to top_k before everything that sorts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from llmserver.engine.request import Sampling

RANDOM_SEED = 0xFFFFFFFF  # LLAMA_DEFAULT_SEED: llama.cpp takes one from the system
BAN = float("-inf")


@dataclass(frozen=True)
class Step:
    """One sampler by its name in llama.cpp, llama_sampler_init_NAME, with its arguments."""

    name: str
    args: tuple[float | int, ...] = ()


@dataclass(frozen=True)
class Chain:
    """Biases on single tokens, then the steps. floor: tokens that are banned until min_tokens are there."""

    bias: tuple[tuple[int, float], ...]
    steps: tuple[Step, ...]
    floor: tuple[int, ...] = ()
    needs_prompt: int = 0


def chain(sampling: Sampling, eog: Iterable[int], n_vocab: int) -> Chain:
    """The steps for a request's sampling; neutral values make none."""
    bias = {token: value for token, value in sampling.logit_bias.items() if value}
    bias = {token: BAN if value <= -100 else value for token, value in bias.items()}
    ends = tuple(eog)
    if sampling.ignore_eos:
        bias |= dict.fromkeys(ends, BAN)
    floor = ends if sampling.min_tokens > 0 and not sampling.ignore_eos else ()
    penalties = _penalties(sampling, n_vocab)
    n_prompt = sampling.repeat_last_n if penalties else 0
    return Chain(tuple(bias.items()), (*penalties, *_choice(sampling)), floor, n_prompt)


def _penalties(s: Sampling, n_vocab: int) -> tuple[Step, ...]:
    if s.repeat_last_n == 0 or (s.repeat_penalty == 1.0 and not s.presence_penalty and not s.frequency_penalty):
        return ()
    args = (n_vocab, s.repeat_last_n, s.repeat_penalty, s.frequency_penalty, s.presence_penalty)
    return (Step("penalties", args),)


def _choice(s: Sampling) -> tuple[Step, ...]:
    seed = RANDOM_SEED if s.seed is None else s.seed & 0xFFFFFFFF
    if s.temperature <= 0:
        return (Step("greedy"),)
    if s.mirostat_mode == 1:
        return (Step("temp", (s.temperature,)), Step("mirostat", (seed, s.mirostat_tau, s.mirostat_eta)))
    if s.mirostat_mode == 2:
        return (Step("temp", (s.temperature,)), Step("mirostat_v2", (seed, s.mirostat_tau, s.mirostat_eta)))
    steps = [
        (s.top_k > 0, Step("top_k", (s.top_k,))),
        (s.typical_p < 1.0, Step("typical", (s.typical_p, 1))),
        (s.top_p < 1.0, Step("top_p", (s.top_p, 1))),
        (s.min_p > 0.0, Step("min_p", (s.min_p, 1))),
        (s.temperature != 1.0, Step("temp", (s.temperature,))),
        (True, Step("dist", (seed,))),
    ]
    return tuple(step for wanted, step in steps if wanted)
