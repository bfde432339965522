"""Chats to files and back: GET /export/ID.json, /export/ID.md, /export/all.json, and POST /import."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from typing import IO
from urllib.parse import quote

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import RequestEntityTooLarge

from chatbot.core.library.returned import relinked
from chatbot.core.transfer import detect, keep
from chatbot.errors import BadRequest, FileTooLarge
from chatbot.web import guard
from chatbot.web.service import ChatService

_NAME_CHARS = 80
_AROUND_BYTES = 65_536  # the form around a file
_MOST_DRAINED, _PIECE = 2_000_000_000, 1_000_000
_UNSAFE = re.compile(r'[\x00-\x1f\x7f-\x9f<>:"/\\|?*\u200e\u200f\u2028-\u202e\u2066-\u2069]+')


def add_transfer(app: Flask, service: ChatService) -> None:
    """Add the routes. Imports come from this server's own page alone, see same_origin."""
    store = service.store
    one_import = threading.Lock()  # two of the same file at once would not see each other's chats

    def own(chat_id: str) -> str:
        return guard.own(store, service.auth.who(), "chats", chat_id)

    @app.get("/export/<chat_id>.json")
    def export_json(chat_id: str) -> Response:
        chat_id = own(chat_id)
        title = store.chat(chat_id).title
        return _download(keep.as_json(store, chat_id) + "\n", "application/json", title, ".json")

    @app.get("/export/<chat_id>.md")
    def export_markdown(chat_id: str) -> Response:
        chat_id = own(chat_id)
        title = store.chat(chat_id).title
        return _download(keep.as_markdown(store, chat_id), "text/markdown", title, ".md")

    @app.get("/export/all.json")
    def export_all() -> Response:
        return _download(keep.all_as_json(store, service.auth.who().id), "application/json", "paddock-chats", ".json")

    @app.post("/import")
    def import_chats() -> Response:
        from chatbot.web.app import same_origin  # app adds this route, so it cannot be imported above

        same_origin()
        user = service.auth.who()
        service.allowance.check_storage(user, request.content_length or 0)
        max_bytes = service.settings.max_import_mb * 1_000_000
        file = _sent(max_bytes)
        with one_import:
            found = relinked(detect.read(file, max_bytes), service.library.door, user.id)
            taken = keep.take(store, found, user.id, service.allowance.room(user))
        service.tell_chats(taken.chat_ids)
        return jsonify(taken.wire())


def _sent(max_bytes: int) -> IO[bytes]:
    """The file of the form, which is on disk when it is large. Raises FileTooLarge, BadRequest."""
    request.max_content_length = max_bytes + _AROUND_BYTES
    try:
        file = request.files.get("file")
    except RequestEntityTooLarge as why:
        _drain(request.environ["wsgi.input"])
        raise _too_large(max_bytes) from why
    if file is None:
        raise BadRequest("send a form with the file as its field `file`")
    return file.stream


def _drain(body: IO[bytes]) -> None:
    """Read what the browser still sends: one that is cut off in the middle shows no answer."""
    left = _MOST_DRAINED
    while left > 0 and (piece := body.read(_PIECE)):
        left -= len(piece)


def _too_large(max_bytes: int) -> FileTooLarge:
    has = f"has {request.content_length / 1e6:,.0f} MB" if request.content_length else "is larger"
    most = f"{max_bytes / 1e6:,.0f} MB are the most for an import"
    return FileTooLarge(f"this file {has}, and {most}: split it, or raise --max_import_mb")


def _download(body: str | Iterator[str], kind: str, title: str, suffix: str) -> Response:
    """An answer that a browser saves under the chat's title."""
    answer = Response(body, mimetype=kind)
    name = file_name(title) + suffix
    plain = re.sub(r"[^A-Za-z0-9 ._()-]", "_", name)
    answer.headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(name, safe='')}; filename=\"{plain}\""
    answer.headers["Cache-Control"] = "no-store"
    return answer


def file_name(title: str) -> str:
    """A title as a file name that every system takes: no separators, no dot or space at either end."""
    flat = " ".join(_UNSAFE.sub(" ", title).split())[:_NAME_CHARS].strip(". ")
    is_device = re.fullmatch(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?", flat) is not None
    return f"chat {flat}".strip() if is_device or not flat else flat
