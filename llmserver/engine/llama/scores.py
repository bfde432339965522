"""Log probabilities out of a row of logits: log softmax, and the best of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from llmserver.engine.request import Logprob


def logprob(logits: np.ndarray[Any, Any], token: int, n_top: int) -> Logprob:
    """A token's log probability (natural) among all logits of its row, shape (n_vocab,), and the n_top likeliest."""
    row = logits.astype(np.float64)
    highest = row.max()
    total = highest + np.log(np.exp(row - highest).sum())
    best = np.argpartition(row, -n_top)[-n_top:] if n_top else np.empty(0, np.int64)
    best = best[np.argsort(-row[best], kind="stable")]
    return Logprob(token, float(row[token] - total), tuple((int(t), float(row[t] - total)) for t in best))
