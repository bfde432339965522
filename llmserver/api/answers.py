"""What every kind of answer says of itself: ids, usage, timings, log probabilities."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llmserver import __version__
from llmserver.engine.request import Finished, Logprob, Usage

FINGERPRINT = f"paddock-{__version__}"
_LEAST = -9999.0  # what OpenAI sends for a probability of zero: JSON has no infinity


@dataclass(frozen=True)
class Head:
    """What all parts of one answer have in common."""

    id: str
    object: str
    created: int
    model: str

    def fields(self) -> dict[str, Any]:
        """As the beginning of a JSON object."""
        return {
            "id": self.id,
            "object": self.object,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": FINGERPRINT,
        }


def new_head(prefix: str, kind: str, model: str) -> Head:
    """A head with a new id and the time now."""
    return Head(f"{prefix}-{secrets.token_hex(12)}", kind, int(time.time()), model)


def usage_of(finished: Sequence[Finished], n_each: int) -> dict[str, Any]:
    """OpenAI's usage object. Of n_each answers to one prompt, in a row, the prompt is counted once."""
    firsts = [end.usage for end in finished[::n_each]]
    n_prompt = sum(usage.prompt_tokens for usage in firsts)
    n_answer = sum(end.usage.completion_tokens for end in finished)
    return {
        "prompt_tokens": n_prompt,
        "completion_tokens": n_answer,
        "total_tokens": n_prompt + n_answer,
        "prompt_tokens_details": {"cached_tokens": sum(usage.cached_tokens for usage in firsts)},
    }


def timings_of(finished: Sequence[Finished]) -> dict[str, Any]:
    """llama-server's timings object; of several answers the counts are summed and the longest times count."""
    usages: list[Usage] = [end.usage for end in finished]
    n_cached = sum(usage.cached_tokens for usage in usages)
    n_read = sum(usage.prompt_tokens for usage in usages) - n_cached
    n_predicted = sum(usage.completion_tokens for usage in usages)
    prompt_ms = max((usage.prompt_ms for usage in usages), default=0.0)
    predicted_ms = max((usage.predicted_ms for usage in usages), default=0.0)
    return {
        "cache_n": n_cached,
        "prompt_n": n_read,
        "prompt_ms": prompt_ms,
        "prompt_per_token_ms": _ratio(prompt_ms, n_read),
        "prompt_per_second": _ratio(1000 * n_read, prompt_ms),
        "predicted_n": n_predicted,
        "predicted_ms": predicted_ms,
        "predicted_per_token_ms": _ratio(predicted_ms, n_predicted),
        "predicted_per_second": _ratio(1000 * n_predicted, predicted_ms),
    }


def _ratio(above: float, below: float) -> float:
    return round(above / below, 3) if below else 0.0


def finite(logprob: float) -> float:
    """A log probability that JSON can hold."""
    return logprob if logprob > _LEAST else _LEAST


def logprob_entry(logprob: Logprob, pieces: Sequence[bytes]) -> dict[str, Any]:
    """One entry of a chat completion's logprobs.content."""
    top = [_token_entry(token, value, pieces) for token, value in logprob.top]
    return {**_token_entry(logprob.token, logprob.value, pieces), "top_logprobs": top}


def _token_entry(token: int, value: float, pieces: Sequence[bytes]) -> dict[str, Any]:
    piece = pieces[token]
    return {"token": piece.decode("utf-8", "replace"), "logprob": finite(value), "bytes": list(piece)}
