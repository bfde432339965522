"""The real process with the embedded model, asked through the openai SDK. Nothing here asserts what the model knows."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import pytest

from llmserver import __version__
from llmserver.api.health import DEMO_NOTICE
from llmserver.library.modelfile import GET_ONE
from tests.processes import MODEL, REPO, Process, environment, free_port, llmserver, running, until
from tests.server.standins import NotifySocket

pytestmark = pytest.mark.model

NAME = "SmolLM2-135M-Instruct.Q4_1"
N_VOCAB = 49152
KEY = "sekret-8c1f"
MARKER = "xylophone-marker-7731"
MESSAGES: list[Any] = [
    {"role": "system", "content": "You are a helpful assistant."},
    {"role": "user", "content": "Tell me a story about the sea."},
]
FIXED: dict[str, Any] = {"model": NAME, "temperature": 0, "seed": 7}
CHAT: dict[str, Any] = FIXED | {"messages": MESSAGES}
# More tokens than a test waits for: who still gets an answer soon after has not waited for these.
ENDLESS: dict[str, Any] = CHAT | {"max_tokens": 3500, "extra_body": {"min_tokens": 3500}, "stream": True}


def client_of(process: Process, key: str = "none", timeout_s: float = 60) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{process.url}/v1", api_key=key, max_retries=0, timeout=timeout_s)


@pytest.fixture(scope="module")
def client(real_server: Process) -> Iterator[openai.OpenAI]:
    with client_of(real_server) as made:
        yield made


def post(process: Process, path: str, body: object) -> tuple[int, Any]:
    """Status and body of a request outside the SDK; bytes are sent as they are."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(f"{process.url}{path}", content, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as refused:
        return refused.code, json.loads(refused.read())


def get(process: Process, path: str) -> tuple[int, Any]:
    """Status and body, also of a 503."""
    try:
        with urllib.request.urlopen(f"{process.url}{path}", timeout=10) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as refused:
        return refused.code, json.loads(refused.read())


def n_tokens(process: Process, text: str) -> int:
    return int(post(process, "/extras/tokenize/count", {"input": text})[1]["count"])


def is_listening(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def text_of(chunks: list[Any]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


# Completions


def test_a_streamed_answer_is_the_same_text_in_pieces(client: openai.OpenAI) -> None:
    def forget() -> None:  # both answers must begin with nothing of the prompt in the cache
        client.completions.create(**FIXED, prompt="0", max_tokens=1)

    forget()
    whole = client.chat.completions.create(**CHAT, max_tokens=32)
    forget()
    chunks = list(client.chat.completions.create(**CHAT, max_tokens=32, stream=True))
    assert whole.choices[0].message.content
    assert text_of(chunks) == whole.choices[0].message.content
    assert len(chunks) > 10
    assert [chunk.choices[0].finish_reason for chunk in chunks][-1] == whole.choices[0].finish_reason
    assert {chunk.choices[0].finish_reason for chunk in chunks[:-1]} == {None}
    assert chunks[0].choices[0].delta.role == whole.choices[0].message.role == "assistant"


def test_usage_counts_the_prompt_and_the_answer(client: openai.OpenAI, real_server: Process) -> None:
    answer = client.completions.create(**FIXED, prompt="The sea is", max_tokens=8)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage
    assert answer.usage.prompt_tokens == n_tokens(real_server, "The sea is")
    assert answer.usage.completion_tokens == 8
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 8


def test_a_limit_ends_an_answer_with_length_streamed_and_not(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(**CHAT, max_tokens=5)
    chunks = list(client.chat.completions.create(**CHAT, max_tokens=5, stream=True))
    assert whole.choices[0].finish_reason == chunks[-1].choices[0].finish_reason == "length"
    assert whole.usage and whole.usage.completion_tokens == 5


def test_a_stop_string_ends_the_answer_before_it(client: openai.OpenAI) -> None:
    text = client.chat.completions.create(**CHAT, max_tokens=32).choices[0].message.content or ""
    stop = text.split()[6]
    expected = text.partition(stop)[0]
    whole = client.chat.completions.create(**CHAT, max_tokens=32, stop=[stop])
    chunks = list(client.chat.completions.create(**CHAT, max_tokens=32, stop=[stop], stream=True))
    assert (whole.choices[0].message.content or "").rstrip() == expected.rstrip()
    assert text_of(chunks).rstrip() == expected.rstrip()
    assert whole.choices[0].finish_reason == chunks[-1].choices[0].finish_reason == "stop"


def test_a_text_completion_streams_the_same_text(client: openai.OpenAI) -> None:
    whole = client.completions.create(**FIXED, prompt="Once upon a time", max_tokens=16)
    chunks = list(client.completions.create(**FIXED, prompt="Once upon a time", max_tokens=16, stream=True))
    assert whole.choices[0].text
    assert "".join(chunk.choices[0].text for chunk in chunks) == whole.choices[0].text


def test_a_grammar_holds(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(**CHAT, max_tokens=8, extra_body={"grammar": 'root ::= "yes" | "no"'})
    assert answer.choices[0].message.content in {"yes", "no"}


def test_tokens_can_be_counted_and_turned_back_into_text(real_server: Process) -> None:
    text = "Grüße, 世界! 🦙"
    status, found = post(real_server, "/extras/tokenize", {"input": text})
    assert (status, len(found["tokens"])) == (200, n_tokens(real_server, text))
    assert post(real_server, "/extras/detokenize", {"tokens": found["tokens"]}) == (200, {"text": text})
    status, half = post(real_server, "/extras/detokenize", {"tokens": found["tokens"][-1:]})
    assert (status, "�" in half["text"]) == (200, True)


def test_the_model_has_one_name_everywhere(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == [NAME]
    assert client.completions.create(**FIXED, prompt="0", max_tokens=1).model == NAME
    unnamed = client.completions.create(**FIXED | {"model": ""}, prompt="0", max_tokens=1)
    assert str(MODEL.parent) not in unnamed.model


# Refusals


def refused(ask: Callable[[], object]) -> openai.APIStatusError:
    with pytest.raises(openai.APIStatusError) as caught:
        ask()
    return caught.value


def test_a_wrong_type_is_a_bad_request_that_names_the_field(client: openai.OpenAI) -> None:
    error = refused(lambda: client.chat.completions.create(**CHAT | {"temperature": "hot"}))
    assert isinstance(error, openai.BadRequestError)
    assert (error.param, error.code, error.type) == ("temperature", "invalid_request", "invalid_request_error")
    error = refused(lambda: client.chat.completions.create(**FIXED, messages="hello"))  # type: ignore[arg-type]
    assert (error.status_code, error.param) == (400, "messages")


def test_an_unknown_route_is_not_found(client: openai.OpenAI) -> None:
    error = refused(lambda: client.moderations.create(input="x"))
    assert isinstance(error, openai.NotFoundError)
    assert error.code == "unknown_route"


def test_a_prompt_that_cannot_fit_is_refused_with_both_numbers(client: openai.OpenAI, real_server: Process) -> None:
    prompt = "word " * 5000
    n_prompt, n_ctx = n_tokens(real_server, prompt), get(real_server, "/health")[1]["model"]["n_ctx"]
    error = refused(lambda: client.completions.create(**FIXED, prompt=prompt))
    assert isinstance(error, openai.BadRequestError)
    assert error.code == "context_length_exceeded"
    assert f"{n_prompt} tokens" in error.message
    assert f"holds {n_ctx}" in error.message
    assert int(error.message.split("--n_ctx ")[1].split("'")[0]) > n_prompt


def test_a_prompt_that_cannot_fit_ends_a_stream_with_the_same_error(client: openai.OpenAI) -> None:
    messages: list[Any] = [{"role": "user", "content": "word " * 5000}]
    with pytest.raises(openai.APIError) as caught:
        list(client.chat.completions.create(**FIXED, messages=messages, stream=True))
    assert not isinstance(caught.value, openai.APIConnectionError)
    assert caught.value.code == "context_length_exceeded"
    assert "4096" in caught.value.message


def test_a_message_of_a_megabyte_is_refused_and_the_next_one_answered(client: openai.OpenAI) -> None:
    messages: list[Any] = [{"role": "user", "content": "x " * 500_000}]
    error = refused(lambda: client.chat.completions.create(**FIXED, messages=messages))
    assert (error.status_code, error.code) == (400, "context_length_exceeded")
    assert client.chat.completions.create(**CHAT, max_tokens=1).choices


# What llama.cpp answers with the end of the process, or the library with a 500.
BAD_REQUESTS: list[tuple[str, Any, str | None]] = [
    ("/v1/chat/completions", CHAT | {"grammar": "nonsense ::"}, "grammar"),
    ("/v1/chat/completions", CHAT | {"grammar": 'x ::= "no root"'}, "grammar"),
    ("/v1/chat/completions", CHAT | {"grammar": 'root ::= root "for ever"'}, "grammar"),
    ("/v1/chat/completions", CHAT | {"logit_bias": {"word": 1}}, "logit_bias"),
    ("/v1/chat/completions", CHAT | {"logprobs": True}, "logprobs"),
    ("/v1/chat/completions", b'{"messages": [{"role": "user", "content": "\\ud800"}]}', None),
    ("/v1/chat/completions", b"{nope", None),
    ("/v1/completions", {"prompt": ""}, "prompt"),
    ("/v1/completions", {"prompt": []}, "prompt"),
    ("/v1/completions", {"prompt": ["a", "b"]}, "prompt"),
    ("/v1/completions", {"prompt": "a", "logprobs": 2}, "logprobs"),
    ("/v1/embeddings", {"input": "a"}, None),
    ("/extras/detokenize", {"tokens": [-1]}, "tokens"),
    ("/extras/detokenize", {"tokens": [N_VOCAB]}, "tokens"),
    ("/extras/detokenize", {"tokens": [10**20]}, "tokens"),
]


@pytest.mark.parametrize(("path", "body", "param"), BAD_REQUESTS)
def test_a_bad_request_is_refused_and_ends_nothing(real_server: Process, path: str, body: Any, param: str) -> None:
    status, answer = post(real_server, path, body)
    assert (status, answer["error"]["param"]) == (400, param), answer
    assert real_server.is_healthy()


@pytest.mark.parametrize("wrong", [{"grammar": "nonsense ::"}, {"logit_bias": {"word": 1}}])
def test_a_bad_request_for_a_stream_ends_it_with_the_error(client: openai.OpenAI, wrong: dict[str, Any]) -> None:
    with pytest.raises(openai.APIError) as caught:
        list(client.chat.completions.create(**CHAT, stream=True, extra_body=wrong))
    assert caught.value.param == next(iter(wrong))


# In the middle of a stream


def test_models_and_health_answer_in_the_middle_of_a_stream_and_do_not_cut_it(
    client: openai.OpenAI, real_server: Process
) -> None:
    stream = client.chat.completions.create(**CHAT, max_tokens=80, stream=True, extra_body={"min_tokens": 80})
    chunks = [next(stream), next(stream)]
    for path in ("/v1/models", "/health", "/v1/models"):
        began = time.monotonic()
        assert get(real_server, path)[0] == 200
        assert time.monotonic() - began < 0.5
    chunks += list(stream)
    assert chunks[-1].choices[0].finish_reason == "length"
    assert len(chunks) > 40


def test_a_second_request_waits_for_a_stream_and_does_not_cut_it(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(**CHAT, max_tokens=40, stream=True, extra_body={"min_tokens": 40})
    chunks = [next(stream), next(stream)]
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(client.completions.create, **FIXED, prompt="0", max_tokens=2)
        chunks += list(stream)
        assert second.result(30).choices[0].finish_reason == "length"
    assert chunks[-1].choices[0].finish_reason == "length"


def test_a_client_that_vanishes_holds_nobody_up(client: openai.OpenAI, real_server: Process) -> None:
    with client_of(real_server) as other:
        stream = other.chat.completions.create(**ENDLESS)
        next(stream)
        stream.close()
    patient = client.with_options(timeout=5)
    assert patient.chat.completions.create(**CHAT, max_tokens=1).choices


# What it says and to whom


def test_health_and_the_log_say_that_this_is_a_demonstration_model(real_server: Process) -> None:
    status, body = get(real_server, "/health")
    assert status == 200
    assert (body["status"], body["version"], body["notice"]) == ("ok", __version__, DEMO_NOTICE)
    assert body["model"] == {"id": NAME, "n_ctx": 4096, "size_bytes": MODEL.stat().st_size, "demo": True}
    assert DEMO_NOTICE in real_server.output
    assert f"ready: {NAME} at {real_server.url}/v1" in real_server.output


def other_addresses() -> list[str]:
    """This machine's addresses beyond loopback; connecting a datagram socket sends nothing."""
    found = []
    for family, far in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as sock:
                sock.connect((far, 9))
                found.append(str(sock.getsockname()[0]))
        except OSError:
            continue
    return found


def test_only_this_machine_reaches_it_by_default(real_server: Process) -> None:
    assert is_listening(real_server.port)
    if not other_addresses():
        pytest.skip("this machine has no address but loopback")
    for address in other_addresses():
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((address, real_server.port), timeout=5)


def test_a_page_that_rebinds_its_name_is_refused(real_server: Process) -> None:
    request = urllib.request.Request(f"{real_server.url}/v1/models", headers={"Host": "evil.example"})
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=5)
    assert (caught.value.code, json.loads(caught.value.read())["error"]["code"]) == (403, "unknown_host")


@pytest.fixture(scope="module")
def talkative(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A server from a YAML file: two models of which one is missing, a key, and the most talkative log."""
    config = tmp_path_factory.mktemp("config") / "server.yaml"
    port = free_port()
    config.write_text(
        f"port: {port}\napi_key: {KEY}\nlog_level: debug\nmodels:\n"
        f"  - {{model: {MODEL}, n_ctx: 512}}\n  - {{model: /nowhere/missing.gguf}}\n"
    )
    with running(Process("-m", "llmserver", "--config_file", str(config), port=port)) as process:
        yield process


def test_the_key_is_asked_for_on_every_route_that_does_something(talkative: Process) -> None:
    with client_of(talkative, KEY) as known, client_of(talkative, f"{KEY}x") as stranger:
        assert known.completions.create(**FIXED, prompt="0", max_tokens=1).choices
        for ask in (
            lambda: stranger.completions.create(**FIXED, prompt="0", max_tokens=1),
            lambda: stranger.chat.completions.create(**CHAT, max_tokens=1),
            lambda: stranger.chat.completions.create(**CHAT, max_tokens=1, stream=True),
            lambda: stranger.embeddings.create(model=NAME, input="0"),
            lambda: stranger.models.list(),
        ):
            error = refused(ask)
            assert isinstance(error, openai.AuthenticationError)
            assert (error.code, error.type) == ("invalid_api_key", "authentication_error")
    assert post(talkative, "/extras/tokenize", {"input": "0"})[0] == 401
    assert post(talkative, "/extras/detokenize", {"tokens": [0]})[0] == 401


def test_a_model_that_cannot_be_loaded_ends_a_stream_with_an_error_and_the_other_still_answers(
    talkative: Process,
) -> None:
    with client_of(talkative, KEY, timeout_s=20) as client:
        assert [model.id for model in client.models.list()] == [NAME, "missing"]
        with pytest.raises(openai.APIError) as caught:
            list(client.chat.completions.create(**CHAT | {"model": "missing"}, max_tokens=1, stream=True))
        assert caught.value.code == "internal_error"
        assert refused(lambda: client.completions.create(**FIXED | {"model": "missing"}, prompt="0")).status_code == 500
        assert client.chat.completions.create(**CHAT, max_tokens=1).choices  # on the connection that had the error
    assert talkative.output.count("Traceback") == 2


def test_the_log_holds_neither_messages_nor_answers_nor_the_key(talkative: Process) -> None:
    ask: dict[str, Any] = FIXED | {"messages": [{"role": "user", "content": MARKER}], "max_tokens": 24}
    echo = {"grammar": f'root ::= "{MARKER}-said"'}
    with client_of(talkative, KEY) as client, client_of(talkative, f"{KEY}x") as stranger:
        assert client.chat.completions.create(**ask, extra_body=echo).choices[0].message.content == f"{MARKER}-said"
        assert text_of(list(client.chat.completions.create(**ask, extra_body=echo, stream=True))) == f"{MARKER}-said"
        refused(lambda: client.chat.completions.create(**ask | {"temperature": MARKER}))
        refused(lambda: client.completions.create(**FIXED, prompt=MARKER * 1000))
        refused(lambda: stranger.chat.completions.create(**ask))
    until(lambda: talkative.output.count("POST /v1/chat/completions") >= 4, "the access log's lines")
    assert MARKER not in talkative.output
    assert "chat.completion.chunk" not in talkative.output  # a stream's pieces are shorter than the marker
    assert KEY not in talkative.output


# Starting

# case: flags, what its one line holds; {folder} and {port} stand for what the fixture makes
BAD_STARTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "missing": ("--model {folder}/missing.gguf", ("{folder}/missing.gguf", GET_ONE)),
    "directory": ("--model {folder}", ("{folder} is a folder", GET_ONE)),
    "not a model": ("--model {folder}/text.gguf", ("{folder}/text.gguf is not a GGUF", GET_ONE)),
    "old version": ("--model {folder}/old.gguf", ("{folder}/old.gguf has GGUF version 1", GET_ONE)),
    "truncated": ("--model {folder}/truncated.gguf", ("cannot load {folder}/truncated.gguf", GET_ONE)),
    "busy port": (f"--model {MODEL} --port {{port}}", ("port {port} ", "choose another with --port")),
    "unknown flag": ("--modle x", ("--modle",)),
}


@dataclass(frozen=True)
class Ended:
    """A process that could not start."""

    status: int
    out: str
    err: str
    says: tuple[str, ...]
    was_left_listening: bool


@pytest.fixture(scope="module")
def bad_starts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Ended]]:
    """Each bad start, tried once; all at the same time, since most of each is Python's imports."""
    folder = tmp_path_factory.mktemp("broken")
    (folder / "text.gguf").write_text("this is no model, it is a text")
    (folder / "old.gguf").write_bytes(b"GGUF" + (1).to_bytes(4, "little") + bytes(100))
    with MODEL.open("rb") as whole:
        (folder / "truncated.gguf").write_bytes(whole.read(3_000_000))
    with socket.create_server(("127.0.0.1", 0)) as busy, ThreadPoolExecutor(len(BAD_STARTS)) as pool:
        names = {"folder": str(folder), "port": str(busy.getsockname()[1])}
        tried = {
            case: pool.submit(start_badly, flags.format(**names).split(), tuple(say.format(**names) for say in says))
            for case, (flags, says) in BAD_STARTS.items()
        }
        yield {case: result.result() for case, result in tried.items()}


def start_badly(flags: list[str], says: tuple[str, ...]) -> Ended:
    port = free_port()
    flags = flags if "--port" in flags else [*flags, "--port", str(port)]
    done = subprocess.run(
        [sys.executable, "-m", "llmserver", *flags],
        env=environment(),
        cwd=REPO,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return Ended(done.returncode, done.stdout, done.stderr, says, is_listening(port))


@pytest.mark.parametrize("case", BAD_STARTS)
def test_a_start_that_cannot_work_ends_with_2_and_one_line_that_helps(bad_starts: dict[str, Ended], case: str) -> None:
    ended = bad_starts[case]
    helpful = [line for line in ended.err.splitlines() if all(say in line for say in ended.says)]
    assert (ended.status, len(helpful)) == (2, 1), ended.err
    assert "Traceback" not in ended.err
    assert ended.out == ""
    assert not ended.was_left_listening


@pytest.mark.parametrize("case", [case for case in BAD_STARTS if case != "truncated"])
def test_what_can_be_known_before_loading_is_all_that_is_said(bad_starts: dict[str, Ended], case: str) -> None:
    assert bad_starts[case].err.count("\n") == 1
    assert bad_starts[case].err.startswith("llmserver: ")


def test_two_servers_on_one_port_leave_the_first_alone(real_server: Process) -> None:
    second = llmserver(port=real_server.port)
    try:
        assert second.wait(30) == 2
    finally:
        second.kill()
    assert real_server.is_healthy()


# Readiness and the end


@contextlib.contextmanager
def gated(folder: Path, **env: str) -> Iterator[tuple[Process, Path]]:
    """A server that loads once somebody writes into the FIFO."""
    gate, port = folder / "gate", free_port()
    os.mkfifo(gate)
    flags = ("--model", str(MODEL), "--n_ctx", "512", "--port", str(port))
    process = Process(str(REPO / "tests" / "server" / "gated.py"), *flags, port=port, GATE=str(gate), **env)
    try:
        until(lambda: "loading" in process.output or process.process.poll() is not None, "the load")
        until(lambda: is_listening(port), "the port")
        yield process, gate
    finally:
        process.kill()


def stops_within(process: Process, limit_s: float) -> int:
    """The exit status; fails the test when it comes later."""
    began = time.monotonic()
    status = process.wait(limit_s + 30)
    assert time.monotonic() - began < limit_s, process.output
    return status


def test_systemd_hears_ready_only_when_the_first_request_works(tmp_path: Path) -> None:
    with NotifySocket() as systemd, gated(tmp_path, NOTIFY_SOCKET=systemd.address) as (process, gate):
        status, body = get(process, "/health")
        assert (status, body["status"], body["error"]["code"]) == (503, "loading", "model_loading")
        status, body = get(process, "/v1/models")
        assert (status, body["data"][0]["meta"]["state"]) == (200, "loading")
        status, body = post(process, "/v1/chat/completions", CHAT)
        assert (status, body["error"]["code"]) == (503, "model_loading")
        assert "READY=1" not in systemd.catch_up()
        assert "ready:" not in process.output

        gate.write_bytes(b"go")
        systemd.until("READY=1")
        with client_of(process) as client:
            assert client.chat.completions.create(**CHAT, max_tokens=1).choices

        assert "STOPPING=1" not in systemd.catch_up()
        process.process.terminate()
        assert stops_within(process, 3) == 0
        assert systemd.catch_up()[-1] == "STOPPING=1"
        assert not is_listening(process.port)
        assert "Traceback" not in process.output


def test_a_stop_while_the_model_loads_is_clean(tmp_path: Path) -> None:
    with gated(tmp_path) as (process, _):
        process.process.terminate()
        assert stops_within(process, 3) == 0
        assert "Traceback" not in process.output


def test_a_stop_lets_a_short_answer_end() -> None:
    with running(llmserver("--n_ctx", "512", "--drain_timeout_s", "30")) as process, client_of(process) as client:
        stream = client.chat.completions.create(**CHAT, max_tokens=60, stream=True, extra_body={"min_tokens": 60})
        chunks = [next(stream)]
        process.process.terminate()
        until(lambda: not is_listening(process.port), "the port is closed to new requests")
        chunks += list(stream)
        assert chunks[-1].choices[0].finish_reason == "length"
        assert process.wait(10) == 0
        assert "Traceback" not in process.output


def test_a_stop_cuts_a_long_answer_at_the_deadline() -> None:
    with running(llmserver("--drain_timeout_s", "1")) as process, client_of(process) as client:
        stream = client.chat.completions.create(**ENDLESS)
        next(stream)
        process.process.terminate()
        assert stops_within(process, 1 + 2) == 0
        assert "Traceback" not in process.output


def test_a_second_signal_does_not_wait_for_the_deadline() -> None:
    with running(llmserver("--drain_timeout_s", "600")) as process, client_of(process) as client:
        stream = client.chat.completions.create(**ENDLESS)
        next(stream)
        process.process.terminate()
        until(lambda: "stopping" in process.output, "the first signal")
        process.process.terminate()
        assert stops_within(process, 2) == 0
