"""People who log in: cookies for socket clients and for browsers."""

from __future__ import annotations

import contextlib
import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.chat.browser import Browser
from tests.processes import Process

PASSWORD = "correct horse battery"  # noqa: S105 - of tests


@contextlib.contextmanager
def cheap_passwords() -> Iterator[None]:
    """Hash passwords that are set within at next to no cost: it stands in the hash, and a chat server goes by that."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("chatbot.core.accounts._N", 2)
        yield


def post(server: Process, path: str, body: dict[str, Any]) -> str:
    """Send what a form sends; the cookie that comes back."""
    headers = {"Content-Type": "application/json", "X-Paddock": "1"}
    asked = urllib.request.Request(f"{server.url}{path}", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(asked, timeout=20) as answer:
        return str(answer.headers["Set-Cookie"]).partition(";")[0]


def logged_in(server: Process, name: str, password: str = PASSWORD) -> str:
    """The cookie of somebody who logs in."""
    return post(server, "/login", {"name": name, "password": password})


def guest(admin: Browser, server: Process, name: str, *, is_admin: bool = False) -> str:
    """Let somebody join by an invitation; their cookie."""
    code = admin.call("invite", {"is_admin": is_admin, "note": ""})["code"]
    return post(server, "/join", {"code": code, "name": name, "password": PASSWORD})
