"""The values that travel between a client and the engine: what is asked, and the events that answer it.

Every accepted request ends with exactly one Finished or Failed. Knows nothing of llama.cpp, threads or clocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from llmserver.errors import LlmServerError

if TYPE_CHECKING:
    from llmserver.text.grammar import Grammar


@dataclass(frozen=True)
class Adapter:
    """A LoRA in force for a request. Cells computed under one are a different text: it is part of every cache key.

    The serial tells two files apart that were loaded under the same name.
    """

    name: str
    scale: float = 1.0
    serial: int = 0


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen; a value at its neutral point costs nothing. A temperature of 0 is greedy."""

    temperature: float = 0.8
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    typical_p: float = 1.0
    repeat_penalty: float = 1.0
    repeat_last_n: int = 64
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    mirostat_mode: int = 0
    mirostat_tau: float = 5.0
    mirostat_eta: float = 0.1
    seed: int | None = None
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    grammar: Grammar | None = None
    ignore_eos: bool = False
    min_tokens: int = 0


@dataclass(frozen=True)
class Request:
    """One prompt and one answer to it.

    tokens: the whole prompt. max_tokens: None is until the context is full. n_logprobs: how many alternatives to
    report beside each chosen token, None for no log probabilities at all. prompt_logprobs: report those of the
    prompt's tokens too. owner: who asks; waiting requests of different owners take turns. preserved: special
    tokens that appear in the text instead of vanishing.
    """

    tokens: tuple[int, ...]
    max_tokens: int | None = None
    sampling: Sampling = Sampling()
    stop: tuple[str, ...] = ()
    n_logprobs: int | None = None
    prompt_logprobs: bool = False
    adapter: Adapter | None = None
    owner: str = ""
    preserved: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Logprob:
    """Natural logarithm of a token's probability before sampling, and the likeliest alternatives, best first."""

    token: int
    value: float
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class Waiting:
    """The request is in the queue; position 1 is next: so many requests have to get on before it does."""

    position: int


@dataclass(frozen=True)
class Reading:
    """The prompt is being read: counts in tokens, done includes cached."""

    total: int
    cached: int
    done: int
    time_ms: float


@dataclass(frozen=True)
class PromptLogprobs:
    """Log probabilities of prompt tokens from the index first on; the very first token of a prompt has none."""

    first: int
    values: tuple[Logprob, ...]


class Token(NamedTuple):
    """One token of the answer. The text may be empty: half a character, or what could begin a stop string."""

    token: int
    text: str
    logprob: Logprob | None = None


@dataclass(frozen=True)
class Usage:
    """What the request cost: counts in tokens, times in milliseconds. cached tokens were not read again."""

    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    queue_ms: float = 0.0
    prompt_ms: float = 0.0
    predicted_ms: float = 0.0


@dataclass(frozen=True)
class Finished:
    """The answer is whole. reason: stop or length; text: what was held back; stopped: the stop string met."""

    reason: str
    usage: Usage
    text: str = ""
    stopped: str | None = None


@dataclass(frozen=True)
class Failed:
    """The answer will not come, or not to its end."""

    error: LlmServerError


Event = Waiting | Reading | PromptLogprobs | Token | Finished | Failed
