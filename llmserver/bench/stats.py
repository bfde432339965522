"""Reduce samples to the figures of a report: percentiles, medians of runs, ratios of pairs. Knows no servers."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """What a set of samples looks like."""

    p50: float
    p90: float
    p99: float
    max: float


@dataclass(frozen=True)
class Summary:
    """One figure over the runs."""

    median: float
    min: float
    max: float


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value below which that share (0 to 1) of the ordered samples lies, between neighbours in proportion."""
    at = share * (len(ordered) - 1)
    below = int(at)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (at - below)


def spread(samples: Iterable[float]) -> Spread | None:
    """p50, p90, p99 and the largest, or None without samples."""
    ordered = sorted(samples)
    if not ordered:
        return None
    return Spread(percentile(ordered, 0.5), percentile(ordered, 0.9), percentile(ordered, 0.99), ordered[-1])


def median(samples: Iterable[float | None]) -> float | None:
    """The median of what was measured, or None."""
    known = [value for value in samples if value is not None]
    return statistics.median(known) if known else None


def summary(samples: Iterable[float | None]) -> Summary | None:
    """Median, least and most of what was measured, or None."""
    known = [value for value in samples if value is not None]
    return Summary(statistics.median(known), min(known), max(known)) if known else None


def ratio(ours: Sequence[float | None], theirs: Sequence[float | None]) -> Summary | None:
    """ours / theirs of each pair of runs that stood side by side; the median of pairs outlives a slow drift."""
    pairs = zip(ours, theirs, strict=False)
    return summary(a / b for a, b in pairs if a is not None and b)
