"""What is written to the log and kept in files of those who come in."""

from __future__ import annotations

from pathlib import Path

from tests.chat.residents import ask, log_in, open_to_the_house, page_of
from tests.fakes import FakeServer
from tests.processes import running


def test_neither_password_nor_code_nor_token_is_logged(tmp_path: Path) -> None:
    password, wrong = "a very private password", "a very wrong password"
    with FakeServer() as server:
        started = open_to_the_house(server.url, tmp_path, "--log_level", "debug", CHATBOT_ADMIN_PASSWORD=password)
        with running(started) as web:
            ask(f"{web.url}/login", {"name": "admin", "password": wrong})
            cookie = log_in(web, "admin", password)
            page = page_of(web, cookie)
            code = page.call("invite", {"is_admin": False, "note": ""})["code"]
            joined = ask(f"{web.url}/join", {"code": code, "name": "ben", "password": f"{password} too"}).cookie
            page.call("password", {"old": wrong, "new": password})
            page.call("password", {"old": password, "new": f"{password} now"})
            ask(f"{web.url}/logout", {}, cookie=joined)
            page.client.disconnect()
            web.terminate()
        assert "ready" in started.output and "admin logged in from 127.0.0.1" in started.output
        assert "a wrong name or password from 127.0.0.1" in started.output
        secrets = (password, wrong, code, code.replace("-", ""), *(c.partition("=")[2] for c in (cookie, joined)))
        for secret in secrets:
            assert secret and secret not in started.output
            for file in tmp_path.iterdir():
                assert secret.encode() not in file.read_bytes(), file.name
