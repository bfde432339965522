"""llama.cpp ends the process: everybody is told, and a fresh server answers at the same place."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import httpx2
import pytest

from llmserver.engine.llama.abort import brief
from tests.processes import MODEL, Process, free_port, running, until

pytestmark = pytest.mark.model


def aborting(how: str, cache: Path) -> Process:
    port = free_port()
    script = str(Path(__file__).with_name("aborting.py"))
    return Process(script, how, "--model", str(MODEL), "--port", str(port), port=port, XDG_CACHE_HOME=str(cache))


def ask(url: str, **more: Any) -> httpx2.Response:
    body = {"messages": [{"role": "user", "content": "Tell a long story."}], "max_tokens": 400, **more}
    return httpx2.post(f"{url}/v1/chat/completions", json=body, timeout=60, trust_env=False)


def test_everybody_is_answered_and_the_same_process_serves_anew(tmp_path: Path) -> None:
    with running(aborting("once", tmp_path)) as server:
        answers: list[httpx2.Response] = []
        whole = threading.Thread(target=lambda: answers.append(ask(server.url)))
        whole.start()
        streamed = ask(server.url, stream=True).text
        whole.join(60)
        last = json.loads(streamed.strip().split("data: ")[-1])
        assert last["error"]["code"] == "engine_lost" and "out of memory" in last["error"]["message"]
        assert answers[0].status_code == 503 and answers[0].json()["error"]["code"] == "engine_lost"
        assert answers[0].headers["retry-after"] == "10"
        until(lambda: "starting anew" in server.output, "it starts anew")
        server.until_healthy()
        assert ask(server.url, max_tokens=30).json()["usage"]["completion_tokens"] == 30
        assert "llama.cpp gave up: CUDA error: out of memory" in server.output and "starting anew" in server.output
        assert server.process.poll() is None


def test_a_server_that_gives_up_again_and_again_leaves(tmp_path: Path) -> None:
    server = aborting("load", tmp_path)
    try:
        until(lambda: server.process.poll() is not None, "it leaves", timeout_s=90)
        assert server.wait() == 1
        assert server.output.count("llama.cpp gave up") == 4 and server.output.count("starting anew") == 3
        assert "leaving" in server.output and "core dumped" not in server.output
    finally:
        server.kill()


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("/src/ggml-rpc.cpp:461: Remote RPC server crashed", "Remote RPC server crashed"),
        ("plain words", "plain words"),
        ("two\nlines", "two lines"),
        ("note: it has no place", "it has no place"),
        ("", ""),
    ],
)
def test_a_reason_is_one_line_without_its_place(message: str, reason: str) -> None:
    assert brief(message) == reason
