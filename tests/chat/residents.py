"""A chat server with accounts for tests: making users, and speaking to it over HTTP as one of them."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chatbot.core.entrance import Entrance
from chatbot.core.store import Store
from tests.chat.browser import Browser
from tests.chat.household import PASSWORD, cheap_passwords
from tests.fakes import WAIT_S
from tests.processes import Process, chatbot


@dataclass(frozen=True)
class Answer:
    """What came back over HTTP."""

    status: int
    text: str
    headers: Any

    @property
    def body(self) -> dict[str, Any]:
        return dict(json.loads(self.text))

    @property
    def cookie(self) -> str:
        """The cookie that was set, as it is sent back."""
        return str(self.headers.get("Set-Cookie", "")).partition(";")[0]


class _Stays(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def ask(url: str, body: dict[str, Any] | bytes | None = None, cookie: str = "", **headers: str) -> Answer:
    """A request as a page sends it: POST with a body, else GET; redirects are not followed."""
    sent = json.dumps(body).encode() if isinstance(body, dict) else body
    fields = {"X-Paddock": "1", "Content-Type": "application/json"} if body is not None else {}
    fields |= {"Cookie": cookie} if cookie else {}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, data=sent, headers=fields)
    try:
        with urllib.request.build_opener(_Stays).open(request, timeout=WAIT_S) as answer:
            return Answer(answer.status, answer.read().decode(), answer.headers)
    except urllib.error.HTTPError as answer:
        return Answer(answer.code, answer.read().decode(), answer.headers)


def with_users(data_dir: Path, *names: str) -> Path:
    """A database in which these users are, the first one as administrator, all with PASSWORD."""
    store = Store(data_dir / "chat.db")
    entrance = Entrance(store)
    with cheap_passwords():
        for name in names:
            if entrance.has_owner():
                entrance.add(name, PASSWORD, is_admin=False)
            else:
                entrance.create_owner(name, PASSWORD)
    store.close()
    return data_dir


def open_to_the_house(url: str, data_dir: Path, *flags: str, **env: str) -> Process:
    """The real chat server as it is started for other machines."""
    return chatbot(url, data_dir, "--host", "0.0.0.0", *flags, **env)


def log_in(web: Process, name: str, password: str = PASSWORD) -> str:
    """A new session; its cookie."""
    answer = ask(f"{web.url}/login", {"name": name, "password": password})
    assert answer.status == 200, answer
    return answer.cookie


def page_of(web: Process, cookie: str) -> Browser:
    """An open page with a session."""
    return Browser(web.url, Cookie=cookie)
