"""API keys: from the setting and from a file, on every route but /health, and in no message."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from llmserver import settings as settings_module
from llmserver.api.app import create_app
from llmserver.api.keys import knows
from llmserver.api.readiness import ModelCard, Readiness
from llmserver.api.stock import StockEngine
from llmserver.errors import BadSettings
from llmserver.keyfile import read_keys
from tests.server.fake_models import make_models
from tests.server.fake_service import HERE

FIRST, SECOND, THIRD = "first-7f3a", "second-91bc", "schlüssel-42"


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def make(text: str) -> Path:
        path = tmp_path / "keys.txt"
        path.write_text(text, encoding="utf-8")
        return path

    return make


def test_a_file_holds_one_key_a_line(write: Callable[[str], Path]) -> None:
    path = write(f"# of the family\n\n  {SECOND}  \r\n{THIRD}\n{SECOND}\n   # indented\n")
    assert read_keys(path) == (SECOND, THIRD)


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "holds no key"), ("# only\n\n# comments\n", "holds no key"), (f"a\n{FIRST} {SECOND}\n", "line 2")],
)
def test_a_file_without_usable_keys_ends_the_start(write: Callable[[str], Path], text: str, words: str) -> None:
    with pytest.raises(BadSettings, match=words) as refused:
        settings_module.load(["--api_key_file", str(write(text))])
    assert FIRST not in refused.value.message


def test_a_file_that_cannot_be_read_ends_the_start(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="cannot read"):
        settings_module.load(["--api_key_file", str(tmp_path / "none")])
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadSettings, match="UTF-8"):
        settings_module.load(["--api_key_file", str(tmp_path / "binary")])


def test_either_kind_of_key_opens_an_address_that_others_reach(write: Callable[[str], Path]) -> None:
    with pytest.raises(BadSettings, match="--api_key_file"):
        settings_module.load(["--host", "0.0.0.0"])
    assert settings_module.load(["--host", "0.0.0.0", "--api_key", FIRST]).api_keys == (FIRST,)
    loaded = settings_module.load(["--host", "0.0.0.0", "--api_key_file", str(write(SECOND))])
    assert loaded.api_keys == (SECOND,)
    assert SECOND not in repr(loaded)


def app_with(write: Callable[[str], Path]) -> TestClient:
    app, _ = make_models("--api_key", FIRST, "--api_key_file", str(write(f"{SECOND}\n{THIRD}\n")))
    return TestClient(app, base_url=HERE)


@pytest.mark.parametrize("key", [FIRST, SECOND, THIRD])
def test_every_key_is_accepted(write: Callable[[str], Path], key: str) -> None:
    sent = {"Authorization": b"Bearer " + key.encode()}
    answer = app_with(write).post("/v1/embeddings", json={"model": "embed", "input": "a"}, headers=sent)  # type: ignore[arg-type]
    assert answer.status_code == 200


@pytest.mark.parametrize("sent", ["", f"Bearer {FIRST}x", f"Basic {FIRST}", FIRST, "Bearer", f"Bearer {FIRST[:-1]}"])
def test_anything_else_is_refused_without_a_word_of_a_key(
    write: Callable[[str], Path], sent: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    answer = app_with(write).get("/metrics", headers={"Authorization": sent})
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")
    for key in (FIRST, SECOND, THIRD):
        assert key not in answer.text and key not in caplog.text


def test_case_of_the_scheme_and_blanks_do_not_matter() -> None:
    assert knows([FIRST], f"bearer  {FIRST} ")
    assert not knows([], "Bearer ")
    assert not knows([FIRST], "Bearer ")


def _routes(app: FastAPI) -> list[tuple[str, str]]:
    paths: dict[str, Any] = app.openapi()["paths"]
    return [(method, path) for path, methods in paths.items() for method in methods]


def test_no_route_but_health_answers_without_a_key(write: Callable[[str], Path]) -> None:
    client = app_with(write)
    routes = [*_routes(client.app), ("post", "/rerank")]  # type: ignore[arg-type]
    assert len(routes) > 12
    for method, path in routes:
        answer = client.request(method, path.replace("{name}", "x"), json={} if method == "post" else None)
        assert answer.status_code == (200 if path == "/health" else 401), path


def test_the_stock_engine_knows_the_keys_of_the_file_too(write: Callable[[str], Path]) -> None:
    settings = settings_module.load(["--engine", "stock", "--api_key_file", str(write(SECOND))])
    readiness = Readiness(ModelCard("tiny", 512, 1000, demo=False))
    readiness.loaded(readiness.card)
    client = TestClient(create_app(settings, StockEngine(settings), readiness), base_url=HERE)
    body = {"messages": [{"role": "user", "content": "hi"}]}
    for path in ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/extras/tokenize"):
        assert client.post(path, json=body).status_code == 401, path
    wrong = client.post("/extras/tokenize", json={}, headers={"Authorization": f"Bearer {SECOND}"})
    assert wrong.status_code == 400
