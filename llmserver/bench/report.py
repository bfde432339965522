"""Decide what a report says: medians of runs, ratios of servers, as a table for people. Measures nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from llmserver.bench.client import Server
from llmserver.bench.scenarios import Run
from llmserver.bench.stats import Spread, Summary, ratio, spread, summary

_N_PROBLEMS_SHOWN = 1


@dataclass(frozen=True)
class Report:
    """Everything that was measured."""

    servers: tuple[Server, ...]
    runs: tuple[Run, ...]
    seed: int
    n_tokens: int

    @property
    def scenarios(self) -> tuple[str, ...]:
        """The names, in the order of measuring."""
        return tuple(dict.fromkeys(run.scenario for run in self.runs))

    @property
    def n_problems(self) -> int:
        """Errors, cut-off streams and broken promises of all servers."""
        return sum(len(run.problems) for run in self.runs)

    def runs_of(self, scenario: str, label: str) -> list[Run]:
        """The runs of one scenario against one server, in order."""
        return sorted((r for r in self.runs if (r.scenario, r.server) == (scenario, label)), key=lambda r: r.number)


@dataclass(frozen=True)
class Comparison:
    """One figure of one scenario: a summary for each server, and first / other for each server but the first."""

    scenario: str
    figure: str
    unit: str
    summaries: tuple[Summary | None, ...]
    ratios: tuple[Summary | None, ...]


@dataclass(frozen=True)
class Samples:
    """How one kind of answer was spread over all runs, a Spread for each server."""

    scenario: str
    kind: str
    first_s: tuple[Spread | None, ...]
    gap_s: tuple[Spread | None, ...]


def compare(report: Report, scenario: str) -> list[Comparison]:
    """Put the servers' figures side by side; run n of one server is paired with run n of the other."""
    runs = {server.label: report.runs_of(scenario, server.label) for server in report.servers}
    found = []
    for name, unit in dict.fromkeys((f.name, f.unit) for each in runs.values() for r in each for f in r.figures):
        values = [[_value(run, name) for run in each] for each in runs.values()]
        ratios = tuple(ratio(values[0], other) for other in values[1:])
        found.append(Comparison(scenario, name, unit, tuple(map(summary, values)), ratios))
    return found


def pool(report: Report, scenario: str) -> list[Samples]:
    """Spread of first tokens and of gaps for each kind of answer."""
    per_server = [
        [sample for run in report.runs_of(scenario, server.label) for sample in run.samples]
        for server in report.servers
    ]
    kinds = dict.fromkeys(sample.kind for samples in per_server for sample in samples)
    found = []
    for kind in kinds:
        answers = [[s.answer for s in samples if s.kind == kind] for samples in per_server]
        firsts = tuple(spread(a.first_s for a in each if a.first_s is not None) for each in answers)
        gaps = tuple(spread(gap for a in each for gap in a.gaps) for each in answers)
        found.append(Samples(scenario, kind, firsts, gaps))
    return found


def table(report: Report) -> str:
    """The report as text, one block a scenario."""
    lines = [f"{server.label}  {server.url}  {server.model}" for server in report.servers]
    numbers = {run.number for run in report.runs}
    lines.append(
        f"median of {len(numbers)} run{'s' * (len(numbers) != 1)} (least to most), {report.n_tokens} tokens an answer, "
        f"seed {report.seed}" + ("; a ratio is the median over pairs of runs" if len(report.servers) > 1 else "")
    )
    for scenario in report.scenarios:
        rows = [_header(report, scenario), *_figure_rows(report, scenario), *_spread_rows(report, scenario)]
        lines += ["", *_aligned(rows)]
    lines += ["", *_endings(report)]
    return "\n".join(lines) + "\n"


def _value(run: Run, name: str) -> float | None:
    return next((figure.value for figure in run.figures if figure.name == name), None)


def _header(report: Report, scenario: str) -> list[str]:
    labels = [server.label for server in report.servers]
    return [scenario, *labels, *(f"{labels[0]}/{other}" for other in labels[1:])]


def _figure_rows(report: Report, scenario: str) -> Iterator[list[str]]:
    for row in compare(report, scenario):
        unit = "ms" if row.unit == "s" else row.unit
        name = f"  {row.figure}{f', {unit}' if unit else ''}"
        cells = [_summary(each, row.unit) for each in row.summaries]
        yield [name, *cells, *(f"{each.median:.2f}" if each else "-" for each in row.ratios)]


def _spread_rows(report: Report, scenario: str) -> Iterator[list[str]]:
    for row in pool(report, scenario):
        if not any(row.gap_s):
            continue
        if any(found and found.p50 != found.max for found in row.first_s):
            yield [f"  {row.kind}: first token p50 p90 p99 max, ms", *map(_spread, row.first_s)]
        yield [f"  {row.kind}: gaps p50 p90 p99 max, ms", *map(_spread, row.gap_s)]


def _summary(found: Summary | None, unit: str) -> str:
    if found is None:
        return "-"
    if found.min == found.max:
        return _number(found.median, unit)
    return f"{_number(found.median, unit)} ({_number(found.min, unit)} to {_number(found.max, unit)})"


def _spread(found: Spread | None) -> str:
    return " ".join(_number(each, "s") for each in (found.p50, found.p90, found.p99, found.max)) if found else "-"


def _number(value: float, unit: str) -> str:
    if unit == "s":
        value *= 1e3
    is_count = unit in {"", "tokens"}
    return f"{value:,.0f}" if is_count or abs(value) >= 1000 else f"{value:.1f}"


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    n_columns = max(map(len, rows))
    full = [[*row, *[""] * (n_columns - len(row))] for row in rows]
    widths = [max(len(row[column]) for row in full) for column in range(n_columns)]
    for row in full:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _endings(report: Report) -> Iterator[str]:
    """What went wrong at each server, and what the measuring itself cost."""
    for server in report.servers:
        runs = [run for run in report.runs if run.server == server.label]
        n_cut_off = sum(sample.answer.is_cut_off for run in runs for sample in run.samples)
        problems = [(run, why) for run in runs for why in run.problems]
        n_answers = sum(len(run.samples) for run in runs)
        yield f"{server.label}: {n_answers:,} requests, {len(problems) - n_cut_off} errors, {n_cut_off} cut off"
        for run, why in problems[:_N_PROBLEMS_SHOWN]:
            yield f"   the first, in {run.scenario} run {run.number}: {why}"
    yield f"the load generator itself used {100 * _own_share(report.runs):.1f} % of a core"


def _own_share(runs: Iterable[Run]) -> float:
    wall_s = sum(run.wall_s for run in runs)
    return sum(run.cpu_s for run in runs) / wall_s if wall_s else 0.0
