"""What an administrator sees of this moment: numbers of the model server, its models, who is being answered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chatbot.core.live import Live, Look, numbers, read_metrics
from chatbot.core.llm import ModelClient
from llmserver.metrics import Metrics, Now
from tests.chat.browser import Browser
from tests.chat.household import PASSWORD, guest, logged_in
from tests.fakes import FakeServer, Finish, Gate
from tests.processes import Process, chatbot, free_port, running

PLAN = {"models": [{"name": "fake-model", "summary": "Everything runs on the processor.", "file_bytes": 4_683_074_240}]}


def text(tokens: int = 0, prompt: int = 0, cells: tuple[int, int] = (64, 256)) -> str:
    """A page of /metrics with these counts, in two models."""
    return f"""# HELP llmserver_generated_tokens_total Tokens of answers.
# TYPE llmserver_generated_tokens_total counter
llmserver_generated_tokens_total{{model="a"}} {tokens}
llmserver_generated_tokens_total{{model="b"}} 1000.0
# TYPE llmserver_prompt_tokens_total counter
llmserver_prompt_tokens_total{{model="a"}} {prompt}
# TYPE llmserver_requests_total counter
llmserver_requests_total{{model="a",outcome="stop"}} 3.0
llmserver_requests_total{{model="a",outcome="cancelled"}} 2.0
# TYPE llmserver_requests_running gauge
llmserver_requests_running{{model="a"}} 2.0
llmserver_requests_running{{model="b"}} 1.0
# TYPE llmserver_requests_waiting gauge
llmserver_requests_waiting{{model="a"}} 4.0
# TYPE llmserver_kv_cells gauge
llmserver_kv_cells{{model="a"}} {cells[1]}
# TYPE llmserver_kv_cells_used gauge
llmserver_kv_cells_used{{model="a"}} {cells[0]}
# TYPE llmserver_planned_bytes gauge
llmserver_planned_bytes{{model="a",place="card",kind="weights"}} 3000.0
llmserver_planned_bytes{{model="a",place="card",kind="kv_cache"}} 500.0
llmserver_planned_bytes{{model="a",place="ram",kind="weights"}} 7000.0
# TYPE llmserver_resident_bytes gauge
llmserver_resident_bytes 9000.0
"""


class Clock:
    """A time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def live(fake_server: FakeServer, clock: Clock) -> Live:
    """What a page asks, in front of a scripted model server."""
    model = ModelClient(fake_server.url, "secret", 5)
    return Live(fake_server.url, "secret", model.models, clock)


def test_a_reading_sums_the_models_and_rates_come_from_two() -> None:
    first, second = read_metrics(text(tokens=10, prompt=100)), read_metrics(text(tokens=90, prompt=100))
    assert first and second
    told = numbers(second, first, 2.0)
    assert (told.tokens_per_s, told.prompt_tokens_per_s) == (40.0, 0.0)
    assert (told.requests_running, told.requests_waiting, told.requests_total) == (3.0, 4.0, 5.0)
    assert (told.kv_used_ratio, told.rss_bytes, told.card_bytes) == (0.25, 9000.0, 3500.0)
    assert numbers(first, None, 2.0).tokens_per_s is None
    assert numbers(first, second, 2.0).tokens_per_s is None  # it was started anew in between


def test_the_names_are_those_that_the_model_server_writes() -> None:
    metrics = Metrics()
    metrics.of("m").generated, metrics.of("m").read = 7, 11
    metrics.of("m").refused("queue_full")
    found = read_metrics(metrics.render([Now("m", 0, None)]).decode())
    assert found and (found.tokens, found.prompt_tokens, found.requests_total) == (7.0, 11.0, 1.0)
    assert found.rss_bytes and found.rss_bytes > 1_000_000


def test_llama_server_tells_less_and_what_it_tells_is_read() -> None:
    found = read_metrics(
        "# TYPE llamacpp:tokens_predicted_total counter\nllamacpp:tokens_predicted_total 5\n"
        "# TYPE llamacpp:requests_processing gauge\nllamacpp:requests_processing 1\n"
    )
    assert found and (found.tokens, found.requests_running) == (5.0, 1.0)
    assert found.requests_total is found.kv_used_ratio is found.rss_bytes is found.card_bytes is None


@pytest.mark.parametrize("page", ["<!doctype html><p>Hello", "", "other_total 5\n", "llmserver_x NaN\n", "x{a=\n"])
def test_a_page_that_is_none_of_metrics_is_none(page: str) -> None:
    assert read_metrics(page) is None


def test_looks_share_one_moment_and_the_next_tells_a_rate(fake_server: FakeServer, live: Live, clock: Clock) -> None:
    fake_server.metrics, fake_server.plan = text(tokens=10), PLAN
    first = live.look()
    assert first.metrics and first.metrics.tokens_per_s is None
    assert [(model.name, model.state, model.size) for model in first.models] == [
        ("fake-model", "ok", "Its file takes 4.7 GB.")
    ]
    assert first.models[0].summary == "Everything runs on the processor."
    fake_server.metrics = text(tokens=30)
    clock.now += 0.5
    assert live.look() is first
    clock.now += 1.5
    told = live.look().metrics
    assert told and told.tokens_per_s == 10.0
    clock.now += 60  # nobody looked for a minute: that says nothing of now
    told = live.look().metrics
    assert told and told.tokens_per_s is None


def test_the_plan_is_asked_with_the_key_and_seldom(fake_server: FakeServer, live: Live, clock: Clock) -> None:
    fake_server.plan = PLAN
    for _ in range(5):
        live.look()
        clock.now += 2
    assert fake_server.plan_keys == ["Bearer secret"]
    fake_server.state = "loading"
    assert live.look().models[0].state == "loading"
    assert len(fake_server.plan_keys) == 2


def test_a_server_without_metrics_still_tells_its_models(fake_server: FakeServer, live: Live) -> None:
    told = live.look()
    assert (told.metrics, told.problem) == (None, "")
    assert [model.name for model in told.models] == ["fake-model"]


def test_a_server_that_is_away_is_told_of_in_a_sentence() -> None:
    url = f"http://127.0.0.1:{free_port()}/v1"
    told = Live(url, "", ModelClient(url, "", 5).models).look()
    assert told == Look(told.at, told.problem) and url in told.problem and "./setup.sh" in told.problem


@pytest.fixture
def house(fake_server: FakeServer, tmp_path: Path) -> Iterator[Process]:
    """A chat server with accounts."""
    with running(
        chatbot(fake_server.url, tmp_path, "--accounts", "always", CHATBOT_ADMIN_PASSWORD=PASSWORD)
    ) as process:
        yield process


def test_administrators_see_who_is_answered_but_no_titles_of_others(fake_server: FakeServer, house: Process) -> None:
    hold = Gate()
    fake_server.scripts = [["begun", hold, Finish()]]
    fake_server.metrics = text()
    admin = Browser(house.url, Cookie=logged_in(house, "admin"))
    ben = Browser(house.url, Cookie=guest(admin, house, "Ben"))
    assert admin.call("live")["answers"] == []
    sent = ben.call("send", {"text": "a secret question"})
    hold.wait_until_reached()
    ben.until(lambda: ben.text_of(sent["answer"]["id"]) == "begun")
    told = admin.call("live")
    assert told["answers"] == [{"user": "Ben", "title": None, "status": "streaming"}]
    assert "secret" not in str(told)
    assert told["metrics"]["requests_running"] == 3.0
    ben.call("send", {"text": "more", "chat_id": sent["chat"]["id"]})
    own = Browser(house.url, Cookie=logged_in(house, "admin"))
    mine = own.call("send", {"text": "mine"})
    own.until(lambda: own.text_of(mine["answer"]["id"]) == "begun")
    told = admin.call("live")
    assert sorted((each["user"], each["title"], each["status"]) for each in told["answers"]) == [
        ("Ben", None, "streaming"),
        ("admin", "mine", "streaming"),
    ]
    assert ben.call("live")["error"]["code"] == "not_allowed"
    hold.open()
