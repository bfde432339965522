"""Bodies of requests: no sound JSON, of another type, without end, or with anything at all in their fields."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmserver.api.body import MAX_BODY_BYTES, MAX_DEPTH
from tests.server.fake_service import BOS, Api, fresh_api
from tests.server.test_api_fields import KIND, TOOL, USER


@pytest.fixture
def api() -> Api:
    return fresh_api()


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "Field required"),
        (b"{", "not valid JSON"),
        (b"[1]", "one JSON object"),
        (b'"text"', "one JSON object"),
        (b"null", "one JSON object"),
        (b'{"messages": NaN}', "NaN"),
        (b'{"temperature": Infinity}', "Infinity"),
        (b'{"temperature": 1e999}', "too large"),
        (b'{"seed": ' + b"9" * 5000 + b"}", "5000 digits"),
        (b"\xff", "not UTF-8"),
        (b'{"prompt": "\\ud800"}', "prompt: character 0 is half of a surrogate pair"),
        (b'{"metadata": {"\\udfff": "x"}}', "half of a surrogate pair"),
        (b'{"messages": [{"role": "user", "content": "a\\ud83dz"}]}', "messages.0.content: character 1"),
        (b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1), "deeper than 64"),
        (b"[" * 100_000, "deeper than 64"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "deeper than 64"),
    ],
    ids=lambda part: str(part[:24]),
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/extras/tokenize"])
def test_a_body_that_is_no_sound_json_object_is_a_400(api: Api, path: str, raw: bytes, says: str) -> None:
    answer = api.client.post(path, content=raw, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert says in answer.json()["error"]["message"]


def test_a_whole_surrogate_pair_is_one_character(api: Api) -> None:
    raw = b'{"prompt": "\\ud83d\\ude00"}'
    answer = api.client.post("/v1/completions", content=raw, headers={"content-type": "application/json"})
    assert answer.status_code == 200
    assert api.service.requests[0].tokens == (BOS, *"😀".encode())


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_body_that_a_web_page_could_send_unasked_is_refused(api: Api, kind: str) -> None:
    answer = api.client.post("/v1/completions", content=b'{"prompt": "x"}', headers={"content-type": kind})
    assert (answer.status_code, "application/json" in answer.json()["error"]["message"]) == (400, True)


def test_a_body_without_end_is_a_413(api: Api) -> None:
    raw = b'{"prompt": "' + b"x" * MAX_BODY_BYTES + b'"}'
    answer = api.client.post("/v1/completions", content=raw, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "invalid_request")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


VALID = {
    "chat": {"messages": [USER], "tools": [TOOL], "response_format": {"type": "text"}, "logit_bias": {"65": 1}},
    "complete": {"prompt": ["a", "b"], "stop": ["x"], "logit_bias": {"65": 1}},
}


@st.composite
def broken(draw: Any) -> tuple[str, dict[str, Any]]:
    """A request in which some field, or something within one, is any JSON value."""
    route = draw(st.sampled_from(sorted(KIND)))
    body = json.loads(json.dumps(VALID[route]))
    for _ in range(draw(st.integers(1, 3))):
        place: Any = body
        key: Any = draw(st.sampled_from(sorted(KIND[route].model_fields)))
        while isinstance(inner := place.get(key) if isinstance(place, dict) else place[key], (dict, list)) and inner:
            if not draw(st.booleans()):
                break
            place = inner
            key = draw(st.sampled_from(sorted(inner))) if isinstance(inner, dict) else 0
        place[key] = draw(JSON)
    return route, body


@given(broken())
@settings(max_examples=300, deadline=None)
def test_whatever_a_request_holds_it_is_answered_or_refused_in_the_one_shape(sent: tuple[str, dict[str, Any]]) -> None:
    route, body = sent
    api = fresh_api()
    answer = getattr(api, route)(**body)
    assert answer.status_code in {200, 400, 404}, answer.text
    if answer.status_code != 200:
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
