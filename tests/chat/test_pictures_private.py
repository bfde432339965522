"""A picture is shown to whose it is, and to nobody else: not in a house of several, not without logging in."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from chatbot.core.store import Store
from tests.chat import samples
from tests.chat.residents import ask, log_in, open_to_the_house, page_of, with_users
from tests.chat.test_pictures import fetch
from tests.chat.test_uploads import OURS, upload
from tests.fakes import FakeServer
from tests.processes import Process, running

PNG = samples.png(20, 10)


@dataclass(frozen=True)
class House:
    """A server with an administrator and a user, and the cookies of both."""

    web: Process
    data_dir: Path
    anna: str
    ben: str


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    data_dir = with_users(tmp_path_factory.mktemp("house"), "anna", "ben")
    with FakeServer() as server, running(open_to_the_house(server.url, data_dir)) as web:
        server.capabilities = ["chat", "vision"]
        yield House(web, data_dir, log_in(web, "anna"), log_in(web, "ben"))


def seen(house: House, file_id: str, cookie: str = "", **headers: str) -> tuple[int, bytes]:
    """What somebody gets of a picture."""
    known = {"Cookie": cookie} if cookie else {}
    status, _, body = fetch(house.web, f"/files/{file_id}", Accept="application/json", **known, **headers)
    return status, body


def test_picture_is_its_owners_alone_before_and_after_it_is_sent(house: House) -> None:
    status, said = upload(house.web, "heron.png", PNG, OURS | {"Cookie": house.ben})
    assert status == 200
    file_id = said["file"]["id"]
    page = page_of(house.web, house.ben)
    for _ in range(2):
        assert seen(house, file_id, house.ben) == (200, PNG)
        assert seen(house, file_id)[0] == 401
        for who in (house.anna, ""):
            assert PNG not in seen(house, file_id, who)[1]
            assert seen(house, file_id, who, **{"If-None-Match": f'"{file_id}"'}) == seen(house, "0" * 16, who)
        assert page.call("send", {"text": "", "files": [file_id], "key": "once"})["ok"]
    page.client.disconnect()


def test_picture_that_came_with_an_import_is_the_importers(house: House) -> None:
    picture = {"name": "a.png", "kind": "image", "data": base64.b64encode(PNG).decode()}
    said = {"id": "m", "role": "user", "content": "", "files": [picture]}
    chat = {"format": "paddock-chat", "version": 1, "id": "c", "title": "herons", "messages": [said]}
    form = '--xx\r\nContent-Disposition: form-data; name="file"; filename="a.json"\r\n\r\n'
    body = f"{form}{json.dumps(chat)}\r\n--xx--\r\n".encode()
    answer = ask(f"{house.web.url}/import", body, house.ben, Content_Type="multipart/form-data; boundary=xx")
    assert answer.body["n_chats"] == 1, answer
    page = page_of(house.web, house.ben)
    chat_id = next(each["id"] for each in page.call("chats")["chats"] if each["title"] == "herons")
    page.client.disconnect()
    store = Store(house.data_dir / "chat.db")
    [found] = store.files_of([store.messages(chat_id)[0].id]).values()
    store.close()
    assert seen(house, found[0].id, house.ben) == (200, PNG)
    assert seen(house, found[0].id, house.anna)[0] == 404
