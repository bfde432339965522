"""Nobody reaches what is another's: every socket event and every route is tried with another user's ids."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from chatbot.core.llm import ModelClient
from chatbot.core.store import OWNER, Store
from chatbot.settings import WebSettings
from chatbot.web.app import create_app
from tests.chat.browser import Browser
from tests.chat.readers import MARK, NO_NUMBER, on_shelves, put_on_shelf, shelves
from tests.chat.residents import ask, log_in, open_to_the_house, page_of, with_users
from tests.fakes import FakeServer, Finish, Gate
from tests.processes import Process, running, until

NOTHING = "0123456789abcdef"  # as long as an id, and nobody's


@dataclass
class House:
    """A server with an administrator, two users, and what one of the two has."""

    web: Process
    data_dir: Path
    cookies: dict[str, str]
    pages: dict[str, Browser]
    ids: dict[str, Any]
    gate: Gate


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    data_dir = with_users(tmp_path_factory.mktemp("house"), "anna", "ben", "cleo")
    with FakeServer() as server, running(open_to_the_house(server.url, data_dir)) as web:
        server.embeds = True
        cookies = {name: log_in(web, name) for name in ("anna", "ben", "cleo")}
        pages = {name: page_of(web, cookie) for name, cookie in cookies.items()}
        gate = Gate()
        ids = shelves(web, pages["ben"], cookies["ben"])
        ids |= belongings(web, server, pages["ben"], cookies["ben"], gate, data_dir)
        yield House(web, data_dir, cookies, pages, ids, gate)
        gate.open()
        for page in pages.values():
            page.client.disconnect()


def belongings(
    web: Process, server: FakeServer, page: Browser, cookie: str, gate: Gate, data_dir: Path
) -> dict[str, str]:
    """What the victim has: chats, one deleted and one being answered, files sent and not, a preset, a prompt."""
    user_id = page.call("hello")["user"]["id"]
    server.scripts = [[f"{MARK} one", Finish()], [f"{MARK} two", Finish()], [f"{MARK} three", gate, Finish()]]
    sent, unsent = (upload(web, cookie, f"{MARK}{n}.txt") for n in (1, 2))
    kept = page.call("send", {"text": f"{MARK} question", "key": "a key", "files": [sent]})
    page.end_of(kept["answer"]["id"])
    gone = page.call("send", {"text": f"{MARK} deleted"})
    page.end_of(gone["answer"]["id"])
    page.call("delete", {"chat_ids": [gone["chat"]["id"]]})
    page.call("tag", {"chat_id": kept["chat"]["id"], "tags": [MARK]})
    page.call("preset", {"name": MARK, "options": {"temperature": 1}})
    page.call("prompt", {"name": MARK, "text": MARK})
    running_one = page.call("send", {"text": f"{MARK} long"})
    gate.wait_until_reached()
    answer = running_one["answer"]["id"]
    page.until(lambda: MARK in page.text_of(answer))
    until(lambda: f'"{MARK} three", "streaming"' in everything_of(data_dir, user_id), "the answer in the database")
    server.scripts = [["something else", Finish()]]
    return {
        "chat": kept["chat"]["id"],
        "question": kept["user"]["id"],
        "answer": kept["answer"]["id"],
        "deleted": gone["chat"]["id"],
        "running": answer,
        "sent": sent,
        "unsent": unsent,
        "session": page.call("account")["sessions"][0]["id"],
        "user": user_id,
    }


def upload(web: Process, cookie: str, name: str, chat_id: str = "") -> str:
    answer = send_file(web, cookie, name, chat_id)
    assert answer.status == 200, answer
    return str(answer.body["file"]["id"])


def send_file(web: Process, cookie: str, name: str, chat_id: str = "") -> Any:
    more = f'--xx\r\nContent-Disposition: form-data; name="chat_id"\r\n\r\n{chat_id}\r\n' if chat_id else ""
    form = f'{more}--xx\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n{MARK}\r\n--xx--\r\n'
    return ask(f"{web.url}/files", form.encode(), cookie, Content_Type="multipart/form-data; boundary=xx")


def nothing_like(ids: dict[str, Any]) -> dict[str, Any]:
    """Ids that nothing has, in place of those that something has."""
    return {name: NO_NUMBER if isinstance(value, int) else NOTHING for name, value in ids.items()}


def bodies(ids: dict[str, Any], own_chat: str) -> dict[str, list[dict[str, Any]]]:
    """For every event what somebody may send who wants what belongs to another."""
    chat, answer = {"chat_id": ids["chat"]}, {"answer_id": ids["answer"]}
    user = {"user_id": ids["user"]}
    return on_shelves(ids) | {
        "open": [chat, {**chat, "after": {ids["running"]: 1}}, {"chat_id": ids["deleted"]}],
        "send": [
            {**chat, "text": "x"},
            {"chat_id": own_chat, "text": "x", "parent": ids["answer"]},
            {"text": "x", "files": [ids["sent"]]},
            {"text": "x", "files": [ids["unsent"]]},
        ],
        "stop": [{"answer_id": ids["running"]}, answer],
        "dequeue": [{"answer_id": ids["running"]}],
        "retry": [answer],
        "continue": [answer, {"answer_id": ids["running"]}],
        "branch": [
            {**chat, "message_id": ids["question"]},
            {"chat_id": own_chat, "message_id": ids["question"]},
        ],
        "edit": [{**answer, "content": "mine now"}],
        "undo": [chat],
        "chats": [{}],
        "rename": [{**chat, "title": "mine now"}],
        "pin": [{**chat, "pinned": True}],
        "tag": [{**chat, "tags": ["mine"]}],
        "delete": [{"chat_ids": [ids["chat"]]}],
        "restore": [{"chat_ids": [ids["deleted"]]}],
        "search": [{"text": MARK}, {"text": MARK[:4]}],
        "hello": [{}],
        "about": [{}],
        "models": [{}],
        "options": [{**chat, "options": {"temperature": 0}}],
        "setting": [{"text": "seed 4"}],
        "presets": [{}],
        "preset": [{"name": MARK, "options": None}],
        "prompts": [{}],
        "prompt": [{"name": MARK, "text": None}],
        "notes": [{**chat, "text": None}, {**chat, "text": "mine"}],
        "context": [{**chat, "text": ""}, {"chat_id": None, "text": "x", "files": [ids["sent"], ids["unsent"]]}],
        "command": [{**chat, "text": "/url http://127.0.0.1:9/"}, {**chat, "text": "/help"}],
        "url": [{**chat, "url": "http://127.0.0.1:9/"}, {"url": "http://127.0.0.1:9/", "files": [ids["unsent"]]}],
        "unfile": [{"file_id": ids["unsent"]}, {"file_id": ids["sent"]}],
        "account": [{}],
        "end_session": [{"session_id": ids["session"]}],
        "end_other_sessions": [{}],
        "password": [{"old": "is not known", "new": "something else"}],
        "admin": [{}],
        "invite": [{"is_admin": True, "note": ""}],
        "reset": [user],
        "uninvite": [{"id": NOTHING}],
        "lock": [{**user, "locked": True}],
        "make_admin": [{**user, "is_admin": True}],
        "remove_user": [user],
        "limits": [{**user, "limits": {"messages_per_day": 1}}, {"user_id": None, "limits": {"storage_mb": 1}}],
        "house_options": [{"options": {"temperature": 0}}],
        "alert": [{"text": "hear me"}],
        "live": [{}],
    }


FOR_ADMINISTRATORS = {
    *("admin", "invite", "reset", "uninvite", "lock", "make_admin", "remove_user", "limits", "house_options", "alert"),
    "live",
}
# The paths of every route, with ids of the victim in them.
ROUTES = {
    "/": "/",
    "/c/<chat_id>": "/c/{chat}",
    "/health": "/health",
    "/login": "/login",
    "/join": "/join",
    "/logout": "",  # would end the session of who tries
    "/admin": "/admin",
    "/files": "",  # has a test of its own
    "/files/<file_id>": "/files/{sent}",
    "/export/<chat_id>.json": "/export/{chat}.json",
    "/export/<chat_id>.md": "/export/{chat}.md",
    "/export/all.json": "/export/all.json",
    "/import": "",  # takes no ids
    "/library": "/library",
    "/library/<int:shelf_id>": "/library/{own_shelf}",
    "/library/<int:shelf_id>/files": "",  # has a test of its own
    "/library/document/<int:document_id>": "/library/document/{own_document}",
    "/manifest.webmanifest": "/manifest.webmanifest",
    "/worker.js": "/worker.js",
    "/static/<path:filename>": "/static/early.js",
}


def everything_of(data_dir: Path, user_id: str) -> str:
    """All rows that belong to a user, as text."""
    db = sqlite3.connect(f"file:{data_dir / 'chat.db'}?mode=ro", uri=True)
    own = "SELECT id FROM chats WHERE owner_id = ?"
    rows = [
        db.execute(query, (user_id,)).fetchall()
        for query in (
            "SELECT * FROM chats WHERE owner_id = ? ORDER BY id",
            f"SELECT id, content, status, parent_id FROM messages WHERE chat_id IN ({own}) ORDER BY n",  # noqa: S608
            f"SELECT * FROM chat_tags WHERE chat_id IN ({own}) ORDER BY chat_id, tag",  # noqa: S608
            "SELECT * FROM files WHERE owner_id = ? ORDER BY id",
            "SELECT * FROM presets WHERE owner_id = ? ORDER BY name",
            "SELECT * FROM prompts WHERE owner_id = ? ORDER BY name",
            "SELECT * FROM users WHERE id = ?",
            "SELECT id FROM sessions WHERE user_id = ? ORDER BY id",
        )
    ]
    db.close()
    db = sqlite3.connect(f"file:{data_dir / 'library.db'}?mode=ro", uri=True)
    own = "SELECT id FROM shelves WHERE owner_id = ?"
    rows += [
        db.execute(query, (user_id,)).fetchall()
        for query in (
            "SELECT * FROM shelves WHERE owner_id = ? ORDER BY id",
            f"SELECT id, address, options, state, problem FROM sources WHERE shelf_id IN ({own}) ORDER BY id",  # noqa: S608
            f"SELECT * FROM documents WHERE shelf_id IN ({own}) ORDER BY id",  # noqa: S608
        )
    ]
    db.close()
    return json.dumps(rows, default=str)


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> tuple[set[str], set[str]]:
    """The names of all events, and the rules of all routes, as the application has them."""
    settings = WebSettings(data_dir=str(tmp_path_factory.mktemp("empty")), url="http://127.0.0.1:9/v1")
    app = create_app(settings, ModelClient(settings.url, "", 1))
    events = set(app.extensions["socketio"].server.handlers["/"]) - {"connect", "disconnect"}
    app.extensions["chat"].close()
    return events, {rule.rule for rule in app.url_map.iter_rules()}


@pytest.mark.parametrize("who", ["cleo", "anna"])
def test_no_event_gives_away_or_changes_what_is_anothers(
    house: House, registered: tuple[set[str], set[str]], who: str
) -> None:
    page = house.pages[who]
    before = everything_of(house.data_dir, house.ids["user"])
    own = page.call("send", {"text": "mine"})["chat"]["id"]
    tried = bodies(house.ids, own)
    untried = bodies(nothing_like(house.ids), own)
    assert set(tried) == registered[0], "each event needs something to be tried with"
    for event, sent in tried.items():
        if who == "anna" and event in FOR_ADMINISTRATORS - {"admin", "live"}:
            continue
        for body, nothing in zip(sent, untried[event], strict=True):
            answer, same = page.call(event, body), page.call(event, nothing)
            assert MARK not in json.dumps(answer), (event, body)
            if who == "cleo" and event in FOR_ADMINISTRATORS:
                assert answer["error"]["code"] == "not_allowed", event
            if body != nothing:  # it looks as if there were no such thing
                assert answer == same, (event, body)
    assert everything_of(house.data_dir, house.ids["user"]) == before
    assert MARK not in json.dumps(page.heard)


@pytest.mark.parametrize("who", ["cleo", "anna"])
def test_no_route_gives_away_what_is_anothers(house: House, registered: tuple[set[str], set[str]], who: str) -> None:
    assert set(ROUTES) == registered[1], "each route needs a path to be tried with"
    for path in filter(None, ROUTES.values()):
        cookie = house.cookies[who]
        answer = ask(house.web.url + path.format(**house.ids), cookie=cookie)
        same = ask(house.web.url + path.format(**nothing_like(house.ids)), cookie=cookie)
        assert MARK not in answer.text
        assert (answer.status, answer.text) == (same.status, same.text)
        assert answer.status < 400 or "{" in path or path == "/admin"
    owned = ask(f"{house.web.url}/export/{house.ids['chat']}.json", cookie=house.cookies["ben"])
    assert MARK in owned.text


@pytest.mark.parametrize("who", ["cleo", "anna"])
def test_no_file_is_put_into_anothers_chat(house: House, who: str) -> None:
    before = everything_of(house.data_dir, house.ids["user"])
    refused = send_file(house.web, house.cookies[who], "x.txt", house.ids["chat"])
    same = send_file(house.web, house.cookies[who], "x.txt", NOTHING)
    assert (refused.status, refused.text) == (same.status, same.text)
    assert refused.body["error"]["code"] == "unknown_chat"
    assert everything_of(house.data_dir, house.ids["user"]) == before


@pytest.mark.parametrize("who", ["cleo", "anna"])
def test_no_file_is_put_on_anothers_shelf(house: House, who: str) -> None:
    before = everything_of(house.data_dir, house.ids["user"])
    same = put_on_shelf(house.web, house.cookies[who], "x.txt", NO_NUMBER, "x")
    for shelf in ("own_shelf", "gone_shelf", "shared_shelf"):
        refused = put_on_shelf(house.web, house.cookies[who], "x.txt", house.ids[shelf], "x")
        assert (refused.status, refused.text) == (same.status, same.text)
        assert refused.body["error"]["code"] == "unknown_shelf"
    assert everything_of(house.data_dir, house.ids["user"]) == before


@pytest.mark.parametrize("who", ["cleo", "anna"])
def test_a_shared_shelf_is_read_by_all(house: House, who: str) -> None:
    page, ids = house.pages[who], house.ids
    (shelf,) = [each for each in page.call("library")["shelves"] if each["id"] == ids["shared_shelf"]]
    assert (shelf["owner"], shelf["is_own"], shelf["n_documents"]) == ("ben", False, 1)
    assert [each["id"] for each in shelf["sources"]] == [ids["shared_source"]]
    listed = page.call("shelf", {"shelf_id": ids["shared_shelf"]})["documents"]
    assert [each["id"] for each in listed] == [ids["shared_document"]]
    found = page.call("find", {"text": "What is a radish?", "shelf_ids": [ids["shared_shelf"]]})["passages"]
    assert found[0]["text"].strip() == "All of radish."
    read = page.call("document", {"document_id": ids["shared_document"]})
    assert (read["text"], read["document"]["is_own"]) == ("All of radish.", False)
    assert page.call("source_failures", {"source_id": ids["shared_source"]})["ok"]
    assert {"name": "radish shared", "kind": "shelf", "shelf": "radish shared"} in page.call(
        "mentions", {"text": "radish"}
    )["names"]


def test_runs_of_a_shelf_are_told_to_those_who_may_read_it(house: House) -> None:
    ben, ids = house.pages["ben"], house.ids
    for name in ("own", "shared"):
        n_heard = len(ben.heard)
        ben.call("source_refresh", {"source_id": ids[f"{name}_source"]})
        ben.until(lambda n=n_heard: any(run_of(b, "ok") for name, b in ben.heard[n:] if name == "library_run"))
    for who in ("anna", "cleo"):
        page = house.pages[who]
        page.until(lambda page=page: any(run_of(b, "ok") for name, b in page.heard if name == "library_run"))
        runs = [b for name, b in page.heard if name == "library_run"]
        assert {each["shelf_id"] for each in runs} == {ids["shared_shelf"]}


def run_of(body: dict[str, Any], state: str) -> bool:
    return bool(body["source"]["state"] == state)


def test_the_same_key_of_two_users_is_two_messages(house: House) -> None:
    answer = house.pages["cleo"].call("send", {"text": "not the same", "key": "a key"})
    assert answer["user"]["content"] == "not the same"
    again = house.pages["cleo"].call("send", {"text": "not the same", "key": "a key"})
    assert again["user"]["id"] == answer["user"]["id"]


def test_presets_and_prompts_of_one_name_are_each_users_own(house: House) -> None:
    cleo, ben = house.pages["cleo"], house.pages["ben"]
    assert cleo.call("preset", {"name": MARK, "options": {"temperature": 0}})["presets"] == [
        {"name": MARK, "options": {"temperature": 0}}
    ]
    assert ben.call("presets")["presets"] == [{"name": MARK, "options": {"temperature": 1}}]
    assert cleo.call("preset", {"name": MARK, "options": None})["presets"] == []
    assert len(ben.call("presets")["presets"]) == 1


def test_what_happens_in_one_users_chats_is_told_to_that_users_pages_alone(house: House) -> None:
    other = page_of(house.web, house.cookies["ben"])
    chat = house.pages["ben"].call("rename", {"chat_id": house.ids["chat"], "title": "parsnip"})["chat"]
    house.pages["ben"].call("rename", {"chat_id": house.ids["chat"], "title": chat["title"]})
    other.until(lambda: [b for n, b in other.heard if n == "chat" and b["title"] == "parsnip"])
    for who in ("anna", "cleo"):
        house.pages[who].call("chats")  # whatever was sent before this is here now
        assert "parsnip" not in json.dumps(house.pages[who].heard)
    other.client.disconnect()


def test_what_a_terminal_writes_is_the_owners_and_nobody_elses(house: House) -> None:
    store = Store(house.data_dir / "chat.db")
    user, _ = store.add_turn(None, "turnip from a terminal", None)
    assert store.chat(user.chat_id).owner_id == OWNER
    anna = house.pages["anna"]
    anna.until(lambda: [b for n, b in anna.heard if n == "chat" and b["id"] == user.chat_id])
    assert anna.call("search", {"text": "turnip"})["hits"]
    store.delete([user.chat_id])
    store.close()
    anna.until(lambda: [b for n, b in anna.heard if n == "gone" and user.chat_id in b["chat_ids"]])
    for who in ("ben", "cleo"):
        assert house.pages[who].call("search", {"text": "turnip"})["hits"] == []
        assert "turnip" not in json.dumps(house.pages[who].heard)
        assert user.chat_id not in json.dumps(house.pages[who].heard)


def test_an_import_knows_only_the_users_own_chats(house: House) -> None:
    mine = ask(f"{house.web.url}/export/{house.ids['chat']}.json", cookie=house.cookies["ben"]).text
    form = (
        f'--xx\r\nContent-Disposition: form-data; name="file"; filename="c.json"\r\n\r\n{mine}\r\n--xx--\r\n'.encode()
    )
    address, kind = f"{house.web.url}/import", "multipart/form-data; boundary=xx"
    assert ask(address, form, house.cookies["ben"], Content_Type=kind).body["n_chats"] == 0  # it is here already
    assert ask(address, form, house.cookies["anna"], Content_Type=kind).body["n_chats"] == 1
    titles = [chat["title"] for chat in house.pages["cleo"].call("chats")["chats"]]
    assert not any(MARK in title for title in titles)
