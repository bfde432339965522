"""What the library asks of the web: through the guard, and not again what did not change."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chatbot.core.sources import for_library
from chatbot.core.sources.guarded import Guarded
from chatbot.settings import ChatSettings
from rag.errors import SourceFailed
from tests.chat import hostile_web
from tests.chat.hostile_web import Web, page, to

URL = "http://farm.example"


@pytest.fixture
def web() -> Iterator[Web]:
    with hostile_web.web() as made:
        yield made


@pytest.fixture
def fetch(web: Web) -> Guarded:
    made = for_library(ChatSettings(), web.net())
    assert made
    return made


@pytest.mark.parametrize(
    ("sent", "asked"),
    [
        ({"ETag": 'W/"v1"', "Last_Modified": "Wed, 01 May 2024 10:00:00 GMT"}, 'If-None-Match: W/"v1"'),
        ({"Last_Modified": "Wed, 01 May 2024 10:00:00 GMT"}, "If-Modified-Since: Wed, 01 May 2024 10:00:00 GMT"),
    ],
)
def test_what_did_not_change_is_not_sent_again(web: Web, fetch: Guarded, sent: dict[str, str], asked: str) -> None:
    web.answers["/"] = page(b"hello", **sent)
    first = fetch(f"{URL}/")
    assert (first.body, first.is_same) == (b"hello", False)
    assert asked not in web.heads[-1]
    web.answers["/"] = page(b"", "304 Not Modified")
    second = fetch(f"{URL}/", first.stamp)
    assert asked in web.heads[-1]
    assert (second.is_same, second.stamp) == (True, first.stamp)


def test_a_304_that_nobody_asked_for_is_no_page(web: Web, fetch: Guarded) -> None:
    web.answers["/"] = page(b"", "304 Not Modified")
    with pytest.raises(SourceFailed, match="304"):
        fetch(f"{URL}/")


@pytest.mark.parametrize("stamp", ["ETag: no quotes", 'ETag: "a"\r\nX: y', "Cookie: a", "Last-Modified: \r\n\r\n", "x"])
def test_a_stamp_that_is_none_is_not_sent(web: Web, fetch: Guarded, stamp: str) -> None:
    web.answers["/"] = page(b"hello")
    assert fetch(f"{URL}/", stamp).body == b"hello"
    assert not any(name in web.heads[-1] for name in ("If-", "Cookie", "X:"))


def test_the_status_of_what_is_no_page_is_told(web: Web, fetch: Guarded) -> None:
    web.answers["/gone"] = page(b"", "410 Gone")
    with pytest.raises(SourceFailed) as gone:
        fetch(f"{URL}/gone")
    assert gone.value.status == 410


def test_hosts_inside_are_refused_also_after_a_redirect(web: Web, fetch: Guarded) -> None:
    web.names["inside.example"] = [["192.168.0.3"]]
    web.answers["/"] = to("http://inside.example/")
    for url in ("http://inside.example/", f"{URL}/", "http://127.0.0.1/"):
        with pytest.raises(SourceFailed, match="--allowed_fetch_hosts"):
            fetch(url)
    allowed = for_library(ChatSettings(allowed_fetch_hosts="inside.example"), web.net())
    assert allowed
    web.answers["/"] = page(b"inside")
    assert allowed("http://inside.example/").body == b"inside"


def test_with_the_network_off_there_is_no_way_to_it() -> None:
    assert for_library(ChatSettings(network="false")) is None
