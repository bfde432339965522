"""Metrics: what the engine did is what the page says, for every way a request can end."""

from __future__ import annotations

import asyncio
import threading
import time
from array import array
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from llmserver import ram
from llmserver.engine.fake import FakeBackend, fake_traits
from llmserver.engine.info import Placement
from llmserver.engine.plan import Limits, Plan, Result, Sample, Status, Work
from llmserver.engine.request import Failed, Finished, Request, Sampling, Token
from llmserver.engine.service import Service, Stream
from llmserver.errors import EngineFailed, LlmServerError
from llmserver.metrics import Histogram, Metrics, ModelMetrics, Now
from tests.server.fake_models import make_models
from tests.server.fake_service import HERE, INFO

LIMITS = Limits(n_parallel=2, max_queue=8)


def read(text: str) -> dict[tuple[str, ...], float]:
    """Samples by name and label values, in the order of the labels' names."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def ended(stream: Stream) -> Any:
    return [event async for events in stream for event in events][-1]


def endless() -> Sampling:
    return Sampling(ignore_eos=True)


def test_a_histogram_counts_a_value_at_a_bound_below_it() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 99.0):
        histogram.observe(value)
    assert histogram.buckets() == [("1.0", 2), ("2.0", 4), ("+Inf", 5)]
    assert histogram.sum == 104.0


def test_counts_follow_requests_to_each_of_their_ends() -> None:
    counts = ModelMetrics()

    async def main() -> None:
        backend = FakeBackend(fake_traits(n_cells=50_000))
        service = Service(INFO, None, backend, LIMITS, observers=(counts,))  # type: ignore[arg-type]
        prompt = tuple(range(1, 31))
        done = await ended(service.submit(Request(prompt, max_tokens=10, sampling=endless())))
        assert isinstance(done, Finished)
        again = await ended(service.submit(Request(prompt, max_tokens=5, sampling=endless())))
        assert isinstance(again, Finished) and again.usage.cached_tokens == 29
        backend.sampler_errors[3] = EngineFailed("no")
        assert isinstance(await ended(service.submit(Request((40, 41), max_tokens=5))), Failed)
        gone = service.submit(Request((50, 51, 52), sampling=endless()))
        async for events in gone:
            if any(isinstance(event, Token) for event in events):
                break
        gone.cancel()
        await asyncio.wrap_future(service.call(lambda: None))
        assert await asyncio.to_thread(service.stop)

    asyncio.run(main())
    assert counts.outcomes == {"length": 2, "engine_failed": 1, "cancelled": 1}
    assert counts.read == 30 + 1 + 2 + 3
    assert (counts.cached, counts.prompts, round(counts.hit_rate, 3)) == (29, 60, 0.483)
    assert counts.generated > 10 + 5
    assert sum(counts.gap.counts) == counts.generated - 3  # all but the first of each answer
    assert sum(counts.first_token.counts) == sum(counts.queue_wait.counts) == sum(counts.prompt_length.counts) == 2
    assert sum(counts.step.counts) == counts.n_steps > 15
    assert counts._spoke == {} and counts._decoding == set()


def test_a_request_that_leaves_the_queue_counts_as_cancelled() -> None:
    counts = ModelMetrics()

    async def main() -> None:
        backend = FakeBackend(fake_traits())
        backend.gate = threading.Event()
        service = Service(INFO, None, backend, Limits(n_parallel=1), observers=(counts,))  # type: ignore[arg-type]
        streams = [service.submit(Request((n, n + 1), max_tokens=2, sampling=endless())) for n in (1, 5)]
        streams[1].cancel()
        backend.gate.set()
        await ended(streams[0])
        streams[0].cancel()  # it has ended: this counts for nothing
        assert await asyncio.to_thread(service.stop)

    asyncio.run(main())
    assert counts.outcomes == {"length": 1, "cancelled": 1}


def test_a_request_that_is_turned_away_is_counted() -> None:
    counts = ModelMetrics()

    async def main() -> None:
        backend = FakeBackend(fake_traits())
        backend.gate = threading.Event()
        limits = Limits(n_parallel=1, max_queue=0)
        service = Service(INFO, None, backend, limits, observers=(counts,), on_refused=counts.refused)  # type: ignore[arg-type]
        first = service.submit(Request((1, 2), max_tokens=2, sampling=endless()))
        for prompt in ((3, 4), tuple(range(INFO.n_ctx + 1))):
            with pytest.raises(LlmServerError):
                service.submit(Request(prompt, max_tokens=2))
        backend.gate.set()
        await ended(first)
        assert await asyncio.to_thread(service.stop)

    asyncio.run(main())
    metrics = Metrics()
    metrics._models["m"] = counts
    page = read(metrics.render([Now("m", 0, None)]).decode())
    told = {name[2]: n for name, n in page.items() if name[0] == "llmserver_requests_total"}
    assert told == {"length": 1, "queue_full": 1, "context_length_exceeded": 1}


# The page


@pytest.fixture
def client() -> Iterator[tuple[TestClient, Any]]:
    app, engine = make_models()
    with TestClient(app, base_url=HERE) as made:
        yield made, engine


def test_the_page_tells_all_models_in_prometheus_text(client: tuple[TestClient, Any]) -> None:
    http, engine = client
    http.post("/v1/embeddings", json={"model": "embed", "input": ["ab", "c"]})
    engine.metrics.of("tiny").generated = 7
    engine.metrics.of("tiny").outcomes["stop"] = 3
    answer = http.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = read(answer.text)
    assert found["llmserver_generated_tokens_total", "tiny"] == 7
    assert found["llmserver_requests_total", "tiny", "stop"] == 3
    assert found["llmserver_requests_total", "embed", "done"] == 1
    assert found["llmserver_prompt_tokens_total", "embed"] == found["llmserver_prompt_length_tokens_sum", "embed"] == 7
    assert found["llmserver_step_seconds_count", "embed"] == found["llmserver_steps_total", "embed"] == 1
    gauges = {"running": 1, "waiting": 2}
    for name, value in gauges.items():
        assert found[f"llmserver_requests_{name}", "tiny"] == value
    assert found["llmserver_kv_cells_used", "tiny"] == 40 and found["llmserver_kv_cells", "tiny"] == 500
    assert found["llmserver_idle_sequences", "tiny"] == 3
    assert found["llmserver_host_cache_bytes", "tiny"] == 7000
    assert found["llmserver_host_cache_limit_bytes", "tiny"] == 80000
    assert found["llmserver_host_cache_entries", "tiny"] == 6
    assert found["llmserver_preemptions_total", "tiny"] == 9
    assert found["llmserver_model_planned_bytes", "embed"] == 1000
    assert found["llmserver_model_planned_bytes", "rank"] == 0
    assert ("llmserver_requests_running", "rank") not in found  # it is not loaded
    assert found[("llmserver_resident_bytes",)] > 10_000_000


def test_llama_servers_names_are_sums_over_the_models(client: tuple[TestClient, Any]) -> None:
    http, engine = client
    for name, n in (("tiny", 5), ("embed", 6)):
        engine.metrics.of(name).read, engine.metrics.of(name).generated = n, 10 * n
    found = read(http.get("/metrics").text)
    assert found[("llamacpp:prompt_tokens_total",)] == 11
    assert found[("llamacpp:tokens_predicted_total",)] == 110
    assert found[("llamacpp:requests_processing",)] == 1 and found[("llamacpp:requests_deferred",)] == 2
    assert found[("llamacpp:kv_cache_usage_ratio",)] == pytest.approx(0.08)


def test_a_histogram_on_the_page_adds_up() -> None:
    metrics = Metrics()
    for seconds in (0.001, 0.07, 3.0):
        metrics.of("m").gap.observe(seconds)
    found = read(metrics.render([Now("m", 0, None)]).decode())
    assert found["llmserver_inter_token_seconds_count", "m"] == 3
    assert found["llmserver_inter_token_seconds_sum", "m"] == pytest.approx(3.071)
    assert found["llmserver_inter_token_seconds_bucket", "0.1", "m"] == 2
    assert found["llmserver_inter_token_seconds_bucket", "+Inf", "m"] == 3


def test_the_plan_tells_what_memory_is_taken(client: tuple[TestClient, Any]) -> None:
    http, _ = client
    plan = http.get("/plan").json()
    assert plan["memory"]["ram_bytes"] >= plan["memory"]["free_bytes"] > 0
    assert plan["memory"]["process_bytes"] == pytest.approx(ram.resident_bytes(), rel=0.5)
    assert plan["memory"]["models_limit_bytes"] > 0
    tiny, embed, rank = plan["models"]
    assert (tiny["name"], tiny["state"], tiny["planned_bytes"], tiny["kind"]) == ("tiny", "ok", 1000, "chat")
    assert (embed["state"], embed["planned_bytes"], embed["kv_bytes"]) == ("unloaded", None, None)
    assert rank["kind"] == "rerank" and rank["n_parallel"] == 8


def test_memory_is_read_from_linuxs_own_files_and_missing_ones_are_zero(tmp_path: Any) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    12 kB\n")
    assert ram.free_bytes(tmp_path) == 12 * 1024
    assert ram.free_bytes(tmp_path / "no") == ram.resident_bytes(tmp_path / "no") == 0


# What it costs


def cost_per_token_us(n_requests: int = 8, n_steps: int = 2000) -> float:
    """Microseconds of the engine's thread for one token of one request."""
    counts = ModelMetrics()
    work = tuple(Work(n, n, 100, array("i", [5]), True) for n in range(n_requests))
    plan = Plan((), work)
    result = Result(Status.OK, 0.02, {n: Sample(5) for n in range(n_requests)})
    events = [(n, Token(5, "word")) for n in range(n_requests)]
    began = time.thread_time()
    for step in range(n_steps):
        counts.sent(events, step * 0.02)
        counts.stepped(plan, result)
    return (time.thread_time() - began) / n_steps / n_requests * 1e6


def test_a_token_costs_the_engine_little() -> None:
    assert min(cost_per_token_us() for _ in range(3)) < 10  # 1 on an idle machine; this one may be crowded


def test_where_a_model_lies_is_told_as_planned_allocated_and_left() -> None:
    planned = {"card": {"weights": 10, "kv": 2}, "ram": {"weights": 5, "kv": 1}, "cards": [{"name": "CUDA0"}]}
    placement = Placement(31, 12, 0, 512, "f16", planned, {"CUDA0": {"compute": 3}}, {"CUDA0": {"warm": 7}})
    told = read(Metrics().render([Now("m", 18, None, placement), Now("other", 0, None)]).decode())
    assert told["llmserver_planned_bytes", "weights", "m", "card"] == 10
    assert told["llmserver_planned_bytes", "kv", "m", "ram"] == 1
    assert told["llmserver_allocated_bytes", "CUDA0", "compute", "m"] == 3
    assert told["llmserver_card_free_bytes", "CUDA0", "m", "warm"] == 7
    assert (told["llmserver_layers", "m", "card"], told["llmserver_layers", "m", "ram"]) == (12, 19)
    assert not [name for name in told if name[0] == "llmserver_layers" and "other" in name]
