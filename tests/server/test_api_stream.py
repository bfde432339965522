"""What happens beside the answer: clients that leave, read slowly or not at all; errors before and amid a stream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import pytest

from llmserver.api import sse
from llmserver.engine.request import Event, Failed, Finished, Reading, Request, Token, Usage, Waiting
from llmserver.errors import ContextExceeded, EngineFailed, LlmServerError, QueueFull, QueueTimeout, Stopping
from tests.server.fake_service import Api, Script, events_in, says

END = Finished("stop", Usage(3, 0, 2, 0.0, 1.0, 1.0))
CHAT = ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}]})
COMPLETION = ("/v1/completions", {"prompt": "hi"})
ROUTES = pytest.mark.parametrize("route", [CHAT, COMPLETION], ids=["chat", "completion"])
Route = tuple[str, dict[str, Any]]


def gives(*batches: Sequence[Event] | Exception, then: Callable[[], Awaitable[Any]] | None = None) -> Script:
    """A script of these batches; it ends, raises, or waits for what then gives."""

    async def script(_: Request) -> AsyncIterator[Sequence[Event]]:
        for batch in batches:
            if isinstance(batch, Exception):
                raise batch
            yield batch
        if then is not None:
            await then()
            yield [END]

    return script


async def for_ever() -> None:
    await asyncio.Event().wait()


class Client:
    """One raw ASGI request: sees each message, leaves when told, and may refuse to take what is sent."""

    def __init__(self, api: Api, route: Route, **fields: Any) -> None:
        self.api, self.sent = api, []
        self.got, self.may_read = asyncio.Event(), asyncio.Event()
        self.may_read.set()
        self._leave = asyncio.Event()
        path, body = route
        raw = json.dumps({**body, **fields}).encode()
        self._body: list[dict[str, Any]] = [{"type": "http.request", "body": raw, "more_body": False}]
        headers = [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")]
        scope = {"type": "http", "method": "POST", "path": path, "headers": headers, "query_string": b""}
        self.task = asyncio.ensure_future(api.app({**scope, "client": ("::1", 1)}, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        if self._body:
            return self._body.pop()
        await self._leave.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        await self.may_read.wait()
        self.sent.append(message)
        self.got.set()

    def leave(self) -> None:
        self._leave.set()

    async def read(self) -> None:
        """Wait for one more message."""
        await self.got.wait()
        self.got.clear()

    async def end(self) -> None:
        await asyncio.wait_for(self.task, 5)

    @property
    def text(self) -> str:
        return b"".join(message.get("body", b"") for message in self.sent).decode()


def run(scenario: Callable[[Api], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(Api()), 20))


async def until(is_so: Callable[[], Any]) -> None:
    """Let others run until it is so."""
    while not is_so():
        await asyncio.sleep(0)


def is_over(api: Api) -> bool:
    """Nothing computes for nobody, and no model is held."""
    return api.pool.n_open == 0 and all(stream.cancelled.is_set() for stream in api.service.streams)


@ROUTES
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    "events",
    [[], [Waiting(3)], [Waiting(0), Reading(100, 0, 10, 5.0)], [Token(65, "A")]],
    ids=["silent", "queued", "reading", "writing"],
)
def test_a_client_that_leaves_is_computed_for_no_longer(route: Route, stream: bool, events: list[Event]) -> None:
    async def scenario(api: Api) -> None:
        api.service.scripts = [gives(*([events] if events else []), then=for_ever)]
        client = Client(api, route, stream=stream, n=2)
        await until(lambda: len(api.service.streams) == 2)
        if stream and isinstance([*events, None][0], Token):
            await client.read()
        client.leave()
        await client.end()
        assert is_over(api)

    run(scenario)


@ROUTES
def test_a_client_that_leaves_while_its_model_loads_is_forgotten(route: Route) -> None:
    async def scenario(api: Api) -> None:
        api.pool.gate = asyncio.Event()
        client = Client(api, route)
        await until(lambda: api.pool.n_open)
        client.leave()
        await client.end()
        assert (api.pool.n_open, api.service.requests, client.sent) == (0, [], [])

    run(scenario)


@pytest.mark.parametrize("stream", [True, False])
def test_a_request_that_the_server_cancels_at_its_deadline_stops_computing(stream: bool) -> None:
    async def scenario(api: Api) -> None:
        api.service.scripts = [gives([Token(65, "A")], then=for_ever)]
        client = Client(api, CHAT, stream=stream)
        await until(lambda: api.service.streams)
        await asyncio.sleep(0)
        client.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await client.end()
        assert is_over(api)

    run(scenario)


@ROUTES
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("error", "retry"),
    [
        (QueueTimeout("waited 30 s", retry_after_s=7), "7"),
        (ContextExceeded("900 tokens, 512 fit", param="messages"), None),
        (EngineFailed("no"), None),
        (Stopping("soon"), "1"),
    ],
    ids=["timeout", "context", "engine", "stopping"],
)
def test_an_error_before_the_first_byte_is_a_plain_http_error(
    route: Route, stream: bool, error: LlmServerError, retry: str | None
) -> None:
    api = Api()
    api.service.scripts = [gives([Waiting(2)], [Reading(9, 0, 3, 1.0)], [Failed(error)])]
    answer = api.post(route[0], {**route[1], "stream": stream})
    assert (answer.status_code, answer.json()) == (error.status, error.envelope())
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers.get("retry-after") == retry
    assert is_over(api)


@pytest.mark.parametrize("stream", [True, False])
def test_when_one_of_several_answers_is_not_accepted_none_is_computed(stream: bool) -> None:
    api = Api()
    api.service.to_raise = [None, QueueFull("16 wait already", retry_after_s=3)]
    answer = api.chat(n=2, stream=stream)
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "queue_full")
    assert answer.headers["retry-after"] == "3"
    assert (len(api.service.streams), is_over(api)) == (1, True)


@ROUTES
@pytest.mark.parametrize("stream", [True, False])
def test_a_prompt_that_does_not_fit_is_refused_under_its_fields_name(route: Route, stream: bool) -> None:
    api = Api()
    api.service.to_raise = [ContextExceeded("900 tokens, 512 fit")]
    answer = api.post(route[0], {**route[1], "stream": stream})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, "context_length_exceeded")
    assert error["param"] == next(iter(route[1]))


@ROUTES
def test_an_error_amid_a_stream_is_its_last_event(route: Route) -> None:
    api = Api()
    error = EngineFailed("llama_decode said -1")
    api.service.scripts = [gives([Token(65, "A"), Token(66, "B")], [Token(67, "C"), Failed(error)])]
    events = events_in(api.post(route[0], {**route[1], "stream": True}))
    assert events[-1] == error.envelope()
    assert "[DONE]" not in events
    assert "C" in json.dumps(events[-2])
    assert is_over(api)


def test_an_error_of_one_of_several_answers_ends_them_all() -> None:
    api = Api()
    api.service.scripts = [gives([Token(65, "A")], then=for_ever), gives([Token(65, "A")], [Failed(EngineFailed("x"))])]
    events = events_in(api.chat(n=2, stream=True))
    assert events[-1]["error"]["code"] == "engine_failed"
    assert is_over(api)
    api.service.scripts = [gives(then=for_ever), gives([Failed(EngineFailed("x"))])]
    assert api.chat(n=2).status_code == 500
    assert is_over(api)


@pytest.mark.parametrize("n", [1, 2])
def test_a_bug_amid_a_stream_is_logged_and_its_last_event_tells_nothing_of_it(
    n: int, caplog: pytest.LogCaptureFixture
) -> None:
    api = Api()
    api.service.scripts = [gives([Token(65, "A")], KeyError("/home/secret"))]
    events = events_in(api.chat(stream=True, n=n))
    assert events[-1]["error"]["code"] == "internal_error"
    assert "secret" not in json.dumps(events)
    assert "secret" in caplog.text
    assert is_over(api)


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_that_breaks_off_without_an_end_is_an_error(stream: bool, n: int) -> None:
    api = Api()
    api.service.scripts = [gives([Token(65, "A")])]
    answer = api.chat(stream=stream, n=n)
    assert (events_in(answer)[-1] if stream else answer.json())["error"]["code"] == "engine_failed"


def test_headers_wait_for_the_first_token_and_a_batch_is_one_write() -> None:
    async def scenario(api: Api) -> None:
        go = asyncio.Event()
        api.service.scripts = [gives([Waiting(1)], [Reading(9, 0, 5, 1.0)], then=go.wait)]
        client = Client(api, CHAT, stream=True)
        await until(lambda: api.service.streams)
        for _ in range(20):
            await asyncio.sleep(0)
        assert client.sent == []
        go.set()
        await client.end()
        assert [message["type"] for message in client.sent] == ["http.response.start", "http.response.body"]
        assert client.text.count("data: ") == 3

    run(scenario)


@ROUTES
@pytest.mark.parametrize("asks", [{"return_progress": True}, {"prefer": "respond-async, return-progress; x=1"}, {}])
def test_progress_is_told_to_who_asks_for_it(route: Route, asks: dict[str, Any]) -> None:
    api = Api()
    api.service.scripts = [gives([Waiting(2)], [Reading(100, 20, 43, 7.5)], [Token(65, "A")], [END])]
    header = {name: asks[name] for name in asks if name == "prefer"}
    body = {name: asks[name] for name in asks if name != "prefer"}
    events = events_in(api.post(route[0], {**route[1], "stream": True, **body}, **header))
    progress = [event for event in events[:-1] if "queue_position" in event or "prompt_progress" in event]
    if not asks:
        assert progress == []
        return
    place, read = progress
    assert events[:2] == progress
    assert place["queue_position"] == 2
    assert read["prompt_progress"] == {"total": 100, "cache": 20, "processed": 43, "time_ms": 7.5}
    assert set(place) == {"id", "object", "created", "model", "system_fingerprint", "choices", "queue_position"}
    nothing = {"delta": {}} if route is CHAT else {"text": ""}
    assert place["choices"] == [{"index": 0, **nothing, "finish_reason": None, "logprobs": None}]


@pytest.mark.parametrize(
    ("events", "says_"),
    [([], ": waiting"), ([Waiting(2)], ": waiting, 2 before you"), ([Reading(100, 0, 43, 1.0)], ": reading 43 %")],
)
def test_silence_is_broken_by_comments_that_sdks_skip(
    monkeypatch: pytest.MonkeyPatch, events: list[Event], says_: str
) -> None:
    monkeypatch.setattr(sse, "FIRST_SIGN_S", 0.01)
    monkeypatch.setattr(sse, "SIGN_EVERY_S", 0.01)

    async def scenario(api: Api) -> None:
        go = asyncio.Event()
        api.service.scripts = [gives(*([events] if events else []), then=go.wait)]
        client = Client(api, CHAT, stream=True)
        await until(lambda: client.text.count(f"{says_}\n\n") >= 2)
        go.set()
        await client.end()
        assert client.text.endswith("data: [DONE]\n\n")

    run(scenario)


def test_an_error_after_a_comment_is_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "FIRST_SIGN_S", 0.01)

    async def scenario(api: Api) -> None:
        go = asyncio.Event()

        async def script(_: Request) -> AsyncIterator[Sequence[Event]]:
            await go.wait()
            yield [Failed(QueueTimeout("too long"))]

        api.service.scripts = [script]
        client = Client(api, CHAT, stream=True)
        await until(lambda: client.text)
        go.set()
        await client.end()
        assert json.loads(client.text.split("data: ")[1])["error"]["code"] == "queue_timeout"
        assert "[DONE]" not in client.text

    run(scenario)


def test_a_slow_reader_gets_the_whole_answer() -> None:
    async def scenario(api: Api) -> None:
        api.service.scripts = [says("slow but sure")]
        client = Client(api, CHAT, stream=True)
        client.may_read.clear()
        await until(lambda: api.service.streams)
        for _ in range(200):
            await asyncio.sleep(0)
            client.may_read.set()
            await asyncio.sleep(0)
            client.may_read.clear()
        client.may_read.set()
        await client.end()
        chunks = [json.loads(line[6:]) for line in client.text.split("\n\n") if line.startswith("data: {")]
        assert "".join(c["choices"][0]["delta"].get("content", "") for c in chunks) == "slow but sure"

    run(scenario)


@pytest.mark.parametrize("has_more", [True, False])
def test_a_client_that_reads_nothing_at_all_is_given_up(monkeypatch: pytest.MonkeyPatch, has_more: bool) -> None:
    for name in ("FIRST_SIGN_S", "SIGN_EVERY_S", "STALLED_S"):
        monkeypatch.setattr(sse, name, 0.02)

    async def scenario(api: Api) -> None:
        api.service.scripts = [gives(*([[Token(65, "A")]] if has_more else []), then=for_ever)]
        client = Client(api, CHAT, stream=True)
        client.may_read.clear()
        await client.end()
        assert is_over(api)

    run(scenario)


def test_a_request_ends_without_leaving_a_task_behind() -> None:
    async def scenario(api: Api) -> None:
        before = asyncio.all_tasks()
        for fields in ({}, {"stream": True}, {"n": 2}, {"n": 2, "stream": True}):
            await Client(api, CHAT, **fields).end()
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == before

    run(scenario)
