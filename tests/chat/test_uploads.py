"""POST /files of the real chat server: a file becomes text for the next message, or a sentence."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.chat import samples
from tests.fakes import WAIT_S, FakeServer
from tests.processes import Process, chatbot, running

OURS = {"X-Paddock": "1"}


@pytest.fixture(scope="module")
def model() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server


@pytest.fixture(scope="module")
def web(model: FakeServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    with running(chatbot(model.url, tmp_path_factory.mktemp("chat"), "--max_file_mb", "1")) as process:
        yield process


def post(web: Process, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=WAIT_S)
    connection.request("POST", "/files", body, headers)
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def upload(
    web: Process, name: str, data: bytes, headers: dict[str, str] = OURS, **fields: str
) -> tuple[int, dict[str, Any]]:
    parts = [f'name="{key}"\r\n\r\n{value}'.encode() for key, value in fields.items()]
    parts.append(f'name="file"; filename="{name}"\r\nContent-Type: application/x-odd\r\n\r\n'.encode() + data)
    body = b"".join(b"--edge\r\nContent-Disposition: form-data; " + part + b"\r\n" for part in parts) + b"--edge--\r\n"
    return post(web, body, {"Content-Type": "multipart/form-data; boundary=edge", **headers})


def test_a_file_is_kept_with_what_it_costs(web: Process) -> None:
    status, said = upload(web, "../notes.md", "one two\r\nthree é".encode("latin-1"))
    assert status == 200
    file = said["file"]
    assert len(file.pop("id")) == 16
    assert file == {
        "name": "notes.md",
        "kind": "markdown",
        "n_chars": 15,
        "source": "",
        "n_tokens": 4,
        "is_whole": True,
    }


def test_a_text_that_the_model_cannot_hold_is_kept_and_read_in_parts(web: Process) -> None:
    status, said = upload(web, "long.txt", b"word " * 5_000)
    assert (status, said["file"]["is_whole"]) == (200, False)


def test_a_pdf_is_read(web: Process) -> None:
    status, said = upload(web, "paper.pdf", samples.pdf("Some words"))
    assert (status, said["file"]["kind"], said["file"]["n_chars"]) == (200, "pdf", len("[page 1]\nSome words"))


@pytest.mark.parametrize(
    ("name", "data", "status", "code", "said"),
    [
        ("a.png", b"\x89PNG\r\n\x1a\n1234", 415, "file_refused", "a.png is a picture"),
        ("a.txt", b"", 415, "file_refused", "a.txt is empty"),
        ("a.txt", b"x" * 1_000_001, 413, "file_too_large", "1 MB are the most"),
        ("a.txt", b"x" * 30_000_000, 413, "file_too_large", "this file has 30.0 MB, and 1 MB are the most"),
    ],
)
def test_what_cannot_be_added_is_refused_in_a_sentence(
    web: Process, name: str, data: bytes, status: int, code: str, said: str
) -> None:
    got, body = upload(web, name, data)
    assert (got, body["error"]["code"]) == (status, code)
    assert said in body["error"]["message"]


def test_a_file_for_a_chat_that_is_not_there_is_refused(web: Process) -> None:
    assert upload(web, "a.txt", b"x", chat_id="0" * 16)[0] == 404
    assert upload(web, "a.txt", b"x", chat_id="0" * 65)[0] == 400


def test_a_request_without_a_file_is_told_what_to_send(web: Process) -> None:
    status, said = post(web, b"file=x", {"Content-Type": "application/x-www-form-urlencoded", **OURS})
    assert (status, said["error"]["message"]) == (400, "send a form with the file as its field `file`")


@pytest.mark.parametrize("headers", [{}, {"X-Paddock": "1", "Origin": "http://evil.test"}])
def test_another_page_cannot_add_files(web: Process, headers: dict[str, str]) -> None:
    assert upload(web, "a.txt", b"x", headers)[0] == 403


def test_a_file_that_is_sent_reaches_the_model_fenced(web: Process, model: FakeServer) -> None:
    import socketio

    client = socketio.Client(reconnection=False)
    client.connect(web.url, transports=["websocket"])
    try:
        file = upload(web, "a.py", b"print('```')")[1]["file"]
        sent = client.call("send", {"text": "What is it?", "key": "", "files": [file["id"]]}, timeout=WAIT_S)
        assert sent["ok"], sent
        assert [each["name"] for each in sent["user"]["files"]] == ["a.py"]
        opened = until_done(client, sent)
        content = model.requests[-1]["messages"][-1]["content"]
        assert "File a.py:\n````\nprint('```')\n````\n\nWhat is it?" in content
        assert opened["messages"][0]["content"] == "What is it?"
    finally:
        client.disconnect()


def until_done(client: Any, sent: dict[str, Any]) -> dict[str, Any]:
    """The chat as it is when its answer has ended."""
    from tests.processes import until

    opened: dict[str, Any] = {}

    def ended() -> bool:
        opened.update(client.call("open", {"chat_id": sent["chat"]["id"]}, timeout=WAIT_S))
        return bool(opened["messages"][-1]["status"] == "done")

    until(ended, "the end of the answer", WAIT_S)
    return opened
