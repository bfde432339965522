"""The openai SDK as the client of a real uvicorn over a service without an engine."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import openai
import pytest
import uvicorn

from llmserver.engine.request import Failed, Token
from llmserver.errors import EngineFailed
from tests.server.fake_service import CHATML, FakePool, make_app, says
from tests.server.test_api_chat import CALLS, HERMES, WEATHER
from tests.server.test_api_stream import for_ever, gives

USER: Any = [{"role": "user", "content": "hi"}]


@contextmanager
def serving() -> Iterator[tuple[FakePool, int]]:
    """A server on a free port, and the pool behind it."""
    app, pool = make_app()
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        yield pool, listener.getsockname()[1]
        server.should_exit = True
        thread.join(10)
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[FakePool, int]]:
    with serving() as running:
        yield running


@pytest.fixture
def pool(server: tuple[FakePool, int]) -> FakePool:
    pool, _ = server
    pool.service.__init__()  # type: ignore[misc]
    return pool


@pytest.fixture
def client(server: tuple[FakePool, int]) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"http://127.0.0.1:{server[1]}/v1", api_key="any", max_retries=0) as client:
        yield client


def test_chat(pool: FakePool, client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="tiny", messages=USER, temperature=0, max_completion_tokens=5)
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("Hello", "length")
    assert answer.usage and answer.usage.prompt_tokens_details
    assert pool.service.requests[0].sampling.temperature == 0


def test_chat_streamed_with_usage_and_reasoning(pool: FakePool, client: openai.OpenAI) -> None:
    pool.service.scripts = [says("<think>hm</think>Grüße \u2028 😀")]
    with client.chat.completions.create(
        model="tiny",
        messages=USER,
        stream=True,
        stream_options={"include_usage": True},
        extra_body={"return_progress": True},
    ) as stream:
        chunks = list(stream)
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert "".join(delta.content or "" for delta in deltas) == "Grüße \u2028 😀"
    assert "".join(getattr(delta, "reasoning_content", "") for delta in deltas) == "hm"
    assert (chunks[-1].usage and chunks[-1].usage.total_tokens, chunks[-1].choices) == (22 + 33, [])


def test_several_answers_and_a_message_sent_back(pool: FakePool, client: openai.OpenAI) -> None:
    pool.service.scripts = [says("one"), says("two")]
    answer = client.chat.completions.create(model="tiny", messages=USER, n=2, seed=3)
    assert [choice.message.content for choice in answer.choices] == ["one", "two"]
    again = client.chat.completions.create(model="tiny", messages=[*USER, answer.choices[0].message, *USER])
    assert again.choices


def test_log_probabilities(pool: FakePool, client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="tiny", messages=USER, logprobs=True, top_logprobs=3, max_tokens=2)
    logprobs = answer.choices[0].logprobs
    assert logprobs and logprobs.content
    assert [(entry.token, len(entry.top_logprobs)) for entry in logprobs.content] == [("H", 3), ("e", 3)]


def test_tools_whole_and_streamed(pool: FakePool, client: openai.OpenAI) -> None:
    pool.service.info = replace(pool.service.info, chat_template=HERMES)
    pool.service.scripts = [says(CALLS)]
    tools: Any = [WEATHER]
    answer = client.chat.completions.create(model="tiny", messages=USER, tools=tools, tool_choice="auto")
    calls: Any = answer.choices[0].message.tool_calls
    assert [json.loads(call.function.arguments)["city"] for call in calls] == ["Köln", "Ulm"]
    results: Any = [{"role": "tool", "tool_call_id": call.id, "content": "sun"} for call in calls]
    client.chat.completions.create(model="tiny", messages=[*USER, answer.choices[0].message, *results], tools=tools)
    with client.chat.completions.stream(model="tiny", messages=USER, tools=tools) as stream:
        final: Any = stream.get_final_completion().choices[0]
    assert [call.function.name for call in final.message.tool_calls] == ["weather", "weather"]
    assert final.finish_reason == "tool_calls"


def test_a_json_schema(pool: FakePool, client: openai.OpenAI) -> None:
    pool.service.scripts = [says('{"a": 1}')]
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    shape: Any = {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": schema}}
    answer = client.chat.completions.create(model="tiny", messages=USER, response_format=shape)
    assert json.loads(answer.choices[0].message.content or "") == {"a": 1}
    assert pool.service.requests[0].sampling.grammar


def test_completions(pool: FakePool, client: openai.OpenAI) -> None:
    answer = client.completions.create(model="tiny", prompt=["a", "b"], echo=True, logprobs=1, max_tokens=2, best_of=2)
    assert [choice.text for choice in answer.choices] == ["aHe", "bHe"]
    logprobs = answer.choices[1].logprobs
    assert logprobs and logprobs.tokens == ["b", "H", "e"]
    stream = client.completions.create(model="tiny", prompt=[97], stream=True, max_tokens=4)
    assert "".join(chunk.choices[0].text for chunk in stream) == "Hell"


def test_models(pool: FakePool, client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["tiny", "tiny:pirate", "embed", "away"]
    assert client.models.retrieve("tiny:pirate").id == "tiny:pirate"


def test_errors_are_the_sdks_own(pool: FakePool, client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="gpt-4o", messages=USER)
    with pytest.raises(openai.BadRequestError) as wrong:
        client.chat.completions.create(model="tiny", messages=USER, temperature=11)
    assert wrong.value.param == "temperature"
    pool.service.scripts = [gives([Token(65, "A")], [Failed(EngineFailed("no more"))])]
    with pytest.raises(openai.APIError, match="no more"):
        list(client.chat.completions.create(model="tiny", messages=USER, stream=True))


@pytest.mark.parametrize("stream", [True, False])
def test_a_closed_connection_stops_the_computing(pool: FakePool, server: tuple[FakePool, int], stream: bool) -> None:
    pool.service.scripts = [gives([Token(65, "A")], then=for_ever)]
    body = json.dumps({"messages": USER, "stream": stream}).encode()
    head = "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", server[1])) as connection:
        connection.sendall(head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        if stream:
            assert connection.recv(10)
        while not pool.service.streams:
            time.sleep(0.001)
    assert pool.service.streams[0].cancelled.wait(5)


def test_a_client_that_reads_slowly_gets_the_whole_answer(pool: FakePool, server: tuple[FakePool, int]) -> None:
    text = "slowly " * 3000
    pool.service.scripts = [says(text, per_batch=4)]
    body = json.dumps({"messages": USER, "stream": True}).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    got = b""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", server[1]))
        connection.sendall(head + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        while part := connection.recv(65536):
            got += part
    assert got.count(b'"delta":{"content":') == len(text)
    assert got.rstrip().endswith(b"0") and b"data: [DONE]" in got


def test_other_requests_are_answered_beside_streams(pool: FakePool, client: openai.OpenAI) -> None:
    pool.service.info = replace(pool.service.info, chat_template=CHATML)
    pool.service.scripts = [gives([Token(65, "A")], then=for_ever)]
    with client.chat.completions.create(model="tiny", messages=USER, stream=True) as stream:
        assert next(iter(stream))
        assert client.models.list().data[0].id == "tiny"
