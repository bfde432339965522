"""How a server that is open to the house begins: its first administrator, the accounts command, proxies in front."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from chatbot.core.store import OWNER, Store
from tests.chat.household import PASSWORD
from tests.chat.residents import ask, log_in, open_to_the_house, page_of, with_users
from tests.chat.terminal import Terminal
from tests.fakes import FakeServer
from tests.processes import REPO, Process, chatbot, environment, free_port, running, until

NO_MODEL = "http://127.0.0.1:9/v1"


class Program(Terminal):
    """`python -m chatbot` on a pseudo-terminal."""

    def __init__(self, *args: str) -> None:
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.chdir(REPO)
            os.execve(sys.executable, [sys.executable, "-m", "chatbot", *args], environment(TERM="dumb"))
        self.screen = self.all = ""


def accounts(data_dir: Path, *args: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run the accounts command without a terminal."""
    command = [sys.executable, "-m", "chatbot", "accounts", *args, "--data_dir", str(data_dir)]
    return subprocess.run(
        command, input=stdin, capture_output=True, text=True, env=environment(), cwd=REPO, timeout=120, check=False
    )


def names(data_dir: Path) -> list[str]:
    store = Store(data_dir / "chat.db")
    found = [user.name for user in store.users()]
    store.close()
    return found


def test_without_an_administrator_and_a_terminal_it_says_what_to_do(tmp_path: Path) -> None:
    refused = open_to_the_house(NO_MODEL, tmp_path)
    assert refused.wait() == 2
    assert refused.output.count("\n") == 1
    assert "python -m chatbot accounts add NAME" in refused.output
    assert "CHATBOT_ADMIN_PASSWORD" in refused.output


def test_a_password_in_the_environment_makes_the_first_administrator_once(tmp_path: Path) -> None:
    with running(open_to_the_house(NO_MODEL, tmp_path, CHATBOT_ADMIN_PASSWORD=PASSWORD)) as web:
        page = page_of(web, log_in(web, "admin"))
        assert page.call("password", {"old": PASSWORD, "new": "another password"})["ok"]
        page.client.disconnect()
        web.terminate()
    with running(open_to_the_house(NO_MODEL, tmp_path, CHATBOT_ADMIN_PASSWORD=PASSWORD)) as web:
        assert ask(f"{web.url}/login", {"name": "admin", "password": PASSWORD}).status == 401
        log_in(web, "admin", "another password")


def test_a_password_in_the_environment_that_is_too_short_is_refused(tmp_path: Path) -> None:
    refused = open_to_the_house(NO_MODEL, tmp_path, CHATBOT_ADMIN_PASSWORD="x" * 7)
    assert refused.wait() == 2
    assert "8 to 256 characters" in refused.output and names(tmp_path) == []


def test_on_a_terminal_the_first_start_asks_for_name_and_password(tmp_path: Path) -> None:
    port = free_port()
    flags = ("--host", "0.0.0.0", "--port", str(port), "--url", NO_MODEL, "--data_dir", str(tmp_path))
    program = Program(*flags)
    try:
        program.until("Name: ")
        program.type("<anna>\n")
        program.until("1 to 40 letters and digits")
        program.until("Name: ")
        program.type("Anna\n")
        for first, second, said in (("short", "", "8 to 256"), (PASSWORD, "another one", "two different passwords")):
            program.until("Password: ")
            program.type(f"{first}\n")
            if second:
                program.until("Once more: ")
                program.type(f"{second}\n")
            program.until(said)
        program.until("Password: ")
        program.type(f"{PASSWORD}\n")
        program.until("Once more: ")
        program.type(f"{PASSWORD}\n")
        program.until("ready")
        assert PASSWORD not in program.all
        answer = ask(f"http://127.0.0.1:{port}/login", {"name": "anna", "password": PASSWORD})
        assert answer.body["user"] == {"id": OWNER, "name": "Anna", "is_admin": True}
    finally:
        os.kill(program.pid, signal.SIGTERM)
        program.status()


def test_on_loopback_there_are_no_accounts_and_everybody_is_the_owner(tmp_path: Path) -> None:
    with_users(tmp_path, "anna")
    with running(chatbot(NO_MODEL, tmp_path)) as web:
        assert ask(web.url).status == 200
        assert ask(f"{web.url}/admin").status == 200
        refused = ask(f"{web.url}/login", {"name": "anna", "password": PASSWORD})
        assert "there are no accounts here" in refused.body["error"]["message"]
        page = page_of(web, "")
        hello = page.call("hello")
        assert (hello["accounts"], hello["user"]) == (False, {"id": OWNER, "name": "", "is_admin": True})
        told = page.call("account")
        assert told["sessions"] == [] and told["limits"]["messages_per_day"] == 0
        assert "no password" in page.call("password", {"old": PASSWORD, "new": PASSWORD})["error"]["message"]
        assert page.call("admin")["accounts"] is False
        page.client.disconnect()


def test_the_accounts_command_adds_lists_locks_and_removes(tmp_path: Path) -> None:
    first = accounts(tmp_path, "add", "Anna", "--stdin", stdin=f"{PASSWORD}\n")
    assert (first.returncode, first.stdout) == (0, "Anna may come in, as administrator\n")
    second = accounts(tmp_path, "add", "Ben", "--stdin", stdin=f"{PASSWORD}\n")
    assert second.stdout == "Ben may come in\n"
    listed = accounts(tmp_path, "list").stdout.splitlines()
    assert [line.split()[:2] for line in listed] == [["Anna", "administrator"], ["Ben", "user"]]
    assert accounts(tmp_path, "lock", "ben").returncode == 0
    assert "locked" in accounts(tmp_path, "list").stdout
    assert accounts(tmp_path, "unlock", "ben").stdout == "Ben may come in again\n"
    for args, stdin, said in (
        (("add", "ANNA", "--stdin"), PASSWORD, "the name ANNA is taken"),
        (("add", "cleo", "--stdin"), "short", "this one has 5"),
        (("add", "cleo"), "", "--stdin"),
        (("lock", "anna"), "", "last administrator"),
        (("remove", "ben"), "", "--yes"),
        (("password", "nobody", "--stdin"), PASSWORD, "there is no user nobody: there is Anna, Ben"),
    ):
        refused = accounts(tmp_path, *args, stdin=stdin)
        assert refused.returncode == 1
        assert said in refused.stderr and refused.stderr.count("\n") == 1
    assert accounts(tmp_path, "remove", "ben", "--yes").stdout == "Ben is removed, with 0 chats\n"
    assert names(tmp_path) == ["Anna"]


def test_a_running_server_heeds_the_accounts_command(tmp_path: Path) -> None:
    with_users(tmp_path, "anna", "ben")
    with running(open_to_the_house(NO_MODEL, tmp_path)) as web:
        pages = [page_of(web, log_in(web, name)) for name in ("anna", "ben")]
        assert accounts(tmp_path, "lock", "ben").returncode == 0
        until(lambda: not pages[1].client.connected, "ben is cut off")
        assert accounts(tmp_path, "password", "anna", "--stdin", stdin="another password\n").returncode == 0
        until(lambda: not pages[0].client.connected, "anna is cut off")
        log_in(web, "anna", "another password")


@pytest.fixture
def behind_a_proxy(tmp_path: Path) -> Iterator[Process]:
    with_users(tmp_path, "anna")
    flags = ("--accounts", "always", "--trusted_proxy", "127.0.0.1", "--allowed_hosts", "chat.home.example")
    with running(chatbot(NO_MODEL, tmp_path, *flags)) as web:
        yield web


def test_behind_a_trusted_proxy_the_cookie_is_for_https_and_guesses_count_by_client(behind_a_proxy: Process) -> None:
    url, right = f"{behind_a_proxy.url}/login", {"name": "anna", "password": PASSWORD}
    https = {"X_Forwarded_Proto": "https", "Host": "chat.home.example", "Origin": "https://chat.home.example"}
    answer = ask(url, right, X_Forwarded_For="10.9.9.9", **https)
    assert "Secure" in answer.headers["Set-Cookie"].split("; ")
    for n in range(5):  # what stands before the last address was sent by the client itself
        sent = {"X_Forwarded_For": f"10.0.0.{n}, 10.1.1.1"}
        assert ask(url, {"name": f"guess {n}", "password": PASSWORD}, **sent).status == 401
    assert ask(url, right, X_Forwarded_For="10.0.0.9, 10.1.1.1").status == 429
    assert ask(url, right, X_Forwarded_For="10.2.2.2").status == 200


def test_without_a_trusted_proxy_nothing_that_a_client_says_of_itself_is_believed(tmp_path: Path) -> None:
    with_users(tmp_path, "anna")
    with running(open_to_the_house(NO_MODEL, tmp_path)) as web:
        url, right = f"{web.url}/login", {"name": "anna", "password": PASSWORD}
        answer = ask(url, right, X_Forwarded_Proto="https", X_Forwarded_For="10.1.1.1")
        assert "Secure" not in answer.headers["Set-Cookie"].split("; ")
        for n in range(5):
            sent = {"X_Forwarded_For": f"10.0.0.{n}"}
            assert ask(url, {"name": f"guess {n}", "password": PASSWORD}, **sent).status == 401
        assert ask(url, right, X_Forwarded_For="10.0.0.9").status == 429


def test_a_socket_of_the_proxys_https_page_is_let_in(behind_a_proxy: Process) -> None:
    cookie = log_in(behind_a_proxy, "anna")
    headers = {
        "Cookie": cookie,
        "Host": "chat.home.example",
        "Origin": "https://chat.home.example",
        "X-Forwarded-Proto": "https",
    }
    address = f"{behind_a_proxy.url}/socket.io/?EIO=4&transport=polling"
    with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=30) as answer:
        assert answer.status == 200


def test_limits_reach_the_page_as_an_error_that_names_them(tmp_path: Path) -> None:
    with_users(tmp_path, "anna", "ben")
    with FakeServer() as server, running(open_to_the_house(server.url, tmp_path)) as web:
        anna, ben = (page_of(web, log_in(web, name)) for name in ("anna", "ben"))
        user = ben.call("hello")["user"]["id"]
        assert anna.call("limits", {"user_id": None, "limits": {"messages_per_day": 1}})["ok"]
        turn = ben.call("send", {"text": "one", "key": "one"})
        ben.end_of(turn["answer"]["id"])
        refused = ben.call("send", {"text": "two"})["error"]
        assert (refused["code"], refused["type"]) == ("limit_reached", "invalid_request_error")
        assert "1 message in the last 24 hours, and 1" in refused["message"]
        assert ben.call("retry", {"answer_id": turn["answer"]["id"]})["error"]["code"] == "limit_reached"
        assert ben.call("send", {"text": "one", "key": "one"})["user"]["id"] == turn["user"]["id"]  # the same again
        assert len(ben.call("chats")["chats"]) == 1
        assert anna.call("limits", {"user_id": user, "limits": {"storage_mb": 1}})["ok"]
        assert ben.call("send", {"text": "two"})["ok"]
        assert ben.call("account")["limits"]["storage_mb"] == 1
        form = b'--xx\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'
        form += b"words " * 200_000 + b"\r\n--xx--\r\n"
        kind = "multipart/form-data; boundary=xx"
        cookie = log_in(web, "ben")
        for path in ("/files", "/import"):
            full = ask(f"{web.url}{path}", form, cookie, Content_Type=kind)
            assert (full.status, full.body["error"]["code"]) == (429, "limit_reached"), full
        kept = [ben.call("prompt", {"name": f"p{n}", "text": "x" * 190_000}) for n in range(6)]
        assert [each["ok"] for each in kept] == [True] * 5 + [False]
        assert kept[-1]["error"]["code"] == "limit_reached"
        long_one = {"answer_id": turn["answer"]["id"], "content": "x" * 190_000}
        assert ben.call("edit", long_one)["error"]["code"] == "limit_reached"
        assert ben.call("prompt", {"name": "p0", "text": None})["ok"]  # who is full may make room
        assert anna.call("send", {"text": "an administrator's"})["ok"]
        for page in (anna, ben):
            page.client.disconnect()
