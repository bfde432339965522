"""The adapter routes: who may use them, which files, and what becomes of requests in flight."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from llmserver.errors import RequestError
from llmserver.settings import MODELS_DIR
from tests.server.fake_models import Engine, make_models
from tests.server.fake_service import HERE

KEY = "sekret-11"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a model, good and bad adapters, and a link that leads out of it."""
    inside = tmp_path / "models"
    inside.mkdir()
    for name in ("model.gguf", "pirate.gguf", "sub.gguf"):
        (inside / name).write_bytes(b"GGUF\x03\0\0\0")
    (inside / "text.gguf").write_text("no model at all")
    (inside / "empty.gguf").write_bytes(b"")
    (tmp_path / "outside.gguf").write_bytes(b"GGUF\x03\0\0\0")
    (inside / "link.gguf").symlink_to(tmp_path / "outside.gguf")
    return inside


@pytest.fixture
def api(folder: Path) -> Iterator[tuple[TestClient, Engine]]:
    app, engine = make_models("--api_key", KEY, model=str(folder / "model.gguf"))
    with TestClient(app, base_url=HERE, headers={"Authorization": f"Bearer {KEY}"}) as client:
        yield client, engine


def add(client: TestClient, path: object, name: str = "pirate", **fields: Any) -> Any:
    return client.post("/v1/adapters", json={"name": name, "path": str(path), **fields})


def chat(client: TestClient, model: str) -> Any:
    return client.post("/v1/chat/completions", json={"model": model, "messages": [{"role": "user", "content": "a"}]})


def test_an_adapter_comes_serves_and_goes(api: tuple[TestClient, Engine]) -> None:
    client, engine = api
    assert chat(client, "tiny:pirate").status_code == 404
    answer = add(client, "pirate.gguf", scale=0.5)
    entry = {"id": "tiny:pirate", "object": "adapter", "model": "tiny", "name": "pirate", "scale": 0.5}
    assert (answer.status_code, answer.json()) == (201, entry | {"file": "pirate.gguf"})
    assert client.get("/v1/adapters").json() == {"object": "list", "data": [entry | {"file": "pirate.gguf"}]}
    assert "tiny:pirate" in [model["id"] for model in client.get("/v1/models").json()["data"]]
    assert chat(client, "tiny:pirate").json()["model"] == "tiny:pirate"
    used = engine.opener.opened["tiny"].requests[0].adapter
    assert (used.name, used.scale) == ("pirate", 0.5)
    gone = client.delete("/v1/adapters/pirate", params={"model": "tiny"})
    assert (gone.status_code, gone.json()["deleted"]) == (200, True)
    assert chat(client, "tiny:pirate").status_code == 404
    assert engine.opener.adapters == []


def test_the_same_name_again_is_another_adapter(api: tuple[TestClient, Engine]) -> None:
    client, engine = api
    for path in ("pirate.gguf", "sub.gguf"):
        assert add(client, path).status_code == 201
        chat(client, "tiny:pirate")
        assert add(client, path).status_code == 400
        assert client.delete("/v1/adapters/pirate").status_code == 200
    first, second = (request.adapter for request in engine.opener.opened["tiny"].requests)
    assert first != second and first.name == second.name


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("../outside.gguf", "must lead into"),
        ("link.gguf", "must lead into"),
        ("/etc/passwd", "must lead into"),
        ("none.gguf", "No such file"),
        ("text.gguf", "is no GGUF file"),
        ("empty.gguf", "is no GGUF file"),
        (".", "Is a directory"),
        ("a\0b", "no path may have"),
        ("x" * 5000, "too long"),
    ],
)
def test_only_gguf_files_beside_the_model_are_looked_at(api: tuple[TestClient, Engine], path: str, words: str) -> None:
    client, engine = api
    answer = add(client, path)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, "path"), error
    assert words in error["message"]
    assert engine.opener.adapters == []


def test_the_models_folder_is_allowed_whatever_the_model(api: tuple[TestClient, Engine]) -> None:
    client, _ = api
    error = add(client, MODELS_DIR / "no-such-adapter.gguf").json()["error"]
    assert "No such file" in error["message"]


def test_absolute_paths_and_links_inside_work(api: tuple[TestClient, Engine], folder: Path) -> None:
    client, _ = api
    (folder / "alias.gguf").symlink_to(folder / "pirate.gguf")
    assert add(client, folder / "alias.gguf").status_code == 201


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"name": "a:b"}, 400, "name"),
        ({"name": ""}, 400, "name"),
        ({"scale": "1"}, 400, "scale"),
        ({"scale": 11}, 400, "scale"),
        ({"sacle": 1}, 400, "sacle"),
        ({"model": "embed"}, 400, "model"),
        ({"model": "nobody"}, 404, "model"),
    ],
)
def test_wrong_fields_are_refused_by_name(api: tuple[TestClient, Engine], fields: Any, status: int, param: str) -> None:
    client, _ = api
    answer = client.post("/v1/adapters", json={"name": "a", "path": "pirate.gguf", **fields})
    assert (answer.status_code, answer.json()["error"]["param"]) == (status, param)


def test_what_llama_cpp_refuses_leaves_nothing_behind(api: tuple[TestClient, Engine]) -> None:
    client, engine = api
    engine.opener.refuse_adapter = RequestError("pirate.gguf is no LoRA adapter for tiny", param="path")
    assert add(client, "pirate.gguf").status_code == 400
    engine.opener.refuse_adapter = None
    assert client.get("/v1/adapters").json()["data"] == []
    assert add(client, "pirate.gguf").status_code == 201


def test_removing_what_is_not_there_is_a_404(api: tuple[TestClient, Engine]) -> None:
    client, _ = api
    answer = client.delete("/v1/adapters/ghost")
    assert answer.status_code == 404
    assert "has no adapter 'ghost'; it has none" in answer.json()["error"]["message"]


def test_without_a_key_on_the_server_the_routes_are_closed(folder: Path) -> None:
    app, _ = make_models(model=str(folder / "model.gguf"))
    client = TestClient(app, base_url=HERE)
    for answer in (add(client, "pirate.gguf"), client.get("/v1/adapters"), client.delete("/v1/adapters/a")):
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "key_required")
        assert "--api_key" in answer.json()["error"]["message"]


def test_without_the_key_in_the_request_they_are_closed_too(folder: Path) -> None:
    app, _ = make_models("--api_key", KEY, model=str(folder / "model.gguf"))
    assert add(TestClient(app, base_url=HERE), "pirate.gguf").status_code == 401
