"""Who asks: the cookie, the pages and routes of logging in, and which open page belongs to whom.

On a loopback address there are no accounts: everybody is the machine's owner. Otherwise nobody gets past without a
session, and a session that ends takes its open pages with it at once.
"""

from __future__ import annotations

import ipaddress
import logging
import threading
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

from flask import Flask, Response, jsonify, redirect, render_template, request
from flask_socketio import ConnectionRefusedError, SocketIO
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as AnyResponse

from chatbot import __version__
from chatbot.core.accounts import NOBODY_ELSE, Session, User
from chatbot.core.entrance import Entrance, Entry
from chatbot.core.store import Store
from chatbot.errors import BadRequest, NotAllowed, NotLoggedIn, WrongPassword
from chatbot.settings import WebSettings
from chatbot.web import parse
from chatbot.web.hosts import COOKIE

log = logging.getLogger("chatbot")

R = TypeVar("R", bound=AnyResponse)

_COOKIE_S = 400 * 86_400  # the longest that browsers keep one; the server ends sessions earlier
_BODY_BYTES = 16_384
_QUERY_BYTES = 1_200  # of a way back: longer ones make addresses that no server reads
_SECRET_CHARS = 1_000
_LOG_IN = "you are not logged in here, or no longer: load the page again"
_SYSTEMS = ("Android", "iPhone", "iPad", "Windows", "Mac OS", "CrOS", "Linux")
_BROWSERS = ("Firefox", "Edg", "OPR", "Chrome", "Safari", "curl")
_SHOWN = {"Edg": "Edge", "OPR": "Opera", "CrOS": "ChromeOS", "Mac OS": "macOS"}


@dataclass(frozen=True)
class Caller:
    """Who sends an event: the user, and the session that the page belongs to; None where there are no accounts."""

    user: User
    session_id: str | None = None


class Auth:
    """The accounts of one server, and its open pages. Its methods may be called from any thread."""

    def __init__(self, settings: WebSettings, store: Store, socketio: SocketIO) -> None:
        self.in_force = settings.has_accounts()
        self.entrance = Entrance(store)
        self._store, self._socketio = store, socketio
        self._lock = threading.Lock()
        self._pages: dict[str, Session] = {}  # by the page's socket
        self._most_pages = max(1, settings.max_browsers // 2)

    def who(self) -> User:
        """Who sends this request. Raises NotLoggedIn."""
        if not self.in_force:
            return NOBODY_ELSE
        found = self.entrance.user_of(_token())
        if found is None:
            raise NotLoggedIn(_LOG_IN)
        return found[0]

    def is_known(self, token: str | None = None) -> bool:
        """Whether this request, or one with that token, comes from somebody who may come in."""
        return not self.in_force or self.entrance.user_of(_token() if token is None else token) is not None

    def keep_cookie(self, answer: Response) -> Response:
        """Let the browser of who is logged in keep its cookie for longer, whenever the page is loaded."""
        if self.in_force:
            _set_cookie(answer, _token())
        return answer

    def administrator(self) -> User:
        """Who sends this request. Raises NotLoggedIn, or NotAllowed for who is no administrator."""
        return need_admin(self.who())

    def enter(self, sid: str) -> User:
        """A page connects: whose it is. Raises ConnectionRefusedError."""
        if not self.in_force:
            return NOBODY_ELSE
        found = self.entrance.user_of(_token())
        if found is None:
            raise ConnectionRefusedError(_LOG_IN, {"code": NotLoggedIn.code})
        user, session = found
        with self._lock:
            if sum(each.user_id == user.id for each in self._pages.values()) >= self._most_pages:
                raise ConnectionRefusedError(f"you have {self._most_pages} pages open, which is the most: close one")
            self._pages[sid] = session
        return user

    def leave(self, sid: str) -> None:
        """A page is gone."""
        with self._lock:
            self._pages.pop(sid, None)

    def caller(self, sid: str) -> Caller:
        """Who sends an event from a page, as they are now. Raises NotLoggedIn."""
        if not self.in_force:
            return Caller(NOBODY_ELSE)
        with self._lock:
            session = self._pages.get(sid)
        found = self.entrance.user_in(session.id) if session else None
        if found is None:
            raise NotLoggedIn(_LOG_IN)
        return Caller(found[0], found[1].id)

    def close_ended(self) -> None:
        """Cut off the pages whose sessions have ended, whoever ended them."""
        if not self.in_force:
            return
        with self._lock:
            pages = dict(self._pages)
        if not pages:
            return
        open_ones = {session.id for session in self._store.sessions()}
        for sid in [sid for sid, session in pages.items() if session.id not in open_ones]:
            self.leave(sid)
            self._socketio.server.disconnect(sid)

    def sessions(self, caller: Caller) -> list[dict[str, Any]]:
        """Where a user is logged in, as the page gets it."""
        found = self._store.sessions(caller.user.id) if self.in_force else []
        return [_session(each) | {"is_this": each.id == caller.session_id} for each in found]


def add_auth(app: Flask, auth: Auth) -> None:
    """Add the pages and routes of logging in. What is sent comes from this server's own page alone."""
    entrance = auth.entrance

    @app.get("/login")
    @app.get("/join")
    def door() -> AnyResponse:
        if auth.is_known() and request.path == "/login":
            return redirect("/")
        if not auth.in_force:
            raise BadRequest("there are no accounts here: the chat is at /")
        return _private(Response(render_template("login.html", version=__version__)))

    @app.post("/login")
    def log_in() -> Response:
        body = _sent(auth)
        name, password = (parse.text(body, field, _SECRET_CHARS) for field in ("name", "password"))
        try:
            entry = entrance.log_in(name, password, _address(), _device())
        except WrongPassword:
            log.warning("a wrong name or password from %s", _address())  # no name: it may be a password
            raise
        log.info("%s logged in from %s", entry.user.name, _address())
        return _came_in(auth, entry)

    @app.post("/join")
    def join() -> Response:
        body = _sent(auth)
        code, name, password = (parse.text(body, field, _SECRET_CHARS) for field in ("code", "name", "password"))
        entry = entrance.join(code, name, password, _address(), _device())
        auth.close_ended()  # who chose a new password is logged out everywhere else
        return _came_in(auth, entry)

    @app.post("/logout")
    def log_out() -> Response:
        _same_origin()
        entrance.log_out(_token())
        auth.close_ended()
        answer = jsonify({})
        answer.delete_cookie(COOKIE)
        return _private(answer)

    @app.get("/admin")
    def admin() -> AnyResponse:
        if not auth.is_known():
            return to_login()
        auth.administrator()
        return _private(Response(render_template("admin.html", version=__version__)))


def to_login() -> AnyResponse:
    """Send a browser to the page for logging in, which leads back to where it wanted to go."""
    wanted = request.path
    if wanted.startswith("/library") and 0 < len(request.query_string) <= _QUERY_BYTES:  # a passage, or a search
        wanted += "?" + request.query_string.decode("ascii", "ignore")
    way_back = "" if wanted == "/" else f"?next={quote(wanted, safe='')}"
    return _private(redirect(f"/login{way_back}"))


def need_admin(user: User) -> User:
    """The user. Raises NotAllowed for who is no administrator."""
    if not user.is_admin:
        raise NotAllowed("only an administrator may do this")
    return user


def _came_in(auth: Auth, entry: Entry) -> Response:
    auth.entrance.log_out(_token())  # the token of before is worth nothing from now on
    auth.close_ended()
    answer = jsonify(user=entry.user.wire())
    _set_cookie(answer, entry.token)
    return _private(answer)


def _set_cookie(answer: Response, token: str) -> None:
    answer.set_cookie(
        COOKIE, token, max_age=_COOKIE_S, path="/", httponly=True, samesite="Lax", secure=request.is_secure
    )


def _private(answer: R) -> R:
    """The answer, kept by no cache."""
    answer.headers["Cache-Control"] = "no-store"
    return answer


def _token() -> str:
    return request.cookies.get(COOKIE, "")


def _sent(auth: Auth) -> dict[str, Any]:
    """The object in a request. Raises OriginRefused, BadRequest."""
    _same_origin()
    if not auth.in_force:
        raise BadRequest("there are no accounts here: nobody needs to log in")
    request.max_content_length = _BODY_BYTES
    try:
        body = request.get_json()
    except HTTPException as why:
        raise BadRequest("send one JSON object") from why
    if not isinstance(body, dict):
        raise BadRequest("send one JSON object")
    return body


def _same_origin() -> None:
    from chatbot.web.app import same_origin  # app adds these routes, so it cannot be imported above

    same_origin()


def _address() -> str:
    """Where a request comes from; of IPv6 the network, since one machine has many addresses in it."""
    text = request.remote_addr or ""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return text
    if isinstance(address, ipaddress.IPv6Address):
        mapped = address.ipv4_mapped
        return str(mapped) if mapped else str(ipaddress.ip_network((int(address), 64), strict=False))
    return text


def _device() -> str:
    """A browser in a person's words: "Firefox on Linux"."""
    told = request.headers.get("User-Agent", "")
    browser = next((name for name in _BROWSERS if name in told), "")
    system = next((name for name in _SYSTEMS if name in told), "")
    return " on ".join(_SHOWN.get(name, name) for name in (browser, system) if name)


def _session(session: Session) -> dict[str, Any]:
    return {
        "id": session.id,
        "device": session.device,
        "created_at": session.created_at,
        "seen_at": session.seen_at,
    }
