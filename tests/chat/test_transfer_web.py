"""Exports and imports over HTTP, as the page asks for them."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import pytest

from chatbot.web.transfer import file_name
from tests.chat.test_web import Browser, get
from tests.fakes import WAIT_S, FakeServer, Finish
from tests.processes import Process, chatbot, running

PADDOCK = {"X-Paddock": "1"}


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    with (
        FakeServer(["An ", "answer", Finish()]) as model,
        running(chatbot(model.url, tmp_path_factory.mktemp("chat"), "--max_import_mb", "1")) as process,
    ):
        yield process


def upload(url: str, data: bytes, *, field: str = "file", **headers: str) -> tuple[int, dict[str, Any]]:
    head = f'--x\r\nContent-Disposition: form-data; name="{field}"; filename="any name"\r\n\r\n'.encode()
    sent = {"Content-Type": "multipart/form-data; boundary=x", "Accept": "application/json", **headers}
    request = urllib.request.Request(f"{url}/import", head + data + b"\r\n--x--\r\n", sent)
    try:
        with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as answer:
        return answer.code, json.loads(answer.read())


def own(key: str, title: str = "Brought") -> dict[str, Any]:
    messages = [{"id": "m", "role": "user", "content": "from elsewhere", "created_at": 1e9}]
    return {"format": "paddock-chat", "version": 1, "id": key, "title": title, "created_at": 1e9, "messages": messages}


def saved_as(headers: Any) -> str:
    found = re.search(r"filename\*=UTF-8''([^;]+)", headers["Content-Disposition"])
    assert found and headers["Content-Disposition"].isascii()
    return unquote(found[1])


def test_a_chat_is_downloaded_as_json_and_markdown_and_all_as_one_list(web: Process, page: Browser) -> None:
    turn = page.call("send", {"text": 'Täglich "Brot"/\\..\r\nSet-Cookie: x'})
    page.end_of(turn["answer"]["id"])
    chat_id = turn["chat"]["id"]
    status, text, headers = get(f"{web.url}/export/{chat_id}.json")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert saved_as(headers) == "Täglich Brot .. Set-Cookie x.json"
    assert [each["content"] for each in json.loads(text)["messages"]][1] == "An answer"
    status, text, headers = get(f"{web.url}/export/{chat_id}.md")
    assert (status, headers["Content-Type"]) == (200, "text/markdown; charset=utf-8")
    assert "## Assistant\n" in text and "An answer" in text
    status, text, headers = get(f"{web.url}/export/all.json")
    assert chat_id in [each["id"] for each in json.loads(text)]


def test_an_import_is_counted_and_every_page_sees_the_new_chat(web: Process, page: Browser) -> None:
    status, told = upload(web.url, json.dumps([own("w1"), own("w2"), {"id": 3}]).encode(), **PADDOCK)
    assert (status, told["n_chats"], told["n_messages"], told["n_skipped"]) == (200, 2, 2, 1)
    page.until(lambda: sum(name == "chat" and body["title"] == "Brought" for name, body in page.heard) == 2)
    assert [chat["title"] for chat in page.call("chats")["chats"]].count("Brought") == 2
    assert upload(web.url, json.dumps([own("w1"), own("w2")]).encode(), **PADDOCK)[1] == {
        "n_chats": 0,
        "n_messages": 0,
        "n_skipped": 2,
        "notices": ["2 chats left out: here already"],
    }


@pytest.mark.parametrize(
    ("data", "options", "status", "said"),
    [
        (b"no chat", PADDOCK, 400, "holds no chats that Paddock can read"),
        (b"x" * 1_200_000, PADDOCK, 413, "has 1 MB, and 1 MB are the most"),
        (b"[]", {**PADDOCK, "field": "other"}, 400, "as its field `file`"),
        (json.dumps(own("csrf1")).encode(), {}, 403, ""),
        (json.dumps(own("csrf2")).encode(), {**PADDOCK, "Origin": "http://evil.example"}, 403, ""),
    ],
    ids=["no chat", "too large", "no file", "no header", "foreign origin"],
)
def test_what_cannot_be_imported_is_refused_in_words(
    web: Process, data: bytes, options: dict[str, str], status: int, said: str
) -> None:
    got, told = upload(web.url, data, **options)
    assert got == status
    assert said in told["error"]["message"]
    assert "csrf" not in get(f"{web.url}/export/all.json")[1]


def test_what_is_not_there_cannot_be_exported(web: Process) -> None:
    for path in ("/export/nope.json", "/export/nope.md"):
        status, text, _ = get(web.url + path, Accept="application/json")
        assert (status, json.loads(text)["error"]["code"]) == (404, "unknown_chat")


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("../../etc/passwd", "etc passwd"),
        ("a\u202egnp.exe", "a gnp.exe"),
        ("CON", "chat CON"),
        ("nul.txt", "chat nul.txt"),
        (". .", "chat"),
        ("x" * 300, "x" * 80),
    ],
)
def test_a_title_becomes_a_name_that_is_safe_to_save(title: str, name: str) -> None:
    assert file_name(title) == name
