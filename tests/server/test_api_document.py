"""The served OpenAPI document: what it says of errors, and that nothing it allows or forbids makes the server fail."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
import schemathesis

from llmserver import settings as settings_module
from llmserver.api.app import create_app
from llmserver.api.batched import BatchedEngine
from llmserver.api.readiness import ModelCard, Readiness
from tests.processes import Process, llmserver, running

CALM = hypothesis.settings(
    max_examples=int(os.environ.get("PADDOCK_EXAMPLES", "12")),
    deadline=None,
    derandomize=True,
    suppress_health_check=list(hypothesis.HealthCheck),
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
)


def document() -> dict[str, Any]:
    settings = settings_module.load(["--model", "tiny.gguf"])
    app = create_app(settings, BatchedEngine(settings), Readiness(ModelCard("tiny", 1, 1, demo=False)))
    return app.openapi()


def test_every_operation_tells_its_errors_in_the_one_envelope() -> None:
    found = document()
    assert set(found["components"]["schemas"]["Error"]["properties"]["error"]["required"]) == {
        *("message", "type", "param", "code"),
    }
    for path, operations in found["paths"].items():
        for method, operation in operations.items():
            assert "422" not in operation["responses"], (method, path)
            assert operation["responses"]["4XX"]["content"]["application/json"]["schema"]["$ref"].endswith("/Error")


@pytest.fixture(scope="module")
def small_server() -> Iterator[Process]:
    """The real server with so little context that no answer is long."""
    with running(llmserver("--n_ctx", "128", "--n_parallel", "4")) as process:
        yield process


def cases() -> Iterator[tuple[str, str, schemathesis.GenerationMode]]:
    """Every operation with what fits its description, and with what does not where it takes anything."""
    for path, operations in document()["paths"].items():
        for method, operation in operations.items():
            yield path, method, schemathesis.GenerationMode.POSITIVE
            if operation.get("requestBody"):
                yield path, method, schemathesis.GenerationMode.NEGATIVE


@pytest.mark.model
@pytest.mark.parametrize(("path", "method", "mode"), list(cases()))
def test_whatever_the_document_allows_or_forbids_is_never_the_servers_fault(
    small_server: Process, path: str, method: str, mode: schemathesis.GenerationMode
) -> None:
    served = schemathesis.openapi.from_url(f"{small_server.url}/openapi.json")

    @CALM
    @hypothesis.given(case=served[path][method.upper()].as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        answer = case.call(timeout=60)
        assert answer.status_code < 500, answer.text
        if answer.status_code >= 400:
            assert set(answer.json()["error"]) == {"message", "type", "param", "code"}

    check()
