"""Clients that go away, that never read, that are too many; and the end of the process while everybody talks."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.processes import MODEL, Process, free_port, llmserver, running, until
from tests.server.real import (
    CHAT,
    FIXED,
    Raw,
    client_of,
    events_of,
    gauge,
    get,
    post,
    until_gauge,
)

pytestmark = pytest.mark.model

STREAM: dict[str, Any] = CHAT | {"stream": True}
ENDLESS: dict[str, Any] = STREAM | {"ignore_eos": True, "max_tokens": 3500}
BRIEF: dict[str, Any] = CHAT | {"max_tokens": 2}
LONG_PROMPT: dict[str, Any] = FIXED | {
    "messages": [{"role": "user", "content": "a b c d e f g " * 480}],
    "stream": True,
}
N_STREAMS = 20
DRAIN_S = 3


@pytest.fixture(scope="module")
def narrow() -> Iterator[Process]:
    """One request at a time, one more in the queue, for a short while."""
    flags = ("--n_parallel", "1", "--max_queue", "1", "--max_wait_s", "3")
    with running(llmserver(*flags)) as process:
        yield process


@pytest.fixture
def free(narrow: Process) -> Process:
    until_gauge(narrow, "requests_running", 0)
    until_gauge(narrow, "requests_waiting", 0)
    return narrow


# Clients that go away


def test_client_that_leaves_amid_its_stream_frees_its_place(free: Process) -> None:
    client = Raw(free, ENDLESS)
    client.read_until(b'"content"')
    client.close()
    until_gauge(free, "requests_running", 0)
    assert post(free, "/v1/chat/completions", BRIEF)[0] == 200


def test_client_that_leaves_while_it_waits_frees_its_place_in_the_queue(free: Process) -> None:
    talker = Raw(free, ENDLESS)
    talker.read_until(b'"content"')
    waiter = Raw(free, ENDLESS)
    until_gauge(free, "requests_waiting", 1)
    waiter.close()
    until_gauge(free, "requests_waiting", 0, timeout_s=10)
    assert gauge(free, "requests_running") == 1
    talker.close()


def test_client_that_leaves_while_its_prompt_is_read_ends_the_reading(free: Process) -> None:
    before = gauge(free, "prompt_tokens_total")
    client = Raw(free, LONG_PROMPT)
    until_gauge(free, "requests_running", 1)
    client.close()
    until_gauge(free, "requests_running", 0)
    assert gauge(free, "prompt_tokens_total") - before < 3000, "all of it was read for nobody"
    assert post(free, "/v1/chat/completions", BRIEF)[0] == 200


def test_client_that_never_reads_stops_nobody(real_server: Process) -> None:
    wordy = ENDLESS | {"logprobs": True, "top_logprobs": 20}  # about 3 KB a token: soon no buffer holds any more
    before = gauge(real_server, "generated_tokens_total")
    deaf = [Raw(real_server, wordy, n_buffer=2048) for _ in range(3)]
    try:
        until(lambda: gauge(real_server, "generated_tokens_total") > before + 200, "they are computed")
        with client_of(real_server) as client:
            chunks = list(client.chat.completions.create(**STREAM, max_tokens=30, extra_body={"ignore_eos": True}))
        assert chunks[-1].choices[0].finish_reason == "length"
    finally:
        for client_ in deaf:
            client_.close()
    until_gauge(real_server, "requests_running", 0)


# Too many


def test_request_too_many_is_sent_away_and_one_that_waits_too_long_too(free: Process) -> None:
    talker = Raw(free, ENDLESS)
    talker.read_until(b'"content"')
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: Raw(free, BRIEF).read(), range(2)))
    talker.close()
    by_code = {json.loads(body)["error"]["code"]: (status, headers) for status, headers, body in answers}
    assert sorted(by_code) == ["queue_full", "queue_timeout"]
    assert (by_code["queue_full"][0], by_code["queue_timeout"][0]) == (429, 503)
    assert all(int(headers["retry-after"]) >= 1 for _, headers in by_code.values())


def test_stream_that_waits_too_long_ends_with_one_error_event(free: Process) -> None:
    talker = Raw(free, ENDLESS)
    talker.read_until(b'"content"')
    status, _, body = Raw(free, STREAM | {"max_tokens": 2}).read()
    talker.close()
    assert status == 200, "a sign of life came before"
    assert b": waiting, 1 before you" in body
    (event,) = events_of(body)
    assert event["error"]["code"] == "queue_timeout"


def test_models_and_health_answer_at_once_beside_eight_streams_and_cut_none(real_server: Process) -> None:
    body = STREAM | {"ignore_eos": True, "max_tokens": 60}
    streams = [Raw(real_server, body) for _ in range(8)]
    for stream in streams:
        stream.read_until(b'"content"')
    took: dict[str, list[float]] = {"/v1/models": [], "/health": []}
    for _ in range(5):
        for path, times in took.items():
            began = time.monotonic()
            assert get(real_server, path)[0] == 200
            times.append(time.monotonic() - began)
    assert max(statistics.median(times) for times in took.values()) < 0.5, took
    for stream in streams:
        status, _, answer = stream.read()
        events = events_of(answer)
        assert (status, events[-1]["choices"][0]["finish_reason"]) == (200, "length")


# The end


def test_sigterm_ends_twenty_streams_once_each_and_the_process_in_time() -> None:
    with running(llmserver("--drain_timeout_s", str(DRAIN_S), "--n_ctx", "8192")) as process:
        long = STREAM | {"ignore_eos": True, "max_tokens": 5000}
        short = STREAM | {"ignore_eos": True, "max_tokens": 4}
        streams = [Raw(process, long) for _ in range(6)]
        for stream in streams:
            stream.read_until(b'"content"')
        streams += [Raw(process, long if i % 2 else short) for i in range(N_STREAMS - len(streams))]
        late = Raw(process, BRIEF, n_held_back=10)
        until(lambda: gauge(process, "requests_running") + gauge(process, "requests_waiting") > 12, "all are there")
        began = time.monotonic()
        process.process.terminate()
        until(lambda: "stopping" in process.output, "the signal")
        late.send_rest()
        status, headers, body = late.read()
        assert (status, json.loads(body)["error"]["code"]) == (503, "stopping")
        assert int(headers["retry-after"]) >= 1
        with ThreadPoolExecutor(N_STREAMS) as pool:
            answers = list(pool.map(Raw.read, streams))
        assert process.wait(DRAIN_S + 30) == 0
        assert time.monotonic() - began < DRAIN_S + 2, process.output
        assert "Traceback" not in process.output
    ends = [end_of(*answer) for answer in answers]
    assert ends.count("stopping") >= 6
    assert set(ends) <= {"stopping", "length"}


def end_of(status: int, headers: dict[str, str], body: bytes) -> str:
    """The one end that an answer has: a reason or the code of its error."""
    if status != 200:
        assert (status, int(headers["retry-after"]) > 0) == (503, True)
        return str(json.loads(body)["error"]["code"])
    events = events_of(body)
    reasons = [choice["finish_reason"] for event in events for choice in event.get("choices", ())]
    ends = [reason for reason in reasons if reason] + [event["error"]["code"] for event in events if "error" in event]
    assert len(ends) == 1, ends
    return str(ends[0])


# Several models


def test_second_model_loads_while_the_first_streams_and_leaves_when_nobody_wants_it(tmp_path: Path) -> None:
    config, port = tmp_path / "two.json", free_port()
    first = {"model": str(MODEL), "model_alias": "first", "n_ctx": 1024}
    second = {"model": str(MODEL), "model_alias": "second", "n_ctx": 512, "ttl_s": 1}
    config.write_text(json.dumps({"port": port, "models": [first, second]}))

    def state(process: Process) -> str:
        return str(get(process, "/v1/models")[1]["data"][1]["meta"]["state"])

    with running(Process("-m", "llmserver", "--config_file", str(config), port=port)) as process:
        stream = Raw(process, ENDLESS | {"model": "first", "max_tokens": 150})
        stream.read_until(b'"content"')
        assert state(process) == "unloaded"
        status, answer = post(process, "/v1/chat/completions", BRIEF | {"model": "second"})
        assert (status, answer["model"]) == (200, "second")
        assert gauge(process, "requests_running") == 1, "the first one's stream had ended"
        assert end_of(*stream.read()) == "length"
        until(lambda: state(process) == "unloaded", "the second model is unloaded", timeout_s=10)
        assert post(process, "/v1/chat/completions", BRIEF | {"model": "first"})[0] == 200
        assert post(process, "/v1/chat/completions", BRIEF | {"model": "second"})[0] == 200
