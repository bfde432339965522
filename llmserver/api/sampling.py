"""From a request's fields to the engine's values: sampling, logit bias, seeds, and who asks."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from typing import TYPE_CHECKING

from fastapi import Request as HttpRequest

from llmserver.api.fields import SamplingFields
from llmserver.engine.request import Sampling
from llmserver.errors import RequestError

if TYPE_CHECKING:
    from llmserver.engine.pool import Use
    from llmserver.engine.service import Service
    from llmserver.text.grammar import Grammar

_SAME_NAME = (
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "typical_p",
    "repeat_penalty",
    "repeat_last_n",
    "presence_penalty",
    "frequency_penalty",
    "mirostat_mode",
    "mirostat_tau",
    "mirostat_eta",
    "ignore_eos",
    "min_tokens",
)
_BAN = -100
_N_SEEDS = 2**32 - 1  # llama.cpp takes 32 bits and keeps the highest value for "random"


def sampling_of(body: SamplingFields, use: Use, grammar: Grammar | None) -> Sampling:
    """The sampling that the fields ask for. Raises RequestError for a bias on a token that does not exist."""
    service = use.service
    given = {name: value for name in _SAME_NAME if (value := getattr(body, name)) is not None}
    if "repeat_last_n" in given:  # -1 is the whole context, and more than that there is not
        last_n, n_ctx = given["repeat_last_n"], service.info.n_ctx
        given["repeat_last_n"] = n_ctx if last_n == -1 else min(last_n, n_ctx)
    return Sampling(**given, seed=_seed(body, use), logit_bias=_bias(body, service), grammar=grammar)


def _seed(body: SamplingFields, use: Use) -> int | None:
    """The request's seed, else the one in the model's settings; None is random."""
    seed = use.settings.seed if body.seed is None else body.seed
    return None if seed in (-1, _N_SEEDS) else seed % _N_SEEDS


def variants(sampling: Sampling, n: int) -> list[Sampling]:
    """The sampling of each of n answers to one prompt: a given seed counts up."""
    if sampling.seed is None:
        return [sampling] * n
    return [replace(sampling, seed=(sampling.seed + i) % _N_SEEDS) for i in range(n)]


def _bias(body: SamplingFields, service: Service) -> dict[int, float]:
    found: dict[int, float] = {}
    for key, value in (body.logit_bias or {}).items():
        amount = -math.inf if value == _BAN else value
        found |= dict.fromkeys(_biased_tokens(key, service, is_text=body.logit_bias_type == "tokens"), amount)
    return found


def _biased_tokens(key: str, service: Service, *, is_text: bool) -> list[int]:
    if is_text:
        return service.tokenize(key, bos=False, special=True)
    n_vocab = service.info.n_vocab
    is_id = key.isascii() and key.isdigit() and len(key) <= len(str(n_vocab))
    if not is_id or int(key) >= n_vocab:
        raise RequestError(
            f"logit_bias: {key[:40]!r} is no token id of this model: 0 to {n_vocab - 1}; "
            'for texts send logit_bias_type "tokens"',
            param="logit_bias",
        )
    return [int(key)]


def owner_of(request: HttpRequest) -> str:
    """Who asks: a digest of the API key, else the client's address."""
    key = request.headers.get("authorization", "").partition(" ")[2].strip()
    if key:
        return "key " + hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()[:16]
    return f"address {request.client.host}" if request.client else ""
