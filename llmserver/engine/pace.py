"""How many prompt tokens a step may hold so that the streams beside it keep flowing. Pure: durations come in.

A step's time is taken as a base, what the decoding rows alone cost, plus a price for each prompt token; both are
learned from the steps themselves.
"""

from __future__ import annotations

_WEIGHT = 0.2  # of the newest step in the running averages
_LEAST = 16  # prompt tokens a step, so that a prompt always gets on
_TILE = 64  # rows from which llama.cpp's attention on the CPU works in tiles: 56 rows take longer there than 64


class Pace:
    """Learns what steps cost and answers how large the next may be.

    target_s: seconds that a step may take. prompt_share, 0 to below 1: the part of a step that prompts may take even
    past the target, because a machine that needs the target for its streams alone would never read a prompt.
    """

    def __init__(self, target_s: float, n_batch: int, prompt_share: float = 0.0) -> None:
        self._target_s, self._n_batch = target_s, n_batch
        self._most_bases = 1.0 / (1.0 - prompt_share)  # a step in times of what its decoding rows cost
        self._base_s = 0.0
        self._token_s = 0.0

    def observe(self, n_decode: int, n_prompt: int, seconds: float) -> None:
        """A step with so many decoding rows and prompt tokens took so long."""
        if n_prompt == 0:
            self._base_s = _mean(self._base_s, seconds)
        elif n_prompt >= _LEAST:
            base = self._base_s if n_decode else 0.0
            self._token_s = _mean(self._token_s, max(0.0, seconds - base) / n_prompt)

    def budget(self, n_decode: int) -> int:
        """Prompt tokens for a step beside so many decoding rows; all of the batch when nobody would wait for it."""
        if n_decode == 0:
            return self._n_batch
        if self._token_s <= 0.0:
            return min(self._n_batch - n_decode, 4 * _LEAST)
        target_s = max(self._target_s, self._most_bases * self._base_s)
        fits = int((target_s - self._base_s) / self._token_s)
        if _TILE * 2 // 3 <= n_decode + fits < _TILE:
            fits = _TILE - n_decode
        return max(min(fits, self._n_batch - n_decode), min(_LEAST, self._n_batch - n_decode))

    @property
    def prompt_tokens_per_s(self) -> float:
        """The learned speed of reading, 0 before anything was read."""
        return 1.0 / self._token_s if self._token_s > 0 else 0.0


def _mean(old: float, new: float) -> float:
    return new if old <= 0.0 else old + _WEIGHT * (new - old)
