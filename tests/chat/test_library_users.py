"""The library where people log in: what each may add, how much, and what is left of it when somebody goes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.chat.browser import Browser
from tests.chat.readers import put_on_shelf
from tests.chat.residents import log_in, open_to_the_house, page_of, with_users
from tests.fakes import FakeServer, Finish
from tests.processes import Process, running

TEXT = f"{'A barn has a roof of slate. ' * 20}\n\n" * 1_000  # 560 kB


@dataclass
class House:
    """A server with an administrator and two users."""

    web: Process
    model: FakeServer
    data_dir: Path
    cookies: dict[str, str]
    pages: dict[str, Browser]

    def put(self, who: str, name: str, shelf_id: int, text: str) -> Any:
        return put_on_shelf(self.web, self.cookies[who], name, shelf_id, text)

    def shelf(self, who: str, name: str, **more: Any) -> int:
        return int(self.pages[who].call("shelf_add", {"name": name, **more})["shelf"]["id"])


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    names = ("anna", "ben", "cleo")
    data_dir = with_users(tmp_path_factory.mktemp("house"), *names)
    with FakeServer() as server, running(open_to_the_house(server.url, data_dir)) as web:
        server.embeds = True
        cookies = {name: log_in(web, name) for name in names}
        pages = {name: page_of(web, cookie) for name, cookie in cookies.items()}
        yield House(web, server, data_dir, cookies, pages)
        for page in pages.values():
            page.client.disconnect()


@pytest.mark.parametrize(
    ("kind", "address"),
    [("folder", "/etc"), ("git", "/srv/code"), ("git", "file:///srv/code"), ("git", "git@host.test:code.git")],
)
def test_only_an_administrator_may_add_what_lies_on_the_servers_disk(house: House, kind: str, address: str) -> None:
    shelf = next((s["id"] for s in house.pages["ben"].call("library")["shelves"] if s["name"] == "disk"), 0)
    wanted = {"shelf_id": shelf or house.shelf("ben", "disk"), "kind": kind, "address": address, "options": {}}
    assert house.pages["ben"].call("source_add", wanted)["error"]["code"] == "not_allowed"
    told = {who: page.call("library")["may_read_disk"] for who, page in house.pages.items()}
    assert told == {"anna": True, "ben": False, "cleo": False}


def test_an_administrator_may_add_a_folder(house: House, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Oats are for the pony.")
    wanted = {"shelf_id": house.shelf("anna", "stable"), "kind": "folder", "address": str(tmp_path), "options": {}}
    assert house.pages["anna"].call("source_add", wanted)["ok"]


def test_a_shared_shelf_answers_everybody_and_a_private_one_its_owner_alone(house: House) -> None:
    house.put("ben", "hay.txt", house.shelf("ben", "fodder", is_shared=True), "Ponies eat hay twice a day.")
    house.put("ben", "secret.txt", house.shelf("ben", "diary"), "The pony ran away in May.")
    house.model.scripts = [["Twice a day [1].", Finish()]]
    cleo = house.pages["cleo"]
    for text, options, n_sources in (
        ("How often do ponies eat hay?", {"library": "fodder"}, 1),
        ("When did the pony run away? #diary", {}, 0),
    ):
        sent = cleo.call("send", {"text": text, "options": options})
        cleo.end_of(sent["answer"]["id"])
        answer = cleo.call("open", {"chat_id": sent["chat"]["id"]})["messages"][-1]
        assert len(answer["meta"].get("library", {}).get("sources", [])) == n_sources
        assert "ran away" not in str(house.model.requests[-1])


def test_how_many_passages_there_are_is_told_of_the_shelves_that_one_may_read(house: House) -> None:
    house.put("ben", "more.txt", house.shelf("ben", "letters"), "The vet came in June.")
    cleo, ben = (house.pages[who].call("library") for who in ("cleo", "ben"))
    for told in (cleo, ben):
        assert told["embedding"]["n_all"] == sum(each["n_chunks"] for each in told["shelves"])
    assert cleo["embedding"]["n_all"] < ben["embedding"]["n_all"]


def test_when_a_shelf_is_no_longer_shared_others_are_told_and_it_is_gone_for_them(house: House) -> None:
    shelf, cleo = house.shelf("ben", "for a while", is_shared=True), house.pages["cleo"]
    assert shelf in [each["id"] for each in cleo.call("library")["shelves"]]
    n_heard = len(cleo.heard)
    house.pages["ben"].call("shelf_change", {"shelf_id": shelf, "is_shared": False})
    cleo.until(lambda: any(name == "library_changed" for name, _ in cleo.heard[n_heard:]))
    assert shelf not in [each["id"] for each in cleo.call("library")["shelves"]]


def test_documents_count_against_a_users_storage(house: House) -> None:
    anna, cleo = house.pages["anna"], house.pages["cleo"]
    user_id = cleo.call("hello")["user"]["id"]
    anna.call("limits", {"user_id": user_id, "limits": {"storage_mb": 1}})
    shelf = house.shelf("cleo", "large")
    assert house.put("cleo", "one.txt", shelf, TEXT).status == 200
    refused = house.put("cleo", "two.txt", shelf, TEXT)
    assert (refused.status, refused.body["error"]["code"]) == (429, "limit_reached")
    assert "take 0.6 MB, and 1 MB are allowed" in refused.body["error"]["message"]
    assert cleo.call("account")["used"]["storage_bytes"] >= 560_000
    (told,) = [each for each in anna.call("admin")["users"] if each["id"] == user_id]
    assert told["storage_bytes"] >= len(TEXT)
    assert anna.call("admin")["storage"]["library_bytes"] > len(TEXT)
    (document,) = cleo.call("shelf", {"shelf_id": shelf})["documents"]
    cleo.call("document_delete", {"document_ids": [document["id"]]})
    assert house.put("cleo", "two.txt", shelf, TEXT).status == 200


def test_what_was_a_removed_users_is_gone_for_good(house: House) -> None:
    anna, ben = house.pages["anna"], house.pages["ben"]
    shelf = house.shelf("ben", "to be forgotten", is_shared=True)
    house.put("ben", "a.txt", shelf, "parsnip")
    user_id = ben.call("hello")["user"]["id"]
    assert anna.call("remove_user", {"user_id": user_id})["ok"]
    assert shelf not in [each["id"] for each in anna.call("library")["shelves"]]
    db = sqlite3.connect(f"file:{house.data_dir / 'library.db'}?mode=ro", uri=True)
    assert db.execute("SELECT count(*) FROM shelves WHERE owner_id = ?", (user_id,)).fetchone() == (0,)
    assert db.execute("SELECT count(*) FROM documents WHERE text LIKE '%parsnip%'").fetchone() == (0,)
    db.close()
