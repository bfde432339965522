"""What the first visit costs on the wire: few requests, little to carry, nothing twice."""

from __future__ import annotations

import gzip
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from chatbot.web import packing
from tests.chat.page import Tabs
from tests.fakes import WAIT_S
from tests.processes import Process, chatbot, running

NO_MODEL = "http://127.0.0.1:9/v1"
BUILD = Path(packing.__file__).parent / "static" / "build"
# What script and style weigh as they come, and how many requests there are by then.
CARRIED = """() => performance.getEntriesByType("resource")
  .filter(({ name }) => !name.includes("socket.io"))
  .map(({ name, encodedBodySize, decodedBodySize }) => [new URL(name).pathname, encodedBodySize, decodedBodySize])"""


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    with running(chatbot(NO_MODEL, tmp_path_factory.mktemp("chat"))) as process:
        yield process


def get(web: Process, name: str, **headers: str) -> tuple[bytes, dict[str, str]]:
    request = urllib.request.Request(f"{web.url}/static/build/{name}", headers=headers)
    with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
        return answer.read(), dict(answer.headers)


@pytest.mark.parametrize("name", ["chat.js", "chat.css"])
def test_a_browser_that_unpacks_gets_it_packed_and_another_as_it_is(web: Process, name: str) -> None:
    whole = (BUILD / name).read_bytes()
    plain, about = get(web, name)
    assert (plain, "Content-Encoding" in about, about["Vary"]) == (whole, False, "Accept-Encoding")
    for _ in range(2):
        packed, about = get(web, name, **{"Accept-Encoding": "gzip, br"})
        assert (gzip.decompress(packed), about["Content-Encoding"]) == (whole, "gzip")
        assert (int(about["Content-Length"]), about["Vary"]) == (len(packed), "Accept-Encoding")
    assert get(web, name, **{"Accept-Encoding": "gzip;q=0"})[0] == whole


def test_what_is_known_already_is_not_sent_again(web: Process) -> None:
    _, about = get(web, "chat.js", **{"Accept-Encoding": "gzip"})
    with pytest.raises(urllib.error.HTTPError) as told:
        get(web, "chat.js", **{"Accept-Encoding": "gzip", "If-None-Match": about["ETag"]})
    assert (told.value.code, told.value.read()) == (304, b"")


@pytest.mark.browser
def test_the_first_visit_is_light(web: Process, tabs: Tabs) -> None:
    tab = tabs.open(web)
    tab.input.wait_for()
    carried = tab.page.evaluate(CARRIED)
    code = {path: size for path, size, _ in carried if path.endswith((".js", ".css"))}
    assert {"/static/build/chat.js", "/static/build/chat.css"} <= set(code)
    assert 0 < sum(code.values()) <= 120_000
    assert len(carried) + 1 <= 12  # and the page itself
