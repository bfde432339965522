"""The load generator's pure parts: what bytes mean, when they came, and which figures follow from samples."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from llmserver.bench import answer as answer_module
from llmserver.bench import stats
from llmserver.bench.answer import Answer, Recorder
from llmserver.bench.client import Server
from llmserver.bench.prompts import dice, story
from llmserver.bench.report import Report, compare, table
from llmserver.bench.scenarios import Figure, Run, Sample, longest_gap
from llmserver.bench.wire import BrokenReply, Events, Reply

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
COUNTED = b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world"
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\r\n"


class Clock:
    """time.perf_counter under the test's control."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    made = Clock()
    monkeypatch.setattr(answer_module.time, "perf_counter", made)
    yield made


def event(delta: dict[str, Any] | None = None, finish: str | None = None, **fields: Any) -> bytes:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return b"data: " + json.dumps({"choices": choices, **fields}).encode() + b"\n\n"


def recorded(*parts: bytes, head: bytes = STREAM_HEAD) -> Answer:
    """The answer whose parts came, and then the end of the connection."""
    recorder = Recorder(wants_stream=True)
    for part in (head, *parts):
        recorder.read(part)
    recorder.reply.close()
    return recorder.answer()


@pytest.mark.parametrize("content", [CHUNKED, COUNTED])
@pytest.mark.parametrize("step", [1, 2, 7, 1000])
def test_a_reply_is_the_same_however_it_is_torn(content: bytes, step: int) -> None:
    reply = Reply()
    body = b"".join(reply.feed(content[at : at + step]) for at in range(0, len(content), step))
    assert (reply.status, body, reply.is_complete) == (200, b"hello world", True)


def test_a_body_without_length_is_complete_when_the_server_closes() -> None:
    reply = Reply()
    assert reply.feed(b"HTTP/1.1 200 OK\r\n\r\nall") == b"all"
    assert not reply.is_complete
    reply.close()
    assert reply.is_complete


def test_a_chunked_body_that_stops_half_way_is_never_complete() -> None:
    reply = Reply()
    reply.feed(CHUNKED[:-9])
    reply.close()
    assert not reply.is_complete


@pytest.mark.parametrize("content", [b"hello\r\n\r\n", CHUNKED.replace(b"5;x=y", b"five")])
def test_bytes_that_are_not_http_are_refused(content: bytes) -> None:
    with pytest.raises(BrokenReply):
        Reply().feed(content)


@pytest.mark.parametrize("step", [1, 3, 1000])
def test_events_are_the_same_however_they_are_torn(step: int) -> None:
    content = b": hello\r\nevent: x\r\ndata: one\r\n\r\ndata:two\ndata: lines\n\n"
    events = Events()
    found = [each for at in range(0, len(content), step) for each in events.feed(content[at : at + step])]
    assert (found, events.stray) == ([b"one", b"two\nlines"], b"")


def test_the_first_token_is_the_first_chunk_with_text_and_rates_come_from_usage(clock: Clock) -> None:
    recorder = Recorder(wants_stream=True)
    timed = [
        (0.1, STREAM_HEAD + event({"role": "assistant", "content": ""})),
        (0.5, event({"content": "Once"})),
        (0.7, event({"content": " upon"})),
        (1.0, event({"content": " a time"})),
        (1.5, event({}, "length")),
        (1.6, event(usage={"prompt_tokens": 9, "completion_tokens": 6, "prompt_tokens_details": {"cached_tokens": 4}})),
        (1.7, b"data: [DONE]\n\n"),
    ]
    for at, data in timed:
        clock.now = 100.0 + at
        recorder.read(data)
    recorder.reply.close()
    answer = recorder.answer()
    assert answer.text == "Once upon a time"
    assert answer.first_s == pytest.approx(0.5)
    assert answer.gaps == pytest.approx([0.2, 0.3])
    assert answer.decode_rate == pytest.approx(5 / 1.0)
    assert (answer.n_prompt, answer.n_tokens, answer.n_cached) == (9, 6, 4)
    assert answer.is_finished and answer.is_ended_once and not answer.is_cut_off


def test_reasoning_counts_as_text_for_times_alone() -> None:
    answer = recorded(event({"reasoning_content": "hm"}), event({"content": "yes"}), event({}, "stop"))
    assert (len(answer.stamps), answer.text, answer.n_tokens) == (2, "yes", 2)


def test_a_stream_without_finish_reason_is_cut_off_and_gives_no_rate() -> None:
    answer = recorded(event({"content": "a"}), event({"content": "b"}), b"data: [DONE]\n\n")
    assert answer.is_cut_off and not answer.is_finished and not answer.is_ended_once and answer.decode_rate is None


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ([b"data: {broken\n\n"], "not JSON in the stream"),
        ([b"<html>\n"], "no line of an event stream"),
        ([b'data: {"error": {"message": "out of cells"}}\n\n'], "out of cells"),
        ([b"data: 7\n\n"], "no object in the stream"),
    ],
)
def test_what_is_wrong_in_a_stream_is_an_error_and_not_a_cut(parts: list[bytes], words: str) -> None:
    answer = recorded(event({"content": "a"}), *parts)
    assert words in answer.error and not answer.is_cut_off and not answer.is_finished


@pytest.mark.parametrize(
    "end",
    [
        event({}, "stop") + event({}, "stop") + b"data: [DONE]\n\n",
        event({}, "stop") + b"data: [DONE]\n\ndata: [DONE]\n\n",
        event({}, "stop") + b"data: [DONE]\n\n" + event({"content": "more"}),
        event({}, "stop"),
        event({}, "stop") + b'data: {"error": {"message": "late"}}\n\n',
    ],
)
def test_a_stream_that_ends_twice_or_not_at_all_is_seen(end: bytes) -> None:
    assert not recorded(event({"content": "a"}), end).is_ended_once


def test_an_error_status_is_shown_in_the_servers_words() -> None:
    head = b"HTTP/1.1 429 Busy\r\nContent-Type: application/json\r\nRetry-After: 2\r\n\r\n"
    answer = recorded(b'{"error": {"message": "queue\\n full"}}', head=head)
    assert (answer.status, answer.error, answer.retry_after) == (429, "429: queue full", "2")
    assert answer.is_ended_once and not answer.is_cut_off


def test_a_whole_answer_is_read_and_one_instead_of_a_stream_is_an_error() -> None:
    body = b'{"choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}], "usage": {"completion_tokens": 1}}'
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    recorder = Recorder()
    recorder.read(head + body)
    whole = recorder.answer()
    assert (whole.text, whole.n_tokens, whole.is_ended_once) == ("yes", 1, True)
    assert "asked for a stream" in recorded(body, head=head).error


def test_percentiles_lie_between_neighbours() -> None:
    found = stats.spread(range(101))
    assert found == stats.Spread(50, 90, 99, 100)
    assert stats.spread([4, 1, 2, 3]) == stats.Spread(2.5, pytest.approx(3.7), pytest.approx(3.97), 4)  # type: ignore[arg-type]
    assert stats.spread([]) is None


def test_a_ratio_is_the_median_of_pairs_and_skips_what_was_not_measured() -> None:
    found = stats.ratio([10, 30, None, 8], [20, 10, 5, 8])
    assert found == stats.Summary(1.0, 0.5, 3.0)
    assert stats.ratio([1], [None]) is None and stats.ratio([1], [0]) is None


def run(server: str, number: int, value: float | None, *problems: str) -> Run:
    figures = (Figure("first token", "s", value),)
    samples = (Sample("stream", Answer(0, 1, 200, stamps=(0.1, 0.2), finish_reasons=("stop",))),)
    return Run("single", server, number, 1.0, 0.02, figures, samples, problems)


def test_the_report_pairs_runs_by_number_in_whatever_order_they_were_made() -> None:
    runs = (run("A", 1, 1.0), run("B", 1, 2.0), run("B", 2, 8.0), run("A", 2, 2.0), run("A", 3, 4.0), run("B", 3, 4.0))
    report = Report((Server("A", "http://a"), Server("B", "http://b")), runs, 7, 96)
    (row,) = compare(report, "single")
    assert row.summaries == (stats.Summary(2.0, 1.0, 4.0), stats.Summary(4.0, 2.0, 8.0))
    assert row.ratios == (stats.Summary(0.5, 0.25, 1.0),)
    text = table(report)
    assert "2,000 (1,000 to 4,000)" in text and "0.50" in text and "A/B" in text
    assert "A: 3 requests, 0 errors, 0 cut off" in text and "2.0 % of a core" in text


def test_the_report_shows_the_first_error_and_a_figure_that_is_missing() -> None:
    report = Report((Server("A", "http://a"),), (run("A", 1, None, "500: broken", "500: again"),), 7, 96)
    text = table(report)
    assert "first token, ms" in text and "-" in text
    assert "2 errors" in text and "in single run 1: 500: broken" in text and "again" not in text


def test_only_gaps_that_overlap_the_window_count() -> None:
    stream = Answer(sent=10.0, total_s=9, stamps=(1.0, 4.0, 4.5, 6.5), finish_s=8.0)
    assert longest_gap([stream], 14.1, 14.2) == pytest.approx(0.5)
    assert longest_gap([stream], 14.1, 15.0) == pytest.approx(2.0)
    assert longest_gap([stream], 17.0, 30.0) == pytest.approx(1.5)
    assert longest_gap([stream], 30.0, 31.0) is None


def test_prompts_are_the_same_for_a_seed_and_begin_differently_for_another_run() -> None:
    assert story(dice(1, 1, "single", 0), 50) == story(dice(1, 1, "single", 0), 50)
    begins = {story(dice(1, number, "single", i), 50)[0]["content"][:25] for number in range(5) for i in range(5)}
    assert len(begins) == 25
