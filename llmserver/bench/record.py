"""Decide what the JSON file of a benchmark holds: the machine, every sample, and what was made of them."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from llmserver import __version__
from llmserver.bench.answer import Answer
from llmserver.bench.busy import n_cores
from llmserver.bench.report import Report, compare, pool
from llmserver.bench.scenarios import Run

_LEFT_OUT = ("text", "body", "sent", "stamps")
_DIGITS = 6


def record(report: Report, command: Sequence[str]) -> dict[str, Any]:
    """One JSON object: machine, command, servers, scenarios (medians, ratios, spreads, runs with raw samples)."""
    return {
        "paddock": __version__,
        "written": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": list(command),
        "machine": machine(),
        "seed": report.seed,
        "n_tokens": report.n_tokens,
        "n_problems": report.n_problems,
        "servers": [
            {"label": s.label, "url": s.url, "model": s.model, "n_ctx": s.n_ctx, "offers_usage": s.offers_usage}
            for s in report.servers
        ],
        "scenarios": {name: _scenario(report, name) for name in report.scenarios},
    }


def machine() -> dict[str, Any]:
    """What the benchmark ran on."""
    return {
        "cpu": _cpu_model(),
        "n_cores": os.cpu_count(),
        "n_cores_usable": n_cores(),
        "os": platform.platform(),
        "python": platform.python_version(),
        "load_average": [round(each, 2) for each in os.getloadavg()] if hasattr(os, "getloadavg") else None,
    }


def _scenario(report: Report, name: str) -> dict[str, Any]:
    labels = [server.label for server in report.servers]
    return {
        "figures": [
            {
                "name": row.figure,
                "unit": row.unit,
                "summaries": _by(labels, row.summaries),
                "ratios": _by([f"{labels[0]}/{other}" for other in labels[1:]], row.ratios),
            }
            for row in compare(report, name)
        ],
        "spreads": [
            {"kind": row.kind, "first_s": _by(labels, row.first_s), "gap_s": _by(labels, row.gap_s)}
            for row in pool(report, name)
        ],
        "runs": [_run(run) for run in report.runs if run.scenario == name],
    }


def _by(labels: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    return {label: asdict(value) if value else None for label, value in zip(labels, values, strict=True)}


def _run(run: Run) -> dict[str, Any]:
    return {
        "server": run.server,
        "number": run.number,
        "wall_s": round(run.wall_s, _DIGITS),
        "generator_cpu_s": round(run.cpu_s, _DIGITS),
        "figures": {figure.name: figure.value for figure in run.figures},
        "problems": list(run.problems),
        "samples": [{"kind": sample.kind, **_answer(sample.answer)} for sample in run.samples],
    }


def _answer(answer: Answer) -> dict[str, Any]:
    """An answer's counts and times; what was written in it is left out."""
    kept = {name: value for name, value in asdict(answer).items() if name not in _LEFT_OUT}
    kept |= {"total_s": round(answer.total_s, _DIGITS), "finish_s": _rounded(answer.finish_s)}
    return kept | {"stamps_s": [round(stamp, _DIGITS) for stamp in answer.stamps]}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, _DIGITS)


def _cpu_model() -> str:
    """The processor's name, as /proc/cpuinfo has it, else what Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.lower().startswith(("model name", "hardware")))
    return next(names, "") or platform.processor() or platform.machine()
