"""What the model server does at this moment: its models, where they run, and the numbers of its /metrics.

Rates come from two readings of its counters. Trusts nothing that the server says.
"""

from __future__ import annotations

import math
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from chatbot.core.model import ModelInfo, read_about
from chatbot.errors import ChatError

if TYPE_CHECKING:
    import httpx2

_TIMEOUT_S = 3.0
_FRESH_S = 1.0  # several pages that ask at once share one look
_STALE_S = 10.0  # a rate over a longer time would say nothing of now
_PLAN_EVERY_S = 10.0  # the plan waits for the end of a step, so it is not asked each time


@dataclass(frozen=True)
class Reading:
    """One reading of /metrics, counted since the start of the server; None for what it does not tell."""

    requests_running: float | None = None
    requests_waiting: float | None = None
    requests_total: float | None = None
    tokens: float | None = None
    prompt_tokens: float | None = None
    kv_used_ratio: float | None = None
    rss_bytes: float | None = None
    card_bytes: float | None = None


@dataclass(frozen=True)
class Numbers:
    """What a page shows of two readings; None for what is not known, or not yet."""

    requests_running: float | None
    requests_waiting: float | None
    requests_total: float | None
    tokens_per_s: float | None
    prompt_tokens_per_s: float | None
    kv_used_ratio: float | None
    rss_bytes: float | None
    card_bytes: float | None


@dataclass(frozen=True)
class LiveModel:
    """A model of the server: state as ModelInfo has it, the rest as sentences, empty where nothing is known."""

    name: str
    state: str
    n_ctx: int | None
    summary: str
    abilities: str
    size: str


@dataclass(frozen=True)
class Look:
    """The server at a time. problem: why nothing can be told, for a person; metrics: None where it has none."""

    at: float
    problem: str = ""
    models: tuple[LiveModel, ...] = ()
    metrics: Numbers | None = None

    def wire(self) -> dict[str, Any]:
        """As sent to a browser."""
        return {**asdict(self), "models": [asdict(model) for model in self.models]}


def read_metrics(text: str) -> Reading | None:
    """Read Prometheus text, with llmserver's names and llama-server's; None when it holds neither."""
    from prometheus_client.parser import text_string_to_metric_families

    sums: Counter[str] = Counter()
    try:
        for family in text_string_to_metric_families(text):
            for name, labels, value, *_ in family.samples:
                if math.isfinite(value):
                    sums[name] += value  # type: ignore[assignment]
                    if name == "llmserver_planned_bytes" and labels.get("place") == "card":
                        sums["card"] += value  # type: ignore[assignment]
    except (ValueError, LookupError):
        return None  # another page stands there
    if not any(name.startswith(("llmserver_", "llamacpp:")) for name in sums):
        return None
    cells = sums["llmserver_kv_cells"]
    return Reading(
        requests_running=_first(sums, "llmserver_requests_running", "llamacpp:requests_processing"),
        requests_waiting=_first(sums, "llmserver_requests_waiting", "llamacpp:requests_deferred"),
        requests_total=_first(sums, "llmserver_requests_total"),
        tokens=_first(sums, "llmserver_generated_tokens_total", "llamacpp:tokens_predicted_total"),
        prompt_tokens=_first(sums, "llmserver_prompt_tokens_total", "llamacpp:prompt_tokens_total"),
        kv_used_ratio=sums["llmserver_kv_cells_used"] / cells
        if cells
        else _first(sums, "llamacpp:kv_cache_usage_ratio"),
        rss_bytes=_first(sums, "llmserver_resident_bytes"),
        card_bytes=sums["card"] or None,
    )


def _first(sums: Mapping[str, float], *names: str) -> float | None:
    return next((sums[name] for name in names if name in sums), None)


def numbers(now: Reading, before: Reading | None, seconds: float) -> Numbers:
    """What two readings so far apart say; without an earlier one, or after a restart, there are no rates."""

    def rate(new: float | None, old: float | None) -> float | None:
        return (new - old) / seconds if new is not None and old is not None and new >= old and seconds > 0 else None

    return Numbers(
        now.requests_running,
        now.requests_waiting,
        now.requests_total,
        rate(now.tokens, before.tokens if before else None),
        rate(now.prompt_tokens, before.prompt_tokens if before else None),
        now.kv_used_ratio,
        now.rss_bytes,
        now.card_bytes,
    )


class Live:
    """The model server, looked at when somebody asks, at most once a second. Safe to use from several threads."""

    def __init__(
        self,
        url: str,
        api_key: str,
        models: Callable[[], Sequence[ModelInfo]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._root, self._models, self._clock = url.rstrip("/").removesuffix("/v1"), models, clock
        self._headers = {"Authorization": f"Bearer {api_key or 'none'}"}
        self._lock = threading.Lock()
        self._look = Look(0.0)
        self._looked_at = self._read_at = self._planned_at = -math.inf
        self._reading: Reading | None = None
        self._plan: object = None
        self._planned_for: list[tuple[str, str]] = []

    def look(self) -> Look:
        """The server as it is now, or was a moment ago."""
        with self._lock:
            if self._clock() - self._looked_at >= _FRESH_S:
                self._look = self._look_again()
                self._looked_at = self._clock()
            return self._look

    def _look_again(self) -> Look:
        try:
            infos = self._models()
        except ChatError as why:
            self._reading = None
            return Look(time.time(), why.message)
        plan = self._planned([(info.name, info.state) for info in infos])
        return Look(time.time(), "", tuple(_live(info, plan) for info in infos), self._numbers())

    def _planned(self, states: list[tuple[str, str]]) -> object:
        """What /plan says; asked when a model changes its state, else seldom."""
        if states != self._planned_for or self._clock() - self._planned_at > _PLAN_EVERY_S:
            answer = self._get("/plan")
            try:
                self._plan = answer.json() if answer else None
            except ValueError:
                self._plan = None
            self._planned_for, self._planned_at = states, self._clock()
        return self._plan

    def _numbers(self) -> Numbers | None:
        answer = self._get("/metrics")
        now, at = read_metrics(answer.text) if answer else None, self._clock()
        before = self._reading if at - self._read_at < _STALE_S else None
        told = numbers(now, before, at - self._read_at) if now else None
        self._reading, self._read_at = now, at
        return told

    def _get(self, path: str) -> httpx2.Response | None:
        import httpx2

        try:
            answer = self._http.get(f"{self._root}{path}", headers=self._headers)
        except httpx2.HTTPError:
            return None
        return answer if answer.status_code == 200 else None

    @cached_property
    def _http(self) -> httpx2.Client:
        import httpx2

        tls = ssl.create_default_context() if self._root.startswith("https:") else False
        return httpx2.Client(verify=tls, timeout=_TIMEOUT_S, trust_env=False)


def _live(info: ModelInfo, plan: object) -> LiveModel:
    about = read_about(info, plan)
    return LiveModel(info.name, info.state, info.n_ctx, about.summary, about.abilities, about.size)
