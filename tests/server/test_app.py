"""The application without a model: readiness, the one error shape, keys, and the names it answers to."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from llmserver import __version__, errors
from llmserver import settings as settings_module
from llmserver.api.app import create_app
from llmserver.api.health import DEMO_NOTICE
from llmserver.api.readiness import ModelCard, Readiness
from llmserver.errors import LlmServerError, RequestError
from tests.server.standins import INSIDE, FakeEngine

KEY = "correct-horse"
HERE = "http://127.0.0.1:8000"
CARD = ModelCard("tiny", 4096, 1000, demo=False)


class Server:
    """One application around a FakeEngine, and a client that talks to it."""

    def __init__(self, *flags: str, card: ModelCard = CARD) -> None:
        self.engine, self.readiness = FakeEngine(), Readiness(card)
        app = create_app(settings_module.load(["--model", "tiny.gguf", *flags]), self.engine, self.readiness)
        self.client = TestClient(app, base_url=HERE)

    def loaded(self) -> Server:
        card = self.readiness.card
        self.readiness.loaded(ModelCard(card.id, 2048, card.size_bytes, card.demo))
        return self

    def get(self, path: str, **headers: str) -> Any:
        return self.client.get(path, headers=headers)


@pytest.fixture
def server() -> Iterator[Server]:
    yield Server().loaded()


def error_of(answer: Any) -> dict[str, Any]:
    """The error of an answer that must hold OpenAI's envelope and nothing else."""
    body = answer.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert body["error"]["message"]
    assert answer.headers["content-type"] == "application/json"
    return dict(body["error"])


def test_health_is_503_with_a_time_to_retry_while_the_model_loads() -> None:
    answer = Server().get("/health")
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.json()["status"] == "loading"
    assert answer.json()["error"]["code"] == "model_loading"


def test_health_is_200_with_model_and_version_once_loaded(server: Server) -> None:
    answer = server.get("/health")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ok",
        "version": __version__,
        "model": {"id": "tiny", "n_ctx": 2048, "size_bytes": 1000, "demo": False},
    }


def test_health_is_503_when_the_model_could_not_be_loaded() -> None:
    server = Server()
    server.readiness.failed()
    answer = server.get("/health")
    assert (answer.status_code, answer.json()["status"]) == (503, "failed")
    assert answer.json()["error"]["code"] == "model_failed"


def test_health_needs_no_key() -> None:
    assert Server("--api_key", KEY).loaded().get("/health").status_code == 200


def test_a_demonstration_model_is_announced_in_health() -> None:
    server = Server(card=ModelCard("tiny", 4096, 1000, demo=True)).loaded()
    assert server.get("/health").json()["notice"] == DEMO_NOTICE
    assert "--model" in DEMO_NOTICE


@pytest.mark.parametrize("path", ["/v1/sum", "/raise", "/no/such/route"])
def test_other_routes_are_503_until_the_model_is_there(path: str) -> None:
    server = Server()
    answer = server.get(path)
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert error_of(answer)["code"] == "model_loading"
    server.loaded()
    assert server.get(path).status_code != 503


def test_models_answer_while_loading_and_say_so() -> None:
    server = Server()
    (entry,) = server.get("/v1/models").json()["data"]
    assert (entry["id"], entry["object"], entry["meta"]["state"]) == ("tiny", "model", "loading")
    (entry,) = server.loaded().get("/v1/models").json()["data"]
    assert (entry["meta"]["state"], entry["meta"]["n_ctx"]) == ("ok", 2048)


def test_models_list_every_model_of_the_config_file(tmp_path: Any) -> None:
    file = tmp_path / "models.json"
    file.write_text('{"models": [{"model": "a/one.gguf"}, {"model": "two.gguf", "model_alias": "second"}]}')
    app = create_app(settings_module.load(["--config_file", str(file)]), FakeEngine(), Readiness(CARD))
    body = TestClient(app, base_url=HERE).get("/v1/models").json()
    assert [entry["id"] for entry in body["data"]] == ["one", "second"]


@pytest.mark.parametrize(
    ("method", "path", "content", "status", "code", "param", "says"),
    [
        ("GET", "/v1/nothing", None, 404, "unknown_route", None, "GET /v1/nothing"),
        ("POST", "/v1/nothing", b"{}", 404, "unknown_route", None, "POST /v1/nothing"),
        ("GET", "/v1/sum", None, 405, "method_not_allowed", None, "GET"),
        ("DELETE", "/v1/models", None, 405, "method_not_allowed", None, "DELETE"),
        ("POST", "/v1/sum", b"{nope", 400, "invalid_request", None, "not valid JSON"),
        ("POST", "/v1/sum", b'{"a": "\xff"}', 400, "invalid_request", None, "body"),
        ("POST", "/v1/sum", b"", 400, "invalid_request", "body", "body"),
        ("POST", "/v1/sum", b"[1]", 400, "invalid_request", "body", "body"),
        ("POST", "/v1/sum", b'{"a": "seven"}', 400, "invalid_request", "a", "a: "),
        ("POST", "/v1/sum", b'{"b": 1}', 400, "invalid_request", "a", "a: Field required"),
        ("GET", "/refuse/413", None, 413, "invalid_request", None, "own words"),
        ("GET", "/refuse/500", None, 500, "internal_error", None, "own words"),
        ("GET", "/refuse/401", None, 401, "invalid_api_key", None, "Bearer"),
    ],
)
def test_every_refusal_has_the_one_shape(
    server: Server, method: str, path: str, content: bytes | None, status: int, code: str, param: str | None, says: str
) -> None:
    answer = server.client.request(method, path, content=content, headers={"content-type": "application/json"})
    error = error_of(answer)
    assert (answer.status_code, error["code"], error["param"]) == (status, code, param)
    assert says in error["message"]


def test_a_wrong_method_is_told_the_right_one(server: Server) -> None:
    assert server.get("/v1/sum").headers["allow"] == "POST"


def error_classes(root: type[LlmServerError] = LlmServerError) -> list[type[LlmServerError]]:
    return [root, *(found for child in root.__subclasses__() for found in error_classes(child))]


@pytest.mark.parametrize("kind", error_classes(), ids=lambda kind: kind.__name__)
def test_every_error_of_the_tree_leaves_under_its_own_status_and_code(
    server: Server, kind: type[LlmServerError]
) -> None:
    server.engine.to_raise = kind("what happened", param="field")
    answer = server.get("/raise")
    assert answer.status_code == kind.status
    message = "what happened; try again in a second" if issubclass(kind, errors.TryLater) else "what happened"
    assert error_of(answer) == {"message": message, "type": kind.type, "param": "field", "code": kind.code}
    assert (issubclass(kind, RequestError) or kind is errors.QueueFull) == (400 <= kind.status < 500)


def test_every_error_is_drawn_in_the_tree_of_the_docstring() -> None:
    for kind in error_classes():
        assert kind.__name__ in str(sys.modules[kind.__module__].__doc__).split()


def test_an_unexpected_failure_is_logged_and_tells_the_client_nothing_of_the_inside(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    answer = server.get("/explode")
    assert (answer.status_code, error_of(answer)["code"]) == (500, "internal_error")
    assert INSIDE not in answer.text
    assert "KeyError" not in answer.text
    assert "GET /explode" in caplog.text
    assert caplog.text.count("Traceback") == 1
    assert INSIDE in caplog.text
    assert server.get("/health").status_code == 200


@pytest.mark.parametrize("sent", ["", f"Bearer {KEY}x", "Bearer ", f"Basic {KEY}", KEY, "Bearer schlüssel"])
def test_without_the_right_key_nothing_is_told(sent: str) -> None:
    server = Server("--api_key", KEY).loaded()
    answer = server.client.get("/v1/models", headers=[(b"authorization", sent.encode())] if sent else [])
    error = error_of(answer)
    assert (answer.status_code, error["type"], error["code"]) == (401, "authentication_error", "invalid_api_key")
    assert KEY not in answer.text


@pytest.mark.parametrize("sent", [f"Bearer {KEY}", f"bearer {KEY}"])
def test_with_the_right_key_it_is(sent: str) -> None:
    assert Server("--api_key", KEY).loaded().get("/v1/models", authorization=sent).status_code == 200


@pytest.mark.parametrize(
    "name",
    ["localhost", "localhost:8000", "LOCALHOST:8000", "127.0.0.1", "127.0.0.1:8000", "127.0.0.2:1", "[::1]", "[::1]:8"],
)
def test_a_server_on_loopback_answers_to_loopback_names(server: Server, name: str) -> None:
    assert server.get("/health", host=name).status_code == 200


@pytest.mark.parametrize(
    "name",
    [
        "evil.example",
        "evil.example:8000",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "192.168.1.5",
        "[fd00::2]",
        "",
    ],
)
@pytest.mark.parametrize("path", ["/health", "/v1/models", "/v1/sum"])
def test_a_web_page_that_rebinds_its_name_is_refused(server: Server, name: str, path: str) -> None:
    answer = server.get(path, host=name)
    assert (answer.status_code, error_of(answer)["code"]) == (403, "unknown_host")
    assert "--allowed_hosts" in error_of(answer)["message"]


def test_allowed_hosts_let_a_name_in_however_it_is_written() -> None:
    server = Server("--allowed_hosts", "Box.lan", "other.lan").loaded()
    for name in ("box.lan", "BOX.lan:8000", "other.lan"):
        assert server.get("/health", host=name).status_code == 200
    assert server.get("/health", host="third.lan").status_code == 403


def test_a_server_on_one_address_answers_to_it_and_to_no_other() -> None:
    server = Server("--host", "192.168.1.5", "--api_key", KEY).loaded()
    assert server.get("/health", host="192.168.1.5:8000").status_code == 200
    assert server.get("/health", host="192.168.1.6:8000").status_code == 403


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_a_server_on_all_addresses_answers_to_every_name_and_the_key_protects_it(host: str) -> None:
    server = Server("--host", host, "--api_key", KEY).loaded()
    assert server.get("/health", host="anything.example").status_code == 200
    assert server.get("/v1/models", host="anything.example").status_code == 401
