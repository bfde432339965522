"""A base model, whose file has no chat template: it continues texts, says so, and does not pretend to chat."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest

from llmserver.api.capabilities import capabilities_of, tell_of_base
from llmserver.engine.pool import Known
from llmserver.settings import ModelOptions
from llmserver.text import sandbox
from llmserver.text.budget import Clock
from tests.processes import Process, free_port, running
from tests.server import hostile_templates as hostile
from tests.server import templates
from tests.server.fake_models import serving
from tests.server.fake_service import CHATML, INFO, Api, fresh_api, text_of
from tests.server.real import get, post
from tests.server.recurrent import write_recurrent

CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
def base() -> Api:
    api = fresh_api()
    api.service.info = replace(api.service.info, chat_template="")
    return api


@pytest.mark.parametrize("template", ["", " \n "])
@pytest.mark.parametrize(("path", "body"), [("chat/completions", CHAT), ("responses", {"input": "hi"})])
@pytest.mark.parametrize("stream", [False, True])
def test_a_chat_with_a_base_model_is_refused_with_what_to_do(
    base: Api, path: str, body: dict[str, Any], stream: bool, template: str
) -> None:
    base.service.info = replace(base.service.info, chat_template=template)
    answer = base.post(f"/v1/{path}", {**body, "stream": stream})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, "no_chat_template", "model")
    assert error["type"] == "invalid_request_error"
    for word in ("no chat template", "/v1/completions", "--chat_format chatml", "llama-3"):
        assert word in error["message"]
    assert base.service.requests == []


def test_a_base_model_continues_texts(base: Api) -> None:
    answer = base.complete(prompt="Once")
    assert answer.status_code == 200
    assert text_of(base.service.requests[0]) == "<s>Once"


def test_a_base_model_with_a_chat_format_chats(base: Api) -> None:
    base.pool.settings = base.pool.settings.model_copy(update={"chat_format": "gemma"})
    assert base.chat().status_code == 200
    assert text_of(base.service.requests[0]) == "<s><start_of_turn>user\nhi<end_of_turn>\n<start_of_turn>model\n"


def capabilities(api: Api) -> list[str]:
    """What /v1/models says of the first model, and /health too."""
    found = api.client.get("/v1/models").json()["data"][0]["meta"]["capabilities"]
    assert api.client.get("/health").json()["model"]["capabilities"] == found
    assert api.client.get("/v1/models/tiny").json()["meta"]["capabilities"] == found
    return list(found)


def test_what_a_base_model_can_is_told_by_the_list_of_models_and_by_health(base: Api) -> None:
    assert capabilities(base) == ["completion", "fill_in_the_middle"]


def test_a_chat_format_makes_it_a_model_for_chats() -> None:
    api = Api("--chat_format", "chatml")
    api.service.info = replace(api.service.info, chat_template="", fim=None)
    assert capabilities(api) == ["chat", "completion"]


@pytest.mark.parametrize(
    ("template", "more"),
    [
        (CHATML, []),
        (templates.QWEN3, ["tools", "reasoning"]),
        (templates.LLAMA31, ["tools"]),
        (templates.MISTRAL, ["tools"]),
        (templates.GEMMA, []),
        (templates.DEEPSEEK, []),
        (templates.PARTS, []),
    ],
    ids=["chatml", "qwen3", "llama31", "mistral", "gemma", "deepseek", "parts"],
)
def test_tools_and_reasoning_are_read_from_the_template(template: str, more: list[str]) -> None:
    api = fresh_api()
    api.service.info = replace(api.service.info, chat_template=template, fim=None)
    assert capabilities(api) == ["chat", "completion", *more]


@pytest.mark.parametrize("kind", ["embedding", "rerank"])
def test_models_that_write_nothing_have_one_capability(kind: str) -> None:
    assert capabilities_of(Known("x", kind, "ok", None, ()), None) == [kind]


def test_of_a_model_that_is_not_loaded_the_file_tells_whether_it_chats(tmp_path: Path) -> None:
    from gguf import GGUFReader, GGUFWriter

    file = write_recurrent(tmp_path / "m.gguf", "mamba")
    away = Known("m", "chat", "unloaded", None, ())
    options = ModelOptions(model=str(file))
    assert capabilities_of(away, options) == ["completion"]
    assert capabilities_of(away, options.model_copy(update={"chat_format": "chatml"})) == ["chat", "completion"]
    assert GGUFReader(file).get_field("tokenizer.chat_template") is None

    writer = GGUFWriter(tmp_path / "n.gguf", "llama")
    writer.add_chat_template(CHATML)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert capabilities_of(away, ModelOptions(model=str(tmp_path / "n.gguf"))) == ["chat", "completion"]
    assert capabilities_of(away, ModelOptions(model=str(tmp_path / "gone.gguf"))) == ["chat", "completion"]


def test_the_log_tells_once_that_a_loaded_model_is_a_base_model(caplog: pytest.LogCaptureFixture) -> None:
    info = replace(INFO, chat_template="")
    models = [
        Known("base", "chat", "ok", info, ()),
        Known("chats", "chat", "ok", INFO, ()),
        Known("named", "chat", "ok", info, ()),
        Known("embeds", "embedding", "ok", info, ()),
        Known("away", "chat", "unloaded", None, ()),
    ]
    options: list[Any] = [None, None, ModelOptions(chat_format="chatml"), None, None]
    with caplog.at_level(logging.WARNING):
        tell_of_base(list(zip(models, options, strict=True)))
    (record,) = caplog.records
    assert record.getMessage().startswith("base: this model's file has no chat template")
    assert "/v1/completions" in record.getMessage()


@pytest.mark.parametrize(
    ("template", "status", "code", "words"),
    [
        ("{{ ''.__class__.__mro__ }}", 400, "template_refused", "unsafe"),
        ("{% for a in range(99999) %}{{ 'x' * 100000 }}{% endfor %}", 400, "template_refused", "characters"),
        ("{% if %}", 500, "bad_template", "cannot be compiled"),
        ("{% include 'x' %}", 500, "bad_template", "include"),
        ("{{ " + "(" * 50_000 + " }}", 500, "bad_template", "compiled"),
    ],
)
def test_a_hostile_template_is_one_error_and_the_next_request_works(
    template: str, status: int, code: str, words: str
) -> None:
    api = fresh_api()
    api.service.info = replace(api.service.info, chat_template=template)
    for _ in range(2):
        answer = api.chat()
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
        assert words in answer.json()["error"]["message"]
    assert capabilities(api)[:2] == ["chat", "completion"]
    api.service.info = replace(api.service.info, chat_template=CHATML)
    assert api.chat().status_code == 200


def test_others_are_answered_while_a_template_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "Clock", partial(Clock, 0.8))
    api = Api()
    slow = f"{{% if messages[0].content == 'slow' %}}{hostile.SLOW}{{% endif %}}{CHATML}"
    api.service.info = replace(api.service.info, chat_template=slow)
    with (
        serving(api.app) as url,
        ThreadPoolExecutor() as threads,
        httpx2.Client(base_url=url, timeout=30, trust_env=False) as client,
    ):
        began = [threading.Event() for _ in range(2)]

        def chat(sends: threading.Event) -> httpx2.Response:
            sends.set()
            messages = [{"role": "user", "content": "slow"}]
            with _client(url) as own:
                return own.post("/v1/chat/completions", json={"messages": messages})

        chats = [threads.submit(chat, event) for event in began]
        assert all(event.wait(5) for event in began)
        for ask in _others(client):
            assert ask().status_code == 200
        assert not any(one.done() for one in chats)
        assert [one.result().json()["error"]["code"] for one in chats] == ["template_refused"] * 2
        assert client.post("/v1/chat/completions", json=CHAT).status_code == 200


def _client(url: str) -> httpx2.Client:
    return httpx2.Client(base_url=url, timeout=30, trust_env=False)


def _others(client: httpx2.Client) -> list[Callable[[], httpx2.Response]]:
    return [
        lambda: client.get("/health"),
        lambda: client.get("/v1/models/embed"),
        lambda: client.post("/v1/completions", json={"prompt": "hi"}),
    ]


@pytest.mark.model
def test_a_real_file_without_a_template_continues_texts_and_says_that_it_is_a_base_model(tmp_path: Path) -> None:
    port = free_port()
    file = write_recurrent(tmp_path / "base.gguf", "mamba")
    flags = ("-m", "llmserver", "--model", str(file), "--n_ctx", "256", "--port", str(port))
    with running(Process(*flags, port=port)) as process:
        assert get(process, "/health")[1]["model"]["capabilities"] == ["completion"]
        status, body = post(process, "/v1/chat/completions", CHAT)
        assert (status, body["error"]["code"], body["error"]["param"]) == (400, "no_chat_template", "model")
        status, body = post(process, "/v1/completions", {"prompt": "Once", "max_tokens": 3})
        assert (status, body["usage"]["completion_tokens"]) == (200, 3)
