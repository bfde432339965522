"""Count what the engines do, and tell it as Prometheus text. Engines write their own numbers, a scrape reads them.

An engine's thread is the only writer of its model's counts: plain numbers suffice, and one token costs about a
microsecond.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from llmserver.engine.plan import Plan, Result
from llmserver.engine.request import Failed, Finished, Token
from llmserver.ram import resident_bytes

if TYPE_CHECKING:
    from llmserver.engine.info import Placement
    from llmserver.engine.service import Stats
    from llmserver.engine.worker import Events

_FIRST_TOKEN_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_GAP_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5)
_PROMPT_TOKENS = (16.0, 64.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0, 32768.0, 65536.0)


class Histogram:
    """How many values fell below each bound, and their sum."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """One more value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative counts by upper bound, as Prometheus wants them."""
        names = [*map(str, self.bounds), "+Inf"]
        return list(zip(names, accumulate(map(float, self.counts)), strict=True))


class ModelMetrics:
    """The counts of one model, for all its loads. Counts in tokens, times in seconds."""

    def __init__(self) -> None:
        self.read = self.prompts = self.cached = self.generated = self.n_steps = 0
        self.read_s = self.generate_s = 0.0
        self.outcomes: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()  # of the event loop; all other counts are the engine's
        self.first_token, self.queue_wait = Histogram(_FIRST_TOKEN_S), Histogram(_FIRST_TOKEN_S)
        self.gap, self.step = Histogram(_GAP_S), Histogram(_GAP_S)
        self.prompt_length = Histogram(_PROMPT_TOKENS)
        self._spoke: dict[int, float] = {}  # when each request's last token went out
        self._decoding: set[int] = set()
        self._ended_now: list[int] = []  # in this step, which is told after its events

    def stepped(self, plan: Plan, result: Result) -> None:
        """A step of a model that generates is over."""
        if not result.seconds:
            return  # nothing was computed
        self.n_steps += 1
        self.step.observe(result.seconds)
        for work in plan.work:
            n = len(work.tokens)
            if n == 1 and work.request in self._decoding:
                continue
            self.read += n
            if work.samples and work.request in self._spoke:
                self._decoding.add(work.request)
        self._forget()

    def sent(self, events: Events, now: float) -> None:
        """Events of a model that generates went out."""
        spoke, n_tokens = self._spoke, 0
        for number, event in events:
            kind = type(event)
            if kind is Token:
                n_tokens += 1
                before = spoke.get(number)
                if before is not None:
                    self.gap.observe(now - before)
                spoke[number] = now
            elif kind is Finished:
                self._finished(number, event)  # type: ignore[arg-type]
            elif kind is Failed:
                self._ended(number, event.error.code)  # type: ignore[union-attr]
        self.generated += n_tokens

    def refused(self, code: str) -> None:
        """A request was turned away."""
        self.refusals[code] += 1

    def cancelled(self, number: int) -> None:
        """A request is not wanted any more."""
        self._ended(number, "cancelled")
        self._forget()

    def _finished(self, number: int, end: Finished) -> None:
        usage = end.usage
        self.prompts += usage.prompt_tokens
        self.cached += usage.cached_tokens
        self.read_s += usage.prompt_ms / 1000
        self.generate_s += usage.predicted_ms / 1000
        self.first_token.observe((usage.queue_ms + usage.prompt_ms) / 1000)
        self.queue_wait.observe(usage.queue_ms / 1000)
        self.prompt_length.observe(usage.prompt_tokens)
        self._ended(number, end.reason)

    def _ended(self, number: int, outcome: str) -> None:
        self.outcomes[outcome] += 1
        self._spoke.pop(number, None)
        self._ended_now.append(number)

    def _forget(self) -> None:
        if self._ended_now:
            self._decoding.difference_update(self._ended_now)
            self._ended_now.clear()

    def embedded(self, n_tokens: int, seconds: float) -> None:
        """A batch of inputs is embedded or ranked."""
        self.read += n_tokens
        self.read_s += seconds
        self.n_steps += 1
        self.step.observe(seconds)

    def answered(self, outcome: str, n_tokens: int, seconds: float, queue_s: float) -> None:
        """A request for embeddings or ranks is over."""
        self.outcomes[outcome] += 1
        if outcome == "done":
            self.prompts += n_tokens
            self.queue_wait.observe(queue_s)
            self.prompt_length.observe(n_tokens)

    @property
    def hit_rate(self) -> float:
        """The share of the prompts of finished requests that was in memory already."""
        return self.cached / self.prompts if self.prompts else 0.0


@dataclass(frozen=True)
class Now:
    """One model at the moment of a scrape; stats are None where it is not loaded."""

    name: str
    planned_bytes: int
    stats: Stats | None
    placement: Placement | None = None


class Metrics:
    """The counts of all models of the process."""

    def __init__(self) -> None:
        self._models: dict[str, ModelMetrics] = {}

    def of(self, name: str) -> ModelMetrics:
        """The counts of a model; the same ones however often it is loaded."""
        return self._models.setdefault(name, ModelMetrics())

    def render(self, now: Sequence[Now]) -> bytes:
        """Everything as Prometheus text, format 0.0.4."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Scrape([(at, self.of(at.name)) for at in now]))
        return generate_latest(registry)


Pair = tuple[Now, ModelMetrics]
# (name, help, value)
_COUNTERS: tuple[tuple[str, str, Callable[[ModelMetrics], float]], ...] = (
    ("prompt_tokens", "Prompt tokens that were computed.", lambda m: m.read),
    ("cached_prompt_tokens", "Prompt tokens of finished requests that were in memory already.", lambda m: m.cached),
    ("generated_tokens", "Tokens of answers.", lambda m: m.generated),
    ("steps", "Batches that were computed.", lambda m: m.n_steps),
)
_HISTOGRAMS: tuple[tuple[str, str, Callable[[ModelMetrics], Histogram]], ...] = (
    ("time_to_first_token_seconds", "From a request's arrival to its first token.", lambda m: m.first_token),
    ("inter_token_seconds", "Between two tokens of an answer.", lambda m: m.gap),
    ("queue_wait_seconds", "From a request's arrival to the start of its computation.", lambda m: m.queue_wait),
    ("step_seconds", "What one batch took.", lambda m: m.step),
    ("prompt_length_tokens", "Tokens of the prompts of finished requests.", lambda m: m.prompt_length),
)
_GAUGES: tuple[tuple[str, str, Callable[[Stats], float]], ...] = (
    ("requests_running", "Requests that are computed now.", lambda s: s.running),
    ("requests_waiting", "Requests in the queue.", lambda s: s.waiting),
    ("kv_cells_used", "Cells of the KV cache in use.", lambda s: s.cells_used),
    ("kv_cells", "Cells of the KV cache.", lambda s: s.cells_total),
    ("idle_sequences", "Conversations that wait in the KV cache.", lambda s: s.idle_sequences),
    ("host_cache_bytes", "Conversations that wait in host RAM.", lambda s: s.host_bytes),
    ("host_cache_limit_bytes", "The most that those may take.", lambda s: s.host_limit_bytes),
    ("host_cache_entries", "How many wait there.", lambda s: s.host_entries),
)


class _Scrape(Collector):
    """One moment of all models, in prometheus_client's terms."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        self._pairs = pairs

    def collect(self) -> Iterable[Metric]:
        """Counters, histograms, gauges, then llama-server's names."""
        for name, told, count in _COUNTERS:
            yield self._counter(name, told, lambda pair, count=count: count(pair[1]))  # type: ignore[misc]
        yield self._outcomes()
        preempted = "Requests that lost their place to older ones for a while, since the model was loaded."
        yield self._counter("preemptions", preempted, lambda pair: pair[0].stats.preempted if pair[0].stats else 0)
        for name, told, of in _HISTOGRAMS:
            family = HistogramMetricFamily(f"llmserver_{name}", told, labels=["model"])
            for now, counts in self._pairs:
                family.add_metric([now.name], of(counts).buckets(), of(counts).sum)
            yield family
        for name, told, gauge in _GAUGES:
            family_ = GaugeMetricFamily(f"llmserver_{name}", told, labels=["model"])
            for now, _ in self._pairs:
                if now.stats is not None:
                    family_.add_metric([now.name], gauge(now.stats))
            yield family_
        yield from self._memory()
        yield from self._places()
        yield from self._as_llama_server()

    def _counter(self, name: str, told: str, value: Callable[[Pair], float]) -> CounterMetricFamily:
        family = CounterMetricFamily(f"llmserver_{name}", told, labels=["model"])
        for pair in self._pairs:
            family.add_metric([pair[0].name], value(pair))
        return family

    def _outcomes(self) -> CounterMetricFamily:
        told = "Requests that ended, by how: stop, length, done (embeddings), cancelled, or the code of the error."
        family = CounterMetricFamily("llmserver_requests", told, labels=["model", "outcome"])
        for now, counts in self._pairs:
            for outcome, n in sorted((counts.outcomes + counts.refusals).items()):
                family.add_metric([now.name, outcome], n)
        return family

    def _memory(self) -> Iterable[Metric]:
        rate = GaugeMetricFamily(
            "llmserver_prefix_hit_rate", "Share of prompt tokens that were in memory already.", labels=["model"]
        )
        planned = GaugeMetricFamily(
            "llmserver_model_planned_bytes", "Weights and KV cache of a loaded model, as planned.", labels=["model"]
        )
        for now, counts in self._pairs:
            rate.add_metric([now.name], counts.hit_rate)
            planned.add_metric([now.name], now.planned_bytes if now.stats is not None else 0)
        yield rate
        yield planned
        yield GaugeMetricFamily("llmserver_resident_bytes", "What the process really takes.", value=resident_bytes())

    def _places(self) -> Iterable[Metric]:
        """Where loaded models lie: as planned, as llama.cpp allocated it, and what the cards had left."""
        kinds = ["model", "place", "kind"]
        planned = GaugeMetricFamily(
            "llmserver_planned_bytes", "Weights and KV cache by place, as planned.", labels=kinds
        )
        told = "Buffers that llama.cpp made, by device."
        allocated = GaugeMetricFamily("llmserver_allocated_bytes", told, labels=["model", "device", "kind"])
        told = "Free memory of a card before the load, loaded, and warm (after a full batch)."
        free = GaugeMetricFamily("llmserver_card_free_bytes", told, labels=["model", "device", "when"])
        layers = GaugeMetricFamily("llmserver_layers", "Layers of a loaded model, by place.", labels=["model", "place"])
        for now, _ in self._pairs:
            if (placement := now.placement) is None:
                continue
            layers.add_metric([now.name, "card"], placement.n_gpu_layers)
            layers.add_metric([now.name, "ram"], placement.n_layers - placement.n_gpu_layers)
            for place in ("card", "ram"):
                _add(planned, now.name, place, placement.planned.get(place, {}))
            for device, took in placement.allocated.items():
                _add(allocated, now.name, device, took)
            for device, left in placement.free.items():
                _add(free, now.name, device, left)
        yield from (planned, allocated, free, layers)

    def _as_llama_server(self) -> Iterable[Metric]:
        """The names of llama-server's own page, summed over the models, for dashboards that know them."""
        counts = [model for _, model in self._pairs]
        stats = [now.stats for now, _ in self._pairs if now.stats is not None]
        for name, told, value in (
            ("prompt_tokens", "Prompt tokens computed.", sum(m.read for m in counts)),
            ("prompt_seconds", "Time spent on prompts.", sum(m.read_s for m in counts)),
            ("tokens_predicted", "Tokens generated.", sum(m.generated for m in counts)),
            ("tokens_predicted_seconds", "Time spent on answers.", sum(m.generate_s for m in counts)),
            ("n_decode", "Batches computed.", sum(m.n_steps for m in counts)),
        ):
            yield CounterMetricFamily(f"llamacpp:{name}", told, value=value)
        yield _gauge("requests_processing", "Requests computed now.", sum(s.running for s in stats))
        yield _gauge("requests_deferred", "Requests that wait.", sum(s.waiting for s in stats))
        used, total = sum(s.cells_used for s in stats), sum(s.cells_total for s in stats)
        yield _gauge("kv_cache_usage_ratio", "Share of the KV cache in use.", used / total if total else 0.0)


def _add(family: GaugeMetricFamily, model: str, place: str, values: Mapping[str, int]) -> None:
    for kind, value in values.items():
        family.add_metric([model, place, kind], value)


def _gauge(name: str, told: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"llamacpp:{name}", told, value=value)
