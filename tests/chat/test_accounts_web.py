"""Accounts over HTTP and sockets, on the real process: logging in, sessions that end, what administrators do."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import engineio
import pytest
import socketio

from chatbot.core.store import Store
from tests.chat.browser import Browser
from tests.chat.household import PASSWORD
from tests.chat.residents import ask, log_in, open_to_the_house, page_of, with_users
from tests.fakes import FakeServer, Finish, Gate
from tests.processes import Process, running, until


@pytest.fixture(scope="module")
def server() -> Iterator[FakeServer]:
    with FakeServer() as fake:
        yield fake


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_users(tmp_path_factory.mktemp("house"), "Anna", "ben", "cleo")


@pytest.fixture(scope="module")
def web(server: FakeServer, house: Path) -> Iterator[Process]:
    with running(open_to_the_house(server.url, house)) as process:
        yield process


@pytest.fixture(scope="module")
def anna(web: Process) -> Iterator[Browser]:
    page = page_of(web, log_in(web, "anna"))
    yield page
    page.client.disconnect()


def refusal(web: Process, headers: dict[str, str]) -> dict[str, Any]:
    """What a page is told that may not connect."""
    told: list[dict[str, Any]] = []
    client = socketio.Client(reconnection=False)
    client.on("connect_error", told.append)
    with pytest.raises(socketio.exceptions.ConnectionError):
        client.connect(web.url, transports=["websocket"], headers=headers)
    client.eio.disconnect()
    return told[0] if told and isinstance(told[0], dict) else {}


def may_connect(web: Process, cookie: str) -> bool:
    try:
        page_of(web, cookie).client.disconnect()
    except socketio.exceptions.ConnectionError:
        return False
    return True


def is_cut_off(page: Browser) -> bool:
    return not page.client.connected


def test_without_a_session_there_is_nothing_but_the_door(web: Process) -> None:
    root = ask(web.url)
    assert (root.status, root.headers["Location"]) == (302, "/login")
    assert ask(f"{web.url}/c/abc").headers["Location"] == "/login?next=%2Fc%2Fabc"
    assert ask(f"{web.url}/admin").headers["Location"] == "/login?next=%2Fadmin"
    assert ask(f"{web.url}/library?q=egg").headers["Location"] == "/login?next=%2Flibrary%3Fq%3Degg"
    long = ask(f"{web.url}/library?q={'egg' * 1_000}")  # would be longer than a server reads
    assert long.headers["Location"] == "/login?next=%2Flibrary"
    assert "password" in ask(f"{web.url}/login").text.lower()
    assert ask(f"{web.url}/join").status == 200
    assert set(ask(f"{web.url}/health").body) == {"status", "version"}
    for path in ("/export/all.json", "/export/abc.json", "/export/abc.md", "/files/abc"):
        refused = ask(f"{web.url}{path}")
        assert (refused.status, refused.body["error"]["code"]) == (401, "not_logged_in"), path
    for path in ("/files", "/import"):
        assert ask(f"{web.url}{path}", b"").body["error"]["code"] == "not_logged_in"
    assert "not logged in" in refusal(web, {})["message"]
    assert refusal(web, {"Cookie": "paddock=made-up"})["data"] == {"code": "not_logged_in"}


def test_sockets_of_strangers_take_few_of_the_servers_threads(server: FakeServer, tmp_path: Path) -> None:
    with running(open_to_the_house(server.url, with_users(tmp_path, "anna"))) as web:
        strangers = [engineio.Client() for _ in range(5)]
        for each in strangers[:4]:
            each.connect(web.url, transports=["websocket"], engineio_path="socket.io")  # and never says what it wants
        with pytest.raises(engineio.exceptions.ConnectionError):
            strangers[4].connect(web.url, transports=["websocket"], engineio_path="socket.io")
        page = page_of(web, log_in(web, "anna"))
        assert page.call("chats")["ok"]
        page.client.disconnect()
        for each in strangers[:4]:
            each.disconnect()
        until(lambda: "data" in refusal(web, {}), "there is room again")


def test_one_user_cannot_take_all_pages_of_the_others(server: FakeServer, tmp_path: Path) -> None:
    data = with_users(tmp_path, "anna", "ben")
    with running(open_to_the_house(server.url, data, "--max_browsers", "4")) as web:
        anna, ben = log_in(web, "anna"), log_in(web, "ben")
        pages = [page_of(web, anna), page_of(web, anna)]
        assert "you have 2 pages open" in refusal(web, {"Cookie": anna})["message"]
        pages.append(page_of(web, ben))
        pages[0].client.disconnect()
        until(lambda: may_connect(web, anna), "there is room again")
        for page in pages:
            page.client.disconnect()


def test_who_logs_in_gets_a_cookie_that_scripts_cannot_read(web: Process) -> None:
    answer = ask(f"{web.url}/login", {"name": " ANNA ", "password": PASSWORD})
    assert answer.body["user"] == {"id": "owner", "name": "Anna", "is_admin": True}
    flags = answer.headers["Set-Cookie"].split("; ")[1:]
    assert {"HttpOnly", "Path=/", "SameSite=Lax"} <= set(flags)
    assert "Secure" not in flags  # this is plain http, where a browser would not send it back
    assert answer.headers["Cache-Control"] == "no-store"
    assert len(answer.cookie) > 40
    assert ask(web.url, cookie=answer.cookie).status == 200
    assert ask(f"{web.url}/login", cookie=answer.cookie).headers["Location"] == "/"
    assert set(ask(f"{web.url}/health", cookie=answer.cookie).body) == {"status", "version", "model"}


def test_a_wrong_password_and_an_unknown_name_are_told_the_same(web: Process) -> None:
    wrong = ask(f"{web.url}/login", {"name": "ben", "password": "wrong password"})
    unknown = ask(f"{web.url}/login", {"name": "nobody", "password": PASSWORD})
    assert wrong.status == unknown.status == 401
    assert wrong.body == unknown.body
    assert wrong.headers["Set-Cookie"] is unknown.headers["Set-Cookie"] is None
    log_in(web, "ben")  # so that this test takes no tries from the others


@pytest.mark.parametrize("path", ["/login", "/join", "/logout", "/files", "/import"])
def test_a_page_from_elsewhere_cannot_send_anything(web: Process, path: str) -> None:
    body = {"name": "anna", "password": PASSWORD}
    for headers in ({"X_Paddock": "0"}, {"Origin": "http://evil.example"}, {"Origin": "null"}):
        refused = ask(f"{web.url}{path}", body, **headers)
        assert (refused.status, refused.body["error"]["code"]) == (403, "foreign_origin")
    with pytest.raises(socketio.exceptions.ConnectionError):
        Browser(web.url, Cookie=log_in(web, "anna"), Origin="http://evil.example")


def test_a_login_takes_another_token_and_the_one_before_is_worth_nothing(web: Process) -> None:
    planted = ask(f"{web.url}/login", {"name": "anna", "password": PASSWORD}, cookie="paddock=planted").cookie
    assert planted != "paddock=planted"
    again = ask(f"{web.url}/login", {"name": "anna", "password": PASSWORD}, cookie=planted).cookie
    assert again != planted
    assert ask(web.url, cookie=planted).status == 302
    assert ask(web.url, cookie=again).status == 200


def test_after_five_wrong_passwords_one_has_to_wait(server: FakeServer, tmp_path: Path) -> None:
    with running(open_to_the_house(server.url, with_users(tmp_path, "anna"))) as web:
        for _ in range(5):
            assert ask(f"{web.url}/login", {"name": "anna", "password": "wrong password"}).status == 401
        refused = ask(f"{web.url}/login", {"name": "anna", "password": PASSWORD})
        assert refused.status == 429
        assert refused.body["error"]["code"] == "too_many_tries"
        wait_s = int(refused.headers["Retry-After"])
        assert 1 <= wait_s <= 6
        assert f"wait {wait_s} second" in refused.body["error"]["message"]


def test_logging_out_ends_the_session_and_its_open_pages(web: Process) -> None:
    cookie = log_in(web, "ben")
    page = page_of(web, cookie)
    assert ask(f"{web.url}/logout", {}, cookie=cookie).status == 200
    until(lambda: is_cut_off(page), "the page is cut off")
    assert ask(web.url, cookie=cookie).status == 302


def test_a_session_can_be_ended_from_another_one_at_once(web: Process) -> None:
    here, there = (
        log_in(web, "ben"),
        ask(
            f"{web.url}/login",
            {"name": "ben", "password": PASSWORD},
            User_Agent="Mozilla/5.0 (X11; Linux) Firefox/140.0",
        ).cookie,
    )
    page, other = page_of(web, here), page_of(web, there)
    told = page.call("account")
    assert told["user"]["name"] == "ben"
    assert [each["is_this"] for each in told["sessions"]].count(True) == 1
    (session,) = [each for each in told["sessions"] if each["device"] == "Firefox on Linux"]
    assert page.call("end_session", {"session_id": session["id"]})["ok"]
    until(lambda: is_cut_off(other), "the other page is cut off")
    assert ask(web.url, cookie=there).status == 302
    assert page.call("chats")["ok"]
    third = log_in(web, "ben")
    assert page.call("end_other_sessions")["ok"]
    assert ask(web.url, cookie=third).status == 302
    assert [each["is_this"] for each in page.call("account")["sessions"]] == [True]
    page.client.disconnect()


def test_another_password_ends_the_other_sessions_and_needs_the_old_one(web: Process) -> None:
    here, there = log_in(web, "cleo"), log_in(web, "cleo")
    page, other = page_of(web, here), page_of(web, there)
    refused = page.call("password", {"old": "not this one", "new": "another password"})
    assert refused["error"]["code"] == "wrong_password"
    short = page.call("password", {"old": PASSWORD, "new": "seven c"})
    assert "8 to 256 characters, this one has 7" in short["error"]["message"]
    assert page.call("password", {"old": PASSWORD, "new": "another password"})["ok"]
    until(lambda: is_cut_off(other), "the other page is cut off")
    assert page.call("password", {"old": "another password", "new": PASSWORD})["ok"]
    log_in(web, "cleo")
    page.client.disconnect()


def test_somebody_joins_with_a_code_once(web: Process, anna: Browser) -> None:
    made = anna.call("invite", {"is_admin": False, "note": "for Dora"})
    code = made["code"]
    assert [len(part) for part in code.split("-")] == [4, 4, 4]
    (told,) = [each for each in anna.call("admin")["invitations"] if each["note"] == "for Dora"]
    assert told["expires_at"] - told["created_at"] == 7 * 86_400
    taken = ask(f"{web.url}/join", {"code": code, "name": "ANNA", "password": PASSWORD})
    assert "the name ANNA is taken" in taken.body["error"]["message"]
    joined = ask(f"{web.url}/join", {"code": code.lower().replace("-", " "), "name": "Dora", "password": PASSWORD})
    assert joined.body["user"]["is_admin"] is False
    assert ask(web.url, cookie=joined.cookie).status == 200
    again = ask(f"{web.url}/join", {"code": code, "name": "Emil", "password": PASSWORD})
    assert (again.status, again.body["error"]["code"]) == (401, "wrong_password")
    assert "for Dora" not in [each["note"] for each in anna.call("admin")["invitations"]]


def test_an_invitation_can_be_taken_back(web: Process, anna: Browser) -> None:
    code = anna.call("invite", {"is_admin": False, "note": "a mistake"})["code"]
    (told,) = [each for each in anna.call("admin")["invitations"] if each["note"] == "a mistake"]
    assert anna.call("uninvite", {"id": told["id"]})["ok"]
    assert ask(f"{web.url}/join", {"code": code, "name": "Emil", "password": PASSWORD}).status == 401


def test_a_reset_lets_a_user_choose_a_password_and_ends_their_sessions(web: Process, anna: Browser) -> None:
    cookie = log_in(web, "ben")
    page = page_of(web, cookie)
    ben = page.call("hello")["user"]["id"]
    code = anna.call("reset", {"user_id": ben})["code"]
    assert [each["for"] for each in anna.call("admin")["invitations"]].count("ben") == 1
    joined = ask(f"{web.url}/join", {"code": code, "name": "whatever", "password": "a third password"})
    assert joined.body["user"] == {"id": ben, "name": "ben", "is_admin": False}
    until(lambda: is_cut_off(page), "the page is cut off")
    assert ask(f"{web.url}/login", {"name": "ben", "password": PASSWORD}).status == 401
    back = page_of(web, joined.cookie)
    assert back.call("password", {"old": "a third password", "new": PASSWORD})["ok"]
    back.client.disconnect()


def test_a_locked_user_is_out_at_once_and_may_come_back(web: Process, anna: Browser) -> None:
    page = page_of(web, log_in(web, "cleo"))
    cleo = page.call("hello")["user"]["id"]
    assert anna.call("lock", {"user_id": cleo, "locked": True})["ok"]
    until(lambda: is_cut_off(page), "the page is cut off")
    refused = ask(f"{web.url}/login", {"name": "cleo", "password": PASSWORD})
    assert (refused.status, refused.body["error"]["code"]) == (403, "not_allowed")
    assert "locked" in refused.body["error"]["message"]
    assert anna.call("lock", {"user_id": cleo, "locked": False})["ok"]
    log_in(web, "cleo")


def test_the_answers_of_a_locked_user_end(web: Process, server: FakeServer, anna: Browser) -> None:
    server.scripts = [["It begins", Gate(), "and ends", Finish()]]
    page = page_of(web, log_in(web, "cleo"))
    cleo = page.call("hello")["user"]["id"]
    page.call("send", {"chat_id": None, "text": "go"})
    page.call("send", {"chat_id": page.call("chats")["chats"][0]["id"], "text": "and another"})
    until(lambda: anna.call("live")["answers"] != [], "one is on its way")
    assert anna.call("lock", {"user_id": cleo, "locked": True})["ok"]
    until(lambda: anna.call("live")["answers"] == [], "none is made any more")
    assert anna.call("lock", {"user_id": cleo, "locked": False})["ok"]
    assert [each["messages"][-1]["content"] for each in server.requests].count("and another") == 0


def test_a_chat_that_a_terminal_has_deleted_keeps_no_locked_user_going(
    web: Process, server: FakeServer, anna: Browser, house: Path
) -> None:
    server.scripts = [["It begins", Gate(), "and ends", Finish()], ["Another", Gate(), "ends", Finish()]]
    page = page_of(web, log_in(web, "cleo"))
    cleo = page.call("hello")["user"]["id"]
    for text in ("go", "and another"):
        page.call("send", {"chat_id": None, "text": text})
    until(lambda: len(anna.call("live")["answers"]) == 2, "both are on their way")
    store = Store(house / "chat.db")
    deleted = page.call("chats")["chats"][0]["id"]
    store.delete([deleted])
    assert anna.call("lock", {"user_id": cleo, "locked": True})["ok"]
    until(lambda: anna.call("live")["answers"] == [], "none is made any more")
    store.restore([deleted])
    until(lambda: store.messages(deleted)[-1].status.is_final, "nor in the one that was deleted")
    assert anna.call("lock", {"user_id": cleo, "locked": False})["ok"]
    store.close()


def test_the_last_administrator_stays_one(web: Process, anna: Browser) -> None:
    for event, body in (
        ("make_admin", {"user_id": "owner", "is_admin": False}),
        ("lock", {"user_id": "owner", "locked": True}),
    ):
        refused = anna.call(event, body)
        assert "the last administrator" in refused["error"]["message"]
    assert "terminals on this machine" in anna.call("remove_user", {"user_id": "owner"})["error"]["message"]
    assert ask(f"{web.url}/admin", cookie=log_in(web, "anna")).status == 200


def open_to(page: Browser) -> list[str]:
    """The commands that the page offers."""
    return [spec["name"] for spec in page.call("hello")["commands"] if not spec["refusal"]]


def test_who_is_made_administrator_is_one_at_once_and_no_longer_at_once(web: Process, anna: Browser) -> None:
    cookie = log_in(web, "cleo")
    page = page_of(web, cookie)
    cleo = page.call("hello")["user"]["id"]
    assert page.call("admin")["error"]["code"] == "not_allowed"
    assert ask(f"{web.url}/admin", cookie=cookie).status == 403
    assert anna.call("make_admin", {"user_id": cleo, "is_admin": True})["ok"]
    assert page.call("admin")["ok"]
    assert "alert" in open_to(page)
    assert anna.call("make_admin", {"user_id": cleo, "is_admin": False})["ok"]
    assert page.call("admin")["error"]["code"] == "not_allowed"
    assert "alert" not in open_to(page)
    page.client.disconnect()


def test_a_removed_user_is_gone_with_all_chats(web: Process, anna: Browser, server: FakeServer) -> None:
    code = anna.call("invite", {"is_admin": False, "note": ""})["code"]
    cookie = ask(f"{web.url}/join", {"code": code, "name": "Fritz", "password": PASSWORD}).cookie
    page = page_of(web, cookie)
    server.scripts = [["hello Fritz", Finish()]]
    turn = page.call("send", {"text": "hi"})
    page.end_of(turn["answer"]["id"])
    user = page.call("hello")["user"]["id"]
    (told,) = [each for each in anna.call("admin")["users"] if each["id"] == user]
    assert (told["n_chats"], told["messages_today"]) == (1, 1)
    assert told["storage_bytes"] == len("hi" + "hello Fritz")
    before = anna.call("admin")["storage"]["n_chats"]
    assert anna.call("remove_user", {"user_id": user})["ok"]
    until(lambda: is_cut_off(page), "the page is cut off")
    after = anna.call("admin")
    assert user not in [each["id"] for each in after["users"]]
    assert after["storage"]["n_chats"] == before - 1
    assert ask(f"{web.url}/login", {"name": "Fritz", "password": PASSWORD}).status == 401


def test_an_alert_reaches_every_page_also_one_that_opens_later(web: Process, anna: Browser) -> None:
    page = page_of(web, log_in(web, "ben"))
    for event, body in (("alert", {"text": "boo"}), ("command", {"chat_id": None, "text": "/alert boo"})):
        assert page.call(event, body)["error"]["code"] == "not_allowed"
    assert anna.call("command", {"chat_id": None, "text": "/alert The box restarts at noon."})["ok"]
    page.until(lambda: [b for n, b in page.heard if n == "alert"])
    late = page_of(web, log_in(web, "ben"))
    late.until(lambda: [b for n, b in late.heard if n == "alert"])
    (alert,) = [b for n, b in late.heard if n == "alert"]
    assert (alert["text"], alert["from"]) == ("The box restarts at noon.", "Anna")
    assert "1 to 500 characters" in anna.call("alert", {"text": " "})["error"]["message"]
    page.client.disconnect()
    late.client.disconnect()


def test_the_options_of_the_house_hold_where_a_chat_has_none(web: Process, anna: Browser, server: FakeServer) -> None:
    assert anna.call("house_options", {"options": {"temperature": 0.25, "top_k": 7}})["ok"]
    page = page_of(web, log_in(web, "ben"))
    assert page.call("hello")["defaults"]["temperature"] == 0.25
    server.scripts = [["one", Finish()], ["two", Finish()]]
    first = page.call("send", {"text": "hi"})
    page.end_of(first["answer"]["id"])
    assert (server.requests[-1]["temperature"], server.requests[-1]["top_k"]) == (0.25, 7)
    own = page.call("send", {"text": "hi", "options": {"temperature": 1.5}})
    page.end_of(own["answer"]["id"])
    assert (server.requests[-1]["temperature"], server.requests[-1]["top_k"]) == (1.5, 7)
    assert page.call("house_options", {"options": {}})["error"]["code"] == "not_allowed"
    assert anna.call("house_options", {"options": {"temperature": 9}})["error"]["code"] == "bad_request"
    assert anna.call("house_options", {"options": {}})["ok"]
    page.client.disconnect()


def test_addresses_and_own_names_are_let_in_and_rebound_names_are_not(web: Process) -> None:
    def status(host: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=30)
        connection.request("GET", "/health", headers={"Host": host})
        return connection.getresponse().status

    assert [status(host) for host in ("192.168.1.7:5000", "[fd00::1]:5000", "localhost", "0.0.0.0")] == [200] * 4
    assert [status(host) for host in ("evil.example", "192.168.1.7.evil.example", "")] == [403] * 3
